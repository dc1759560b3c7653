"""The rate over a training."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.config import Train
from frameflow.training.optimizer import learning_rate, plateau_factor


def test_rates_rise_then_fall() -> None:
    settings = Train(epochs=20, warmup_epochs=2.5, lr=0.4)
    points = np.linspace(0, 20, 401)
    values = np.array([learning_rate(settings, point) for point in points])
    top = int(np.argmax(values))
    assert values[0] == 0
    assert values[-1] == pytest.approx(0)
    assert points[top] == pytest.approx(2.5)
    assert values[top] == pytest.approx(0.4)
    assert (np.diff(values[: top + 1]) > 0).all()
    assert (np.diff(values[top:]) < 0).all()


@pytest.mark.parametrize(
    ("epochs", "warmup"),
    [(1, 3.0), (4, 3.0), (10, 0.0)],  # a warm-up longer than the training leaves half of it
)
def test_full_rate_is_reached(epochs: int, warmup: float) -> None:
    settings = Train(epochs=epochs, warmup_epochs=warmup, schedule="constant", lr=0.1)
    assert learning_rate(settings, epochs * 0.75) == 0.1


@pytest.mark.parametrize(
    ("losses", "factor"),
    [
        ([], 1.0),
        ([3.0, 2.0, 1.0], 1.0),
        ([1.0, 1.0, 1.0], 1.0),  # two without progress
        ([1.0, 1.0, 2.0, 3.0], 0.1),
        ([1.0, 2.0, 2.0, 0.5, 2.0, 2.0], 1.0),  # progress in between
        ([1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0], 0.01),
        ([1.0, 2.0, 2.0, 2.0, 0.5, 0.4], 0.1),  # it does not rise again
    ],
)
def test_the_rate_falls_to_a_tenth_where_the_loss_stays(losses: list[float], factor: float) -> None:
    settings = Train(schedule="plateau", plateau=3)
    assert plateau_factor(losses, settings) == pytest.approx(factor)
    assert plateau_factor(losses, Train()) == 1


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 10), max_size=30), st.integers(1, 4))
def test_what_is_learned_from_a_part_is_learned_again_from_the_whole(
    losses: list[float], plateau: int
) -> None:
    settings = Train(schedule="plateau", plateau=plateau)
    factors = [plateau_factor(losses[:end], settings) for end in range(len(losses) + 1)]
    assert (np.diff(factors) <= 0).all()
    falls = np.flatnonzero(np.diff(factors))
    assert (np.diff(falls) >= plateau).all()
