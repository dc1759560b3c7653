"""The model card holds facts, and says what is not known."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

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
    assert "\n---\n\n# first-run\n" in text
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
    assert "\n# a\\|b \\<i\\>\\*run\\*\\</i\\>\n" in text
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


# The metadata block ---------------------------------------------------------------------------


def metadata(text: str) -> dict[str, Any]:
    _, block, _ = text.split("---\n", 2)
    found = yaml.safe_load(block)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("labels", [["jump", "run"], ["a: b", "--- # x"]])
def test_the_hub_reads_the_metadata(scored: Callable[..., Any], labels: list[str]) -> None:
    hub = pytest.importorskip("huggingface_hub")
    one = scored(labels=labels, run="läufer: #1", manifest="my clips, new.csv")
    read = hub.ModelCard(card(one))
    assert read.text.lstrip().startswith("# läufer: \\#1")
    assert read.data.pipeline_tag == "video-classification"
    assert read.data.library_name == "frameflow"
    (top1, *_), names = read.data.eval_results, {r.metric_name for r in read.data.eval_results}
    assert (top1.metric_type, top1.dataset_name) == ("accuracy", "my clips, new.csv")
    assert top1.metric_value == pytest.approx(one.metrics["top1"], abs=1e-6)
    assert top1.verified is False
    assert "Macro F1" in names
    assert read.data.model_name == "läufer: #1"
    assert re.fullmatch(r"[\w.-]+", read.data.datasets[0], re.ASCII)


@pytest.mark.parametrize("fact", [{"leaky": True}, {"seen_in_training": True, "split": "val"}])
def test_what_is_no_test_is_no_result_of_the_hub(
    scored: Callable[..., Any], fact: dict[str, Any]
) -> None:
    assert "model-index" in metadata(card(scored()))
    assert "model-index" not in metadata(card(scored(**fact)))


def test_several_labels_in_the_metadata(scored_sets: Callable[..., Any]) -> None:
    one = scored_sets()
    found = metadata(render(one.metrics, load_recipe("default", ["multilabel=true"]), one.manifest))
    (result,) = found["model-index"][0]["results"]
    assert result["metrics"][0]["type"] == "mean_average_precision"
    assert result["task"]["name"].startswith("Multi-label")


# Every figure is from the files of the run ------------------------------------------------------

SECTIONS = [
    "Goal", "Architecture", "Input", "Output", "Training data", "Training procedure",
    "Performance", "Best and weakest classes", "Calibration", "Knowing when not to answer",
    "Leak status", "Limitations", "Trade-offs", "Environment", "How to load it",
]  # fmt: skip


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    else:
        yield value


def known_numbers(metrics: dict[str, Any], recipe: str) -> set[str]:
    """How the numbers of the run's files may be written, and those inside their sentences."""
    found = set(re.findall(r"\d+\.\d+", recipe))
    for value in leaves(metrics):
        if isinstance(value, str):
            found |= set(re.findall(r"\d+\.\d+", value))
        elif isinstance(value, int | float):
            found |= {f"{value:.{digits}f}" for digits in (1, 2, 3)}
            found |= {f"{value:,.1f}", f"{value / 1e6:,.1f}", f"{value:g}"}
    counts = [entry["support"] for entry in metrics["per_class"]]
    return found | {f"{max(counts) / metrics['samples']:.3f}"}  # the most frequent class


def test_every_figure_of_a_run_is_in_its_files(small_run: Path) -> None:
    text = (small_run / "README.md").read_text(encoding="utf-8")
    metrics = json.loads((small_run / "metrics.json").read_text(encoding="utf-8"))
    recipe = (small_run / "recipe.yaml").read_text(encoding="utf-8")
    assert [s for s in SECTIONS if f"\n## {s}\n" not in text] == []
    numbers = re.findall(r"(?<![\w.])\d[\d,]*\.\d+(?![\w.+])", text)
    assert len(numbers) > 20
    assert [n for n in numbers if n not in known_numbers(metrics, recipe)] == []
    assert f"{metrics['top1']:.3f}" in numbers
    whole = {str(value) for value in leaves(metrics) if isinstance(value, int)}
    for count in re.findall(r"(\d+) (?:samples?|epochs?|groups?)\b", text):
        assert count in whole, count
    for word in ("nan", "inf", "None", "{", "}"):
        assert not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text), word


def test_a_card_says_what_calibration_refusal_and_conditions_found(
    scored: Callable[..., Any],
) -> None:
    one = scored(
        calibration={
            "method": "temperature", "fitted_on": "40 validation samples of 9 groups",
            "before": {"log_loss": 1.234, "brier": 0.567, "ece": 0.211},
            "after": {"log_loss": 1.111, "brier": 0.533, "ece": 0.099},
        },
        ece_expected=0.087,
        refusal={
            "error_rate": 0.1,
            "conformal": {"coverage": 0.913, "mean_size": 1.7},
            "abstain": {"threshold": 0.41, "share_answered": 0.75, "accuracy_answered": 0.83},
        },
        conditions={
            "conditions": [
                {"title": "Motion", "matters": True, "sentence": "It fares worse on still clips."},
                {"title": "Brightness", "matters": False, "sentence": "Nothing."},
            ]
        },
        by=[{"column": "camera", "sentence": "Lowest for camera <2>."}],
        audit={"sentence": "Looked at `all` of them."},
    )  # fmt: skip
    text = card(one)
    assert table(text, "| figure | before")[2] == ["Calibration error", "0.211", "0.099"]
    assert "would show an error of 0.087" in text
    assert "held it for 0.913" in text
    assert "Below a probability of 0.410" in text
    assert "was right in 0.830" in text
    assert "unless it is too unsure" in text
    assert "- It fares worse on still clips." in text
    assert "Nothing." not in text
    assert r"Lowest for camera \<2\>." in text
    assert "Looked at `all` of them." in text
    none = scored(
        conditions={"conditions": [{"title": "Motion", "matters": False, "sentence": ""}]}
    )
    assert "No trend of the accuracy with motion is more than chance." in card(none)


def test_one_sample_and_equal_predictions_give_true_figures(scored: Callable[..., Any]) -> None:
    text = card(scored(labels=["a", "b"], samples=1, groups=1))
    assert "undefined" in text
    assert "nan" not in text.lower().replace("frameflow", "")
