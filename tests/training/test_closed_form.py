"""Classifiers without epochs: their laws, and that they are what they say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.config import Train
from frameflow.errors import UsageError
from frameflow.models.heads import build_head
from frameflow.training.closed_form import logistic, nearest_mean, ridge
from frameflow.training.examples import ArrayFeatures, FeatureExamples
from frameflow.training.loop import train_head

SOLVERS = ("nearest-mean", "ridge", "logistic")


def blobs(
    clips: int = 12, classes: int = 3, dim: int = 40, *, seed: int = 0, apart: float = 4.0
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of mean 0 around a centre for each class."""
    rng = np.random.default_rng(seed)
    targets = np.arange(clips) % classes
    rows = apart * rng.normal(size=(classes, dim))[targets] + rng.normal(size=(clips, dim))
    return rows - rows.mean(axis=0), targets


def said(found: tuple[np.ndarray, np.ndarray], rows: np.ndarray) -> np.ndarray:
    weights, bias = found
    return rows @ weights.T + bias


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 50), st.sampled_from(SOLVERS))
def test_what_lies_apart_is_told_apart(seed: int, solver: str) -> None:
    rows, targets = blobs(seed=seed)
    found = {
        "nearest-mean": lambda: nearest_mean(rows, targets, 3),
        "ridge": lambda: ridge(rows, targets, 3, 0.1),
        "logistic": lambda: logistic(rows, targets, 3, 0.1),
    }[solver]()
    assert (said(found, rows).argmax(axis=1) == targets).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 50))
def test_the_nearest_mean_is_the_nearest(seed: int) -> None:
    rows, targets = blobs(seed=seed, apart=0.5)
    means = np.stack([rows[targets == label].mean(axis=0) for label in range(3)])
    new = np.random.default_rng(seed + 1).normal(size=(20, rows.shape[1]))
    distance = np.square(new[:, None] - means).sum(axis=2)
    logits = said(nearest_mean(rows, targets, 3), new)
    np.testing.assert_array_equal(logits.argmax(axis=1), distance.argmin(axis=1))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 50), st.floats(0.01, 10))
def test_ridge_is_least_squares_with_a_penalty(seed: int, penalty: float) -> None:
    rows, targets = blobs(seed=seed, dim=6, apart=1.0)  # fewer numbers than clips: the plain way
    wanted = np.eye(3)[targets]
    weight = penalty * np.square(rows).sum() / len(rows)
    direct = np.linalg.solve(rows.T @ rows + weight * np.eye(6), rows.T @ (wanted - 1 / 3))
    weights, bias = ridge(rows, targets, 3, penalty)
    scale = bias[0] * 3
    np.testing.assert_allclose(weights.T, scale * direct, rtol=1e-6, atol=1e-9)


def test_logistic_is_that_of_all_numbers() -> None:
    from sklearn.linear_model import LogisticRegression

    rows, targets = blobs(clips=30, dim=8, apart=0.7)
    length = np.sqrt(np.square(rows).sum(axis=1).mean())
    plain = LogisticRegression(C=2.0, max_iter=2000, tol=1e-8).fit(rows / length, targets)
    found = said(logistic(rows, targets, 3, 0.5), rows)
    np.testing.assert_allclose(found, plain.decision_function(rows / length), atol=0.02)


@pytest.mark.parametrize("solver", [nearest_mean, ridge, logistic])
def test_a_class_without_a_clip_is_never_said(solver: object) -> None:
    rows, targets = blobs()
    more = () if solver is nearest_mean else (0.1,)
    logits = said(solver(rows, targets, 4, *more), rows)  # type: ignore[operator]
    assert (logits.argmax(axis=1) == targets).all()
    chance = np.exp(logits - logits.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    assert (chance[:, 3] < 0.34).all()


@pytest.mark.parametrize("solver", [ridge, logistic])
def test_several_labels_a_clip(solver: object) -> None:
    rows, targets = blobs(clips=24)
    several = np.eye(4)[targets]
    several[:, 3] = 1  # one that all have
    logits = said(solver(rows, several, 4, 0.1), rows)  # type: ignore[operator]
    assert ((logits > 0) == (several > 0)).all()


def examples(views: int = 2, *, noise: float = 1.0) -> FeatureExamples:
    rng = np.random.default_rng(0)
    targets = np.arange(24) % 3
    centres = 3 * rng.normal(size=(3, 8))
    features = centres[targets][None, :, None] + noise * rng.normal(size=(views, 24, 5, 8))
    return FeatureExamples(ArrayFeatures(features.astype(np.float16)), targets)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", ["mean", "statistics"])
def test_a_head_is_solved_with_all_views(solver: str, name: str, tmp_path: object) -> None:
    head = build_head(name, dim=8, frames=5, classes=3)
    settings_ = Train(solver=solver)
    fitted = train_head(head, examples(), examples(), settings_, folder=tmp_path)
    assert fitted.epochs == fitted.best_epoch == 1
    assert fitted.history[0].train_top1 == fitted.history[0].val_top1 == 1.0
    assert fitted.history[0].val_loss is not None
    assert fitted.history[0].val_loss < 0.7
    again = build_head(name, dim=8, frames=5, classes=3)
    train_head(again, examples(), None, settings_)
    for one, two in zip(head.parameters(), again.parameters()):
        assert torch.equal(one, two)
    assert (tmp_path / "history.csv").read_text().count("\n") == 2  # type: ignore[operator]


def test_one_shot_is_enough_to_answer() -> None:
    made = examples(1, noise=0.1)
    one = FeatureExamples(made.features, made.targets[:3], rows=np.arange(3))
    for solver in SOLVERS:
        head = build_head("mean", dim=8, frames=5, classes=3)
        fitted = train_head(head, one, made, Train(solver=solver))
        assert fitted.history[0].val_top1 == 1.0, solver


def test_heads_that_learn_more_are_refused() -> None:
    head = build_head("gru", dim=8, frames=5, classes=3)
    with pytest.raises(UsageError, match=r"the gru head learns more.*statistics"):
        train_head(head, examples(), None, Train(solver="ridge"))


def test_the_nearest_mean_is_of_one_label_a_clip() -> None:
    made = examples()
    several = FeatureExamples(made.features, np.eye(3, dtype=np.float32)[made.targets])
    head = build_head("mean", dim=8, frames=5, classes=3)
    with pytest.raises(UsageError, match="one label a clip"):
        train_head(head, several, None, Train(solver="nearest-mean"))
