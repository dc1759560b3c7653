"""The range test finds rates at which a training learns, and leaves the module as it was."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_clips import EVERYTHING, TinyVideos, tiny_module
from torch import nn

from frameflow.config import Train
from frameflow.errors import UsageError
from frameflow.training.examples import FeatureExamples
from frameflow.training.loop import predict, score, train_head
from frameflow.training.lr_range import lr_range, steepest


def test_the_rate_it_suggests_learns(
    make_head: Callable[..., nn.Module], make_examples: Callable[..., FeatureExamples]
) -> None:
    settings = Train(batch_size=16, epochs=6, warmup_epochs=0, optimizer="sgd", label_smoothing=0)
    head = make_head()
    before = {name: value.clone() for name, value in head.state_dict().items()}
    found = lr_range(head, make_examples(), settings, highest=100.0)
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())
    assert found.suggestion is not None
    assert len(found.rates) < 100, "the highest rate does not burst"
    assert (np.diff(np.log10(found.rates)) > 0).all()
    losses = []
    for lr in (found.suggestion, found.suggestion / 1000):
        head, test = make_head(), make_examples(80, seed=5)
        train_head(head, make_examples(), None, settings.model_copy(update={"lr": lr}))
        losses.append(score(predict(head, test), test.targets)[0])
    assert losses[0] < 0.5 < losses[1]
    assert f"train.lr={found.suggestion:.2g}" in str(found)
    assert len(str(found).splitlines()) == 15


def test_it_runs_on_videos_with_backbones_that_learn() -> None:
    module = tiny_module()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    found = lr_range(
        module, TinyVideos(), EVERYTHING, backbones=[module.backbone], updates=12, highest=0.1
    )
    assert len(found.rates) == 12
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=40))
def test_the_suggestion_lies_within_the_range(losses: list[float]) -> None:
    rates = np.geomspace(1e-5, 1, len(losses)).tolist()
    found = steepest(rates, losses)
    if found is None:
        assert losses[-1] >= losses[0]
    else:
        assert rates[0] < found < rates[-1]


def test_where_the_loss_only_rises_nothing_is_suggested() -> None:
    assert steepest([0.1, 0.2, 0.3], [1.0, 1.5, 2.0]) is None
    assert steepest([0.1], [1.0]) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"updates": 3}, r"10 updates or more \(3\)"),
        ({"lowest": 0.0}, "rise from above 0"),
        ({"lowest": 2.0}, r"2 to 1"),
    ],
)
def test_a_range_that_is_none_is_refused(
    make_head: Callable[..., nn.Module],
    make_examples: Callable[..., FeatureExamples],
    options: dict[str, float],
    said: str,
) -> None:
    with pytest.raises(UsageError, match=said):
        lr_range(make_head(), make_examples(), Train(), **options)
