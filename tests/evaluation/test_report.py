"""The report is one sound page that needs nothing else and says what its score is."""

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.data.manifest import Region
from frameflow.evaluation.metrics import score
from frameflow.evaluation.predictions import Predictions
from frameflow.evaluation.report import render, write_report
from frameflow.pages.strips import strip_of
from frameflow.video.measure import ClipMeasures
from frameflow.video.write import write_video

_VOID = {"meta", "img", "br", "hr", "link", "input"}
LOOKS = ClipMeasures(2.0, 64, 48, 25.0, 0.5, 0.2, 0.05)
HISTORY = "epoch,lr,train_loss,train_top1,val_loss,val_top1,val_top5,seconds\n"


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects text, attributes and tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> without a beginning"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(scored: Any, **options: Any) -> Page:
    return Page(render(scored.metrics, scored.predictions, scored.manifest, **options))


def test_says_what_the_score_is(scored: Callable[..., Any]) -> None:
    one = scored()
    text = page(one, recipe="name: default\n").text
    low, high = one.metrics["intervals"]["top1"]
    for fact in (
        f"{one.metrics['top1']:.3f}",
        f"{low:.3f} to {high:.3f}",
        "test split, 40 samples of 8 groups, 1 view",
        "resnet10t",
        "0123456789abcdef",
        "torch 2.8.0",
        "2026-01-02T03:04:05+00:00",
        "name: default",
        "There are only 3 classes",
    ):
        assert fact in text, fact
    assert "LEAKY" not in text
    assert "Videos set aside" not in text
    assert "Learning curves" not in text


def test_needs_nothing_beside_it(scored: Callable[..., Any]) -> None:
    text = render(*(lambda s: (s.metrics, s.predictions, s.manifest))(scored()))
    assert not re.search(r"<(link|iframe|object|script\s)", text)
    for address in re.findall(r"""(?:https?:)?//[^\s"'<]+""", text):
        assert address.startswith("http://www.w3.org/"), address
    for _, attributes in Page(text).tags:
        assert (attributes.get("src") or "data:").startswith("data:")
        assert (attributes.get("href") or "#").startswith("#")


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({"leaky": True}, "LEAKY SPLIT"),
        ({"seen_in_training": True, "split": "train"}, "SEEN IN TRAINING"),
        ({"seen_in_training": True, "split": "val"}, "SEEN IN TRAINING"),
    ],
)
def test_warnings_stand_out(scored: Callable[..., Any], facts: dict[str, Any], word: str) -> None:
    found = page(scored(**facts))
    assert word in found.text
    assert any(attributes.get("role") == "alert" for _, attributes in found.tags)


def test_bad_videos_are_listed_with_their_reasons(scored: Callable[..., Any]) -> None:
    one = scored(
        bad_videos=[{"video": "a.mp4", "row": 7, "reason": "the file is empty"}],
        bad_in_training=[{"video": "b.mp4", "row": 9, "split": "train", "reason": "cut short"}],
    )
    text = page(one).text
    assert "a.mp4 the file is empty test 7" in text
    assert "b.mp4 cut short train 9" in text
    assert "1 unreadable video, and 1 in training" in text


def test_everything_is_escaped(scored: Callable[..., Any]) -> None:
    evil = "<script>alert(\"1\")</script> & 'x'"
    one = scored(
        labels=[evil, "b", "{{ metrics }}"],
        videos=[f"{evil}.mp4"],
        run=evil,
        recipe=evil,
        bad_videos=[{"video": evil, "row": 1, "reason": evil}],
    )
    text = render(one.metrics, one.predictions, one.manifest, recipe=evil)
    assert text.count("<script") == 1  # the page's own
    found = Page(text)
    assert evil in found.text
    assert "{{ metrics }}" in found.text


def test_mistakes_have_pictures_where_the_video_is_there(
    scored: Callable[..., Any], tmp_path: Path
) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, (height, width) in {"wide": (48, 96), "tall": (96, 48)}.items():
        frames = rng.integers(0, 255, (8, height, width, 3), np.uint8)
        write_video(tmp_path / f"{name}.mp4", frames)
    one = scored(videos=["wide.mp4", "tall.mp4", "gone.mp4"])
    found = page(one)
    pictures = [a for tag, a in found.tags if tag == "div" and a.get("class") == "strip"]
    missing = [a for tag, a in found.tags if tag == "div" and a.get("class") == "nopicture"]
    shown = [a for tag, a in found.tags if tag == "p" and a.get("class") == "file"]
    assert len(shown) == len(pictures) + len(missing)
    assert sum(a["title"] == "gone.mp4" for a in shown) == len(missing) > 0
    assert len(pictures) > 12
    assert "no longer where it was" in found.text
    for attributes in pictures:
        uri = str(attributes["style"]).partition("url(")[2].removesuffix(")")
        kind, data = uri.split(",")
        assert kind == "data:image/jpeg;base64"
        width, height = Image.open(io.BytesIO(base64.b64decode(data))).size
        wide = "wide" in str(attributes["aria-label"])
        assert (width, height) == ((8 * 200, 100) if wide else (8 * 100, 200))


def test_learning_curves(scored: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    rows = ["1,0.1,1.5,0.2,1.4,0.3,,1", "2,0.1,1.1,0.4,1.2,0.5,,1", "3,0.1,0.9,0.6,1.3,0.4,,1"]
    path.write_text(HISTORY + "\n".join(rows) + "\n", encoding="utf-8")
    found = page(scored(), history=path)
    assert "Learning curves" in found.text
    lines = [a["points"] for tag, a in found.tags if tag == "polyline"]
    assert len(lines) == 4  # loss and top-1, of training and validation
    assert all(len(str(points).split()) == 3 for points in lines)


@pytest.mark.parametrize(
    "rows",
    [
        "",  # stopped before the first epoch
        "1,0.1,1.5,0.2,,,,1\n",  # one epoch, no validation
        "1,0.1,oops,0.2,,,,1\n",  # damaged
    ],
)
def test_poor_histories_do_no_harm(scored: Callable[..., Any], tmp_path: Path, rows: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(HISTORY + rows, encoding="utf-8")
    assert "nan" not in page(scored(), history=path).text


@pytest.mark.parametrize(("samples", "classes", "groups"), [(1, 2, 1), (5, 3, 0), (6, 40, 2)])
def test_small_and_sparse_results(
    scored: Callable[..., Any], samples: int, classes: int, groups: int
) -> None:
    """One sample; no groups; most classes without a sample."""
    one = scored(labels=[f"c{i}" for i in range(classes)], samples=samples, groups=groups)
    found = page(one)
    assert "nan" not in found.text.lower()
    if groups == 1:
        assert "is undefined" in found.text


def test_ucf101_size_is_small_and_readable(scored: Callable[..., Any], tmp_path: Path) -> None:
    one = scored(labels=[f"Action{i:03d}" for i in range(101)], samples=3783, groups=707)
    write_report(tmp_path / "report.html", one.metrics, one.predictions, manifest=one.manifest)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(text) < 2_000_000  # beside at most 12 pictures of 25 kB
    found = Page(text)
    assert found.text.count("Action100") >= 3  # both sides of the matrix and the table
    fonts = [int(str(a["font-size"])) for tag, a in found.tags if tag == "svg"]
    assert min(fonts) >= 10


@pytest.mark.parametrize(
    "options",
    [{"start": 0.1, "end": 0.3}, {"frame": "5"}, {"region": Region(0.5, 0.25, 0.25, 0.5)}],
)
def test_parts_of_a_video_have_pictures(
    scored: Callable[..., Any], tmp_path: Path, options: dict[str, Any]
) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (12, 64, 96, 3), np.uint8)
    write_video(tmp_path / "a.mp4", frames)
    one = scored(videos=["a.mp4"])
    samples = [replace(sample, **options) for sample in one.predictions.samples]
    one.predictions = Predictions(samples, one.predictions.labels, one.predictions.probabilities)
    found = page(one)
    assert "no longer where it was" not in found.text
    if "frame" in options:
        assert "a.mp4, frame 5, group" in found.text
    if "start" in options:
        assert "a.mp4, 0.1 s to 0.3 s, group" in found.text


def test_bars_are_sorted_and_have_intervals_where_they_are_known(
    scored: Callable[..., Any],
) -> None:
    one = scored()
    for entry in one.metrics["per_class"]:
        entry["intervals"] = None
    assert "the thin line" not in page(one).text
    for entry in one.metrics["per_class"]:
        entry["intervals"] = {name: [0.1, 0.95] for name in ("precision", "recall", "f1")}
    found = page(one)
    assert "the thin line is the 95 % interval" in found.text
    whiskers = [a["style"] for tag, a in found.tags if tag == "u"]
    assert whiskers == ["left:10.0%;right:5.0%"] * 9
    named = [entry["label"] for entry in sorted(one.metrics["per_class"], key=lambda e: e["f1"])]
    places = [found.text.index(f"{label} 0.") for label in named]
    assert places == sorted(places)


def test_a_class_names_what_it_is_taken_for(scored: Callable[..., Any]) -> None:
    one = scored()
    counts = np.array(one.metrics["confusion"]["counts"])
    np.fill_diagonal(counts, 0)
    row, column = np.unravel_index(counts.argmax(), counts.shape)
    labels = one.metrics["confusion"]["labels"]
    text = page(one).text.replace("\xa0", " ")
    assert f"{labels[column]} {counts[row, column]}" in text
    assert f"{labels[row]} is taken for {labels[column]}, {counts[row, column]} of" in text


def test_a_class_without_a_sample_is_named(scored: Callable[..., Any]) -> None:
    one = scored(labels=[f"c{i}" for i in range(40)], samples=6)
    absent = [entry["label"] for entry in one.metrics["per_class"] if not entry["support"]]
    assert f"Without a sample here, and so without a figure: {', '.join(absent)}." in page(one).text


def test_all_answers_alike(scored: Callable[..., Any]) -> None:
    one = scored()
    shares = np.tile([0.2, 0.5, 0.3], (40, 1))
    one.predictions = replace(one.predictions, probabilities=shares)
    scores = score(one.predictions.truth, shares, one.predictions.labels, resamples=20)
    one.metrics |= scores.to_dict()
    text = page(one, measures=[LOOKS] * 40).text
    assert "nan" not in text.lower()
    assert "all clips are alike in it" in text


def test_all_answers_right(scored: Callable[..., Any]) -> None:
    one = scored()
    shares = np.eye(3)[one.predictions.truth]
    one.predictions = replace(one.predictions, probabilities=shares)
    scores = score(one.predictions.truth, shares, one.predictions.labels, resamples=20)
    one.metrics |= scores.to_dict()
    text = page(one).text
    assert "Every answer is right." in text
    for absent in ("Surest mistakes", "Most confused pairs", "Groups that fail together"):
        assert absent not in text


def test_calibration_before_and_after(scored: Callable[..., Any]) -> None:
    bins = [{"confidence": 0.8, "accuracy": 0.6, "count": 40, "low": 0.4, "high": 0.75}]
    side = {"log_loss": 1.2, "brier": 0.61, "ece": 0.2, "reliability": bins}
    calibration = {
        "method": "temperature", "fitted_on": "96 validation samples", "samples": 96,
        "before": side, "after": side | {"ece": 0.083, "log_loss": 0.9},
    }  # fmt: skip
    found = page(scored(calibration=calibration, ece_expected=0.071))
    for words in (
        "Temperature scaling, fitted on 96 validation samples.",
        "Before calibration",
        "After calibration",
        "Calibration error 0.071 were it perfect, at this sample size 0.200 0.083",
        "Log loss, nats 1.200 0.900",
        "On average it states 0.80",
    ):
        assert words in found.text, words
    unchanged = page(scored(calibration=calibration | {"method": "none"}))
    assert "Before calibration" not in unchanged.text


def test_refusal(scored: Callable[..., Any]) -> None:
    refusal = {
        "conformal": {"alpha": 0.1, "quantile": 0.9, "coverage": 0.912, "mean_size": 2.25},
        "abstain": {
            "threshold": 0.4, "share_answered": 0.8, "accuracy_answered": 0.75,
            "accuracy_answered_interval": [0.6, 0.9],
        },
    }  # fmt: skip
    text = page(scored(refusal=refusal)).text
    for words in ("0.912, asked 0.90", "2.25", "0.800, at a threshold", "0.750 (0.600 to 0.900)"):
        assert words in text
    assert "Too few groups." in page(scored(refusal=None, refusal_reason="Too few groups.")).text
    nobody = refusal | {"abstain": {"threshold": 0.99, "share_answered": 0.0,
                                    "accuracy_answered": None}}  # fmt: skip
    assert "None" not in page(scored(refusal=nobody)).text


def test_conditions_and_columns(scored: Callable[..., Any]) -> None:
    one = scored()
    samples = [
        replace(sample, extra={"camera": "left" if i % 2 else "right"})
        for i, sample in enumerate(one.predictions.samples)
    ]
    one.predictions = replace(one.predictions, samples=samples)
    found = page(one, measures=[LOOKS, None] * 20, by="camera")
    assert "20 clips could not be measured" in found.text
    assert "Nothing can be said of clip length" in found.text
    assert "By columns of the manifest" in found.text
    assert "left 0." in found.text


def test_explanations_stand_beside_their_clip(scored: Callable[..., Any]) -> None:
    one = scored()
    (row, *_) = one.predictions.surest_mistakes(1)
    overlay = strip_of(np.zeros((2, 8, 16, 3), np.uint8))
    found = page(one, explanations={row: overlay})
    names = [str(a.get("aria-label")) for tag, a in found.tags if a.get("class") == "strip"]
    assert names
    assert all("rests on" in name for name in names)


def test_training_data_and_how_to_repeat_it(scored: Callable[..., Any]) -> None:
    one = scored(
        run="my run",
        leaky=True,
        training={
            "seconds": 75.25, "extraction_seconds": 600.0, "peak_memory_gb": 1.29,
            "peak_gpu_memory_gb": None, "parameters": 3_572_615, "parameters_learning": 201_607,
            "model_bytes": 14_719_356, "device": "cpu", "epochs": 60, "best_epoch": 41,
        },
        audit={"sentence": "No group stands in two splits; `frameflow data check` looks closer."},
    )  # fmt: skip
    text = page(one, own=one.manifest).text
    for words in (
        "75.2 s, 60 epochs, that of epoch 41 kept",
        "10.0 min",
        "1.29 GB",
        "3,572,615, of which 201,607 learn",
        "14.7 MB",
        "No group stands in two splits",
        "test 40 8 3",
        "frameflow train 'my run'/manifest.csv --recipe 'my run'/recipe.yaml --out again "
        "--allow-leak",
        "frameflow evaluate 'my run' --views 1",
    ):
        assert words in text, words
    assert "GPU" not in text
    assert "`" not in text


def test_groups_that_fail_together(scored: Callable[..., Any]) -> None:
    one = scored(samples=80, groups=8)
    truth = one.predictions.truth
    bad = np.array([sample.group in ("g0", "g1") for sample in one.predictions.samples])
    shares = np.eye(3)[np.where(bad, (truth + 1) % 3, truth)] * 0.9 + 0.1 / 3
    one.predictions = replace(one.predictions, probabilities=shares)
    text = page(one).text.replace("\xa0", " ")
    assert "Mistakes stand together" in text
    assert "The worst 2 groups of 8: 20 of 20 clips wrong." in text
    assert "g0 10 of 10 wrong" in text


# Several labels a sample


def test_sets_have_average_precision_and_no_confusion(scored_sets: Callable[..., Any]) -> None:
    one = scored_sets()
    found = page(one, recipe="name: default\n")
    low, high = one.metrics["intervals"]["map"]
    for fact in (
        "Mean average precision",
        f"{one.metrics['map']:.3f}",
        f"{low:.3f} to {high:.3f}",
        f"ranking the samples by chance would reach {one.metrics['chance']:.3f}",
        "Micro F1",
        "Exact match",
        "any number a sample, present above a probability of 0.5",
    ):
        assert fact in found.text, fact
    for absent in ("Top-1", "Confusion", "confused", "most frequent class"):
        assert absent not in found.text, absent
    for entry in one.metrics["per_class"]:
        row = f"{entry['label']} {entry['average_precision']:.3f} {entry['f1']:.3f}"
        assert row in found.text
    label = next(t["aria-label"] for tag, t in found.tags if tag == "svg")
    assert (label or "").startswith("Mean average precision on a scale")


def test_slips_name_the_label_and_the_truth(scored_sets: Callable[..., Any]) -> None:
    one = scored_sets(labels=["jump & run", "<b>", "walk"])
    text = page(one).text
    (row, column), *_ = one.predictions.surest_slips()
    sample, label = one.predictions.samples[row], one.predictions.labels[column]
    verb = "Misses" if label in sample.labels else "Says"
    share = one.predictions.probabilities[row, column]
    truth = ", ".join(sample.labels) or "none"
    assert f"{verb} {label} {share:.2f} , in truth {truth} " in text.replace(
        f"{share:.2f},", f"{share:.2f} ,"
    )
    assert f"group {sample.group}" in text
