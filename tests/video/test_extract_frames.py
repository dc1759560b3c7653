"""Extracted frames are the video's own, and a run that was ended goes on."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import FrameFlowError, UsageError
from frameflow.video import extract_frames as module
from frameflow.video.decode import read_frames, read_frames_at
from frameflow.video.extract_frames import Extracted, FrameChoice, extract_frames
from frameflow.video.frame_sources import frame_sources, frames_manifest
from frameflow.video.frame_table import TABLE, read_frame_table
from frameflow.video.probe import probe

Film = Callable[..., Path]


@pytest.fixture
def clips(film: Film, tmp_path: Path) -> Path:
    """Two clips of 12 frames at 12 a second, in class folders."""
    for number, label in enumerate(("jump", "wave")):
        film(tmp_path / "VIDEOS" / label / "a.mp4", scene=number, seed=number)
    return tmp_path / "VIDEOS"


def images(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix in (".jpg", ".png"))


def test_png_frames_are_the_video_s_own(clips: Path, tmp_path: Path) -> None:
    sources = frame_sources(clips, tmp_path / "out")
    done = extract_frames(sources.videos, tmp_path / "out", FrameChoice(format="png"))
    assert done == Extracted(24, ["jump/a", "wave/a"])
    for name, video in sources.videos.items():
        folder, everything = tmp_path / "out" / name, range(12)
        assert np.array_equal(read_frames(folder, everything), read_frames(video, everything))
        assert probe(folder).rate == pytest.approx(probe(video).rate)
        assert probe(folder).duration == pytest.approx(probe(video).duration)


def test_a_span_of_a_folder_is_the_span_of_its_video(clips: Path, tmp_path: Path) -> None:
    sources = frame_sources(clips, tmp_path / "out")
    extract_frames(sources.videos, tmp_path / "out", FrameChoice(every=3, format="png"))
    video, folder = clips / "wave/a.mp4", tmp_path / "out/wave/a"
    assert images(folder) == ["000000.png", "000003.png", "000006.png", "000009.png"]
    assert np.array_equal(read_frames_at(folder, [0.51]), read_frames_at(video, [0.51]))


def test_jpeg_quality_and_size(clips: Path, tmp_path: Path) -> None:
    sizes = []
    for quality in (30, 95):
        choice = FrameChoice(count=2, quality=quality, size=24)
        extract_frames({"a": clips / "jump/a.mp4"}, tmp_path / str(quality), choice)
        folder = tmp_path / str(quality) / "a"
        assert images(folder) == ["000003.jpg", "000009.jpg"]
        assert min(probe(folder).width, probe(folder).height) == 24
        sizes.append(sum((folder / name).stat().st_size for name in images(folder)))
    assert sizes[0] < sizes[1]


@given(
    st.integers(1, 300),
    st.sampled_from([12.5, 25.0, 30000 / 1001]),
    st.one_of(
        st.builds(FrameChoice, every=st.integers(1, 50)),
        st.builds(FrameChoice, per_second=st.floats(0.1, 100)),
        st.builds(FrameChoice, count=st.integers(1, 40)),
    ),
)
def test_a_choice_is_of_frames_that_are_there(
    frames: int, rate: float, choice: FrameChoice
) -> None:
    taken = choice.indices(np.arange(frames) / rate)
    assert len(taken) >= 1
    assert np.all(np.diff(taken) > 0)
    assert 0 <= taken[0] <= taken[-1] < frames
    if choice.every:
        assert taken.tolist() == list(range(0, frames, choice.every))
    if choice.per_second and choice.per_second <= rate / 2:
        gaps = np.diff(taken) / rate - 1 / choice.per_second
        assert np.all(np.abs(gaps) <= 1 / rate + 1e-6), "never a frame off"
    if choice.count:
        assert len(taken) == min(choice.count, frames)


class TestGoingOn:
    def test_what_is_done_is_not_read_again(self, clips: Path, tmp_path: Path, monkeypatch) -> None:
        sources = frame_sources(clips, tmp_path / "out")
        extract_frames(sources.videos, tmp_path / "out")
        monkeypatch.setattr(module, "probe", lambda path: pytest.fail(f"read {path}"))
        again = extract_frames(sources.videos, tmp_path / "out")
        assert again == Extracted(0, ["jump/a", "wave/a"], found=2)

    def test_an_ended_video_goes_on_after_its_images(self, clips: Path, tmp_path: Path) -> None:
        """As a run leaves it that was killed between two images."""
        videos, folder = {"a": clips / "jump/a.mp4"}, tmp_path / "out" / "a"
        extract_frames(videos, tmp_path / "out")
        whole = {name: (folder / name).read_bytes() for name in images(folder)}
        kept = (folder / "000002.jpg").stat().st_mtime_ns
        (folder / TABLE).unlink()
        for name in images(folder)[5:]:
            (folder / name).unlink()
        (folder / ".000005.jpg.partial").write_bytes(whole["000005.jpg"][:40])
        assert extract_frames(videos, tmp_path / "out").images == 7
        assert {name: (folder / name).read_bytes() for name in images(folder)} == whole
        assert (folder / "000002.jpg").stat().st_mtime_ns == kept
        assert not list(folder.glob(".*")), "nothing half written stays"
        assert len(read_frame_table(folder) or ()) == 12

    def test_a_kill_while_writing_leaves_whole_images(
        self, clips: Path, tmp_path: Path, monkeypatch
    ) -> None:
        real, written = Path.replace, []

        def dies(self: Path, target: Path) -> Path:
            if len(written) == 4:
                raise KeyboardInterrupt
            written.append(target)
            return real(self, target)

        monkeypatch.setattr(Path, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            extract_frames({"a": clips / "jump/a.mp4"}, tmp_path / "out")
        monkeypatch.undo()
        assert not (tmp_path / "out/a" / TABLE).exists()
        assert read_frames(tmp_path / "out/a", range(len(images(tmp_path / "out/a")))).any()
        extract_frames({"a": clips / "jump/a.mp4"}, tmp_path / "out")
        assert len(images(tmp_path / "out/a")) == 12

    def test_a_lost_image_is_written_again(self, clips: Path, tmp_path: Path) -> None:
        videos = {"a": clips / "jump/a.mp4"}
        extract_frames(videos, tmp_path / "out")
        (tmp_path / "out/a/000004.jpg").unlink()
        assert extract_frames(videos, tmp_path / "out").images == 1

    def test_a_changed_video_is_extracted_anew(
        self, clips: Path, film: Film, tmp_path: Path
    ) -> None:
        videos = {"a": clips / "jump/a.mp4"}
        extract_frames(videos, tmp_path / "out")
        film(clips / "jump/a.mp4", scene=9, seed=9, frames=6)
        later = (tmp_path / "out/a" / TABLE).stat().st_mtime_ns + 10**9
        os.utime(clips / "jump/a.mp4", ns=(later, later))
        assert extract_frames(videos, tmp_path / "out").images == 6
        assert len(images(tmp_path / "out/a")) == 6

    def test_other_options_are_refused(self, clips: Path, tmp_path: Path) -> None:
        videos = {"a": clips / "jump/a.mp4"}
        extract_frames(videos, tmp_path / "out")
        with pytest.raises(UsageError, match=r"other options \(every None, not 2\): give the same"):
            extract_frames(videos, tmp_path / "out", FrameChoice(every=2))


class TestBadInput:
    def test_bad_videos_are_set_aside_with_reasons(self, clips: Path, tmp_path: Path) -> None:
        (clips / "jump/text.mp4").write_text("no video")
        (clips / "jump/empty.mp4").write_bytes(b"")
        done = extract_frames(frame_sources(clips, tmp_path / "out").videos, tmp_path / "out")
        assert done.done == ["jump/a", "wave/a"]
        assert [Path(path).name for path, _ in done.set_aside] == ["empty.mp4", "text.mp4"]
        assert all(reason for _, reason in done.set_aside)

    def test_nothing_that_can_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "a.mp4").write_text("no video")
        with pytest.raises(FrameFlowError, match="None of the 1 videos can be read"):
            extract_frames({"a": tmp_path / "a.mp4"}, tmp_path / "out")

    @pytest.mark.parametrize(
        ("choice", "says"),
        [
            (FrameChoice(every=2, per_second=3), "Give one of every, per_second"),
            (FrameChoice(every=0), r"every \(0\) must be > 0"),
            (FrameChoice(per_second=float("nan")), r"per_second \(nan\)"),
            (FrameChoice(quality=0), r"quality \(0\)"),
            (FrameChoice(size=0), r"size \(0\)"),
            (FrameChoice(format="gif"), "jpeg or png"),
        ],
    )
    def test_choices_that_mean_nothing(
        self, choice: FrameChoice, says: str, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match=says):
            extract_frames({}, tmp_path / "out", choice)

    def test_sources_that_are_none(self, clips: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="lies inside"):
            frame_sources(clips, clips / "frames")
        with pytest.raises(UsageError, match="does not exist"):
            frame_sources(tmp_path / "gone.mp4", tmp_path / "out")
        (tmp_path / "empty").mkdir()
        with pytest.raises(UsageError, match="holds no videos"):
            frame_sources(tmp_path / "empty", tmp_path / "out")


class TestManifests:
    def test_the_manifest_read_is_not_written_over(self, clips: Path) -> None:
        Manifest([Sample("jump/a.mp4", "jump")], clips).write(clips / "manifest.csv")
        with pytest.raises(UsageError, match="would be written over"):
            frame_sources(clips / "manifest.csv", clips / "jump" / "..")

    def test_labels_spans_and_frames_stay(self, clips: Path, tmp_path: Path) -> None:
        samples = [
            Sample("jump/a.mp4", "jump", "train", "g", frame="7", extra={"camera": "2"}),
            Sample("wave/a.mp4", "wave", "test", "h", start=0.25, end=0.75),
            Sample("wave/a.mp4", "wave", "test", "h", frame="99"),
        ]
        Manifest(samples, clips).write(clips / "m.csv")
        sources = frame_sources(clips / "m.csv", tmp_path / "out")
        done = extract_frames(
            sources.videos, tmp_path / "out", FrameChoice(every=5), named=sources.named
        )
        manifest, left_out = frames_manifest(sources, tmp_path / "out", done.done)
        assert manifest is not None
        assert left_out == 1, "frame 99 is after the end"
        assert images(tmp_path / "out/jump/a") == [
            "000000.jpg", "000005.jpg", "000007.jpg", "000010.jpg",
        ]  # fmt: skip
        manifest.write(tmp_path / "out/manifest.csv")
        one, two = Manifest.read(tmp_path / "out/manifest.csv")
        assert (one.video, one.frame, one.split, one.extra) == (
            "jump/a", "000007.jpg", "train", {"camera": "2"},
        )  # fmt: skip
        assert (two.video, two.start, two.end, two.group) == ("wave/a", 0.25, 0.75, "h")

    def test_videos_of_one_name_and_outside_the_root(self, clips: Path, tmp_path: Path) -> None:
        samples = [Sample("jump/a.mp4", "jump"), Sample("jump/a.avi", "jump")]
        Manifest(samples, clips).write(clips / "m.csv")
        assert list(frame_sources(clips / "m.csv", tmp_path).videos) == ["jump/a_mp4", "jump/a_avi"]
        (tmp_path / "deep").mkdir()
        Manifest(samples, clips).write(tmp_path / "deep/m.csv")
        found = frame_sources(tmp_path / "deep/m.csv", tmp_path / "out").videos
        assert list(found) == ["a_mp4", "a_avi"]
