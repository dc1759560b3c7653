"""Scores agree with scikit-learn, obey their laws and never hold a NaN."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from frameflow.errors import UsageError
from frameflow.evaluation.metrics import Scores, confused_pairs, score


def some(
    samples: int, classes: int, seed: int = 0, skill: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities that lean towards it."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, samples)
    logits = rng.normal(size=(samples, classes))
    logits[np.arange(samples), truth] += skill
    shares = np.exp(logits)
    return truth, shares / shares.sum(axis=1, keepdims=True)


def names(classes: int) -> list[str]:
    return [f"class {index}" for index in range(classes)]


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[str]]:
    samples, classes = draw(st.integers(1, 40)), draw(st.integers(2, 8))
    seed, skill = draw(st.integers(0, 2**31)), draw(st.sampled_from([0.0, 1.0, 4.0]))
    groups = draw(st.lists(st.sampled_from("abcde"), min_size=samples, max_size=samples))
    return *some(samples, classes, seed, skill), groups


def quick(truth: np.ndarray, probabilities: np.ndarray, **options: object) -> Scores:
    labels = names(probabilities.shape[1])
    return score(truth, probabilities, labels, resamples=20, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("samples", "classes"), [(300, 7), (2000, 101), (5, 3), (40, 2)])
def test_agrees_with_scikit_learn(samples: int, classes: int) -> None:
    truth, probabilities = some(samples, classes)
    scores = quick(truth, probabilities)
    predicted, present = probabilities.argmax(axis=1), np.unique(truth)
    every = np.arange(classes)

    assert scores.top1 == pytest.approx(reference.accuracy_score(truth, predicted))
    if classes > 5:
        top5 = reference.top_k_accuracy_score(truth, probabilities, k=5, labels=every)
        assert scores.topk_accuracy == pytest.approx(top5)
    assert scores.log_loss == pytest.approx(
        reference.log_loss(truth, probabilities, labels=every), abs=1e-9
    )
    assert np.array_equal(
        scores.confusion, reference.confusion_matrix(truth, predicted, labels=every)
    )
    assert scores.balanced_accuracy == pytest.approx(
        reference.balanced_accuracy_score(
            truth, np.where(np.isin(predicted, present), predicted, -1)
        )
    )
    one_hot = np.eye(classes)[truth]
    areas = reference.average_precision_score(
        one_hot[:, present], probabilities[:, present], average=None
    )
    found = [entry.average_precision for entry in scores.per_class if entry.support]
    assert found == pytest.approx(areas)
    assert scores.mean_average_precision == pytest.approx(np.mean(areas))
    columns = [reference.brier_score_loss(one_hot[:, k], probabilities[:, k]) for k in present]
    absent = np.setdiff1d(every, present)
    brier = sum(columns) + (probabilities[:, absent] ** 2).sum(axis=1).mean()
    assert scores.reliability["brier"] == pytest.approx(brier)
    averages = {"macro": scores.macro, "weighted": scores.weighted, "micro": scores.micro}
    for average, mean in averages.items():
        expected = reference.precision_recall_fscore_support(
            truth, predicted, labels=present, average=average, zero_division=0
        )
        assert (mean.precision, mean.recall, mean.f1) == pytest.approx(expected[:3])
    columns = reference.precision_recall_fscore_support(
        truth, predicted, labels=every, zero_division=0
    )
    for entry, precision, recall, f1, support in zip(scores.per_class, *columns):
        assert entry.support == support
        if support:
            assert (entry.precision, entry.recall, entry.f1) == pytest.approx(
                (precision, recall, f1)
            )


@given(problems(), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_order_of_the_samples_does_not_matter(
    problem: tuple[np.ndarray, np.ndarray, list[str]], seed: int
) -> None:
    truth, probabilities, groups = problem
    order = np.random.default_rng(seed).permutation(len(truth))
    first = quick(truth, probabilities, groups=groups).to_dict()
    second = quick(
        truth[order], probabilities[order], groups=[groups[index] for index in order]
    ).to_dict()
    # Which group is drawn how often depends on the order they are met in; nothing else does.
    for values in (first, second):
        values.pop("intervals")
        values["notes"] = [note for note in values["notes"] if "interval" not in note]
        for entry in values["per_class"]:
            entry.pop("intervals")
    for name in ("log_loss", "brier", "ece", "ece_expected", "map"):
        assert second.pop(name) == pytest.approx(first.pop(name))
    bins = zip(first.pop("reliability"), second.pop("reliability"), strict=True)
    assert all(other == pytest.approx(one) for one, other in bins)
    assert second == first


@given(problems())
@settings(max_examples=60, deadline=None)
def test_laws(problem: tuple[np.ndarray, np.ndarray, list[str]]) -> None:
    truth, probabilities, groups = problem
    scores = quick(truth, probabilities, groups=groups)
    assert scores.top1 <= scores.topk_accuracy <= 1
    assert scores.weighted.recall == pytest.approx(scores.top1)
    assert scores.confusion.sum() == scores.samples == len(truth)
    assert np.trace(scores.confusion) == round(scores.top1 * len(truth))
    assert sum(entry.support for entry in scores.per_class) == len(truth)
    assert sum(entry.predicted for entry in scores.per_class) == len(truth)
    assert scores.log_loss >= 0
    assert scores.balanced_accuracy == scores.macro.recall
    micro = scores.micro
    assert (micro.precision, micro.recall, micro.f1) == pytest.approx((scores.top1,) * 3)
    assert 0 < scores.mean_average_precision <= 1 + 1e-12
    values = scores.to_dict()
    json.dumps(values, allow_nan=False)
    units = len(set(groups))
    assert (values["intervals"]["naive"] is None) == (units == 1)
    for entry in values["per_class"]:
        own = {group for group, label in zip(groups, truth) if f"class {label}" == entry["label"]}
        pairs = entry["intervals"]
        assert set(pairs) == {"precision", "recall", "f1"}
        assert (pairs["recall"] is None) == (len(own) < 2)
        for pair in filter(None, pairs.values()):
            assert 0 <= pair[0] <= pair[1] <= 1
            assert pair[0] < pair[1]


@given(problems())
@settings(max_examples=40, deadline=None)
def test_an_interval_lies_within_what_the_groups_reach(
    problem: tuple[np.ndarray, np.ndarray, list[str]],
) -> None:
    truth, probabilities, groups = problem
    pair = quick(truth, probabilities, groups=groups).intervals.bounds["top1"]
    hit = probabilities.argmax(axis=1) == truth
    means = [hit[[g == group for g in groups]].mean() for group in set(groups)]
    if len(means) == 1:
        assert pair is None
    elif len(set(means)) == 1:
        assert pair is not None
        assert pair[0] <= means[0] <= pair[1]
        assert pair[1] - pair[0] > 0.01
    else:
        assert pair is not None
        assert min(means) - 1e-9 <= pair[0] <= pair[1] <= max(means) + 1e-9


def test_all_right_and_all_wrong() -> None:
    truth = np.array([0, 1, 2, 0])
    right = quick(truth, np.eye(3)[truth])
    assert (right.top1, right.macro.f1, right.log_loss) == (1.0, 1.0, 0.0)
    wrong = quick(truth, np.eye(3)[(truth + 1) % 3])
    assert (wrong.top1, wrong.macro.f1) == (0.0, 0.0)
    assert 27 < wrong.log_loss < 28  # clipped, not infinite


def test_equals_are_ranked_in_the_order_of_the_labels() -> None:
    """A model that says nothing is right as often as its first labels are, not always."""
    scores = quick(np.array([0, 1, 5]), np.full((3, 6), 1 / 6), topk=2)
    assert scores.top1 == pytest.approx(1 / 3)
    assert scores.topk_accuracy == pytest.approx(2 / 3)


def test_top_k_is_capped_by_the_classes_and_says_so() -> None:
    scores = quick(*some(20, 3))
    assert (scores.k, scores.topk_accuracy) == (3, 1.0)
    assert any("top-5 is top-3" in note for note in scores.notes)
    assert scores.to_dict()["top5"] == 1.0


def test_a_class_without_samples_has_no_figures_and_is_named() -> None:
    truth = np.array([0, 0, 1, 1])
    probabilities = np.eye(3)[[0, 2, 1, 1]]
    values = quick(truth, probabilities).to_dict()
    absent = values["per_class"][2]
    assert absent["support"] == 0
    assert absent["predicted"] == 1
    assert absent["precision"] is absent["recall"] is absent["f1"] is None
    assert values["macro"]["recall"] == pytest.approx(0.75)  # of two classes, not three
    assert any("class 2" in note for note in values["notes"])


def test_a_class_never_predicted_counts_as_nought() -> None:
    entry = quick(np.array([0, 1]), np.eye(2)[[0, 0]]).per_class[1]
    assert (entry.precision, entry.recall, entry.f1) == (0.0, 0.0, 0.0)


def test_confused_pairs_are_the_most_frequent_mistakes() -> None:
    counts = np.array([[9, 1, 0], [5, 2, 0], [0, 3, 8]])
    pairs = confused_pairs(counts, ["a", "b", "c"], most=2)
    assert pairs == [("b", "a", 5), ("c", "b", 3)]
    assert confused_pairs(np.diag([3, 3]), ["a", "b"]) == []


@pytest.mark.parametrize(
    ("truth", "shape", "labels", "said"),
    [
        ([0, 1], (2, 3), 2, r"\(2, 3\) must be \(N, 2\)"),
        ([0], (2, 3), 3, "one class for each of 2"),
        ([], (0, 3), 3, "no sample to score"),
        ([0, 3], (2, 3), 3, "holds 0 to 3, allowed are 0 to 2"),
        ([-1, 0], (2, 3), 3, "holds -1 to 0"),
    ],
)
def test_wrong_arguments_are_named(
    truth: list[int], shape: tuple[int, int], labels: int, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        score(truth, np.ones(shape), names(labels))


@pytest.mark.parametrize("row", [[2.0, 3.0], [0.5, 0.4], [1.5, -0.5], [0.0, 0.0]])
def test_numbers_that_are_no_probabilities_are_an_error(row: list[float]) -> None:
    with pytest.raises(UsageError, match="1 of 2 samples have numbers that are no probabilities"):
        quick(np.array([0, 1]), np.array([[0.5, 0.5], row]))


def test_six_digits_of_a_file_are_probabilities() -> None:
    truth, probabilities = some(30, 101)
    read = np.array([[float(f"{value:.6g}") for value in row] for row in probabilities])
    assert quick(truth, read).log_loss == pytest.approx(quick(truth, probabilities).log_loss)


def test_one_sample_has_figures_and_no_interval() -> None:
    scores = quick(np.array([1]), np.array([[0.3, 0.7]]), groups=["a"])
    values = scores.to_dict()
    json.dumps(values, allow_nan=False)
    assert (values["top1"], values["map"], values["balanced_accuracy"]) == (1, 1, 1)
    assert values["brier"] == pytest.approx(2 * 0.3**2)
    assert values["ece"] == pytest.approx(0.3)
    assert values["reliability"][0]["low"] < 0.3
    assert {values["intervals"][name] for name in scores.intervals.bounds} == {None}
    assert set(values["per_class"][1]["intervals"].values()) == {None}
    assert any("All samples are of one group" in note for note in values["notes"])


def test_predictions_that_are_all_equal() -> None:
    truth = np.repeat([0, 1, 2], 20)
    values = quick(truth, np.full((60, 3), 1 / 3), groups=[str(i % 6) for i in range(60)]).to_dict()
    json.dumps(values, allow_nan=False)
    assert values["top1"] == values["map"] == values["balanced_accuracy"] == pytest.approx(1 / 3)
    assert values["ece"] == pytest.approx(0, abs=1e-12)
    assert len(values["reliability"]) == 1


def test_without_a_mistake_the_interval_is_no_point() -> None:
    """Ten groups without a mistake do not prove that there is none in the eleventh."""
    truth = np.arange(40) % 2
    scores = quick(truth, np.eye(2)[truth], groups=[str(i // 4) for i in range(40)])
    low, high = scores.intervals.bounds["top1"] or (2, 2)
    assert high == 1
    assert low == pytest.approx(0.722, abs=0.001)  # Wilson's for 10 of 10
    assert scores.intervals.bounds["top5"] == (1, 1)  # of two classes, for certain
    assert (scores.per_class[0].intervals["recall"] or (2, 2))[0] == pytest.approx(low)


def test_naive_intervals_are_too_narrow_where_clips_of_a_group_are_alike() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 8)
    truth = rng.integers(0, 3, 240)
    wrong = (rng.random(30) < 0.4)[groups]
    said = np.eye(3)[np.where(wrong, (truth + 1) % 3, truth)] * 0.9 + 1 / 30
    scores = score(truth, said, names(3), groups=[str(g) for g in groups], resamples=500)
    naive, honest = scores.intervals.naive, scores.intervals
    for name in ("top1", "macro_f1", "balanced_accuracy", "log_loss", "brier"):
        low, high = naive[name] or (2, 2)
        # Eight alike are worth one: the square root of eight.
        assert (honest.width(name) or 0) / (high - low) == pytest.approx(8**0.5, rel=0.25)
    note = next(note for note in scores.notes if "Resampling clips" in note)
    low, high = naive["top1"] or (2, 2)
    assert f"{low:.3f} to {high:.3f}" in note
    assert f"{(high - low) / (honest.width('top1') or 1):.2f} times as wide" in note


def test_coverage_of_the_intervals_of_a_class() -> None:
    """Of classes in about 12 groups each, of five clips that succeed together."""
    rng = np.random.default_rng(11)

    def drawn(groups: int) -> tuple[np.ndarray, np.ndarray]:
        truth = rng.integers(0, 4, 4 * groups).repeat(5)
        logits = rng.normal(size=(4 * groups, 4)).repeat(5, axis=0)
        logits += rng.normal(size=logits.shape)
        logits[np.arange(len(truth)), truth] += 1.5
        shares = np.exp(logits)
        return truth, shares / shares.sum(axis=1, keepdims=True)

    wanted = quick(*drawn(4000), groups=None).macro  # all classes are alike
    covered, trials = dict.fromkeys(("precision", "recall", "f1"), 0), 60
    for _ in range(trials):
        truth, shares = drawn(12)
        ids = [str(i // 5) for i in range(len(truth))]
        for entry in score(truth, shares, names(4), groups=ids, resamples=150).per_class:
            for name in covered:
                low, high = entry.intervals[name] or (2, 2)
                covered[name] += low <= getattr(wanted, name) <= high
    assert all(0.88 <= count / (4 * trials) <= 0.99 for count in covered.values()), covered


def test_a_diverged_model_is_an_error_not_a_score() -> None:
    probabilities = np.array([[0.5, 0.5], [np.nan, np.nan]])
    with pytest.raises(UsageError, match=r"1 of 2 samples .* diverged"):
        quick(np.array([0, 1]), probabilities)


@pytest.mark.parametrize("topk", [0, -1])
def test_topk_must_be_positive(topk: int) -> None:
    with pytest.raises(UsageError, match=rf"topk \({topk}\) must be > 0"):
        quick(*some(4, 3), topk=topk)
