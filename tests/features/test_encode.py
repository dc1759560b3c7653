"""From clips to features: masks, streams, crops, flips, and frames that are shown twice."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from frameflow.config import Recipe
from frameflow.errors import UsageError, VideoError
from frameflow.features.encode import ClipEncoder, encode_stream
from frameflow.models.backbones import normalise
from frameflow.models.recognizer import build_streams
from frameflow.models.streams import difference
from frameflow.video.clip import ClipRequest, read_clips

Recipes = Callable[..., Recipe]


def with_streams(recipe: Recipe, *changes: dict[str, object]) -> Recipe:
    """The recipe with one stream for each change of its first."""
    first = recipe.streams[0]
    return recipe.model_copy(update={"streams": tuple(first.model_copy(update=c) for c in changes)})


def encoder_of(recipe: Recipe, **options: object) -> ClipEncoder:
    return ClipEncoder(recipe.streams, build_streams(recipe), recipe.sampling, **options)  # type: ignore[arg-type]


@pytest.fixture
def two_streams(recipe: Recipe) -> Recipe:
    return with_streams(recipe, {}, {"kind": "difference", "gap": 2, "gain": 2.0})


def by_hand(encoder: ClipEncoder, images: np.ndarray) -> np.ndarray:
    backbone = encoder.backbones[0]
    with torch.no_grad():
        return backbone(normalise(images, backbone.preprocess)).numpy()


def test_both_streams_are_one_reading_and_one_after_the_other(
    two_streams: Recipe, clips: Path
) -> None:
    encoder = encoder_of(two_streams)
    assert len(encoder.requests) == 1
    read = encoder.read(clips / "00.mp4")
    features, mask = encoder.encode(read)
    assert features.shape == (1, 4, encoder.dim) == (1, 4, 2 * encoder.backbones[0].dim)
    assert mask.all()
    clip = read[0][0]
    half = encoder.dim // 2
    motion = difference(*clip.pair(2), 2.0)
    for found, images in ((features[0, :, :half], clip.frames), (features[0, :, half:], motion)):
        np.testing.assert_allclose(found, by_hand(encoder, images), rtol=2e-3, atol=1e-3)
    assert (features == features.astype(np.float16)).all()


def test_streams_of_other_sizes_are_read_by_themselves(recipe: Recipe, clips: Path) -> None:
    encoder = encoder_of(with_streams(recipe, {}, {"size": 96}, {"fit": "squash"}, {}))
    assert [(r.size, r.fit) for r in encoder.requests] == [
        (64, "crop"),
        (96, "crop"),
        (64, "squash"),
    ]
    assert encoder.request_of == [0, 1, 2, 0]
    features, _ = encoder.encode(encoder.read(clips / "00.mp4"))
    parts = np.split(features, 4, axis=-1)
    np.testing.assert_array_equal(parts[0], parts[3])
    assert not np.allclose(parts[0], parts[1])
    assert encoder.engines[0] is encoder.engines[2]  # one backbone, one engine


def test_a_flip_mirrors_what_the_backbone_sees(two_streams: Recipe, clips: Path) -> None:
    encoder = encoder_of(two_streams)
    read = encoder.read(clips / "01.mp4")
    half = encoder.dim // 2
    flipped, _ = encoder.encode(read, flip=True)
    mirrored = np.ascontiguousarray(read[0][0].frames[:, :, ::-1])
    np.testing.assert_allclose(
        flipped[0, :, :half], by_hand(encoder, mirrored), rtol=2e-3, atol=1e-3
    )
    assert not np.allclose(flipped, encoder.encode(read)[0])


def test_frames_that_the_mask_hides_are_zero_and_not_computed(
    recipe_with: Recipes, write_clip: Callable[..., Path], tmp_path: Path
) -> None:
    encoder = encoder_of(recipe_with("sampling.strategy=first", "sampling.frames=6"))
    video = write_clip(tmp_path / "short.mp4", frames=3)
    engine = Counting(encoder)
    read = encoder.read(video)
    features = encode_stream(encoder.streams[0], read[0], engine)
    assert encoder.encode(read)[1].tolist() == [[True] * 3 + [False] * 3]
    assert not features[0, 3:].any()
    assert features[0, :3].any(axis=1).all()
    assert engine.seen == [3]


def test_a_frame_shown_twice_is_computed_once(
    recipe_with: Recipes, write_clip: Callable[..., Path], tmp_path: Path
) -> None:
    encoder = encoder_of(recipe_with("sampling.frames=9"))
    read = encoder.read(write_clip(tmp_path / "short.mp4", frames=4))
    engine = Counting(encoder)
    features = encode_stream(encoder.streams[0], read[0], engine)
    assert engine.seen == [4]
    assert encoder.encode(read)[1].all()
    np.testing.assert_allclose(
        features[0], by_hand(encoder, read[0][0].frames), rtol=2e-3, atol=1e-3
    )


def test_many_views_go_through_the_engine_in_parts(recipe_with: Recipes, clips: Path) -> None:
    encoder = encoder_of(recipe_with(), views=3)
    read = encoder.read(clips / "02.mp4")
    expected, _ = encoder.encode(read)
    engine = Counting(encoder)
    engine.batch = 3  # fewer than a clip
    found = encode_stream(encoder.streams[0], read[0], engine)
    assert len(engine.seen) > 3
    np.testing.assert_array_equal(found, expected)


def test_crops_multiply_the_views(recipe: Recipe, clips: Path) -> None:
    wide = with_streams(recipe, {"fit": "crops", "crops": 3}, {})
    encoder = encoder_of(wide, views=2)
    assert (encoder.views, encoder.crops) == (6, 3)
    features, mask = encoder.encode(encoder.read(clips / "00.mp4"))
    assert features.shape == (6, 4, encoder.dim)
    assert mask.shape == (6, 4)
    whole = features[:, :, encoder.dim // 2 :]  # the stream without crops stands beside each
    np.testing.assert_array_equal(whole[0], whole[2])
    np.testing.assert_array_equal(whole[3], whole[5])
    assert not np.array_equal(whole[0], whole[3])
    crops = features[:, :, : encoder.dim // 2]
    assert not np.array_equal(crops[0], crops[1])


def test_streams_with_unequal_crops_are_refused(recipe: Recipe) -> None:
    unequal = with_streams(recipe, {"fit": "crops", "crops": 3}, {"fit": "crops", "crops": 2})
    with pytest.raises(UsageError, match="2 and 3 crops"):
        encoder_of(unequal)


def test_every_stream_sees_the_same_random_moments(recipe_with: Recipes, clips: Path) -> None:
    recipe = with_streams(recipe_with("sampling.strategy=segments"), {}, {"fit": "squash"})
    encoder = encoder_of(recipe, views=2, random=True)
    first, second = encoder.read(clips / "03.mp4", rng=np.random.default_rng(1))
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a.indices, b.indices)
    assert not np.array_equal(first[0].indices, first[1].indices)


def test_a_video_that_cannot_be_read_is_an_error(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(VideoError):
        encoder_of(recipe).read(tmp_path / "a.mp4")


class Counting:
    """An engine that notes how many frames it is given."""

    def __init__(self, encoder: ClipEncoder) -> None:
        self.engine = encoder.engines[0]
        self.steps = self.engine.steps
        self.name, self.precision, self.dim, self.batch = (
            self.engine.name,
            self.engine.precision,
            self.engine.dim,
            self.engine.batch,
        )
        self.seen: list[int] = []

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        self.seen.append(len(frames))
        return self.engine(frames)


def test_the_request_is_the_one_reader_s(recipe: Recipe, clips: Path) -> None:
    encoder = encoder_of(recipe)
    (request,) = encoder.requests
    assert isinstance(request, ClipRequest)
    (clip,) = read_clips(clips / "00.mp4", request, start=0.1, end=0.3)
    (own,) = encoder.read(clips / "00.mp4", start=0.1, end=0.3)[0]
    np.testing.assert_array_equal(own.frames, clip.frames)
