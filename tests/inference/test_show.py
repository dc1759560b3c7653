"""A prediction drawn on its video, shown in a notebook, and where the files go."""

import base64
import io
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from frameflow.errors import FrameFlowError, UsageError, VideoError
from frameflow.inference._targets import Targets, unique_names
from frameflow.inference.per_frame import FrameLabels, FrameRow
from frameflow.inference.predictor import Prediction, load
from frameflow.inference.show import clock, form_of, lines_of, write_shown
from frameflow.video.decode import read_frames
from frameflow.video.probe import frame_times, probe
from frameflow.video.write import write_video

LABELS = ("läuft, schnell", "sitzt", "winkt")


def said(video: Path, *shares: float, **other: object) -> Prediction:
    values = np.array(shares or (0.6, 0.3, 0.1), np.float32)
    order = np.argsort(-values)
    ranked = [(LABELS[i], float(values[i])) for i in order]
    return replace(
        Prediction(str(video), ranked[0][0], ranked[0][1], ranked, values, LABELS),
        **other,  # type: ignore[arg-type]
    )


def film(path: Path, width: int, height: int, *, frames: int = 10, rate: float = 10) -> Path:
    grey = np.full((frames, height, width, 3), 128, np.uint8)
    write_video(path, grey, rate=rate)
    return path


def frames_of(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        found = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            found.append(np.array(image.convert("RGB")))
        return found


def changed(frame: np.ndarray) -> np.ndarray:
    """The rows of a grey picture that are not grey any more."""
    rows: np.ndarray = np.flatnonzero((np.abs(frame.astype(int) - 128) > 30).any(axis=(1, 2)))
    return rows


@pytest.mark.parametrize("size", [(160, 90), (320, 142), (108, 192), (640, 480), (60, 240)])
def test_a_gif_holds_the_labels_at_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    video = film(tmp_path / "a.mp4", *size)
    write_shown(tmp_path / "a.gif", said(video))
    frames = frames_of(tmp_path / "a.gif")
    assert len(frames) == 10
    height, width, _ = frames[0].shape
    assert max(width, height) <= 360
    assert width / height == pytest.approx(size[0] / size[1], rel=0.02)
    rows = changed(frames[0])
    assert len(rows)
    assert rows[0] > height / 2
    assert frames[0].max() > 230, "text is white"


def test_small_videos_are_enlarged_to_hold_text(tmp_path: Path) -> None:
    video = film(tmp_path / "a.mp4", 64, 48)
    for name in ("a.gif", "b.mp4"):
        write_shown(tmp_path / name, said(video))
    assert frames_of(tmp_path / "a.gif")[0].shape == (144, 192, 3)
    assert (probe(tmp_path / "b.mp4").width, probe(tmp_path / "b.mp4").height) == (192, 144)


def test_a_gif_of_a_long_video_has_some_of_its_frames_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = film(tmp_path / "a.mp4", 32, 24, frames=240, rate=2)
    with caplog.at_level(logging.INFO, "frameflow"):
        write_shown(tmp_path / "a.gif", said(video))
    assert len(frames_of(tmp_path / "a.gif")) <= 100
    assert "is long: 100 frames of it, one every 1.2 s" in caplog.text


def test_a_video_keeps_every_frame_and_its_rate(tmp_path: Path) -> None:
    video = film(tmp_path / "a.mp4", 200, 150, frames=30, rate=15)
    write_shown(tmp_path / "b.mp4", said(video))
    info = probe(tmp_path / "b.mp4")
    assert (info.frames, info.rate, info.width, info.height) == (30, 15, 200, 150)
    first, last = read_frames(tmp_path / "b.mp4", [0, 29])
    assert changed(first)[0] > 75
    assert (np.abs(first[-1].astype(int) - last[-1]) > 30).any(), "how far it is"


def test_a_video_whose_rate_varies_keeps_its_pace(tmp_path: Path) -> None:
    import av

    path = tmp_path / "varied.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=100)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuvj420p"
        for number in range(20):
            level = np.full((96, 160, 3), 10 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(level, format="rgb24")
            frame.pts = 4 * number if number < 10 else 40 + 12 * (number - 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    write_shown(tmp_path / "b.mp4", said(path))
    info = probe(tmp_path / "b.mp4")
    source = frame_times(path)
    times = frame_times(tmp_path / "b.mp4")
    for place, time in enumerate(times[:-1]):
        level = read_frames(tmp_path / "b.mp4", [place])[0, 10, 80, 0] / 10
        shown = np.searchsorted(source, time + 1e-3, side="right") - 1
        assert level == pytest.approx(shown, abs=1.6)
    assert info.duration == pytest.approx(probe(path).duration, abs=0.15)


def test_a_contact_sheet_has_the_labels_above_its_frames(tmp_path: Path) -> None:
    video = film(tmp_path / "a.mp4", 320, 240, frames=40)
    for name in ("a.png", "a.jpg"):
        write_shown(tmp_path / name, said(video))
    (sheet,) = frames_of(tmp_path / "a.png")
    assert sheet.shape[1] == 4 * 240 + 3 * 2
    caption = sheet.shape[0] - (3 * 180 + 2 * 2)
    assert caption > 60
    assert sheet[:caption].max() > 230
    assert frames_of(tmp_path / "a.jpg")[0].shape == sheet.shape


def test_labels_of_frames_change_with_them(run: Path, tmp_path: Path) -> None:
    predictor = load(run, engine="torch")
    video = film(tmp_path / "a.mp4", 160, 120, frames=12, rate=6)
    with FrameLabels(predictor, str(video), topk=1) as labels:
        for n in range(12):
            labels.add(FrameRow(n, str(n), n / 6, np.eye(3, dtype=np.float32)[n // 4]))
        for name in ("a.gif", "b.mp4", "c.png"):
            write_shown(tmp_path / name, said(video), frames=labels)
    gif = frames_of(tmp_path / "a.gif")
    assert len(gif) == 12

    def text(frame: np.ndarray) -> np.ndarray:
        return frame[-20:-4, :100] > 200

    assert (text(gif[0]) == text(gif[3])).all()
    assert (text(gif[0]) != text(gif[5])).any()
    assert (text(gif[5]) != text(gif[11])).any()


def test_a_video_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="does not exist"):
        write_shown(tmp_path / "a.gif", said(tmp_path / "gone.mp4"))


def test_it_writes_itself(tmp_path: Path) -> None:
    prediction = said(film(tmp_path / "a.mp4", 64, 48))
    prediction.write(tmp_path / "b.gif")
    assert len(frames_of(tmp_path / "b.gif")) == 10
    with pytest.raises(UsageError, match=r"b\.txt must end in one of \.gif, \.mp4"):
        prediction.write(tmp_path / "b.txt")
    with pytest.raises(FrameFlowError, match="cannot be written"):
        prediction.write(tmp_path / "gone" / "b.gif")


def test_forms_by_ending() -> None:
    names = ["a.GIF", "a.mp4", "a.webm", "a.jpeg", "a.png"]
    assert [form_of(Path(n)) for n in names] == ["gif", "video", "video", "strip", "strip"]


def test_what_is_drawn_says_when_nothing_is_answered() -> None:
    video = Path("a.mp4")
    assert lines_of(said(video)) == (said(video).topk, 1)
    lines, strong = lines_of(said(video, abstained=True))
    assert (lines[0][0], strong) == ("none of these (läuft, schnell)", 0)
    lines, strong = lines_of(said(video, 0.9, 0.1, 0.7, multilabel=True))
    assert ([label for label, _ in lines[:2]], strong) == (["läuft, schnell", "winkt"], 2)
    lines, strong = lines_of(said(video, 0.4, 0.1, 0.2, multilabel=True))
    assert (lines[0], strong) == (("none", None), 0)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0:00"), (59.99, "0:59"), (61, "1:01"), (3600, "1:00:00")]
)
def test_the_time_in_words(seconds: float, words: str) -> None:
    assert clock(seconds) == words


# A notebook


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.seen.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(html: str) -> _Tags:
    tags = _Tags()
    tags.feed(html)
    tags.close()
    assert not tags.open
    return tags


def test_a_notebook_shows_the_clip_and_bars(
    tmp_path: Path, blobs: Callable[..., np.ndarray]
) -> None:
    video = tmp_path / "Rückhand.mp4"
    write_video(video, blobs(1, frames=30, side=160), rate=15)
    html = said(video, set=("läuft, schnell", "sitzt"))._repr_html_()
    tags = parsed(html)
    assert set(tags.seen) == {"div", "span", "img"}
    (data,) = re.findall(r'src="data:image/gif;base64,([^"]+)"', html)
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert getattr(image, "n_frames", 1) > 1
    assert len(html) < 600_000
    for text in ("Rückhand.mp4", "läuft, schnell", "60 %", "set: läuft, schnell, sitzt"):
        assert text in tags.text
    assert "width:30.0%" in html


def test_a_notebook_of_a_strange_name_and_a_video_that_is_gone() -> None:
    strange = '<script>alert("1")</script>'
    prediction = replace(said(Path(f"gone/{strange}.mp4")), topk=[(strange, 0.6), ("b", 0.1)])
    tags = parsed(prediction._repr_html_())
    assert set(tags.seen) == {"div", "span"}
    assert tags.text.count(strange) == 2
    assert "cannot be read any more" in tags.text


# Where the files go


@given(st.lists(st.text(min_size=1, max_size=120), min_size=1, max_size=8))
def test_names_are_safe_and_no_two_alike(names: list[str]) -> None:
    videos = list(dict.fromkeys(Path(f"{n}.mp4") for n in names))
    found = unique_names(videos)
    assert list(found) == videos
    assert len({name.casefold() for name in found.values()}) == len(videos)
    for name in found.values():
        assert name
        assert not re.search(r'[/\\:*?"<>|\x00-\x1f]', name)
        assert not name.startswith((".", " "))
        assert name.casefold() not in ("con", "nul", "com1")
        assert len(name) <= 90


def test_names_say_the_folder_where_they_must() -> None:
    found = unique_names([Path("a/1.mp4"), Path("b/1.mp4"), Path("b/1.avi"), Path("c/2.mp4")])
    assert list(found.values()) == ["a-1", "b-1", "b-1-2", "2"]


def test_one_file_or_a_folder(tmp_path: Path) -> None:
    one, two = [Path("a.mp4")], [Path("a.mp4"), Path("b.mp4")]
    assert Targets("--gif", tmp_path / "x.gif", "gif", one).file(one[0]) == tmp_path / "x.gif"
    folder = Targets("--strip", tmp_path / "new" / "sheets", "strip", two)
    assert folder.file(two[1]) == tmp_path / "new" / "sheets" / "b.png"
    with pytest.raises(UsageError, match=r"x\.gif is one file, and there are 2 videos.*x/"):
        Targets("--gif", tmp_path / "x.gif", "gif", two)
    with pytest.raises(UsageError, match=r"x\.png must end in \.gif, or be a folder"):
        Targets("--gif", tmp_path / "x.png", "gif", one)
    with pytest.raises(UsageError, match="There is no folder"):
        Targets("--gif", tmp_path / "gone" / "x.gif", "gif", one)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is no folder"):
        Targets("--video", tmp_path / "file", "video", two)
