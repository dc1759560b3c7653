import copy

import numpy as np
import pytest
import torch
from torch import nn

from frameflow.config import Recipe, load_recipe
from frameflow.errors import UsageError
from frameflow.models.backbones import Backbone, build_backbone
from frameflow.models.cut import CutRecognizer, cut_points, names_before
from frameflow.models.recognizer import Recognizer, build_recognizer

SIZE, FRAMES = 32, 3


def build(name: str = "resnet10t", **options: object) -> Backbone:
    backbone = build_backbone(name, weights="none", size=SIZE, **options)  # type: ignore[arg-type]
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):  # fresh residual branches are scaled by 0
            nn.init.ones_(module.weight)
    return backbone


def clips(count: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, FRAMES, 3, SIZE, SIZE, generator=generator)


def whole(backbone: Backbone, frames: torch.Tensor) -> torch.Tensor:
    if backbone.temporal:
        return backbone(frames)
    return backbone(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet10t", {"cut": "layer2"}),
        ("resnet10t", {"cut": "bn1"}),  # what follows writes in place
        ("resnet10t", {"cut": "layer1.0", "pool": "max"}),
        ("resnet10t", {"cut": "layer3", "grid": 2, "shift": 4}),
        ("mobilenetv3_small_050", {"cut": "blocks.2"}),
        ("mobilenetv3_small_050", {"cut": "blocks.1.0.bn1", "shift": 8}),
        ("vit_tiny_patch16_224", {"cut": "blocks.6"}),
    ],
)
def test_what_follows_the_cut_makes_the_whole_of_what_comes_before(
    name: str, options: dict[str, object]
) -> None:
    backbone = build(name, **options)
    prefix, tail = backbone.parts()
    frames = clips()
    with torch.no_grad():
        stored = prefix(frames.flatten(0, 1))
        kept = stored.clone()
        assert stored.shape == (2 * FRAMES, prefix.dim)
        features = tail(stored.unflatten(0, (2, FRAMES)))
        assert torch.equal(stored, kept)
        expected = whole(backbone, frames)
    assert not prefix.temporal
    assert features.shape == (2, FRAMES, backbone.dim)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-4)
    assert expected.std() > 0


def test_every_cut_point_can_be_cut() -> None:
    points = cut_points(build())
    outer = ["conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3"]
    assert [point for point in points if "." not in point] == outer
    frames = clips()
    expected = whole(build(), frames)
    for point in points:
        backbone = build(cut=point)
        prefix, tail = backbone.parts()
        got = tail(prefix(frames.flatten(0, 1)).unflatten(0, (2, FRAMES)))
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)
        assert backbone.learn(["*"])


def test_the_tail_and_the_backbone_are_one() -> None:
    backbone = build(cut="layer3", shift=4)
    prefix, tail = backbone.parts()
    names = backbone.learn(["*"], norm="learn")
    assert {name.split(".")[0] for name in names} == {"layer4"}
    learning = {id(p) for p in tail.parameters() if p.requires_grad}
    assert learning == {id(dict(backbone.model.named_parameters())[name]) for name in names}
    frames = clips()
    with torch.no_grad():
        before = prefix(frames.flatten(0, 1)).unflatten(0, (2, FRAMES))
    tail.train()
    optimizer = torch.optim.SGD([p for p in tail.parameters() if p.requires_grad], lr=1e-3)
    start = {key: value.clone() for key, value in backbone.model.state_dict().items()}
    tail(before).square().sum().backward()
    optimizer.step()
    changed = {key for key, value in backbone.model.state_dict().items()
               if not torch.equal(value, start[key])}  # fmt: skip
    assert changed
    assert all(key.startswith("layer4.") for key in changed)
    assert any(key.endswith("running_mean") for key in changed)
    tail.eval()
    assert not any(module.training for module in backbone.model.modules())
    with torch.no_grad():
        torch.testing.assert_close(tail(before), backbone(frames), atol=1e-4, rtol=1e-3)


def test_training_the_tail_leaves_frozen_modules_in_evaluation_mode() -> None:
    backbone = build(cut="layer2")
    backbone.learn(["layer4"])
    _, tail = backbone.parts()
    tail.train()
    modes = {name: module.training for name, module in backbone.model.named_modules()}
    assert modes["layer4.0"]
    assert not modes["layer3.0"]
    assert not modes["layer4.0.bn1"]


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        ("layer9", r"no layer 'layer9' to be cut at. Did you mean 'layer\d'.*cut at layer3"),
        ("layer3.0.conv1", r"cannot be cut at 'layer3.0.conv1': not everything passes.*at layer3"),
        ("layer4", r"Nothing that can learn follows the layer 'layer4'.*at layer3"),
    ],
)
def test_where_it_cannot_be_cut(cut: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build(cut=cut)


def test_no_cut_has_no_parts() -> None:
    with pytest.raises(UsageError, match="no cut: name a layer"):
        build().parts()


class _Deciding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.last = nn.Conv2d(3, 3, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        maps = self.first(frames)
        return self.last(maps if maps.sum() > 0 else -maps)


def test_a_network_that_is_no_plain_graph_says_so() -> None:
    backbone = build()
    backbone.model = _Deciding()
    said = "resnet10t cannot be cut: its layers are no plain graph .*Take a network of convolutions"
    with pytest.raises(UsageError, match=said):
        cut_points(backbone)
    with pytest.raises(UsageError, match=said):
        names_before(backbone, "first")
    backbone.model = nn.Sequential(nn.Conv2d(3, 3, 1), _Deciding(), nn.Conv2d(3, 3, 1))
    assert cut_points(backbone) == ["0", "1"]  # a block that decides may be passed as a whole


def test_parameters_before_the_cut_never_learn() -> None:
    backbone = build(cut="layer2")
    assert not any(
        name.startswith(("conv1", "bn1", "layer1", "layer2")) for name in backbone.learn(["*"])
    )
    with pytest.raises(UsageError, match=r"'layer1' of resnet10t lies before the cut 'layer2'"):
        backbone.learn(["layer1"])


# Recognizers -----------------------------------------------------------------------------------


@pytest.fixture
def cut_recipe() -> Recipe:
    """Frames through a cut backbone, differences through a frozen one of their own."""
    look = "backbone: resnet10t, weights: none, size: 32"
    return load_recipe(
        "default",
        [
            f"streams=[{{{look}, cut: layer3}}, {{kind: difference, {look}}}]",
            f"sampling.frames={FRAMES}",
            "head={name: gru, hidden: 8, dropout: 0.0, standardise: false}",
            "train.learn=[{parts: ['*']}]",
        ],
    )


def stored(recognizer: CutRecognizer, frames: list[np.ndarray]) -> torch.Tensor:
    """As extraction does it, each encoder on its own."""
    from frameflow.models.backbones import normalise

    parts = []
    with torch.no_grad():
        for encoder, images in zip(recognizer.encoders(), frames):
            flat = normalise(images.reshape(-1, SIZE, SIZE, 3), encoder.preprocess)
            parts.append(encoder(flat).unflatten(0, images.shape[:2]))
    return torch.cat(parts, dim=2)


def pixels(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (4, FRAMES, SIZE, SIZE, 3), dtype=np.uint8) for _ in range(2)]


def test_a_recognizer_from_activations_is_the_recognizer(cut_recipe: Recipe) -> None:
    recognizer = build_recognizer(cut_recipe, ["a", "b", "c"]).eval()
    cut = CutRecognizer(recognizer).eval()
    frames, mask = pixels(), torch.ones(4, FRAMES, dtype=torch.bool)
    activations = stored(cut, frames)
    assert activations.shape[2] == sum(encoder.dim for encoder in cut.encoders())
    with torch.no_grad():
        torch.testing.assert_close(cut(activations, mask), recognizer(frames, mask))
    with pytest.raises(UsageError, match="stored activations"):
        cut(activations[..., 1:], mask)


def test_what_is_learnt_from_activations_is_saved(cut_recipe: Recipe, tmp_path: object) -> None:
    recognizer = build_recognizer(cut_recipe, ["a", "b", "c"])
    cut = CutRecognizer(recognizer)
    (learner,) = cut.learners()
    assert learner is recognizer.backbones()[0]
    learner.learn(["*"])
    frames, mask = pixels(), torch.ones(4, FRAMES, dtype=torch.bool)
    activations = stored(cut, frames)
    learning = [p for p in cut.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=1e-3)
    targets = torch.tensor([0, 1, 2, 0])
    losses = []
    for _ in range(6):
        loss = nn.functional.cross_entropy(cut.train()(activations, mask), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    recognizer.eval().save(str(tmp_path))
    loaded = Recognizer.load(str(tmp_path))
    described = loaded.backbones()[0].weights.source
    assert described.endswith("trained further")
    assert loaded.backbones()[0].cut == "layer3"
    with torch.no_grad():
        expected = cut.eval()(activations, mask)
        torch.testing.assert_close(loaded(frames, mask), expected, atol=1e-4, rtol=1e-4)


def test_a_copy_learns_on_its_own(cut_recipe: Recipe) -> None:
    """As a moving average of the weights needs it."""
    cut = CutRecognizer(build_recognizer(cut_recipe, ["a", "b"])).eval()
    other = copy.deepcopy(cut)
    frames, mask = pixels(), torch.ones(4, FRAMES, dtype=torch.bool)
    activations = stored(cut, frames)
    before = cut(activations, mask)
    torch.testing.assert_close(other(activations, mask), before)
    with torch.no_grad():
        for parameter in other.recognizer.backbones()[0].model.get_submodule("layer4").parameters():
            parameter.mul_(0.5)
    assert torch.equal(cut(activations, mask), before)
    assert not torch.allclose(other(activations, mask), before)
    other.load_state_dict(cut.state_dict())
    torch.testing.assert_close(other(activations, mask), before)


def test_streams_through_one_cut_backbone_share_its_tail() -> None:
    look = "backbone: resnet10t, weights: none, size: 32, cut: layer3"
    recipe = load_recipe(
        "default",
        [
            f"streams=[{{{look}}}, {{{look}, pace: 2}}]",
            f"sampling={{strategy: dense, frames: {FRAMES}}}",
            "train.learn=[{parts: ['*']}]",
        ],
    )
    cut = CutRecognizer(build_recognizer(recipe, ["a", "b"]))
    first, second = cut.encoders()
    assert first is second
    assert len(cut.learners()) == 1
