"""The page of a cross-validation, and the interval of what random folds claim too much."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.config import load_recipe
from frameflow.training.crossval_page import crossval_page, verdict
from frameflow.training.results import CrossvalResult, FoldScore, Study


def study(hits: np.ndarray, folds: int = 4) -> Study:
    fold = np.arange(len(hits)) % folds
    scores = [
        FoldScore(f, 0, int((fold == f).sum()), float(hits[fold == f].mean()), 5, 3, None)
        for f in range(folds)
    ]
    return Study(scores, np.zeros((len(hits), 2)), hits.astype(float))


def result(
    held: np.ndarray, random: np.ndarray | None, *, groups: int = 12, leaky: bool = False
) -> CrossvalResult:
    """A result of answers that are made up."""
    names = [f"g{i * max(groups, 1) // len(held)}" if groups else "" for i in range(len(held))]
    return CrossvalResult(
        recipe=load_recipe("default", ["evaluation.resamples=500"]),
        source="made <clips>",
        labels=["a", "b"],
        samples=len(held),
        groups=groups or None,
        group_of=names,
        leaky=leaky,
        held_out=study(held),
        random_clips=None if random is None else study(random),
        bad_videos=[],
        versions={},
        seconds=1.0,
    )


def drawn(share: float, seed: int, samples: int = 120) -> np.ndarray:
    return np.random.default_rng(seed).random(samples) < share


@settings(max_examples=8, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 99))
def test_the_interval_lies_around_the_inflation_of_all_clips(
    honest: float, claimed: float, seed: int
) -> None:
    found = result(drawn(honest, seed), drawn(claimed, seed + 1))
    inflation = found.inflation()
    assert inflation is not None
    by_hand = found.random_clips.hits.mean() - found.held_out.hits.mean()  # type: ignore[union-attr]
    assert inflation["pooled_points"] == pytest.approx(100 * by_hand)
    low, high = inflation["interval"]
    assert low - 1e-9 <= inflation["pooled_points"] <= high + 1e-9


def test_the_same_answers_inflate_nothing() -> None:
    same = drawn(0.6, 1)
    effect = result(same, same).inflated()
    assert effect is not None
    assert (effect.value, effect.bounds, effect.p) == (0, (0, 0), 1)


def test_a_leak_is_told_from_chance() -> None:
    (_, said) = verdict(result(drawn(0.5, 0), drawn(0.9, 1)))
    assert "The difference is more than chance" in said
    assert "split by group" in said
    (_, said) = verdict(result(drawn(0.5, 0), drawn(0.52, 1)))
    assert "cannot be told from chance" in said
    (_, said) = verdict(result(drawn(0.9, 0), drawn(0.5, 1)))
    assert "groups give nothing away" in said


def test_what_cannot_be_said_is_not() -> None:
    assert verdict(result(drawn(0.5, 0), None)) == []
    assert "No groups are known" in verdict(result(drawn(0.5, 0), drawn(0.9, 1), groups=0))[1]
    one = result(drawn(0.5, 0), drawn(0.9, 1), groups=1)
    assert "cannot be said" in verdict(one)[1]
    assert one.inflation()["interval"] is None  # type: ignore[index]
    assert "interval" not in one.summary().splitlines()[-1]


@pytest.mark.parametrize("width", [390, 1100])
@pytest.mark.parametrize("random", [True, False])
def test_the_page_opens(width: int, random: bool, browser: Any, tmp_path: Path) -> None:
    claimed = drawn(0.9, 1) if random else None
    path = tmp_path / "crossval.html"
    path.write_text(
        crossval_page(result(drawn(0.5, 0), claimed, leaky=not random)), encoding="utf-8"
    )
    page = browser.new_page(viewport={"width": width, "height": 800})
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(path.as_uri())
    assert page.locator("svg circle").count() == (8 if random else 4)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert ("What a random split would have claimed" in page.inner_text("main")) == random
    assert ("LEAKY SPLIT" in page.inner_text("main")) != random
    assert not faults
    page.close()


def test_numbers_of_a_study_without_any_hit() -> None:
    """No ratio to 0, and no NaN in the page."""
    found = result(np.zeros(40, dtype=bool), np.zeros(40, dtype=bool))
    assert "ratio" not in found.inflation()  # type: ignore[operator]
    assert "nan" not in crossval_page(found).lower()
