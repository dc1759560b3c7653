"""Video models and shifted backbones: clips become features as in the recognizer itself."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from frameflow.config import Recipe, load_recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError
from frameflow.features import _agreement
from frameflow.features._writer import targets_of
from frameflow.features.encode import ClipEncoder
from frameflow.features.engines import EngineKind, make_engine
from frameflow.features.extract import extract, make_encoder
from frameflow.models.backbones import Backbone, build_backbone, normalise
from frameflow.models.clips import build_clip_backbone
from frameflow.models.cut import CutRecognizer
from frameflow.models.recognizer import build_recognizer, build_streams
from frameflow.models.streams import stream_images

Write = Callable[..., Path]
VIDEO = "{backbone: test-c3d, weights: none}"
TOKENS = "{backbone: test-swin3d, weights: none, pool: tokens}"
SHIFTED = "{backbone: resnet10t, weights: none, size: 32, shift: 8}"
LENGTH = {VIDEO: 16, TOKENS: 4, SHIFTED: 4}


def clip_recipe(*streams: str, strategy: str = "uniform") -> Recipe:
    return load_recipe(
        "default",
        [
            f"streams=[{', '.join(streams)}]",
            f"sampling.frames={LENGTH[streams[0]]}",
            f"sampling.strategy={strategy}",
            "head={name: attentive-probe}",
        ],
    )


def encoder_of(recipe: Recipe, **options: object) -> ClipEncoder:
    return ClipEncoder(
        recipe.streams, build_streams(recipe), recipe.sampling, engine="torch", **options
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("stream", [VIDEO, TOKENS, SHIFTED])
def test_a_video_becomes_the_features_that_the_recognizer_computes(
    stream: str, clips: Path
) -> None:
    recognizer = build_recognizer(clip_recipe(stream), ["a", "b"]).eval()
    encoder = make_encoder(recognizer, engine="torch", views=3)
    read = encoder.read(clips / "00.mp4")
    features, mask = encoder.encode(read)
    assert features.shape == (3, encoder.steps, encoder.dim)
    assert encoder.steps == {VIDEO: 1, TOKENS: 32, SHIFTED: 4}[stream]
    assert mask.shape == (3, encoder.steps)
    frames = [np.stack([stream_images(recognizer.recipe.streams[0], clip) for clip in read[0]])]
    with torch.no_grad():
        expected = recognizer.encode(frames).numpy()
    np.testing.assert_allclose(features, expected, rtol=2e-3, atol=2e-3)
    flipped, _ = encoder.encode(read, flip=True)
    assert not np.allclose(flipped, features, atol=1e-3)


@pytest.mark.parametrize("stream", [VIDEO, SHIFTED])
def test_clips_that_are_too_short(stream: str, write_clip: Write, tmp_path: Path) -> None:
    """A video model's features count, whatever was padded; a frame's own do not."""
    recognizer = build_recognizer(clip_recipe(stream, strategy="first"), ["a", "b"]).eval()
    encoder = make_encoder(recognizer, engine="torch")
    read = encoder.read(write_clip(tmp_path / "short.mp4", frames=3))
    padded = read[0][0].mask
    assert not padded.all()
    features, mask = encoder.encode(read)
    assert mask[0].tolist() == ([True] if stream == VIDEO else padded.tolist())
    with torch.no_grad():
        frames = [stream_images(recognizer.recipe.streams[0], read[0][0])[None]]
        expected = recognizer(frames, torch.from_numpy(padded[None]))
        found = recognizer.logits(torch.from_numpy(features), torch.from_numpy(mask))
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("stream", [VIDEO, TOKENS])
def test_clips_are_computed_once_and_stored(
    stream: str, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Manifest(manifest.samples[:5], manifest.root)
    recipe = clip_recipe(stream)
    recipe = recipe.model_copy(update={"views": recipe.views.model_copy(update={"test": 2})})
    recognizer = build_recognizer(recipe, ["a", "b"]).eval()
    backbones = recognizer.backbones()
    found = extract(few, recipe, engine="torch", store=tmp_path, backbones=backbones)
    encoder = make_encoder(recognizer, engine="torch")
    assert (found.frames, found.dim) == (encoder.steps, encoder.dim)
    for row in range(5):
        features, mask = encoder.encode(encoder.read(few.path(few[row])))
        for view in range(2):
            stored, stored_mask = found.batch(np.array([row]), view)
            np.testing.assert_array_equal(stored[0], features[view])
            np.testing.assert_array_equal(stored_mask[0], mask[view])
    monkeypatch.setattr("frameflow.features.extract.compute", lambda *_: pytest.fail("again"))
    again = extract(few, recipe, engine="torch", store=tmp_path, backbones=backbones)
    np.testing.assert_array_equal(again.array(1)[0], found.array(1)[0])


def test_a_frame_counts_where_every_stream_sees_it(
    recipe_with: Callable[..., Recipe], write_clip: Write, tmp_path: Path
) -> None:
    """The slow stream of a short clip runs out of frames first."""
    recipe = recipe_with("sampling.strategy=first", "sampling.frames=6", "max_bad=0")
    slow = recipe.streams[0].model_copy(update={"pace": 2})
    recipe = recipe.model_copy(update={"streams": (recipe.streams[0], slow)})
    path = write_clip(tmp_path / "a.mp4", frames=5)
    encoder = encoder_of(recipe)
    fast, paced = encoder.read(path)
    assert (fast[0].mask.sum(), paced[0].mask.sum()) == (5, 3)
    features, mask = encoder.encode([fast, paced])
    assert mask.tolist() == [[True] * 3 + [False] * 3]

    stored = extract(
        Manifest([Sample("a.mp4", row=2)], tmp_path),
        recipe,
        engine="torch",
        store=tmp_path / "store",
        backbones=encoder.backbones,
    )
    found, found_mask = stored.array()
    np.testing.assert_array_equal(found, features)
    np.testing.assert_array_equal(found_mask, mask)


def test_streams_of_unequal_numbers_of_features_are_refused() -> None:
    recipe = clip_recipe(VIDEO, "{backbone: resnet10t, weights: none, size: 32}")
    with pytest.raises(UsageError, match=r"test-c3d 1, resnet10t 16\), which cannot be joined"):
        encoder_of(recipe)


# Engines --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shifted() -> Backbone:
    return build_backbone("resnet10t", weights="none", size=32, shift=8)


@pytest.mark.parametrize("kind", ["torch", "onnxruntime", "openvino", "auto"])
@pytest.mark.parametrize("which", ["c3d", "tokens", "shifted"])
def test_an_engine_agrees_over_clips(kind: EngineKind, which: str, shifted: Backbone) -> None:
    made = {
        "c3d": lambda: build_clip_backbone("test-c3d", weights="none"),
        "tokens": lambda: build_clip_backbone("test-swin3d", weights="none", pool="tokens"),
    }
    backbone = made[which]() if which in made else shifted
    frames = 16 if which == "c3d" else 4
    engine = make_engine(backbone, kind, frames=frames)
    clip = _agreement.example_clip(32, frames)
    clips = np.concatenate([clip, 255 - clip, clip[:, ::-1]])
    found = engine(clips)
    assert found.shape == (3, backbone.steps(frames), backbone.dim)
    assert engine.steps == backbone.steps(frames)
    with torch.no_grad():
        expected = backbone(normalise(clips, backbone.preprocess)).numpy()
    # What agrees on the example clip in bfloat16 may be a little further off on others.
    least = 0.999 if kind == "auto" else 0.9999
    assert _agreement.compare(found, expected)[0] >= least
    if engine.precision == "float32":
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(engine(clips[1:2])[0], found[1])  # whatever is beside it


def test_an_engine_over_clips_wants_to_know_their_length(shifted: Backbone) -> None:
    with pytest.raises(UsageError, match="resnet10t looks at clips: say of how many frames"):
        make_engine(shifted, "torch")
    engine = make_engine(shifted, "torch", frames=4)
    with pytest.raises(UsageError, match=r"\(N, 4, 32, 32, 3\), not uint8 of shape \(4, 32, 32"):
        engine(np.zeros((4, 32, 32, 3), np.uint8))


def test_engines_are_checked_for_each_length(
    shifted: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAMEFLOW_HOME", str(tmp_path))
    for frames in (4, 6):
        make_engine(shifted, "onnxruntime", frames=frames)
    assert len(list(tmp_path.glob("engines/*.json"))) == 2
    assert len(list(tmp_path.glob("engines/*.onnx"))) == 2


# The store ------------------------------------------------------------------------------------


def test_features_of_two_choices_never_share_a_folder(tmp_path: Path) -> None:
    """Each choice of a stream that changes what is computed, and none that does not."""
    base = "backbone: resnet10t, weights: none, size: 32"
    differing = [
        "",
        "grid: 2",
        "pool: max",
        "shift: 8",
        "shift: 4",
        "pace: 2",
        "pace: 3",
        "fit: follow, follow: 0.5",
        "fit: follow, follow: 0.7",
        "kind: difference",
        "kind: difference, gap: 2",
        "kind: difference, gain: 2",
        "kind: stack",
        "kind: stack, gap: 2",
        "kind: flow",
        "kind: flow, gap: 2",
        "kind: flow, gain: 2",
    ]
    alike = ["follow: 0.5", "gap: 3", "gain: 3", "crops: 5"]
    streams = [f"{{{base}, {choice}}}" if choice else f"{{{base}}}" for choice in differing + alike]
    recipe = load_recipe(
        "default",
        [f"streams=[{', '.join(streams)}]", "sampling.strategy=dense", "sampling.frames=4"],
    )
    targets = targets_of(encoder_of(recipe), [False], tmp_path)
    folders = [target.store.folder for target in targets]
    assert len(set(folders[: len(differing)])) == len(differing)
    assert set(folders[len(differing) :]) == {folders[0]}
    cut = recipe.streams[0].model_copy(update={"cut": "layer2"})
    learning = load_recipe(recipe, ["train.learn=[{parts: ['*']}]"])
    learning = learning.model_copy(update={"streams": (cut,)})
    prefix, _ = build_streams(learning)[0].parts()
    encoder = ClipEncoder([cut], [prefix], recipe.sampling, engine="torch")
    assert targets_of(encoder, [False], tmp_path)[0].store.folder not in folders


def test_stored_activations_of_a_cut_give_what_the_whole_gives(clips: Path) -> None:
    stream = "{backbone: resnet10t, weights: none, size: 32, cut: layer3}"
    recipe = load_recipe(
        "default",
        [f"streams=[{stream}]", "sampling.frames=4", "train.learn=[{parts: ['*']}]"],
    )
    recognizer = build_recognizer(recipe, ["a", "b"]).eval()
    cut = CutRecognizer(recognizer).eval()
    encoder = ClipEncoder(recipe.streams, cut.encoders(), recipe.sampling, engine="onnxruntime")
    whole = ClipEncoder(recipe.streams, recognizer.backbones(), recipe.sampling, engine="torch")
    read = encoder.read(clips / "04.mp4")
    activations, mask = encoder.encode(read)
    with torch.no_grad():
        found = cut.encode(torch.from_numpy(activations)).numpy()
    assert encoder.dim > whole.dim
    np.testing.assert_allclose(found, whole.encode(read)[0], rtol=1e-2, atol=1e-2)
    assert mask.all()
