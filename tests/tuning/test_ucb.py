"""Our sampler: where it looks, that it finds, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.errors import UsageError
from frameflow.tuning.space import Parameter, Space
from frameflow.tuning.ucb import UcbOptions, decode, encode, read_options, suggest

SPACE = Space(
    [
        Parameter("lr", 1e-5, 1.0, log=True),
        Parameter("size", 8, 64, whole=True),
        Parameter("head", values=("gru", "lstm", "mean")),
    ]
)


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_a_point_becomes_values_and_stays_where_it_is(point: list[float]) -> None:
    chosen = decode(SPACE, np.array(point))
    again = encode(SPACE, chosen)
    assert decode(SPACE, again) == chosen | {"lr": pytest.approx(chosen["lr"])}
    assert again[0] == pytest.approx(point[0], abs=1e-9)
    assert ((again >= 0) & (again <= 1)).all()
    assert again[2:].sum() == 1


def score(chosen: dict[str, float]) -> float:
    """Highest, 0, at lr 0.0015."""
    return -((np.log10(chosen["lr"]) - np.log10(0.0015)) ** 2)


def search(options: UcbOptions, trials: int, seed: int = 0) -> list[float]:
    space = Space([Parameter("lr", 1e-5, 1.0, log=True)])
    done: list[tuple[dict[str, float], float]] = []
    for number in range(trials):
        chosen = suggest(space, done, options, seed=seed, number=number)
        done.append((chosen, score(chosen)))
    return [value for _, value in done]


@pytest.mark.parametrize("kernel", ["matern", "rbf"])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_finds_the_rate_in_a_dozen_trials(kernel: str, seed: int) -> None:
    assert max(search(UcbOptions(kernel=kernel), 12, seed)) > -0.01  # within a quarter


def test_daring_looks_where_it_knows_nothing() -> None:
    space = Space([Parameter("x", 0.0, 1.0)])
    done = [({"x": x}, float(x)) for x in (0.0, 0.1, 0.2, 0.3, 0.31, 0.32)]
    options = {"length_scale": 0.2, "noise": 0.01}
    careful = suggest(space, done, UcbOptions(kappa=0, **options), seed=0, number=9)["x"]
    daring = suggest(space, done, UcbOptions(kappa=50, **options), seed=0, number=9)["x"]
    assert 0.2 < careful < 0.7
    assert daring > 0.7


def test_the_same_trials_give_the_same_choice() -> None:
    done = [({"lr": 0.1, "size": 8, "head": "gru"}, 0.2),
            ({"lr": 0.001, "size": 9, "head": "mean"}, 0.4)]  # fmt: skip
    one, two = (suggest(SPACE, done, UcbOptions(), seed=3, number=7) for _ in range(2))
    assert one == two
    assert suggest(SPACE, done, UcbOptions(), seed=4, number=7) != one


def test_two_processes_do_not_try_the_same() -> None:
    space = Space([Parameter("x", 0.0, 1.0)])
    done = [({"x": x}, -abs(x - 0.5)) for x in (0.0, 0.3, 0.7, 1.0)]
    options = UcbOptions(length_scale=0.2, noise=0.01)
    one = suggest(space, done, options, seed=0, number=5)
    two = suggest(space, done, options, seed=0, number=5, pending=[one])
    assert abs(one["x"] - two["x"]) > 0.02


@settings(max_examples=20)
@given(st.integers(0, 30))
def test_every_start_is_inside_and_different(number: int) -> None:
    options = UcbOptions(start=31)
    first = suggest(SPACE, [], options, seed=1, number=number)
    other = suggest(SPACE, [], options, seed=1, number=(number + 1) % 31)
    assert first != other
    assert 1e-5 <= first["lr"] <= 1.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kernal=rbf", "kernel"),
        ("kernel=cubic", "must be one of"),
        ("kappa=-1", "must be >= 0"),
        ("noise=0", "must be > 0"),
        ("length-scale=x", "no number"),
        ("kappa", "no option"),
    ],
)
def test_wrong_options_are_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_options(text)


def test_options_are_read() -> None:
    assert read_options("kernel=rbf, length-scale=0.2,noise=0.01,kappa=3,start=5") == UcbOptions(
        "rbf", 0.2, 0.01, 3.0, 5
    )
