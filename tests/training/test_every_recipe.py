"""Every recipe that comes with the package, small: a real clip in, a step learnt, saved, loaded.

Backbones have random weights and small inputs. Stand-ins of the same family are taken where the
network itself would take a test many seconds: see `STAND_INS`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from frameflow.config import Recipe, load_recipe, recipe_names
from frameflow.data.manifest import Manifest, Sample
from frameflow.models.heads.base import Head
from frameflow.models.recognizer import Recognizer, build_recognizer

LABELS = ["backhand", "serve"]
STAND_INS = {
    "tf_efficientnet_b7.aa_in1k": "tf_efficientnet_b0.aa_in1k",  # 64 million weights
    "vgg16.tv_in1k": "vgg16_narrow",  # 134 million: the same layers, a sixteenth of the channels
    "r2plus1d_18": "test-r2plus1d",
    "mvit_v2_s": "test-mvit",
    "swin3d_t": "test-swin3d",
    "c3d": "test-c3d",
    "videomae-base": "test-videomae",
    "timesformer-base": "test-timesformer",
    "vivit-base": "test-vivit",
    "vjepa2-vitl": "test-vjepa2",
}
SMALLEST = {"inception_v3.tf_in1k": 75, "s3d": 32}  # px
SHORTEST = {"s3d": 16, "c3d": 16, "c3d-small": 8}  # frames
NEEDS = {
    "videomae-base": "transformers",
    "timesformer-base": "transformers",
    "vivit-base": "transformers",
    "vjepa2-vitl": "transformers",
}
# Two steps, at once: what is waited for is not what is tested here.
QUICK = [
    "train.epochs=2",  # a classifier that starts at zero passes nothing back in its first step
    "train.weight_decay=0",  # what does not learn does not change
    "train.batch_size=2",
    "train.accumulate=1",
    "train.rounds=[1.0]",
    "train.warmup_epochs=0",
    "train.patience=null",
    "train.precision=float32",
    "train.cache=off",
    "train.workers=0",
    "views.test=1",
    "evaluation.resamples=50",
]
HEADS = {"hidden": 16, "attention": 16, "width": 16}


@pytest.fixture(scope="module", autouse=True)
def _narrow_vgg() -> None:
    """VGG16 with a sixteenth of its channels, under a name of its own."""
    from frameflow.models.weights import import_timm

    import_timm()
    import timm
    from timm.models import vgg
    from timm.models._builder import build_model_with_cfg
    from timm.models._registry import register_model

    if timm.is_model("vgg16_narrow"):
        return
    full = vgg.cfgs["vgg16"]
    layers = [width if isinstance(width, str) else width // 16 for width in full]

    def vgg16_narrow(pretrained: bool = False, **options: Any) -> torch.nn.Module:
        options["pretrained_cfg"] = timm.get_pretrained_cfg("vgg16.tv_in1k").to_dict()
        return build_model_with_cfg(
            vgg.VGG, "vgg16_narrow", pretrained, cfg=layers, mlp_ratio=0.02, **options
        )

    vgg16_narrow.__module__ = vgg.__name__
    register_model(vgg16_narrow)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, film: Callable[..., Path]) -> Manifest:
    """One clip of each class."""
    folder = tmp_path_factory.mktemp("clips")
    for number, label in enumerate(LABELS):
        film(folder / f"{label}.mp4", scene=number, seed=number, frames=20)
    return Manifest(
        [Sample(f"{label}.mp4", label, split="train", group=label) for label in LABELS], folder
    )


def small(name: str, *further: str) -> Recipe:
    """A recipe that comes with the package, with small frames, few of them, and random weights."""
    recipe = load_recipe(name)
    names = [stream.backbone for stream in recipe.streams]
    frames = max([min(4, recipe.sampling.frames), *(SHORTEST.get(name, 1) for name in names)])
    changes = [*QUICK, f"sampling.frames={frames}"]
    for place, stream in enumerate(recipe.streams):
        size = SMALLEST.get(stream.backbone, 64 if stream.grid > 1 else 32)
        stand_in = STAND_INS.get(stream.backbone, stream.backbone)
        here = f"streams.{place}"
        changes += [f"{here}.weights=none", f"{here}.size={size}", f"{here}.backbone={stand_in}"]
    changes += [f"head.{key}={HEADS[key]}" for key in HEADS if recipe.head.options.get(key) == 256]
    changes += [f"train.learn.{place}.epoch=0" for place in range(len(recipe.train.learn))]
    return load_recipe(recipe, [*changes, *further])


def build(recipe: Recipe) -> Recognizer:
    for stream in recipe.streams:
        if stream.backbone in NEEDS:
            pytest.importorskip(NEEDS[stream.backbone])
    torch.manual_seed(0)
    return build_recognizer(recipe, LABELS)


def look(recognizer: Recognizer, clips: Manifest) -> tuple[list[Tensor], Tensor]:
    """What the streams see of the clips: ``(B, T, H, W, 3)`` each, and the mask."""
    from frameflow.features.encode import ClipEncoder
    from frameflow.models.streams import stream_images

    recipe, backbones = recognizer.recipe, recognizer.backbones()
    encoder = ClipEncoder(recipe.streams, backbones, recipe.sampling, engine="torch")
    seen: list[list[Tensor]] = [[] for _ in recipe.streams]
    masks = []
    for sample in clips:
        found = encoder.read(clips.path(sample))
        for place, stream in enumerate(recipe.streams):
            (clip,) = encoder.clips_of(place, found)
            seen[place].append(torch.from_numpy(stream_images(stream, clip).copy()))
        masks.append(torch.from_numpy(clip.mask))
    return [torch.stack(images) for images in seen], torch.stack(masks)


def train(recognizer: Recognizer, clips: Manifest) -> None:
    """Two steps, in the way of the recipe, from videos or what is stored of them."""
    from frameflow.training.learning import examples_of, fit_recognizer, read_material

    recipe = recognizer.recipe
    material = read_material(recognizer, clips, purpose="train", engine="torch")
    assert not material.bad
    training = examples_of(material, recipe, LABELS)
    assert len(training) == len(clips)
    fitted = fit_recognizer(recognizer, training, None)
    assert fitted.epochs == (recipe.train.epochs if recipe.train.solver == "epochs" else 1)
    assert np.isfinite(fitted.history[-1].train_loss)


def values(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def changed(before: dict[str, Tensor], module: torch.nn.Module) -> set[str]:
    return {
        name for name, value in module.named_parameters() if not torch.equal(before[name], value)
    }


def check(recipe: Recipe, clips: Manifest, folder: Path) -> Recognizer:
    recognizer = build(recipe)
    head = values(recognizer.head)
    backbones = list({id(backbone): backbone for backbone in recognizer.backbones()}.values())
    before = [values(backbone.model) for backbone in backbones]

    train(recognizer, clips)
    assert changed(head, recognizer.head), "the head has learnt"
    parts = [part for entry in recipe.train.learn for part in entry.parts]
    for backbone, old in zip(backbones, before):
        moved = changed(old, backbone.model)
        for part in parts:
            allowed = set(backbone.learn([part]))
            assert moved & allowed, f"{part} of {backbone.name} has learnt"
        assert moved <= set(backbone.learn(parts)), "nothing else has"

    recognizer.eval()
    inputs, mask = look(recognizer, clips)
    assert mask.any(dim=1).all()
    with torch.inference_mode():
        logits = recognizer(inputs, mask)
        assert logits.shape == (2, len(LABELS))
        assert logits.isfinite().all()
        recognizer.save(folder / "saved")
        again = Recognizer.load(folder / "saved")
        # Products of matrices may differ in the last bit by where they lie in memory.
        torch.testing.assert_close(again(inputs, mask), logits, rtol=0, atol=1e-6)
    torch.testing.assert_close(again.state_dict(), recognizer.state_dict(), rtol=0, atol=0)
    return recognizer


@pytest.mark.parametrize("name", recipe_names())
def test_a_step_is_learnt_saved_and_loaded(name: str, clips: Manifest, tmp_path: Path) -> None:
    recipe = small(name)
    assert recipe.way == load_recipe(name).way
    check(recipe, clips, tmp_path)


@pytest.mark.parametrize(
    ("name", "further"),
    [
        ("lrcn-frozen", "head={name: gru, layers: 3, hidden: 8}"),
        ("lrcn-frozen", "head={name: rnn, layers: 1, hidden: 8}"),
        ("lrcn-frozen", "head={name: conv1d, layers: 3, kernel: 3, hidden: 8}"),
        ("lrcn-trainable", "streams.0.cut=features.23"),
        ("resnet18-bilstm-attention", "train.schedule=plateau"),
        ("resnet18-bilstm-attention", "train.norm=learn"),
        ("lite0-tsm", "streams.0.cut=blocks.4"),
        ("vivit", "train.learn=[{parts: ['*'], lr: 0.1}]"),
    ],
)
def test_what_the_comments_of_recipes_offer(
    name: str, further: str, clips: Manifest, tmp_path: Path
) -> None:
    further = [further]
    if "cut=" in further[0]:
        further.append("augment={}")
    check(small(name, *further), clips, tmp_path)


def test_two_stream_sees_optical_flow(clips: Manifest, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    recognizer = check(
        small("two-stream", "streams.1.kind=flow", "streams.1.gain=1"), clips, tmp_path
    )
    one, other = recognizer.backbones()
    assert one is not other, "a backbone each"


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_explains_itself(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert "\n" not in recipe.description
    assert len(recipe.description) <= 100


# Resume ----------------------------------------------------------------------------------------


class Killed(BaseException):
    """Nothing handles it: as a kill, the run stops where it is."""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """``killed(n)``: the n-th clip batch that a head learns from is the last."""
    forward = Head.forward

    def arm(steps: int) -> None:
        left = steps

        def counted(head: Head, features: Tensor, mask: Tensor) -> Tensor:
            nonlocal left
            if head.training:
                left -= 1
                if left < 0:
                    raise Killed
            return forward(head, features, mask)

        monkeypatch.setattr(Head, "forward", counted)

    yield arm
    monkeypatch.setattr(Head, "forward", forward)


@pytest.mark.parametrize(
    ("name", "further"),
    [
        ("frozen-gru", []),
        (
            "lite0-tsn",
            ["streams.0.cut=layer3", "augment={}", "train.learn=[{parts: [layer4], epoch: 1}]"],
        ),
        ("lite0-tsm", ["train.learn=[{parts: [layer4]}, {parts: [layer3], epoch: 1}]"]),
    ],
    ids=["frozen", "cut", "end-to-end"],
)
def test_a_run_that_was_killed_resumes_to_the_same_numbers(
    name: str,
    further: list[str],
    manifest: Manifest,
    tmp_path: Path,
    killed: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from frameflow.training.pipeline import resume, train

    stand_in = ["streams.0.backbone=resnet10t", "train.batch_size=8", "train.epochs=3"]
    recipe = small(name, *stand_in, *further)
    options = {"recipe": recipe, "engine": "torch"}
    whole = train(manifest, out=tmp_path / "whole", **options)
    killed(5)  # of three batches an epoch: inside the second
    with pytest.raises(Killed):
        train(manifest, out=tmp_path / "broken", **options)
    monkeypatch.undo()
    resumed = resume(tmp_path / "broken", engine="torch")
    for file in ("model.safetensors", "predictions.csv"):
        assert (resumed.path / file).read_bytes() == (whole.path / file).read_bytes(), file
    assert [row.epoch for row in resumed.history] == [1, 2, 3]
