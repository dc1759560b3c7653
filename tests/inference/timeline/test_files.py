"""Files of segments are read back: by our own readers, by FFmpeg, by an XML parser."""

import json
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frameflow.data.manifest import Manifest
from frameflow.data.spans import read_spans
from frameflow.errors import FrameFlowError, UsageError
from frameflow.inference.timeline.files import FORMS, timeline_text, write_timeline
from frameflow.inference.timeline.segments import Segment

Make = Callable[..., Any]
STRANGE = 'läuft & "winkt", <b>1</b> --> 2|3'
SEGMENTS = [
    Segment(0.0, 1.25, "a", 0.8, 0.9),
    Segment(1.25, 3.0, STRANGE, 0.51239, 0.6),
    Segment(3600.5, 7261.0, "two\nlines", 1.0, 1.0),
]


def line(make: Make, **options: Any) -> Any:
    return make([[0.5, 0.5]] * 3, **options)


@pytest.mark.parametrize("form", ["csv", "eaf"])
def test_our_own_reader_reads_them_back(make_timeline: Make, tmp_path: Path, form: str) -> None:
    video = tmp_path / "my films" / "30 %  of it.mp4"
    video.parent.mkdir()
    video.write_bytes(b"")
    path = tmp_path / f"spans.{form}"
    write_timeline(path, line(make_timeline, video=str(video)), SEGMENTS)
    read = read_spans(path)
    assert not read.faults
    assert [(s.start, s.end) for s in read.spans] == [(s.start, s.end) for s in SEGMENTS]
    label = "two\nlines" if form == "csv" else "two lines"
    assert [s.label for s in read.spans] == ["a", STRANGE, label]
    if form == "csv":
        assert {s.video for s in read.spans} == {"my films/30 %  of it.mp4"}


@pytest.mark.parametrize("form", ["csv", "eaf"])
def test_they_become_labels_of_the_video_they_name(
    make_timeline: Make, film: Callable[..., Path], tmp_path: Path, form: str
) -> None:
    """`frameflow data spans` finds the video by the name in the file."""
    from frameflow.audit.span_labels import labels_of_spans

    video = film(tmp_path / "films" / "30 %  of it.mp4", scene=1, seed=1)
    path = tmp_path / f"spans.{form}"
    found = [Segment(0, 0.5, "a", 0.8, 0.9), Segment(0.5, 1, "b", 0.8, 0.9)]
    write_timeline(path, line(make_timeline, video=str(video)), found)
    samples = labels_of_spans([path], videos=tmp_path).manifest
    assert [(s.video, s.label, s.start) for s in samples] == [
        ("films/30 %  of it.mp4", "a", 0),
        ("films/30 %  of it.mp4", "b", 0.5),
    ]


def test_the_table_is_a_manifest(make_timeline: Make, film: Any, tmp_path: Path) -> None:
    video = film(tmp_path / "films" / "a.mp4", scene=1, seed=1)
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "spans.csv"
    write_timeline(path, line(make_timeline, video=str(video)), SEGMENTS[:1])
    (sample,) = Manifest.read(path)
    assert (sample.label, sample.start, sample.end) == ("a", 0, 1.25)


times = st.floats(0, 40_000)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: bool(re.sub(r"[\x00-\x1f\x7f\ufffe\uffff]", "", text).strip())
)


@given(st.lists(st.tuples(times, st.floats(0.002, 900), texts), max_size=6))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_label_at_any_time_in_every_form(
    make_timeline: Make, made: list[tuple[float, float, str]]
) -> None:
    found = [Segment(start, start + length, text, 0.5, 0.5) for start, length, text in made]
    given_ = line(make_timeline, multilabel=True)
    texts_ = {form: timeline_text(given_, found, form) for form in FORMS}
    for form in ("vtt", "srt"):
        stamps = re.findall(r"^(\S+) --> (\S+)$", texts_[form], re.MULTILINE)
        assert len(stamps) == len(found)
        assert stamps == sorted(stamps, key=lambda pair: _milliseconds(pair[0]))
        assert all(_milliseconds(start) < _milliseconds(end) for start, end in stamps)
        assert texts_[form].count("-->") == len(found), "no label makes a cue"
        blocks = texts_[form].strip().split("\n\n")
        assert len(blocks) == len(found) + (form == "vtt") or not found
        assert all(len(block.split("\n")) == 3 for block in blocks[form == "vtt" :] if found)
    said = json.loads(texts_["json"])
    assert [each["label"] for each in said["segments"]] == [one.label for one in found]
    root = ElementTree.fromstring(texts_["eaf"].encode())
    slots = [int(slot.attrib["TIME_VALUE"]) for slot in root.iter("TIME_SLOT")]
    assert slots == sorted(slots)
    assert len(slots) == 2 * len(found)


def _milliseconds(text: str) -> int:
    hours, minutes, seconds = text.replace(",", ".").split(":")
    assert re.fullmatch(r"\d\d\.\d{3}", seconds)
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)


def test_subtitles_as_they_are_written(make_timeline: Make) -> None:
    given_ = line(make_timeline)
    assert timeline_text(given_, SEGMENTS, "vtt") == (
        "WEBVTT\n\n"
        "1\n00:00:00.000 --> 00:00:01.250\na 80 %\n\n"
        "2\n00:00:01.250 --> 00:00:03.000\n"
        'läuft &amp; "winkt", &lt;b&gt;1&lt;/b&gt; --&gt; 2|3 51 %\n\n'
        "3\n01:00:00.500 --> 02:01:01.000\ntwo lines 100 %\n"
    )
    assert timeline_text(given_, SEGMENTS[1:], "srt").startswith(
        '1\n00:00:01,250 --> 00:00:03,000\nläuft & "winkt", ‹b›1‹/b› → 2|3 51 %\n\n2\n01:00:00,500'
    )


@pytest.mark.parametrize("form", ["vtt", "srt"])
def test_ffmpeg_reads_the_subtitles(make_timeline: Make, tmp_path: Path, form: str) -> None:
    import imageio_ffmpeg

    path = tmp_path / f"subtitles.{form}"
    write_timeline(path, line(make_timeline), SEGMENTS)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-f", "ass", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    said = [row for row in done.stdout.decode().splitlines() if row.startswith("Dialogue")]
    assert [row.split(",")[1:3] for row in said] == [
        ["0:00:00.00", "0:00:01.25"],
        ["0:00:01.25", "0:00:03.00"],
        ["1:00:00.50", "2:01:01.00"],
    ]
    assert "läuft & " in said[1]
    assert not done.stderr


def test_elan_as_its_schema_wants_it(make_timeline: Make) -> None:
    """EAFv3.0.xsd: the order of elements, what they must have, and what they refer to."""
    text = timeline_text(line(make_timeline), SEGMENTS, "eaf")
    root = ElementTree.fromstring(text.encode())
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert (root.get("VERSION"), root.get("FORMAT")) == ("3.0", "3.0")
    order = [child.tag for child in root]
    names = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "CONSTRAINT"]
    assert list(dict.fromkeys(order)) == names
    slots = {slot.get("TIME_SLOT_ID") for slot in root.iter("TIME_SLOT")}
    annotations = list(root.iter("ALIGNABLE_ANNOTATION"))
    assert len({each.get("ANNOTATION_ID") for each in annotations}) == len(annotations) == 3
    for each in annotations:
        assert {each.get("TIME_SLOT_REF1"), each.get("TIME_SLOT_REF2")} <= slots
    types = {each.get("LINGUISTIC_TYPE_ID") for each in root.iter("LINGUISTIC_TYPE")}
    assert {tier.get("LINGUISTIC_TYPE_REF") for tier in root.iter("TIER")} <= types


def test_elan_finds_the_video_as_it_writes_paths_itself(
    make_timeline: Make, tmp_path: Path
) -> None:
    path = tmp_path / "a.eaf"
    write_timeline(path, line(make_timeline, video=str(tmp_path / "my  film.mp4")), SEGMENTS)
    (media,) = ElementTree.parse(path).getroot().iter("MEDIA_DESCRIPTOR")
    assert media.get("RELATIVE_MEDIA_URL") == "./my  film.mp4"
    assert media.get("MEDIA_URL") == f"file://{tmp_path}/my  film.mp4"
    assert media.get("MIME_TYPE") == "video/mp4"


def test_labels_that_overlap_have_a_tier_each(make_timeline: Make, tmp_path: Path) -> None:
    found = [Segment(0, 3, "a", 0.5, 0.5), Segment(1, 2, "b", 0.5, 0.5), Segment(4, 5, "a", 1, 1)]
    path = tmp_path / "several.eaf"
    write_timeline(path, line(make_timeline, multilabel=True), found)
    assert [(s.start, s.end) for s in read_spans(path, tier="a").spans] == [(0, 3), (4, 5)]
    assert [(s.start, s.end) for s in read_spans(path, tier="b").spans] == [(1, 2)]


def test_json_has_what_every_window_says(make_timeline: Make) -> None:
    given_ = line(make_timeline, labels=("[ 1,\n 2 ]", "b"))
    said = json.loads(timeline_text(given_, SEGMENTS[:1], "json"))
    assert said["labels"] == ["[ 1,\n 2 ]", "b"]
    assert said["segments"] == [
        {"start": 0.0, "end": 1.25, "label": "a", "probability": 0.8, "peak": 0.9}
    ]
    assert said["windows"]["starts"] == [0, 1, 2]
    assert said["windows"]["probabilities"] == [[0.5, 0.5]] * 3
    assert said["plan"] == {"length": 2, "stride": 1, "grid": 4}


@pytest.mark.parametrize("form", FORMS)
def test_nothing_found_is_a_file_too(make_timeline: Make, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"empty.{form}"
    write_timeline(path, line(make_timeline), [])
    assert path.read_text(encoding="utf-8") or form == "srt"
    if form in ("csv", "eaf"):
        assert read_spans(path).spans == []


def test_what_cannot_be_written_is_said(make_timeline: Make, tmp_path: Path) -> None:
    given_ = line(make_timeline)
    with pytest.raises(UsageError, match=r"spans.docx must end in one of .csv, .json"):
        write_timeline(tmp_path / "spans.docx", given_, SEGMENTS)
    with pytest.raises(UsageError, match="'vtt'"):
        timeline_text(given_, SEGMENTS, "vttt")  # type: ignore[arg-type]
    with pytest.raises(FrameFlowError, match=r"no such/spans.csv cannot be written: No such file"):
        write_timeline(tmp_path / "no such" / "spans.csv", given_, SEGMENTS)
    assert not list(tmp_path.iterdir()), "and nothing is left behind"


def test_a_browser_shows_the_subtitles(
    make_timeline: Make, browser: Any, film: Callable[..., Path], tmp_path: Path
) -> None:
    """Chromium's own player reads the cues, and shows the one of the moment."""
    video = film(tmp_path / "film.mp4", scene=1, seed=1)
    found = [Segment(0, 0.5, "first", 0.8, 0.9), *SEGMENTS[1:], Segment(0.5, 1, STRANGE, 0.5, 0.6)]
    bodies = {
        "/": ("text/html", b"<!doctype html><video src=v.mp4 muted><track default src=s.vtt>"),
        "/v.mp4": ("video/mp4", video.read_bytes()),
        "/s.vtt": ("text/vtt", timeline_text(line(make_timeline), found, "vtt").encode()),
    }

    def answer(route: Any) -> None:
        kind, body = bodies[route.request.url.removeprefix("http://films.test")]
        route.fulfill(status=200, content_type=kind, body=body)

    page = browser.new_page()
    page.route("http://films.test/**", answer)
    page.goto("http://films.test/")
    page.wait_for_function("document.querySelector('track').readyState == 2")
    cues = page.evaluate(
        "[...document.querySelector('track').track.cues]"
        ".map(cue => [cue.startTime, cue.endTime, cue.getCueAsHTML().textContent])"
    )
    page.close()
    assert cues == [
        [0, 0.5, "first 80 %"],
        [0.5, 1, f"{STRANGE} 50 %"],
        [1.25, 3, f"{STRANGE} 51 %"],
        [3600.5, 7261, "two lines 100 %"],
    ]
