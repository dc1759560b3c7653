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
from frameflow.evaluation.predictions import Predictions
from frameflow.evaluation.report import render, write_report
from frameflow.video.write import write_video

_VOID = {"meta", "img", "br", "hr", "link", "input"}
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
        if not self.open or self.open[-1] != "style":
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
    assert not re.search(r"<(script|link|iframe|object)\b", text)
    for address in re.findall(r"""(?:https?:)?//[^\s"'<]+""", text):
        assert address.startswith("http://www.w3.org/"), address
    for _, attributes in Page(text).tags:
        assert (attributes.get("src") or "data:").startswith("data:")
        assert "href" not in attributes


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
    assert "<script" not in text
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
    mistakes = one.predictions.surest_mistakes(12)
    expected = [one.predictions.samples[row].video for row in mistakes]
    assert len(pictures) == sum(video != "gone.mp4" for video in expected) > 0
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
