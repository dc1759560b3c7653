import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from frameflow.config import Recipe, load_recipe
from frameflow.errors import UsageError
from frameflow.models import _files, weights
from frameflow.models.recognizer import Recognizer, build_recognizer
from frameflow.models.streams import difference

LABELS = ["jump", "ski, fast", "žonglování"]


@pytest.fixture
def recognizer(recipe: Recipe) -> Recognizer:
    built = build_recognizer(recipe, LABELS)
    built.head.prepare([(torch.randn(8, 4, built.dim), torch.ones(8, 4, dtype=torch.bool))])
    return built.eval()


@pytest.fixture
def saved(recognizer: Recognizer, tmp_path: Path) -> Path:
    recognizer.save(tmp_path / "run", {"epoch": 3})
    return tmp_path / "run"


def clips(count: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (count, 4, 32, 32, 3), dtype=np.uint8)
    return [frames, difference(frames, frames[:, ::-1].copy(), 2.0)]


def test_streams_are_laid_end_to_end(recognizer: Recognizer) -> None:
    assert recognizer.dim == 1024
    assert recognizer.frames == 4
    frames = clips()
    with torch.no_grad():
        features = recognizer.encode(frames)
        swapped = recognizer.encode(frames[::-1])
    assert features.shape == (2, 4, 1024)
    torch.testing.assert_close(features[..., :512], swapped[..., 512:])
    mask = torch.ones(2, 4, dtype=torch.bool)
    probabilities = recognizer.probabilities(features, mask)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2))
    torch.testing.assert_close(recognizer(frames, mask), recognizer.logits(features, mask))


def test_streams_through_one_backbone_share_it(recognizer: Recognizer, saved: Path) -> None:
    assert recognizer.streams[0] is recognizer.streams[1]
    loaded = Recognizer.load(saved)
    assert loaded.streams[0] is loaded.streams[1]
    stored = load_file(saved / "model.safetensors")
    assert {key.split(".")[1] for key in stored if key.startswith("backbones.")} == {"0"}


def test_loading_gives_the_same_recognizer(
    recognizer: Recognizer, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without asking for pretrained weights, and without touching the random state."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("pretrained weights were asked for")

    monkeypatch.setattr(weights, "resolve", refuse)
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    loaded = Recognizer.load(saved)
    assert torch.equal(torch.rand(2), expected)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    with torch.no_grad():
        assert torch.equal(loaded(clips(), mask), recognizer(clips(), mask))
    assert not loaded.training
    assert loaded.labels == LABELS
    assert loaded.recipe == recognizer.recipe
    assert loaded.extra == {"epoch": 3}
    assert loaded.backbones()[0].weights == recognizer.backbones()[0].weights
    assert loaded.backbones()[0].preprocess == recognizer.backbones()[0].preprocess


def test_the_description_names_what_made_the_scores(saved: Path) -> None:
    described = json.loads((saved / "model.json").read_text(encoding="utf-8"))
    assert described["labels"] == LABELS
    assert described["versions"].keys() >= {"frameflow", "torch", "timm"}
    assert described["backbones"][0]["source"] == "random values, seed 0"
    assert described["head"]["arguments"]["hidden"] == 8
    assert sorted(p.name for p in saved.iterdir()) == ["model.json", "model.safetensors"]


def test_half_precision_is_saved_in_full(recognizer: Recognizer, tmp_path: Path) -> None:
    recognizer.half().save(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert all(t.dtype in (torch.float32, torch.int64) for t in stored.values())
    Recognizer.load(tmp_path)


def test_a_backbone_that_learnt_says_so(recognizer: Recognizer, tmp_path: Path) -> None:
    backbone = recognizer.backbones()[0]
    with torch.no_grad():
        next(backbone.model.parameters()).add_(1)
    recognizer.save(tmp_path)
    Recognizer.load(tmp_path).save(tmp_path)
    source = Recognizer.load(tmp_path).backbones()[0].weights
    assert source.source == "random values, seed 0, trained further"
    assert source.digest != backbone.weights.digest


def test_saving_over_a_run_replaces_it_whole_or_not(
    recognizer: Recognizer, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (saved / "model.json").read_bytes(), (saved / "model.safetensors").read_bytes()
    monkeypatch.setattr(_files.os, "fsync", _full_disk)
    with pytest.raises(OSError, match="No space left"):
        recognizer.save(saved)
    assert before == (
        (saved / "model.json").read_bytes(),
        (saved / "model.safetensors").read_bytes(),
    )
    assert len(list(saved.iterdir())) == 2


def _full_disk(_: int) -> None:
    raise OSError(28, "No space left on device")


def _truncate(run: Path) -> None:
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def _flip(run: Path) -> None:
    path = run / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x40
    path.write_bytes(content)


def _drop(run: Path) -> None:
    tensors = load_file(run / "model.safetensors")
    tensors.pop("head.classifier.weight")
    save_file(tensors, run / "model.safetensors")


def _no_tensors(run: Path) -> None:
    (run / "model.safetensors").unlink()


def _edit(change: Callable[[dict], object]) -> Callable[[Path], None]:  # type: ignore[type-arg]
    def apply(run: Path) -> None:
        content = json.loads((run / "model.json").read_text(encoding="utf-8"))
        change(content)
        (run / "model.json").write_text(json.dumps(content), encoding="utf-8")

    return apply


def _text(text: str) -> Callable[[Path], None]:
    return lambda run: (run / "model.json").write_text(text) and None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_truncate, r"model.safetensors is damaged"),
        (_flip, r"model.safetensors is damaged: its values are not those"),
        (_drop, r"model.safetensors is damaged: .*classifier.weight"),
        (_no_tensors, r"model.safetensors is missing"),
        (lambda run: (run / "model.json").unlink(), r"holds no trained model: model.json"),
        (_text("{"), r"model.json is damaged: it is not JSON"),
        (_text("[1]"), r"model.json is damaged: it does not describe"),
        (_edit(lambda d: d["labels"].append("more")), r"model.json is damaged: 4 labels"),
        (_edit(lambda d: d.pop("head")), r"model.json is damaged: it lacks 'head'"),
        (_edit(lambda d: d.pop("tensors_digest")), r"it lacks 'tensors_digest'"),
        (_edit(lambda d: d.update(streams=[0, 7])), r"model.json is damaged"),
        (_edit(lambda d: d["backbones"][0].update(name="resnet19")), r"resnet19"),
        (_edit(lambda d: d["backbones"][0].update(name="resnet18")), r"safetensors is damaged"),
        (_edit(lambda d: d["backbones"][0].update(preprocess=None)), r"model.json is damaged"),
        (_edit(lambda d: d["head"]["arguments"].update(hiden=1)), r"no option 'hiden'"),
        (_edit(lambda d: d["recipe"].update(colour=1)), r"model.json is damaged: recipe.colour"),
        (_edit(lambda d: d.update(format_version=99)), r"format 99.*reads 2"),
        (_edit(lambda d: d.update(format_version=1)), r"has format 1.*reads 2"),
        (_edit(lambda d: d["backbones"][0].update(kind="sound")), r"of kind 'sound'"),
    ],
)
def test_damaged_runs(damage: Callable[[Path], None], said: str, saved: Path) -> None:
    damage(saved)
    with pytest.raises(UsageError, match=said) as caught:
        Recognizer.load(saved)
    assert str(caught.value).count("\n") <= 1
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("labels", "said"),
    [([], "at least one"), (["a", "b", "a"], "must be different")],
)
def test_labels_are_checked(labels: list[str], said: str, recipe: Recipe) -> None:
    with pytest.raises(UsageError, match=said):
        build_recognizer(recipe, labels)


def test_shapes_are_no_head_options(recipe: Recipe) -> None:
    changed = load_recipe(recipe, ["head.dim=3"])
    with pytest.raises(UsageError, match=r"head.dim is no option"):
        build_recognizer(changed, LABELS)


def test_an_input_for_each_stream(recognizer: Recognizer) -> None:
    with pytest.raises(UsageError, match="1 inputs for 2 streams"):
        recognizer.encode(clips()[:1])
