"""Losses against their formulas and one another."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from frameflow.config import Train
from frameflow.training.losses import class_weights, held_out_loss, make_loss, right

TARGETS = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2])
SEVERAL = np.array([[1, 0, 1], [1, 1, 0], [0, 0, 0], [1, 0, 0]], np.float32)


def some_logits(rows: int, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_class_weights_make_each_class_add_the_same() -> None:
    targets = np.repeat([0, 1], [9, 1])
    settings = Train(balance="weights", label_smoothing=0)
    logits = torch.zeros(10, 3)  # a third class that the training lacks
    logits[:, 0] = 5.0
    loss = make_loss(settings, targets)(logits, torch.from_numpy(targets))
    plain = nn.functional.cross_entropy(logits, torch.from_numpy(targets), reduction="none")
    assert loss == pytest.approx(float((plain[:9].mean() + plain[9]) / 2), rel=1e-5)


@pytest.mark.parametrize("balance", ["none", "weights", "effective"])
def test_focal_loss_without_focus_is_cross_entropy(balance: str) -> None:
    logits, truth = some_logits(9), torch.from_numpy(TARGETS)
    plain, focal = (
        make_loss(Train(loss=loss, focal=0, balance=balance, label_smoothing=0), TARGETS)
        for loss in ("cross-entropy", "focal")
    )
    torch.testing.assert_close(focal(logits, truth), plain(logits, truth))


def test_focal_loss_smooths_as_cross_entropy_does() -> None:
    logits, truth = some_logits(9), torch.from_numpy(TARGETS)
    focal = make_loss(Train(loss="focal", focal=0, label_smoothing=0.2), TARGETS)
    plain = functional.cross_entropy(logits, truth, label_smoothing=0.2)
    torch.testing.assert_close(focal(logits, truth), plain)


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 5), st.integers(0, 100))
def test_focal_loss_is_its_formula(gamma: float, seed: int) -> None:
    logits, truth = some_logits(9, seed=seed), torch.from_numpy(TARGETS)
    focal = make_loss(Train(loss="focal", focal=gamma, label_smoothing=0), TARGETS)
    p = logits.softmax(1)[range(9), truth]
    torch.testing.assert_close(focal(logits, truth), (-((1 - p) ** gamma) * p.log()).mean())


@pytest.mark.parametrize("loss", ["cross-entropy", "focal"])
def test_whole_shares_of_classes_are_classes(loss: str) -> None:
    """Mixed targets of which one class has all are as that class."""
    logits, truth = some_logits(9), torch.from_numpy(TARGETS)
    made = make_loss(Train(loss=loss, label_smoothing=0.1), TARGETS)
    shares = functional.one_hot(truth, 3).double()
    torch.testing.assert_close(made(logits, shares), made(logits, truth))


def test_mixed_targets_give_the_mix_of_the_losses() -> None:
    logits, one, other = (
        some_logits(9),
        torch.from_numpy(TARGETS),
        torch.from_numpy(TARGETS[::-1].copy()),
    )
    made = make_loss(Train(label_smoothing=0.1), TARGETS)
    shares = 0.3 * functional.one_hot(one, 3) + 0.7 * functional.one_hot(other, 3)
    mixed = 0.3 * made(logits, one) + 0.7 * made(logits, other)
    torch.testing.assert_close(made(logits, shares.double()), mixed)


def test_effective_numbers_weigh_between_none_and_counts() -> None:
    """Of 10,000 and 10 samples: not a thousandfold, since most of the many are alike."""
    targets = np.repeat([0, 1], [10_000, 10])
    found = {
        balance: class_weights(Train(balance=balance), targets)
        for balance in ("weights", "effective")
    }
    ratio = {name: weights[1] / weights[0] for name, weights in found.items()}
    assert ratio["weights"] == pytest.approx(1000)
    beta = 0.999
    assert ratio["effective"] == pytest.approx((1 - beta**10_000) / (1 - beta**10), rel=1e-6)
    for weights in found.values():
        assert weights[targets].mean() == pytest.approx(1)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=60), st.sampled_from(["weights", "effective"])
)
def test_weights_of_samples_are_one_in_the_mean(classes: list[int], balance: str) -> None:
    targets = np.array(classes)
    weights = class_weights(Train(balance=balance), targets)
    assert np.isfinite(weights).all()
    assert weights[targets].mean() == pytest.approx(1)
    present, counts = np.unique(targets, return_counts=True)
    for k, n in zip(present, counts):  # the rarer, the heavier
        assert (weights[k] >= weights[present[counts >= n]] - 1e-9).all()


@pytest.mark.parametrize("loss", ["cross-entropy", "focal"])
def test_streams_learn_on_their_own(loss: str) -> None:
    streams = torch.stack([some_logits(9), some_logits(9, seed=1)], dim=1).requires_grad_()
    truth = torch.from_numpy(TARGETS)
    made = make_loss(Train(loss=loss), TARGETS)
    total = made(streams, truth)
    expected = (made(streams[:, 0], truth) + made(streams[:, 1], truth)) / 2
    torch.testing.assert_close(total, expected)
    total.backward()
    assert streams.grad is not None
    alone = streams[:, 0].detach().clone().requires_grad_()
    made(alone, truth).backward()
    torch.testing.assert_close(streams.grad[:, 0], alone.grad / 2)


def test_several_labels_are_sigmoids() -> None:
    logits, truth = some_logits(4), torch.from_numpy(SEVERAL)
    plain = make_loss(Train(label_smoothing=0), SEVERAL)
    expected = functional.binary_cross_entropy_with_logits(logits, truth.double())
    torch.testing.assert_close(plain(logits, truth), expected)
    assert held_out_loss(logits, SEVERAL) == pytest.approx(float(expected))
    smooth = make_loss(Train(label_smoothing=0.2), SEVERAL)
    expected = functional.binary_cross_entropy_with_logits(logits, truth.double() * 0.8 + 0.1)
    torch.testing.assert_close(smooth(logits, truth), expected)
    focal = make_loss(Train(loss="focal", focal=2, label_smoothing=0), SEVERAL)
    p = torch.where(truth > 0, logits.sigmoid(), 1 - logits.sigmoid())
    torch.testing.assert_close(focal(logits, truth), (-((1 - p) ** 2) * p.log()).mean())


def test_rare_labels_of_several_weigh_more() -> None:
    assert class_weights(Train(balance="weights"), SEVERAL).tolist() == pytest.approx([1 / 3, 3, 3])
    effective = class_weights(Train(balance="effective"), SEVERAL)
    assert 1 / 3 < effective[0] < 1 < effective[1] < 3


def test_targets_of_classes_may_be_told_to_be_several() -> None:
    """Without mixing, the form of the targets tells; the recipe may tell as well."""
    logits, truth = some_logits(4), torch.from_numpy(SEVERAL)
    told = make_loss(Train(), SEVERAL, multilabel=True)
    torch.testing.assert_close(told(logits, truth), make_loss(Train(), SEVERAL)(logits, truth))


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        (torch.tensor([2, 0]), [True, False]),
        (torch.tensor([[0.0, 0.4, 0.6], [0.6, 0.4, 0.0]]), [True, False]),  # the larger part
        (torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), [True, True]),  # one of several
        (torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]), [False, False]),  # none is none
    ],
)
def test_what_is_right(truth: torch.Tensor, expected: list[bool]) -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0], [0.0, 2.0, 1.0]])
    assert right(logits, truth).tolist() == expected


def test_streams_are_right_together() -> None:
    sure, unsure = [9.0, 0.0, 0.0], [0.0, 0.5, 0.0]
    assert right(torch.tensor([[sure, unsure]]), torch.tensor([0])).tolist() == [True]
