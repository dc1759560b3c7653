"""The bootstrap over groups covers what it claims, and says where it cannot."""

import numpy as np
import pytest

from frameflow.errors import UsageError
from frameflow.evaluation.intervals import Units, bootstrap, units_of
from frameflow.evaluation.metrics import score


def accuracy(sums: np.ndarray) -> dict[str, np.ndarray]:
    return {"top1": sums[:, 0] / sums[:, 1]}


def interval(hits: np.ndarray, units: Units, **options: float) -> tuple[float, float] | None:
    counts = np.stack([hits, np.ones(len(hits))], axis=1)
    return bootstrap(counts, accuracy, units=units, **options).bounds["top1"]  # type: ignore[arg-type]


def test_coverage_over_groups_and_over_clips() -> None:
    """Clips of a group succeed together: resampling clips covers far too little."""
    rng = np.random.default_rng(20)
    groups, size, trials = 40, 6, 300
    names = [f"g{index // size}" for index in range(groups * size)]
    over_groups, over_clips = units_of(names, groups * size), units_of(None, groups * size)
    covered = {"groups": 0, "clips": 0}
    for _ in range(trials):
        chances = rng.beta(0.6, 0.6, groups)  # the mean over all groups there could be is 0.5
        hits = (rng.random((groups, size)) < chances[:, None]).ravel().astype(float)
        for units in (over_groups, over_clips):
            low, high = interval(hits, units, draws=300) or (2, 2)
            covered[units.over] += low <= 0.5 <= high
    assert 0.90 <= covered["groups"] / trials <= 0.98
    assert covered["clips"] / trials < 0.80


def test_against_a_bootstrap_written_out() -> None:
    """The sums of multinomial weights are the means over groups drawn one by one."""
    rng = np.random.default_rng(3)
    index = np.sort(rng.integers(0, 25, 200))
    hits = (rng.random(200) < rng.random(25)[index]).astype(float)
    members = [np.flatnonzero(index == group) for group in np.unique(index)]
    means = []
    for _ in range(4000):
        drawn = rng.integers(0, len(members), len(members))
        means.append(hits[np.concatenate([members[group] for group in drawn])].mean())
    found = interval(hits, units_of([str(i) for i in index], 200), draws=4000)
    assert found == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.015)


def test_macro_f1_against_scikit_learn_on_every_draw() -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(4)
    truth = rng.integers(0, 5, 60)
    probabilities = rng.dirichlet(np.ones(5), 60)
    predicted = probabilities.argmax(axis=1)
    groups = [f"g{value}" for value in rng.integers(0, 20, 60)]
    found = score(truth, probabilities, list("abcde"), groups=groups, resamples=2000)
    names = sorted(set(groups))
    members = [np.flatnonzero([g == name for g in groups]) for name in names]
    values = []
    for _ in range(800):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(names), len(names))])
        present = np.unique(truth[rows])
        values.append(
            f1_score(truth[rows], predicted[rows], labels=present, average="macro", zero_division=0)
        )
    shift = found.macro.f1 - np.mean(values)
    assert found.intervals.bounds["macro_f1"] == pytest.approx(
        tuple(np.quantile(values, [0.025, 0.975]) + shift), abs=0.02
    )


def clips_of(groups: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities of clips in groups of five of one class, hard to tell apart."""
    rng = np.random.default_rng(seed)
    habits = np.random.default_rng(0).normal(size=(classes, classes))
    truth = np.repeat(np.arange(classes), groups * 5)
    logits = rng.normal(size=(classes * groups, classes)).repeat(5, axis=0)
    logits += rng.normal(size=logits.shape) + habits[truth]
    logits[np.arange(len(truth)), truth] += 2
    shares = np.exp(logits)
    return truth, shares / shares.sum(axis=1, keepdims=True)


def test_coverage_of_macro_f1_with_many_classes_of_few_groups() -> None:
    """Where the draws' own percentiles would lie too low."""
    classes, groups, trials = 40, 6, 40
    truth, shares = clips_of(300, classes, seed=1)
    labels = [str(index) for index in range(classes)]
    wanted = score(truth, shares, labels, resamples=1).macro.f1
    covered = 0
    for trial in range(trials):
        truth, shares = clips_of(groups, classes, seed=2 + trial)
        names = [str(index // 5) for index in range(len(truth))]
        found = score(truth, shares, labels, groups=names, resamples=150)
        low, high = found.intervals.bounds["macro_f1"] or (2, 2)
        covered += low <= wanted <= high
    assert covered / trials >= 0.88


def test_same_seed_same_interval_and_another_seed_another() -> None:
    hits = np.random.default_rng(1).random(80).round()
    units = units_of([str(i // 4) for i in range(80)], 80)
    assert interval(hits, units, seed=5) == interval(hits, units, seed=5)
    assert interval(hits, units, seed=5, draws=50) != interval(hits, units, seed=6, draws=50)


def test_more_confidence_is_wider() -> None:
    hits = np.random.default_rng(1).random(80).round()
    units = units_of(None, 80)
    narrow, wide = interval(hits, units, confidence=0.5), interval(hits, units, confidence=0.99)
    assert narrow is not None
    assert wide is not None
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_chunks_of_draws_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    hits = np.random.default_rng(1).random(50).round()
    whole = interval(hits, units_of(None, 50), draws=333)
    monkeypatch.setattr("frameflow.evaluation.intervals._CHUNK", 50 * 7)
    assert interval(hits, units_of(None, 50), draws=333) == whole


def test_one_group_has_no_interval_but_a_reason() -> None:
    values = score([0, 1], np.eye(2), ["a", "b"], groups=["g", "g"]).to_dict()
    assert values["intervals"]["top1"] is None
    assert values["intervals"]["macro_f1"] is None
    assert "one group" in values["intervals"]["reason"]
    assert any("one group" in note for note in values["notes"])


def test_without_groups_clips_are_drawn_and_it_says_so() -> None:
    for groups in (None, ["", "", ""]):
        values = score([0, 1, 1], np.eye(2)[[0, 1, 0]], ["a", "b"], groups=groups).to_dict()
        assert values["intervals"]["over"] == "clips"
        assert values["groups"] is None
        assert any("No groups are given" in note for note in values["notes"])


def test_a_sample_without_a_group_among_others_stands_for_itself() -> None:
    units = units_of(["a", "", "a", ""], 4)
    assert units.count == 3
    assert units.index[1] != units.index[3]
    assert "2 samples without a group" in units.note


def test_a_group_named_like_a_row_is_not_mixed_up_with_it() -> None:
    assert units_of(["1", "", "0"], 3).count == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"draws": 0}, r"draws \(0\)"),
        ({"confidence": 1.0}, r"confidence \(1.0\)"),
        ({"confidence": 0.0}, r"confidence \(0.0\)"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        interval(np.ones(4), units_of(None, 4), **options)


def test_groups_must_fit_the_samples() -> None:
    with pytest.raises(UsageError, match=r"groups \(2\) must be one for each of the 3"):
        units_of(["a", "b"], 3)
