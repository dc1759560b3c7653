"""Summaries computed once train the same head as features read every epoch."""

import numpy as np
import pytest
import torch

from frameflow.config import Train
from frameflow.models.heads import build_head, head_names
from frameflow.training import summaries as module
from frameflow.training.examples import ArrayFeatures, FeatureExamples
from frameflow.training.loop import train_head
from frameflow.training.summaries import Decider, summarised

SUMMARISING = ("max", "mean", "statistics")


def some(views: int = 1) -> FeatureExamples:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(views, 9, 5, 6)).astype(np.float32)
    mask = rng.random((views, 9, 5)) < 0.8
    mask[:, :, 0] = True
    return FeatureExamples(ArrayFeatures(features, mask), np.arange(9) % 3)


def head_of(name: str, examples: FeatureExamples) -> torch.nn.Module:
    torch.manual_seed(0)
    head = build_head(name, dim=6, frames=5, classes=3).eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    head.prepare(examples.parts())
    return head


def test_the_heads_that_summarise_are_known() -> None:
    heads = {name: build_head(name, dim=6, frames=5, classes=3) for name in head_names()}
    assert tuple(name for name, head in heads.items() if head.summarises) == SUMMARISING


@pytest.mark.parametrize("name", SUMMARISING)
@pytest.mark.parametrize("views", [1, 3])
def test_a_summary_decides_as_the_head_does(name: str, views: int) -> None:
    examples = some(views)
    head = head_of(name, examples)
    made = summarised(head, examples, None)
    assert made is not None
    rows = np.array([4, 0, 8])
    for seed in (None, 1):  # without and with views drawn at random
        draws = [None if seed is None else np.random.default_rng(seed) for _ in range(2)]
        features, mask, *_ = examples.batch(rows, draws[0])
        summary, visible, *_ = made[0].batch(rows, draws[1])
        torch.testing.assert_close(Decider(head)(summary, visible), head(features.float(), mask))
    np.testing.assert_array_equal(made[0].targets, examples.targets)


def test_rows_and_every_view_keep_their_places() -> None:
    source = some(2).features
    picked = np.array([7, 2, 2, 5])
    examples = FeatureExamples(source, picked % 3, rows=picked, every_view=True)
    head = head_of("mean", examples)
    made = summarised(head, examples, None)
    assert made is not None
    everything = np.arange(len(examples))
    features, mask, *_ = examples.batch(everything, None)
    summary, visible, *_ = made[0].batch(everything, None)
    torch.testing.assert_close(Decider(head)(summary, visible), head(features.float(), mask))


def test_other_heads_and_too_large_sets_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = some()
    assert summarised(head_of("gru", examples), examples, None) is None
    monkeypatch.setattr(module, "MEMORY", 9 * 6 * 4 - 1)
    assert summarised(head_of("mean", examples), examples, None) is None


def test_summaries_are_trained_in_one_thread_and_the_others_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    examples = some()
    head = head_of("mean", examples)
    seen = []
    decide = type(head).decide

    def watched(self: torch.nn.Module, summary: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return decide(self, summary)

    monkeypatch.setattr(type(head), "decide", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train_head(head, examples, None, Train(epochs=2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}
