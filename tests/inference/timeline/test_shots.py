"""The moments of a grid, against clips of the same frames."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.config import Sampling
from frameflow.errors import UsageError, VideoError
from frameflow.inference.timeline.shots import Shot, ShotMaker, ShotRequest, iter_shots, shot_bytes
from frameflow.video.clip import ClipRequest, read_clips
from frameflow.video.probe import probe
from frameflow.video.write import save_image, write_video


def film(path: Path, frames: int = 40, *, rate: float = 20) -> Path:
    """A block that wanders: each frame is another one."""
    pixels = np.random.default_rng(0).integers(60, 90, (frames, 48, 64, 3), dtype=np.uint8)
    for index, frame in enumerate(pixels):
        frame[10 + index % 20 :, index:][:12, :12] = 240
    write_video(path, pixels, rate=rate)
    return path


@pytest.fixture(scope="module")
def wandering(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("shots") / "film.mp4")


REQUESTS = {
    "squash": ClipRequest(size=32, fit="squash", interpolation="bicubic"),
    "crop": ClipRequest(size=(40, 24), fit="crop"),
    "letterbox": ClipRequest(size=32, fit="letterbox"),
    "three crops": ClipRequest(size=24, fit="crops", crops=3),
    "enlarged": ClipRequest(size=96),
    "motion": ClipRequest(size=32, gaps=(1, 3), stacks=(2,)),
    "crops in motion": ClipRequest(size=24, fit="crops", crops=2, gaps=(5,)),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_at_the_rate_of_the_video_shots_are_its_frames(wandering: Path, name: str) -> None:
    request = REQUESTS[name]
    shots = list(iter_shots(wandering, ShotRequest((request,), 20)))
    clips = read_clips(wandering, replace(request, sampling=Sampling(frames=40)))
    assert [shot.moment for shot in shots] == list(range(40)) == [shot.index for shot in shots]
    for crop, clip in enumerate(clips):
        images = [clip.frames, *(part for run in clip.runs.values() for part in run)]
        for shot in shots:
            assert shot.images[0].shape[:2] == (len(images), len(clips))
            for row, frames in enumerate(images):
                assert np.array_equal(shot.images[0][row, crop], frames[shot.index])


def test_several_requests_share_one_pass(wandering: Path) -> None:
    wanted = tuple(REQUESTS.values())
    shots = list(iter_shots(wandering, ShotRequest(wanted, 4)))
    for number, request in enumerate(wanted):
        alone = list(iter_shots(wandering, ShotRequest((request,), 4)))
        assert all(np.array_equal(a.images[number], b.images[0]) for a, b in zip(shots, alone))
        assert all(np.array_equal(a.places[number], b.places[0]) for a, b in zip(shots, alone))


@settings(max_examples=20, deadline=None)
@given(grid=st.floats(0.4, 70))
def test_a_moment_shows_the_frame_on_screen_in_its_middle(wandering: Path, grid: float) -> None:
    shots = list(iter_shots(wandering, ShotRequest((ClipRequest(size=8),), grid)))
    assert [shot.moment for shot in shots] == list(range(len(shots)))
    seconds = (np.arange(len(shots)) + 0.5) / grid
    assert np.allclose([shot.seconds for shot in shots], seconds)
    assert [shot.index for shot in shots] == np.floor(seconds * 20 + 0.01).astype(int).tolist()
    assert len(shots) == max(1, np.ceil(2.0 * grid - 0.5 - 0.0005 * grid))


def test_a_span(wandering: Path) -> None:
    request = ShotRequest((ClipRequest(size=8, gaps=(2,)),), 10, start=0.5, end=1.0)
    shots = list(iter_shots(wandering, request))
    assert [shot.moment for shot in shots] == [5, 6, 7, 8, 9]
    assert [shot.index for shot in shots] == [11, 13, 15, 17, 19]
    assert [shot.places[0][-1] for shot in shots] == [13, 15, 17, 19, 21], "beyond the span"


def test_frames_shown_for_unequal_times(tmp_path: Path) -> None:
    import av

    path = tmp_path / "uneven.mkv"
    times = [0, 40, 80, 120, 900, 940, 2000]  # ms
    with av.open(path, "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.bit_rate = 64, 48, 1_000_000
        from fractions import Fraction

        stream.codec_context.time_base = Fraction(1, 1000)
        for place, at in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 30 * place, np.uint8))
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    assert probe(path).variable_rate
    shots = list(iter_shots(path, ShotRequest((ClipRequest(size=16),), 4)))
    expected = [max(n for n, at in enumerate(times) if at <= s.seconds * 1000) for s in shots]
    assert [shot.index for shot in shots] == expected
    assert [round(float(shot.images[0].mean()) / 30) for shot in shots] == expected


def test_frame_folders(tmp_path: Path) -> None:
    for index in range(30):
        save_image(tmp_path / f"{index:04d}.png", np.full((24, 32, 3), 8 * index, np.uint8))
    shots = list(iter_shots(tmp_path, ShotRequest((ClipRequest(size=16, gaps=(1,)),), 5)))
    assert [shot.index for shot in shots] == [2, 7, 12, 17, 22, 27]
    assert [int(shot.images[0][0].mean()) for shot in shots] == [16, 56, 96, 136, 176, 216]
    assert [int(shot.images[0][-1].mean()) for shot in shots] == [24, 64, 104, 144, 184, 224]
    (tmp_path / "0012.png").write_bytes(b"damaged")
    again = list(iter_shots(tmp_path, ShotRequest((ClipRequest(size=16),), 5)))
    assert [int(shot.images[0].mean()) for shot in again] == [16, 56, 88, 136, 176, 216]


def test_one_frame_is_one_shot(tmp_path: Path) -> None:
    path = film(tmp_path / "one.mp4", 1)
    (shot,) = iter_shots(path, ShotRequest((ClipRequest(size=8, gaps=(2,)),), 0.5))
    assert (shot.moment, shot.index) == (0, 0)
    assert shot.places[0].tolist() == [0, 0, 0]


def test_squares_that_follow_need_whole_frames_and_looks(wandering: Path) -> None:
    request = ClipRequest(size=16, fit="follow", gaps=(1,))
    shots = list(iter_shots(wandering, ShotRequest((request,), 5)))
    assert all(shot.images[0].shape[1] == 1 for shot in shots)
    assert shots[0].images[0].shape[2] < shots[0].images[0].shape[3], "whole frames are wide"
    looks = [index for shot in shots for index, _ in shot.looks]
    assert looks == list(range(shots[0].index, looks[-1] + 1)), "every frame, once"
    assert all(shot.looks[-1][0] >= shot.places[0].max() for shot in shots)


def test_shots_travel_between_processes(wandering: Path) -> None:
    request = ShotRequest((REQUESTS["motion"],), 10)
    assert pickle.loads(pickle.dumps(request)) == request
    shot = next(iter_shots(wandering, request))
    again: Shot = pickle.loads(pickle.dumps(shot))
    assert np.array_equal(again.images[0], shot.images[0])
    assert shot.images[0].nbytes == shot_bytes(request)


def test_frames_may_be_pushed_by_hand(wandering: Path) -> None:
    """As a live source does: a moment is told as soon as its frame is known to stay."""
    import av

    request = ShotRequest((ClipRequest(size=16),), 10)
    maker = ShotMaker(request, 64, 48, rate=20)
    found = []
    with av.open(wandering) as container:
        for index, frame in enumerate(container.decode(video=0)):
            found += list(maker.add(index, index / 20, frame))
            found += list(maker.stays((index + 1) / 20))
            assert len(found) == (index + 1) // 2, "no frame later than it must be"
    found += list(maker.finish())
    expected = list(iter_shots(wandering, request))
    assert [shot.index for shot in found] == [shot.index for shot in expected]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"grid": 0}, r"grid \(0\)"),
        ({"grid": float("inf")}, r"grid \(inf\)"),
        ({"grid": 1, "start": -1}, r"start \(-1\)"),
        ({"grid": 1, "start": 3, "end": 3}, r"end \(3\) must be > start \(3\)"),
    ],
)
def test_requests_out_of_range(what: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ShotRequest((), **what)


def test_what_is_no_video(tmp_path: Path, sound: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    request = ShotRequest((ClipRequest(),), 4)
    for path, reason in (
        (text, "not a video"),
        (tmp_path / "gone.mp4", "does not exist"),
        (sound, "no video stream"),
    ):
        with pytest.raises(VideoError, match=reason):
            next(iter_shots(path, request))


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    import av

    path = tmp_path / "sound.mp4"
    with av.open(path, "w") as out:
        stream = out.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp")
        silence.sample_rate = 44100
        out.mux(stream.encode(silence))
        out.mux(stream.encode())
    return path


def test_memory_holds_no_more_than_a_run(wandering: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []
    real: Callable[..., None] = ShotMaker._next_moment

    def counted(self: ShotMaker) -> None:
        held.append(len(self._recent) + len(self._waiting))
        real(self)

    monkeypatch.setattr(ShotMaker, "_next_moment", counted)
    list(iter_shots(wandering, ShotRequest((ClipRequest(size=8, stacks=(3,)),), 20)))
    assert max(held) <= 20, "frames of a run before, those after, and their moments"
