"""The model card holds facts, and says what is not known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from frameflow.config import load_recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.evaluation.card import render, write_card


def card(one: Any) -> str:
    return render(one.metrics, load_recipe("default"), one.manifest)


def table(text: str, header: str) -> list[list[str]]:
    """The rows of the table whose header line starts so."""
    lines = text[text.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_holds_the_facts(scored: Callable[..., Any]) -> None:
    one = scored()
    text = card(one)
    assert text.startswith("# first-run\n")
    assert "`jump`, `run`, `walk`" in text
    assert "frozen tf_efficientnet_lite0 on frames" in text
    low, high = one.metrics["intervals"]["top1"]
    assert table(text, "| figure") [0] == [
        "Top-1", f"{one.metrics['top1']:.3f}", f"{low:.3f} to {high:.3f}",
    ]  # fmt: skip
    assert "frameflow predict first-run clip.mp4" in text
    assert "ff.load('first-run').predict" in text
    assert "torch 2.8.0" in text
    assert "No group stands in two splits." in text
    assert "LEAKY" not in text
    for line in text.splitlines():
        assert "None" not in line
        assert "nan" not in line


def test_counts_samples_groups_and_classes_of_each_split(scored: Callable[..., Any]) -> None:
    one = scored()
    rows = [
        Sample("1", "a", "train", "g1"), Sample("2", "b", "train", "g1"),
        Sample("3", "a", "train", "g2"), Sample("4", "b", "test", "g3"),
    ]  # fmt: skip
    one.manifest = Manifest(rows, ".")
    assert table(card(one), "| split") == [["train", "3", "2", "2"], ["test", "1", "1", "1"]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"leaky": True}, "> **LEAKY SPLIT**"),
        ({"groups": 0}, "No groups were given"),
        ({"groups": 0}, "none given"),
        (
            {"bad_videos": [{"video": "a_b.mp4", "row": 2, "reason": "empty"}]},
            r"1 video is unreadable and in no score: a_b.mp4 (empty)",
        ),
        ({"labels": ["a", "b"], "samples": 1}, "Not tested at all, for want of samples: `"),
        ({"run": "my run"}, 'frameflow predict "my run" clip.mp4'),
    ],
)
def test_says_what_limits_it(
    scored: Callable[..., Any], options: dict[str, Any], said: str
) -> None:
    assert said in card(scored(**options))


def test_names_the_weakest_classes(scored: Callable[..., Any]) -> None:
    one = scored(samples=60)
    weakest = min(one.metrics["per_class"], key=lambda entry: entry["f1"])
    assert f"Weakest classes: `{weakest['label']}` (F1 {weakest['f1']:.2f}" in card(one)


def test_labels_cannot_break_the_markdown(scored: Callable[..., Any]) -> None:
    one = scored(labels=["a|b", "`code`", "<b>x</b>", "*star*"], run="a|b <i>*run*</i>")
    text = card(one)
    assert text.startswith("# a\\|b \\<i\\>\\*run\\*\\</i\\>\n")
    assert "`` `code` ``" in text
    assert table(text, "| figure")


def test_is_written_whole(scored: Callable[..., Any], tmp_path: Path) -> None:
    one = scored()
    path = tmp_path / "README.md"
    write_card(path, one.metrics, recipe=load_recipe("default"), manifest=one.manifest)
    assert path.read_text(encoding="utf-8") == card(one)


def test_a_card_of_several_labels(scored_sets: Callable[..., Any]) -> None:
    one = scored_sets()
    recipe = load_recipe("default", ["multilabel=true"])
    text = render(one.metrics, recipe, one.manifest)
    assert "A multi-label video classifier for 3 classes" in text
    assert "`jump`, `run`, `walk`" in text
    low, high = one.metrics["intervals"]["map"]
    assert table(text, "| figure")[0] == [
        "Mean average precision", f"{one.metrics['map']:.3f}", f"{low:.3f} to {high:.3f}",
    ]  # fmt: skip
    assert table(text, "| split") == [["test", "40", "8", "3"]]
    assert "calls it present above 0.5" in text
    assert "one of its labels" not in text


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["streams.0.kind=stack"], "frozen tf_efficientnet_lite0 on stacks of three moments"),
        (["train.learn=[{}]", "streams.0.kind=flow"], "trained tf_efficientnet_lite0 on optical"),
        (["train.learn=[{}]", "streams.0.cut=blocks.4"], "partly trained tf_efficientnet_lite0"),
    ],
)
def test_a_card_says_what_learnt_from_what(
    scored: Callable[..., Any], overrides: list[str], said: str
) -> None:
    one = scored()
    assert said in render(one.metrics, load_recipe("default", overrides), one.manifest)
