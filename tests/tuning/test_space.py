"""Parameters of a search: how they are written, what a grid of them is, what is refused."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameflow.config import load_recipe
from frameflow.errors import UsageError
from frameflow.tuning.space import Parameter, Space, read_parameter

ranges = st.builds(
    Parameter,
    key=st.just("train.lr"),
    low=st.floats(1e-6, 1.0),
    high=st.floats(1.5, 1e4),
    whole=st.just(False),
    log=st.booleans(),
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("train.lr=log:1e-5..1e-1", Parameter("train.lr", 1e-5, 0.1, log=True)),
        ("train.weight_decay=0..0.1", Parameter("train.weight_decay", 0.0, 0.1)),
        ("train.batch_size=int:8..64", Parameter("train.batch_size", 8, 64, whole=True)),
        ("a=logint:1..64", Parameter("a", 1, 64, whole=True, log=True)),
        ("train.lr=log:1e-4..1/7", Parameter("train.lr", 1e-4, 1, log=True, points=7)),
        ("train.momentum=-1..-0.5", Parameter("train.momentum", -1, -0.5)),
        ("head.name=gru, lstm", Parameter("head.name", values=("gru", "lstm"))),
        ("head=gru,mean", Parameter("head.name", values=("gru", "mean"))),
        ("train.lr=0.1,0.01", Parameter("train.lr", values=("0.1", "0.01"))),
        ("head.options=[1, 2],[3]", Parameter("head.options", values=("[1, 2]", "[3]"))),
    ],
)
def test_what_is_written_is_read(text: str, wanted: Parameter) -> None:
    assert read_parameter(text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train.lr", "must read like"),
        ("=1..2", "must read like"),
        ("train.lr=2..1", "range is empty"),
        ("train.lr=1..1", "range is empty"),
        ("train.lr=log:0..1", "above 0"),
        ("train.lr=1..two", "no number"),
        ("train.lr=1..inf", "no finite number"),
        ("train.batch_size=int:1.5..3", "no whole number"),
        ("train.lr=log:1..2/0", "grid of 0"),
        ("train.lr=log(1)..2 ..3", "a range reads like"),
        ("head.name=gru,gru", "twice"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_parameter(text)


@given(ranges, st.floats(0, 1))
def test_a_share_of_a_range_and_back(parameter: Parameter, share: float) -> None:
    value = parameter.at(share)
    assert parameter.low is not None
    assert parameter.high is not None
    assert parameter.low <= value <= parameter.high
    assert math.isclose(parameter.share(value), share, abs_tol=1e-6)


@given(ranges, st.integers(2, 9))
def test_a_grid_has_both_ends_and_even_steps(parameter: Parameter, count: int) -> None:
    values = parameter.grid(count)
    assert values[0] == parameter.low
    assert values[-1] == parameter.high
    shares = [parameter.share(value) for value in values]
    steps = [b - a for a, b in pairwise(shares)]
    assert steps == pytest.approx([1 / (count - 1)] * (count - 1))


@given(st.integers(1, 200))
def test_a_grid_keeps_to_the_trials_and_names_everything_once(trials: int) -> None:
    space = Space(
        [Parameter("a", 0, 1), Parameter("b", 1, 100, log=True), Parameter("c", values=("x", "y"))]
    )
    points = space.grid(trials)
    assert len(points) <= max(trials, 2)  # the list has two values whatever the trials
    assert len({tuple(point.items()) for point in points}) == len(points)
    assert {point["c"] for point in points} == {"x", "y"}


def test_names_are_set_before_the_options_that_depend_on_them() -> None:
    space = Space([read_parameter("head.hidden=int:8..16"), read_parameter("head.name=gru,lstm")])
    base = load_recipe("default")
    recipe = space.recipe(base, {"head.hidden": 8, "head.name": "gru"})
    assert recipe.head.name == "gru"
    assert recipe.head.options["hidden"] == 8
    space.check(base)


HEADS = ["head.name=gru,mean", "head.hidden=int:8..16", "head.dropout=0,0.3"]


def test_options_that_only_one_head_has_are_left_out_for_the_others() -> None:
    space = Space([read_parameter(text) for text in HEADS])
    base = load_recipe("default")
    space.check(base)
    gru = {"head.name": "gru", "head.hidden": 9, "head.dropout": "0"}
    mean = gru | {"head.name": "mean"}
    assert space.applying(gru) == gru
    assert space.applying(mean) == {"head.name": "mean", "head.dropout": "0"}
    assert space.recipe(base, gru).head.options == {"hidden": 9, "dropout": 0}
    assert space.recipe(base, mean).head.options == {"dropout": 0}
    points = space.grid(8)  # of the gru two sizes; of the mean none
    assert len(points) == 6
    assert len({str(space.applying(point)) for point in points}) == 6


def test_a_late_fusion_has_the_options_of_what_it_is_made_of() -> None:
    space = Space([read_parameter(t) for t in ("head.name=late-fusion,mean", "head.hidden=8,16")])
    assert "head.hidden" not in space.applying({"head.name": "late-fusion", "head.hidden": "8"})
    texts = ("head.name=late-fusion,mean", "head.of=gru,mean", "head.hidden=8,16")
    space = Space([read_parameter(text) for text in texts])
    chosen = {"head.name": "late-fusion", "head.of": "gru", "head.hidden": "8"}
    assert space.applying(chosen) == chosen
    assert "head.hidden" not in space.applying(chosen | {"head.of": "mean"})


@pytest.mark.parametrize(
    ("texts", "trials", "said"),
    [
        (["train.lr=log:1e-4..1/9"], 4, "9 combinations.*--trials 9"),
        (["head.name=gru,lstm,mean", "train.epochs=3,4"], 5, "6 combinations"),
        (["train.lr=log:1e-4..1", "train.weight_decay=0..1"], 3, "one value of train.lr and"),
        (["train.lr=log:1e-4..1"], 1, "say how many"),
    ],
)
def test_a_grid_that_does_not_fit_the_trials_is_said(
    texts: list[str], trials: int, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        Space([read_parameter(text) for text in texts]).check_grid(trials)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["train.seed=1,2"], "a seed is luck"),
        (["split.val=0.1..0.3"], "folds of its own"),
        (["calibration.method=none,vector"], "changes no trial"),
        (["head.name=mean,max", "head.hidden=int:8..16"], "none of the heads mean, max has"),
        (["head.hiden=int:8..16", "head.name=gru,mean"], "Did you mean 'hidden'"),
        (["head.hidden=int:8..16"], "statistics head has no option 'hidden'"),
        (["train.lrr=log:1e-4..1"], r"--param train\.lrr.*'lr'"),
        (["train.lr=log:1e-4..1", "train.epoch=int:3..9"], r"--param train\.epoch.*epochs"),
        (["head.name=gru,lstn"], "lstm"),
        (["train.epochs=int:0..3"], "train.epochs=0"),
        (["head.hiden=int:8..16", "head.name=gru,lstm"], "hidden"),
        (["train.lr=log:1e-4..1", "train.lr=0.1,0.2"], "twice"),
    ],
)
def test_a_mistake_shows_before_any_training(texts: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Space([read_parameter(text) for text in texts]).check(load_recipe("default"))
