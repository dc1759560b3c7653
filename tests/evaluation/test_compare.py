"""Runs beside each other: the same samples or none, each difference judged and said."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from frameflow.data.manifest import Sample
from frameflow.errors import UsageError
from frameflow.evaluation import compare_words as words
from frameflow.evaluation.compare import Comparison, Entry, compare
from frameflow.evaluation.metrics import score
from frameflow.evaluation.predictions import Predictions

LABELS = ["jump", "run", "walk"]


def entry(
    name: str,
    *,
    skill: float = 1.0,
    seed: int = 0,
    samples: int = 120,
    groups: int = 20,
    labels: list[str] = LABELS,
    known: list[str] | None = None,
    first: int = 0,
    **facts: Any,
) -> Entry:
    """A run whose probabilities lean to the truth as much as ``skill`` says."""
    truth = np.random.default_rng(99).integers(0, len(labels), 400)[first : first + samples]
    rng = np.random.default_rng(seed)
    known = known or labels
    logits = rng.normal(size=(samples, len(known))) + skill * np.eye(len(known))[truth]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    numbers = range(first, first + samples)
    rows = [
        Sample(f"{i}.mp4", labels[t], "test", f"g{i % groups}" if groups else "")
        for i, t in zip(numbers, truth)
    ]
    keys = [f"/clips/{i}.mp4" for i in numbers]
    return Entry(name, Predictions(rows, known, shares), keys, **{"settings": {}} | facts)


def sets(name: str, skill: float, seed: int = 0) -> Entry:
    """The same in multi-label."""
    truth = np.random.default_rng(5).random((90, 3)) < 0.4
    logits = np.random.default_rng(seed).normal(size=truth.shape) + skill * (2 * truth - 1)
    rows = [
        Sample(f"{i}.mp4", "|".join(np.array(LABELS)[has]) or "none", "test", f"g{i % 15}")
        for i, has in enumerate(truth)
    ]
    found = Predictions(rows, LABELS, 1 / (1 + np.exp(-logits)), multilabel=True)
    return Entry(name, found, [row.video for row in rows], {})


def everything(found: Comparison) -> str:
    """All that is said and written of a comparison."""
    tables = [words.figure_table(found), words.difference_table(found), words.setting_table(found)]
    said = [words.sentence(found, pair) for pair in found.pairs]
    said += [words.mcnemar_sentence(found, pair) for pair in found.pairs]
    text = json.dumps(words.to_dict(found), allow_nan=False)
    page = words.to_page(found)
    return "\n".join([words.heading(found), *said, str(tables), text, page, words.to_csv(found)])


class TestWords:
    def test_better_by_more_than_chance(self) -> None:
        found = compare([entry("A", skill=0.5), entry("B", skill=3, seed=1)])
        (pair,) = found.pairs
        said = words.sentence(found, pair)
        points = 100 * pair.effects["top1"].value
        assert said.startswith(f"B is better than A by {points:.1f} points of top-1 (95 % interval")
        assert said.endswith("): more than chance.")
        back = compare([entry("B", skill=3, seed=1), entry("A", skill=0.5)])
        turned = words.sentence(back, back.pairs[0])
        assert turned == said.replace("B is better than A", "A is worse than B")
        verdicts = [row[-1] for row in words.difference_table(found)[1]]
        assert verdicts == ["yes, better"] * 3, "a lower log loss is better"

    def test_alike(self) -> None:
        found = compare([entry("A"), entry("B", seed=1)])
        assert "B cannot be told apart from A: " in words.sentence(found, found.pairs[0])
        assert found.sure(found.pairs[0], "top1") is False

    def test_against_itself(self) -> None:
        found = compare([entry("A"), entry("again")])
        said = words.sentence(found, found.pairs[0])
        assert "again cannot be told apart from A: +0.0 points" in said
        same = words.mcnemar_sentence(found, found.pairs[0])
        assert same == "again and A have the same samples right."
        assert all(effect.p == 1 for effect in found.pairs[0].effects.values())

    def test_one_group_says_that_it_cannot_be_said(self) -> None:
        found = compare([entry("A", groups=1), entry("B", groups=1, skill=3)])
        text = everything(found)
        assert "whether that is more than chance cannot be said" in text
        assert "cannot be said" in words.difference_table(found)[1][0]
        assert "nan" not in text.lower().replace("name", "")

    def test_no_groups(self) -> None:
        found = compare([entry("A", groups=0), entry("B", groups=0, seed=1)])
        assert found.groups is None
        assert any("may be too narrow" in note for note in found.notes)
        assert "whatever its group" not in words.mcnemar_sentence(found, found.pairs[0])

    def test_looking_at_the_test_is_said(self) -> None:
        both = [entry("A"), entry("B", seed=1)]
        assert any("look at the test split" in note for note in compare(both).notes)
        folds = [entry("A", split="out of fold"), entry("B", seed=1, split="out of fold")]
        assert not any("test split" in note for note in compare(folds).notes)

    def test_warnings_of_a_run_stand_above_all(self) -> None:
        found = compare([entry("A"), entry("B", seed=1, warnings=["LEAKY SPLIT, a group."])])
        assert found.warnings == ["B: LEAKY SPLIT, a group."]
        assert '<p class="banner" role="alert">B: LEAKY SPLIT, a group.</p>' in words.to_page(found)


def test_the_figures_are_those_of_an_evaluation() -> None:
    base = entry("A")
    found = compare([base, entry("B", seed=1)])
    groups = [sample.group for sample in base.predictions.samples]
    own = score(base.predictions.truth, base.predictions.probabilities, LABELS, groups=groups)
    value, bounds = found.figures[0]["top1"]
    assert value == own.top1
    assert bounds == own.intervals.bounds["top1"]
    assert found.figures[0]["macro_f1"][0] == own.macro.f1


def test_several_runs_are_corrected_for_their_number() -> None:
    entries = [entry("A"), *(entry(f"B{seed}", seed=seed, skill=1.6) for seed in range(1, 5))]
    found = compare(entries)
    for figure in ("top1", "log_loss"):
        for pair in found.pairs:
            p, corrected = pair.effects[figure].p, pair.corrected[figure]
            assert p is not None
            assert corrected is not None
            assert p <= corrected <= 1
    assert any("4 comparisons" in note for note in found.notes)
    assert "p corrected" in words.difference_table(found)[0]
    alone = compare(entries[:2])
    assert alone.pairs[0].corrected == {n: e.p for n, e in alone.pairs[0].effects.items()}


def test_what_the_correction_takes_back_is_said() -> None:
    """One of many that would count by itself."""
    for seed in range(1, 60):
        entries = [entry("A"), entry("B", seed=seed, skill=1.35)]
        alone = compare(entries, draws=1000).pairs[0].effects["top1"]
        if alone.p is not None and 0.02 < alone.p < 0.05 and alone.value > 0:
            break
    others = [entry(f"C{n}", seed=100 + n) for n in range(6)]
    found = compare([*entries, *others], draws=1000)
    assert found.sure(found.pairs[0], "top1") is False
    assert "not one of 7" in words.sentence(found, found.pairs[0])


class TestSamples:
    def test_other_samples_are_refused_and_the_shared_can_be_compared(self) -> None:
        both = [entry("A", samples=100), entry("B", samples=100, first=30, seed=1)]
        with pytest.raises(UsageError, match=r"100 .test. and 100 .test., 70 of them the same"):
            compare(both)
        found = compare(both, common=True)
        assert found.samples == 70
        assert "only the 70 that all of them share are compared" in found.notes[0]

    def test_none_shared(self) -> None:
        both = [entry("A", samples=50), entry("B", samples=50, first=60)]
        for common in (False, True):
            with pytest.raises(UsageError, match="evaluate RUN MANIFEST"):
                compare(both, common=common)

    def test_the_order_of_the_rows_does_not_matter(self) -> None:
        one, other = entry("A"), entry("B", seed=1, skill=2)
        turn = np.random.default_rng(0).permutation(len(other.keys))
        mixed = Entry(
            "B",
            Predictions(
                [other.predictions.samples[i] for i in turn],
                LABELS,
                other.predictions.probabilities[turn],
            ),
            [other.keys[i] for i in turn],
            {},
        )
        assert compare([one, mixed]).pairs == compare([one, other]).pairs

    def test_relabelled_samples(self) -> None:
        one, other = entry("A"), entry("B", seed=1)
        rows = list(other.predictions.samples)
        wrong = "run" if rows[7].label != "run" else "walk"
        rows[7] = Sample("7.mp4", wrong, "test", rows[7].group)
        found = Predictions(rows, LABELS, other.predictions.probabilities)
        changed = Entry("B", found, other.keys, {})
        with pytest.raises(UsageError, match=r"1 sample \(7.mp4 and the like\) have another label"):
            compare([one, changed])
        assert compare([one, changed], common=True).samples == 119

    def test_a_sample_that_stands_there_twice(self) -> None:
        one, other = entry("A"), entry("B", seed=1)
        twice = [
            Entry(e.name, e.predictions, ["/clips/0.mp4", *e.keys[:1], *e.keys[2:]], {})
            for e in (one, other)
        ]
        assert compare(twice).pairs == compare([one, other]).pairs


class TestLabels:
    def test_a_label_that_one_run_does_not_know(self) -> None:
        both = [entry("A"), entry("B", known=[*LABELS, "fall"], seed=1)]
        found = compare(both)
        assert found.samples == 120
        assert any("do not know the same labels (A 3, B 4)" in note for note in found.notes)
        assert found.figures[1]["top1"][0] == pytest.approx(
            (both[1].predictions.probabilities.argmax(1) == both[1].predictions.truth).mean()
        )

    def test_several_labels_a_sample(self) -> None:
        found = compare([sets("A", 0.3), sets("B", 2.0, seed=1)])
        assert found.headline == "map"
        assert "points of mean average precision" in words.sentence(found, found.pairs[0])
        assert "samples wholly right" in words.mcnemar_sentence(found, found.pairs[0])
        assert list(found.figures[0]) == ["map", "exact_match", "macro_f1", "log_loss"]
        again = compare([sets("A", 0.3), sets("again", 0.3)])
        assert all(effect.value == 0 for effect in again.pairs[0].effects.values())

    def test_one_kind_beside_the_other(self) -> None:
        with pytest.raises(UsageError, match="B may give a sample several labels"):
            compare([entry("A"), sets("B", 1.0)])


def test_settings_that_differ() -> None:
    one = entry("A", settings={"train.lr": 0.1, "seed": 0, "head.name": "gru"})
    two = entry("B", seed=1, settings={"train.lr": 0.1, "seed": 0, "head.hidden": 9})
    found = compare([one, two])
    assert found.settings == [("head.name", ["gru", None]), ("head.hidden", [None, 9])]
    assert words.setting_table(found)[1] == [["head.name", "gru", "-"], ["head.hidden", "-", "9"]]
    assert "None: recipe, seed and data are the same" in words.to_page(
        compare([one, entry("B", seed=1, settings=one.settings)])
    )


def test_a_stream_that_one_run_lacks_is_one_row() -> None:
    first = {"streams.0.kind": "rgb", "streams.0.size": 112, "lr": 1}
    second = {"streams.1.kind": "flow", "streams.1.size": 112}
    found = compare([entry("A", settings=first), entry("B", seed=1, settings=first | second)])
    assert found.settings == [("streams.1", [None, "as streams.0, but kind: flow"])]


def test_the_csv_has_a_row_for_each_run() -> None:
    cost = {"Training (s)": 1.5}
    found = compare([entry("A", cost=cost), entry("B", seed=1, cost=cost, settings={"lr": 0.1})])
    base, other = csv.DictReader(io.StringIO(words.to_csv(found)))
    assert (base["run"], other["run"]) == ("A", "B")
    assert base["top1_difference"] == ""
    effect = found.pairs[0].effects["top1"]
    assert float(other["top1_difference"]) == pytest.approx(effect.value, rel=1e-5)
    assert float(other["top1"]) - float(base["top1"]) == pytest.approx(effect.value, abs=1e-5)
    assert other["lr"] == "0.1"
    assert words.figure_table(found)[0][-1] == "Training (s)"


def test_one_run_is_no_comparison() -> None:
    with pytest.raises(UsageError, match="two runs or more"):
        compare([entry("A")])


@pytest.mark.parametrize("width", [390, 1100])
@pytest.mark.parametrize("make", [lambda: compare([entry("A"), entry("B <b>", seed=1, skill=3)])])
def test_the_page_opens(
    width: int, make: Callable[[], Comparison], browser: Any, tmp_path: Any
) -> None:
    path = tmp_path / "compare.html"
    path.write_text(words.to_page(make()), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 800})
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda r: faults.append(r.url) if r.url.startswith("http") else None)
    page.goto(path.as_uri())
    assert page.locator("svg").count() == 1
    assert "B <b> is better than A" in page.inner_text(".verdict")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not faults
    page.close()
