"""What is said around every frame: rows, windows, rolling means."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frameflow.errors import UsageError, VideoError
from frameflow.inference.per_frame import FrameLabels, FrameRow, PerFrameCsv, iter_frame_rows
from frameflow.inference.predictor import Predictor, load
from frameflow.models.recognizer import Recognizer
from frameflow.video.decode import iter_frames
from frameflow.video.probe import frame_times, probe
from frameflow.video.write import write_video

RATE = 25.0
LABELS = ["läuft, schnell", "sitzt", "winkt"]
Blobs = Callable[..., np.ndarray]


def settled(run: Path, **extra: object) -> Predictor:
    recognizer = Recognizer.load(run)
    recognizer.save(run, extra=recognizer.extra | extra)
    return load(run, engine="torch")


@pytest.fixture
def around(run: Path) -> Predictor:
    """Of a run whose clips were 0.48 s long: 4 frames of a window of 12."""
    return settled(run, clip_seconds=0.48)


@pytest.fixture
def ending(run: Path, settle: Callable[..., None]) -> Predictor:
    """Of a run that learnt from the frames up to a labelled one."""
    settle(run, scale=2.0, quantile=0.7, threshold=0.5)
    return settled(run, clip_ends_at_frame=True)


def shares(rows: Iterator[FrameRow]) -> np.ndarray:
    return np.stack([row.probabilities for row in rows])


def test_labelled_frames_are_asked_as_in_training(
    ending: Predictor, tmp_path: Path, blobs: Blobs
) -> None:
    video = tmp_path / "film.mp4"
    write_video(video, blobs(3, frames=30), rate=RATE)
    rows = list(iter_frame_rows(ending, video))
    assert [row.index for row in rows] == list(range(30))
    assert [row.frame for row in rows] == [str(index) for index in range(30)]
    np.testing.assert_allclose([row.seconds for row in rows], np.arange(30) / RATE, atol=1e-6)
    for index in (0, 1, 5, 13, 29):
        read = ending.encoder.read(video, frame=str(index))
        expected = ending.from_clips("x", read).probabilities
        np.testing.assert_allclose(rows[index].probabilities, expected, atol=1e-5)


def test_labelled_frames_of_a_video_whose_rate_varies(
    ending: Predictor, tmp_path: Path, blobs: Blobs
) -> None:
    import av

    video = tmp_path / "varied.mkv"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mjpeg", rate=100)
        stream.width, stream.height, stream.pix_fmt = 60, 48, "yuvj420p"
        for number, picture in enumerate(blobs(5, frames=9)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number * number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert probe(video).variable_rate
    rows = list(iter_frame_rows(ending, video))
    assert len(rows) == 9
    np.testing.assert_allclose([r.seconds for r in rows], frame_times(video))
    expected = ending.from_clips("x", ending.encoder.read(video, frame="6")).probabilities
    np.testing.assert_allclose(rows[6].probabilities, expected, atol=1e-5)


def test_a_window_lies_around_its_frame(around: Predictor, tmp_path: Path, blobs: Blobs) -> None:
    """Two still scenes: far from the cut a frame is said to be what its scene is."""
    scenes = [blobs(seed, frames=1).repeat(30, axis=0) for seed in (1, 2)]
    films = [*scenes, np.concatenate(scenes)]
    for number, film in enumerate(films):
        write_video(tmp_path / f"{number}.mp4", film, rate=RATE, quality=0)
    first, second = (around.predict(tmp_path / f"{n}.mp4").probabilities for n in (0, 1))
    assert np.abs(first - second).max() > 0.01, "this test must tell the scenes apart"
    found = shares(iter_frame_rows(around, tmp_path / "2.mp4"))
    assert found.shape == (60, len(LABELS))
    np.testing.assert_allclose(found[:23], np.tile(first, (23, 1)), atol=1e-4)
    np.testing.assert_allclose(found[37:], np.tile(second, (23, 1)), atol=1e-4)
    assert np.abs(found[30] - first).max() > 1e-4
    assert np.abs(found[30] - second).max() > 1e-4, "a window around the cut sees both"


def test_a_window_longer_than_the_video_is_the_video(around: Predictor, clips: list[Path]) -> None:
    found = shares(iter_frame_rows(around, clips[0], window=60))
    assert len(found) == 12
    assert (found == found[0]).all()


@pytest.mark.parametrize("views", [1, 3])
def test_views_are_averaged(run: Path, clips: list[Path], views: int) -> None:
    settled(run, clip_seconds=0.3)
    found = shares(iter_frame_rows(load(run, engine="torch", views=views), clips[0]))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


@settings(
    deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rolling=st.integers(1, 20))
def test_a_rolling_mean_is_that_of_the_last_frames(
    around: Predictor, clips: list[Path], rolling: int
) -> None:
    plain = shares(iter_frame_rows(around, clips[1]))
    found = shares(iter_frame_rows(around, clips[1], rolling=rolling))
    for index, row in enumerate(found):
        expected = plain[max(0, index + 1 - rolling) : index + 1].mean(axis=0)
        np.testing.assert_allclose(row, expected, atol=1e-6)


def test_numbers_and_lengths_that_are_none(
    around: Predictor, run: Path, clips: list[Path], blobs: Blobs
) -> None:
    with pytest.raises(UsageError, match=r"rolling \(0\) must be > 0"):
        iter_frame_rows(around, clips[0], rolling=0)
    with pytest.raises(UsageError, match="must be > 0 and finite"):
        iter_frame_rows(around, clips[0], window=-1)
    for path in clips:
        path.unlink()
    settled(run, clip_seconds=None)
    (run.parent / "film.mp4").write_bytes(b"")
    write_video(run.parent / "film.mp4", blobs(1), rate=RATE)
    with pytest.raises(UsageError, match="say --window SECONDS"):
        iter_frame_rows(load(run, engine="torch"), run.parent / "film.mp4")


@pytest.mark.parametrize("kind", ["around", "ending"])
def test_a_video_that_is_cut_off_has_the_rows_it_can(
    kind: str, tmp_path: Path, blobs: Blobs, request: pytest.FixtureRequest
) -> None:
    whole = tmp_path / "whole.mkv"
    write_video(whole, np.concatenate([blobs(n) for n in range(8)]), rate=RATE)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    rows = list(iter_frame_rows(request.getfixturevalue(kind), cut))
    assert len(rows) == sum(1 for _ in iter_frames(cut)) < 96
    assert [row.index for row in rows] == list(range(len(rows)))


def test_what_is_no_video(around: Predictor, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(VideoError):
        list(iter_frame_rows(around, tmp_path / "a.mp4"))


# The table


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_of_several_videos(ending: Predictor, clips: list[Path], tmp_path: Path) -> None:
    with PerFrameCsv(tmp_path / "frames.csv", ending) as table:
        for path in clips[:2]:
            for said in iter_frame_rows(ending, path):
                table.write(str(path), said)
                assert len(rows_of(tmp_path / "frames.csv")) == table.rows
    rows = rows_of(tmp_path / "frames.csv")
    assert list(rows[0]) == [*LABELS, "prediction", "video", "frame", "seconds", "abstained"]
    assert [row["frame"] for row in rows] == [str(n) for n in range(12)] * 2
    assert [row["video"] for row in rows] == [str(clips[n // 12]) for n in range(24)]
    for row in rows:
        found = [float(row[label]) for label in LABELS]
        assert sum(found) == pytest.approx(1, abs=1e-5)
        assert row["prediction"] == LABELS[int(np.argmax(found))]
        assert (row["abstained"] == "yes") == (max(found) < 0.5)
    assert rows[1]["seconds"] == "0.040"


def test_a_class_named_like_a_column(around: Predictor, tmp_path: Path) -> None:
    around.labels = ("frame", "seconds", "winkt")
    with PerFrameCsv(tmp_path / "frames.csv", around) as table:
        table.write("a.mp4", FrameRow(0, "0", 0.0, np.array([0.5, 0.3, 0.2], np.float32)))
    (row,) = rows_of(tmp_path / "frames.csv")
    assert (row["p:frame"], row["p:seconds"], row["winkt"]) == ("0.5", "0.3", "0.2")
    assert (row["frame"], row["prediction"]) == ("0", "frame")


def test_frames_of_a_folder_have_their_names(
    ending: Predictor, tmp_path: Path, blobs: Blobs
) -> None:
    from frameflow.video.write import save_image

    folder = tmp_path / "seal"
    folder.mkdir()
    for number, picture in enumerate(blobs(4, frames=6)):
        save_image(folder / f"img_{10 * number:04d}.png", picture)
    rows = list(iter_frame_rows(ending, folder))
    assert [row.frame for row in rows] == [f"img_{10 * n:04d}.png" for n in range(6)]
    read = ending.encoder.read(folder, frame="img_0030.png")
    expected = ending.from_clips("x", read).probabilities
    np.testing.assert_allclose(rows[3].probabilities, expected, atol=1e-5)


def test_what_is_kept_for_drawing(around: Predictor) -> None:
    rows = [FrameRow(n, str(n), n / 10, np.eye(3, dtype=np.float32)[n % 3]) for n in range(5)]
    with FrameLabels(around, "a.mp4", topk=2) as kept:
        with pytest.raises(VideoError, match="no frame of it"):
            kept.at(0)
        for row in rows:
            kept.add(row)
        assert [kept.at(n).label for n in (3, 1, 4, 9)] == [LABELS[n] for n in (0, 1, 1, 1)]
        assert kept.at(2) is not kept.at(2)
        assert replace(kept.at(2)).topk[0] == (LABELS[2], 1.0)
