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
from frameflow.models.backbones import Backbone
from frameflow.models.recognizer import Recognizer, build_recognizer, build_streams
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


# Streams ---------------------------------------------------------------------------------------

LOOK = "backbone: resnet10t, weights: none, size: 32"


def streams(*given: str, changes: tuple[str, ...] = ()) -> Recipe:
    listed = ", ".join(f"{{{LOOK}, {stream}}}" for stream in given)
    return load_recipe("default", [f"streams=[{listed}]", "sampling.frames=4", *changes])


DENSE = "sampling={strategy: dense, frames: 4}"
LEARN = "train.learn=[{parts: [layer4]}]"


@pytest.mark.parametrize(
    ("first", "second", "changes", "shared"),
    [
        ("kind: rgb", "kind: difference, gain: 3", (), True),
        ("kind: rgb", "kind: difference, gain: 3", (LEARN,), False),
        ("kind: stack", "kind: flow", (LEARN,), False),
        ("kind: rgb", "kind: rgb, pace: 2", (DENSE, LEARN), True),
        ("fit: crop", "fit: follow", (LEARN,), True),
        ("gap: 1, kind: difference", "gap: 2, kind: difference", (LEARN,), True),
        ("grid: 1", "grid: 2", (), False),
        ("pool: own", "pool: max", (), False),
        ("shift: 0", "shift: 4", (), False),
        ("cut: layer2", "cut: layer3", (LEARN,), False),
        ("cut: layer2", "pace: 2, cut: layer2", (DENSE, LEARN), True),
    ],
)
def test_which_streams_share_a_backbone(
    first: str, second: str, changes: tuple[str, ...], shared: bool
) -> None:
    one, other = build_streams(streams(first, second, changes=changes))
    assert (one is other) == shared


def test_two_streams_that_learn_come_back_apart(tmp_path: Path) -> None:
    recipe = streams("kind: rgb", "kind: difference", changes=(LEARN,))
    made = build_recognizer(recipe, LABELS).eval()
    with torch.no_grad():
        for parameter in made.backbones()[1].parameters():
            parameter.mul_(0.9)
    made.save(tmp_path)
    loaded = Recognizer.load(tmp_path)
    assert loaded.streams[0] is not loaded.streams[1]
    with torch.no_grad():
        assert torch.equal(loaded.encode(clips()), made.encode(clips()))
    sources = [backbone.weights.source for backbone in loaded.backbones()]
    assert [source.endswith("trained further") for source in sources] == [False, True]


def test_gradients_reach_what_learns_and_nothing_else() -> None:
    recipe = streams("kind: rgb, shift: 4", "kind: difference", changes=(LEARN,))
    made = build_recognizer(recipe, LABELS)
    for backbone in made.backbones():
        backbone.learn(["layer4"])
    mask = torch.ones(2, 4, dtype=torch.bool)
    made.train()(clips(), mask).square().sum().backward()
    for backbone in made.backbones():
        for name, parameter in backbone.model.named_parameters():
            assert (parameter.grad is not None) == name.startswith("layer4."), name


class _Steps(Backbone):
    """Two features for each clip, as some video models give."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.encode_frames(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])[:, :2]

    def steps(self, frames: int) -> int:
        return min(frames, 2)


def _steps() -> Backbone:
    plain = build_streams(streams("kind: rgb"))[0]
    backbone = _Steps(
        plain.model, name="steps", dim=plain.dim, preprocess=plain.preprocess, weights=plain.weights
    )
    backbone.temporal, backbone.framewise = True, False
    return backbone.eval()


def test_a_video_model_has_its_own_number_of_features() -> None:
    recipe = streams("kind: rgb", changes=("head={name: mlp-concat, hidden: [4]}",))
    made = build_recognizer(recipe, LABELS, backbones=[_steps()]).eval()
    assert made.head.frames == 2
    mask = torch.tensor([[True, True, True, False], [True] * 4])
    features = made.encode(clips()[:1])
    assert features.shape == (2, 2, 512)
    expected = made.logits(features, torch.ones(2, 2, dtype=torch.bool))
    assert torch.equal(made(clips()[:1], mask), expected)


def test_streams_of_unequal_numbers_of_features_are_refused() -> None:
    recipe = streams("kind: rgb", "kind: difference")
    plain = build_streams(recipe)[0]
    with pytest.raises(UsageError, match=r"\(resnet10t 4, steps 2\), which cannot be joined"):
        build_recognizer(recipe, LABELS, backbones=[plain, _steps()])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("grid: 2", r"grid \(2\) is for image models, and c3d-small is a video model"),
        ("shift: 8", r"shift \(8\) is for image models.*leave shift at 0"),
        ("cut: conv1", r"cut \('conv1'\) is for image models"),
    ],
)
def test_what_is_for_image_models(option: str, said: str) -> None:
    stream = f"streams=[{{backbone: c3d-small, weights: none, {option}}}]"
    with pytest.raises(UsageError, match=said):
        build_streams(load_recipe("default", [stream, LEARN]))


def test_probabilities_of_several_labels_do_not_add_up() -> None:
    made = build_recognizer(streams("kind: rgb", changes=("multilabel=true",)), LABELS).eval()
    features, mask = torch.randn(2, 4, 512), torch.ones(2, 4, dtype=torch.bool)
    expected = made.logits(features, mask).sigmoid()
    assert torch.equal(made.probabilities(features, mask), expected)
    average = streams("kind: rgb", changes=("multilabel=true", "head={name: average}"))
    assert build_recognizer(average, LABELS).head.arguments["independent"]


def test_the_length_of_streams_is_no_option() -> None:
    with pytest.raises(UsageError, match=r"head.dims is no option"):
        build_recognizer(streams("kind: rgb", changes=("head.dims=[3]",)), LABELS)
