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
    for average, mean in (("macro", scores.macro), ("weighted", scores.weighted)):
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
    first.pop("intervals"), second.pop("intervals")
    assert second.pop("log_loss") == pytest.approx(first.pop("log_loss"))
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
    json.dumps(scores.to_dict(), allow_nan=False)


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


def test_a_diverged_model_is_an_error_not_a_score() -> None:
    probabilities = np.array([[0.5, 0.5], [np.nan, np.nan]])
    with pytest.raises(UsageError, match=r"1 of 2 samples .* diverged"):
        quick(np.array([0, 1]), probabilities)


@pytest.mark.parametrize("topk", [0, -1])
def test_topk_must_be_positive(topk: int) -> None:
    with pytest.raises(UsageError, match=rf"topk \({topk}\) must be > 0"):
        quick(*some(4, 3), topk=topk)
