"""Which parameters learn, from when, and at what rate."""

from collections.abc import Callable

import pytest
import torch
from tiny_clips import TinyVideos, fit_tiny, tiny_backbone, tiny_module
from torch import nn

from frameflow.config import Train, Unfreeze
from frameflow.errors import UsageError
from frameflow.training.optimizer import make_optimizer
from frameflow.training.policy import Policy

PARTS = (
    Unfreeze(parts=("*",), epoch=5, lr=0.1),
    Unfreeze(parts=("4",), epoch=2, lr=0.5),
)


def learning(module: nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


def scales(module: nn.Module, policy: Policy) -> dict[str, float]:
    of = {id(p): group["scale"] for group in policy.groups for p in group["params"]}
    return {name: of[id(p)] for name, p in module.named_parameters() if id(p) in of}


def test_parts_begin_in_their_epoch() -> None:
    module = tiny_module()
    policy = Policy(module, [module.backbone], Train(learn=PARTS))
    head = {"out.weight", "out.bias"}
    last = {"backbone.model.4.weight", "backbone.model.4.bias"}
    seen = []
    for epoch in range(7):
        said = policy.start(epoch)
        assert bool(said) == (epoch in (2, 5)), epoch
        seen.append(learning(module) - head)
        assert head <= learning(module)
    assert seen[:2] == [set()] * 2
    assert seen[2:5] == [last] * 3
    assert len(seen[5]) == 6
    assert policy.backbones_learn


def test_a_resumed_training_begins_in_the_middle() -> None:
    module = tiny_module()
    Policy(module, [module.backbone], Train(learn=PARTS)).start(6)
    assert len(learning(module)) == 8


def test_the_earliest_rule_decides_the_rate() -> None:
    module = tiny_module()
    found = scales(module, Policy(module, [module.backbone], Train(learn=PARTS)))
    assert {name: scale for name, scale in found.items() if scale != 0.1} == {
        "out.weight": 1,
        "out.bias": 1,
        "backbone.model.4.weight": 0.5,
        "backbone.model.4.bias": 0.5,
    }
    assert len(found) == 8


def test_rates_fall_with_the_distance_from_the_output() -> None:
    module = tiny_module()
    settings = Train(learn=[Unfreeze(lr=0.5)], layer_decay=0.6)
    found = scales(module, Policy(module, [module.backbone], settings))
    layers = module.backbone.layers()
    for distance, names in enumerate(reversed(layers), start=1):
        for name in names:
            assert found[f"backbone.model.{name}"] == pytest.approx(0.5 * 0.6**distance)
    assert found["out.weight"] == 1
    assert len(layers) > 1


def test_frozen_backbones_are_left_out() -> None:
    module = tiny_module()
    policy = Policy(module, [module.backbone], Train())
    assert not policy.backbones_learn
    assert set(scales(module, policy)) == {"out.weight", "out.bias"} == learning(module)


def test_a_part_must_be_in_one_of_several_backbones() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = tiny_backbone(), tiny_backbone()
            self.other.model.add_module("extra", nn.Linear(6, 6))
            self.out = nn.Linear(12, 3)

    module = Two()
    both = [module.one, module.other, module.one]  # a stream may share its backbone
    policy = Policy(module, both, Train(learn=[Unfreeze(parts=("extra", "4"))]))
    policy.start(0)
    assert learning(module) == {
        *("one.model.4.weight", "one.model.4.bias", "other.model.4.weight", "other.model.4.bias"),
        *("other.model.extra.weight", "other.model.extra.bias", "out.weight", "out.bias"),
    }
    with pytest.raises(UsageError, match="no part 'exrta'"):
        Policy(module, both, Train(learn=[Unfreeze(parts=("exrta",))]))


def test_something_must_learn() -> None:
    module = tiny_module()
    module.out.requires_grad_(False)
    with pytest.raises(UsageError, match="Nothing learns"):
        Policy(module, [module.backbone], Train())


def test_only_matrices_decay(make_head: Callable[..., nn.Module]) -> None:
    settings = Train(weight_decay=0.3)
    groups = make_optimizer(Policy(make_head(), [], settings).groups, settings).param_groups
    for group in groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.3 if parameter.ndim > 1 else 0.0)
    assert sum(len(group["params"]) for group in groups) == 6


@pytest.mark.parametrize("norm", ["fixed", "learn"])
def test_a_training_moves_what_learns_and_nothing_else(norm: str) -> None:
    module, before = tiny_module(), tiny_module().state_dict()
    settings = Train(
        epochs=2, batch_size=8, lr=0.01, norm=norm, patience=None,
        learn=[Unfreeze(parts=("0", "1"), epoch=1), Unfreeze(parts=("4",), epoch=9)],
    )  # fmt: skip
    fit_tiny(module, TinyVideos(), None, settings=settings)
    moved = {
        name.removeprefix("backbone.model.")
        for name, value in module.state_dict().items()
        if not torch.equal(value, before[name])
    }
    statistics = {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    expected = {"0.weight", "0.bias", "1.weight", "1.bias", "out.weight", "out.bias"}
    assert moved - {"best"} <= expected | statistics
    assert expected <= moved
    assert (statistics <= moved) == (norm == "learn")


def test_rates_are_those_of_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """With plain gradient steps, half the rate is half the step."""
    from frameflow.training import _learner

    def plain(groups: list[dict[str, object]], settings: Train) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=settings.lr)

    monkeypatch.setattr(_learner, "make_optimizer", plain)
    steps = []
    for share in (1.0, 0.5):
        module = tiny_module()
        before = module.backbone.model[4].weight.clone(), module.out.weight.clone()
        settings = Train(
            epochs=1, batch_size=64, lr=0.01, weight_decay=0, learn=[Unfreeze(lr=share)]
        )
        fit_tiny(module, TinyVideos(), None, settings=settings)
        now = module.backbone.model[4].weight, module.out.weight
        steps.append([new.detach() - old.detach() for new, old in zip(now, before)])
    torch.testing.assert_close(steps[1][0], steps[0][0] / 2, rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(steps[1][1], steps[0][1])
