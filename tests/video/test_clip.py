"""Clips as extraction and prediction read them, from files the tests write."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from frameflow.config import Sampling
from frameflow.data.manifest import Region
from frameflow.errors import UsageError, VideoError
from frameflow.video import clip as clip_module
from frameflow.video.clip import Clip, ClipRequest, read_clips
from frameflow.video.probe import VideoInfo, probe
from frameflow.video.write import write_video

FRAMES, RATE = 50, 25.0
UNIFORM = Sampling(frames=4)


def _numbered(count: int, height: int = 40, width: int = 80) -> np.ndarray:
    """Frame i is of brightness 20 + 4 i; red marks its left half, blue its right one."""
    frames = np.empty((count, height, width, 3), np.uint8)
    frames[:] = (20 + 4 * np.arange(count))[:, None, None, None]
    frames[:, :, : width // 2, 2] = 0
    frames[:, :, width // 2 :, 0] = 0
    return frames


def _numbers(frames: np.ndarray) -> list[int]:
    """Which frames of the video these are, from the green of their middle; black is -5."""
    green = frames[:, frames.shape[1] // 2 - 2 : frames.shape[1] // 2 + 2, 4:-4, 1]
    return np.round((green.reshape(len(frames), -1).mean(axis=1) - 20) / 4).astype(int).tolist()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "numbered.mp4"
    write_video(path, _numbered(FRAMES), rate=RATE, quality=4)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images whose names sort differently as text: frame-8 ... frame-27."""
    path = tmp_path_factory.mktemp("frames")
    for i, frame in enumerate(_numbered(20)):
        Image.fromarray(frame).save(path / f"frame-{i + 8}.png")
    return path


def _assert_true(clip: Clip) -> None:
    """The pixels are of the frames the clip names, and padded ones are black."""
    shown = np.where(clip.mask, clip.indices, -5)
    assert _numbers(clip.frames) == shown.tolist()


@pytest.mark.parametrize("fit", ["crop", "letterbox", "squash", "crops"])
@pytest.mark.parametrize("strategy", ["uniform", "segments", "dense", "first"])
@pytest.mark.parametrize("views", [1, 3])
def test_each_clip_shows_the_frames_it_names(
    video: Path, fit: str, strategy: str, views: int
) -> None:
    sampling = Sampling(strategy=strategy, frames=5, stride=3)
    request = ClipRequest(sampling, size=32, fit=fit, views=views, gaps=(1, 4))
    clips = read_clips(video, request)
    assert len(clips) == request.total_views == views * (3 if fit == "crops" else 1)
    for clip in clips:
        assert clip.frames.shape == (5, 32, 32, 3)
        assert clip.frames.dtype == np.uint8
        _assert_true(clip)
        assert np.allclose(clip.seconds, clip.indices / RATE)
        for gap in (1, 4):
            before, later = clip.pair(gap)
            assert before.shape == later.shape == clip.frames.shape
            assert np.array_equal(np.subtract(_numbers(later), _numbers(before)), [gap] * 5)


def test_views_come_before_crops(video: Path) -> None:
    clips = read_clips(video, ClipRequest(UNIFORM, size=32, fit="crops", crops=2, views=2))
    assert clips[0].indices.tolist() == clips[1].indices.tolist()
    assert clips[1].indices.tolist() != clips[2].indices.tolist()
    left, right = clips[0].frames[-1], clips[1].frames[-1]
    assert left[..., 0].mean() > 100 > 30 > left[..., 2].mean()
    assert right[..., 2].mean() > 100 > 30 > right[..., 0].mean()


def test_all_of_a_request_is_one_pass(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = _count_passes(monkeypatch)
    read_clips(video, ClipRequest(UNIFORM, size=32, fit="crops", views=4, gaps=(1, 2, 8)))
    assert len(passes) == 1
    assert (np.diff(passes[0]) > 0).all()  # no frame twice


def test_a_video_that_was_probed_is_not_probed_again(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, request = probe(video), ClipRequest(UNIFORM, size=32)
    expected = read_clips(video, request)[0]
    monkeypatch.delattr(clip_module, "probe")
    assert (read_clips(video, request, info=info)[0].frames == expected.frames).all()


def _count_passes(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    passes: list[np.ndarray] = []
    stream: Callable[..., Iterator] = clip_module.stream_frames

    def counting(path: Path, indices: np.ndarray, *options: object) -> Iterator:
        passes.append(indices)
        return stream(path, indices, *options)

    monkeypatch.setattr(clip_module, "stream_frames", counting)
    return passes


def test_at_the_end_a_pair_is_shifted_back_and_keeps_its_gap(video: Path) -> None:
    sampling = Sampling(strategy="first", frames=3, stride=24)  # frames 0, 24, 48
    (clip,) = read_clips(video, ClipRequest(sampling, size=32, gaps=(5,)))
    assert _numbers(clip.frames) == [0, 24, 48]
    assert _numbers(clip.pair(5)[1]) == [5, 29, 49]
    assert _numbers(clip.pair(5)[0]) == [0, 24, 44]


def test_a_stack_is_three_frames_in_a_row(video: Path) -> None:
    sampling = Sampling(strategy="first", frames=3, stride=22)  # frames 0, 22, 44
    (clip,) = read_clips(video, ClipRequest(sampling, size=32, stacks=(4,), gaps=(1, 4)))
    assert [_numbers(frames) for frames in clip.stack(4)] == [[0, 22, 41], [4, 26, 45], [8, 30, 49]]
    assert [_numbers(frames) for frames in clip.pair(4)] == [[0, 22, 44], [4, 26, 48]]
    with pytest.raises(UsageError, match=r"gap \(1\) must be one of the requested \[4\]"):
        clip.stack(1)


@pytest.mark.parametrize("strategy", ["uniform", "first"])
def test_packed_clips_come_back_as_they_were(video: Path, strategy: str) -> None:
    sampling = Sampling(strategy=strategy, frames=4, stride=20)  # the fourth frame is padded
    request = ClipRequest(sampling, size=(24, 16), gaps=(2, 3), stacks=(2,))
    (clip,) = read_clips(video, request)
    packed = clip.pack()
    assert packed.shape == (request.images, 16, 24, 3) == (4 * (1 + 2 + 2 + 3), 16, 24, 3)
    again = clip.unpack(packed)
    stored = Clip.from_packed(
        packed, request.runs, mask=clip.mask, indices=clip.indices, seconds=clip.seconds
    )
    for other in (again, stored):
        assert (other.frames == clip.frames).all()
        for gap in (2, 3):
            assert np.array_equal(other.pair(gap), clip.pair(gap))
        assert np.array_equal(other.stack(2), clip.stack(2))
        assert other.indices is clip.indices
        assert other.mask is clip.mask


def test_changed_pixels_unpack_in_another_size_and_padded_ones_stay_black(video: Path) -> None:
    sampling = Sampling(strategy="first", frames=4, stride=20)
    (clip,) = read_clips(video, ClipRequest(sampling, size=32, gaps=(2,)))
    changed = clip.unpack(255 - clip.pack()[:, ::2, ::4])
    assert changed.frames.shape == (4, 16, 8, 3)
    assert (changed.frames[:3] == 255 - clip.frames[:3, ::2, ::4]).all()
    for frames in (changed.frames, *changed.pair(2)):
        assert (frames[3] == 0).all()
    with pytest.raises(UsageError, match=r"shape \(12, height, width, 3\), not uint8 \(11,"):
        clip.unpack(clip.pack()[1:])


def test_a_slower_clip_has_the_middle_of_the_other(video: Path) -> None:
    sampling = Sampling(strategy="dense", frames=5, stride=4)
    middles = []
    for pace in (1, 2, 3):
        (clip,) = read_clips(video, ClipRequest(sampling, size=32, pace=pace))
        _assert_true(clip)
        assert np.ptp(clip.indices) == 16 * pace or clip.indices[-1] == FRAMES - 1
        middles.append(clip.indices[2])
    assert np.ptp(middles) <= 1


def test_pairs_of_a_span_stay_in_the_span(video: Path) -> None:
    request = ClipRequest(Sampling(frames=2), size=32, gaps=(6,))
    (clip,) = read_clips(video, request, start=0.4, end=0.8)  # frames 10 to 19
    assert _numbers(clip.frames) == [12, 17]
    assert _numbers(clip.pair(6)[0]) == [12, 13]
    assert _numbers(clip.pair(6)[1]) == [18, 19]


def test_a_gap_longer_than_the_span_takes_what_there_is(video: Path) -> None:
    (clip,) = read_clips(video, ClipRequest(UNIFORM, size=32, gaps=(9,)), start=1.0, end=1.04)
    assert _numbers(clip.frames) == [25] * 4
    assert (clip.pair(9)[0] == clip.pair(9)[1]).all()


def test_padded_frames_are_black_everywhere(video: Path) -> None:
    sampling = Sampling(strategy="first", frames=4, stride=20)
    (clip,) = read_clips(video, ClipRequest(sampling, size=32, gaps=(1,)))
    assert clip.mask.tolist() == [True, True, True, False]
    for frames in (clip.frames, *clip.pair(1)):
        assert (frames[3] == 0).all()
        assert (frames[2] > 0).any()


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [(None, None, 0, 49), (1.0, None, 25, 49), (0.2, 0.6, 5, 14), (1.9, 99.0, 48, 49)],
)
def test_a_span_restricts_the_clip(
    video: Path, start: float | None, end: float | None, first: int, last: int
) -> None:
    request = ClipRequest(Sampling(frames=60), size=16)
    (clip,) = read_clips(video, request, start=start, end=end)
    assert set(_numbers(clip.frames)) == set(range(first, last + 1))


def test_spans_follow_the_times_of_a_video_with_a_varying_rate(tmp_path: Path) -> None:
    path = tmp_path / "varying.mkv"
    stamps = [*range(0, 1000, 100), *range(1000, 6000, 500)]  # ten a second, then two
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 80, 40, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for stamp, pixels in zip(stamps, _numbered(len(stamps)), strict=True):
            frame = av.VideoFrame.from_ndarray(pixels)
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert probe(path).variable_rate
    request = ClipRequest(Sampling(frames=20), size=32)
    (clip,) = read_clips(path, request, start=0.5, end=2.5)
    assert sorted(set(_numbers(clip.frames))) == list(range(5, 13))
    assert np.allclose(clip.seconds, np.array(stamps)[clip.indices] / 1000, atol=0.002)


@pytest.mark.parametrize("frame", ["20", 20])
def test_a_clip_can_end_at_a_frame_of_a_file(video: Path, frame: str | int) -> None:
    request = ClipRequest(Sampling(frames=3, stride=2), size=32, gaps=(3,), views=2)
    one, two = read_clips(video, request, frame=frame)
    assert _numbers(one.frames) == _numbers(two.frames) == [16, 18, 20]
    assert _numbers(one.pair(3)[1]) == [19, 20, 20]  # nothing after the frame is looked at
    assert _numbers(one.pair(3)[0]) == [16, 17, 17]


@pytest.mark.parametrize(
    ("frame", "ends"),
    [
        ("frame-12.png", 4),  # the name
        ("frame-12", 4),  # without its ending
        ("some/where/frame-12.png", 4),  # with a folder before it
        ("12", 12),  # no such name: the index
        ("frame-8.png", 0),  # the first in natural order, though the last as text
    ],
)
def test_a_clip_can_end_at_an_image_of_a_frame_folder(folder: Path, frame: str, ends: int) -> None:
    (clip,) = read_clips(folder, ClipRequest(UNIFORM, size=32), frame=frame)
    assert clip.indices[-1] == ends
    assert clip.mask.sum() == min(4, ends + 1)
    _assert_true(clip)


def test_a_number_is_a_name_where_images_are_named_so(tmp_path: Path) -> None:
    for i, frame in enumerate(_numbered(12)):
        Image.fromarray(frame).save(tmp_path / f"{i + 1}.png")
    (clip,) = read_clips(tmp_path, ClipRequest(UNIFORM, size=32), frame="10")
    assert clip.indices[-1] == 9


def test_only_the_region_is_shown(video: Path) -> None:
    request = ClipRequest(UNIFORM, size=24, fit="squash")
    (left,) = read_clips(video, request, region=Region(0.0, 0.0, 0.5, 1.0))
    (right,) = read_clips(video, request, region=Region(0.6, 0.2, 0.1, 0.1))
    for clip, kept, gone in ((left, 0, 2), (right, 2, 0)):
        assert clip.frames.shape == (4, 24, 24, 3)
        assert clip.frames[-1, :, :20, gone].max() < 40
        assert clip.frames[-1, :, :, kept].mean() > 150
        assert np.abs(np.array(_numbers(clip.frames)) - clip.indices).max() <= 1


def test_training_is_random_and_seedable(video: Path) -> None:
    request = ClipRequest(Sampling(strategy="segments", frames=6), size=16)

    def drawn(seed: int) -> list[int]:
        (clip,) = read_clips(video, request, rng=np.random.default_rng(seed))
        _assert_true(clip)
        return clip.indices.tolist()

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(6)}) > 3


@pytest.mark.parametrize("strategy", ["uniform", "segments", "dense", "first"])
def test_a_video_of_one_frame_is_a_clip(tmp_path: Path, strategy: str) -> None:
    write_video(tmp_path / "one.mp4", _numbered(1))
    request = ClipRequest(Sampling(strategy=strategy, frames=3), size=32, views=2, gaps=(2,))
    for clip in read_clips(tmp_path / "one.mp4", request):
        assert clip.indices.tolist() == [0, 0, 0]
        assert clip.mask.tolist() == [True, strategy != "first", strategy != "first"]
        _assert_true(clip)


def test_fewer_frames_than_the_metadata_promises_are_counted_and_chosen_again(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool | None] = []

    def lying(path: Path, *, count: bool | None = None) -> VideoInfo:
        asked.append(count)
        true = probe(path, count=count)
        if count:
            return true
        fields = {name: getattr(true, name) for name in VideoInfo.__dataclass_fields__}
        return VideoInfo(**{**fields, "frames": 90, "counted": False})

    monkeypatch.setattr(clip_module, "probe", lying)
    rng = np.random.default_rng(5)
    request = ClipRequest(Sampling(strategy="segments", frames=5), size=32)
    (clip,) = read_clips(video, request, rng=rng)
    assert asked == [None, True]
    monkeypatch.undo()
    (expected,) = read_clips(video, request, rng=np.random.default_rng(5))
    assert clip.indices.tolist() == expected.indices.tolist()  # as if it had been told the truth
    _assert_true(clip)


def test_a_broken_frame_in_the_middle_is_no_end(tmp_path: Path, video: Path) -> None:
    data = bytearray(video.read_bytes())
    media = data.index(b"mdat") + 8
    middle = media + (len(data) - media) // 3
    data[middle : middle + 60] = bytes(60)
    path = tmp_path / "broken.mp4"
    path.write_bytes(data)
    (clip,) = read_clips(path, ClipRequest(Sampling(frames=50), size=32))
    assert clip.frames.shape == (50, 32, 32, 3)
    assert _numbers(clip.frames)[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 2.5}, "has no such span: start (2.5) must be >= 0 and < 2"),
        ({"start": 1.0, "end": 1.0}, "has no such span: end (1.0) must be > start (1)"),
        ({"frame": "50"}, "has no frame 50: it must be from 0 to 49"),
        ({"frame": "-1"}, "has no frame -1: it must be from 0 to 49"),
        ({"frame": "a.png"}, "has no frame 'a.png': give an index"),
    ],
)
def test_what_a_video_does_not_have_is_a_bad_sample(
    video: Path, options: dict, message: str
) -> None:
    with pytest.raises(VideoError) as error:
        read_clips(video, ClipRequest(UNIFORM, size=16), **options)
    assert str(error.value) == f"{video}: {message}" or message in str(error.value)


def test_an_unreadable_video_says_why(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VideoError, match=r"text\.mp4: "):
        read_clips(tmp_path / "text.mp4", ClipRequest(UNIFORM, size=16))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size (0) must be > 0"),
        ({"views": 0}, "views (0) must be > 0"),
        ({"crops": -1}, "crops (-1) must be > 0"),
        ({"gaps": (1, 0)}, "gaps (0) must be > 0"),
        ({"stacks": (-2,)}, "stacks (-2) must be > 0"),
        ({"follow": 0.0}, "follow (0.0) must be > 0 and <= 1"),
        ({"follow": 1.1}, "follow (1.1) must be > 0 and <= 1"),
        ({"pace": 0}, "pace (0) must be > 0"),
        ({"pace": 2}, "pace (2) needs strategy dense or first, not uniform"),
        ({"fit": "zoom"}, "fit ('zoom') must be one of crop, letterbox, squash, crops"),
        ({"interpolation": "cubic"}, "interpolation ('cubic') must be one of bilinear"),
    ],
)
def test_a_wrong_request_is_refused_when_it_is_made(options: dict, message: str) -> None:
    with pytest.raises(UsageError) as error:
        ClipRequest(**options)
    assert message in str(error.value)


def test_a_gap_that_was_not_requested_is_refused(video: Path) -> None:
    (clip,) = read_clips(video, ClipRequest(UNIFORM, size=16, gaps=(2,)))
    with pytest.raises(UsageError, match=r"gap \(1\) must be one of the requested \[2\]"):
        clip.pair(1)


def test_interpolation_reaches_the_decoder(video: Path) -> None:
    shapes = [
        read_clips(video, ClipRequest(UNIFORM, size=17, interpolation=how))[0].frames
        for how in ("bilinear", "bicubic", "area")
    ]
    assert not np.array_equal(shapes[0], shapes[1])
    assert not np.array_equal(shapes[0], shapes[2])


@pytest.mark.parametrize("fit", ["crop", "letterbox", "crops"])
def test_real_clips_of_every_container(real_data: Path, fit: str) -> None:
    files = sorted((real_data / "clips").glob("*.*"))
    assert files
    request = ClipRequest(Sampling(frames=4), size=96, fit=fit, crops=2, gaps=(1,))
    for file in files:
        clips = read_clips(file, request)
        assert len(clips) == request.total_views
        for clip in clips:
            assert clip.frames.shape == clip.pair(1)[1].shape == (4, 96, 96, 3)
            assert clip.frames.std() > 5


def test_a_real_frame_folder_ends_at_a_labelled_image(real_data: Path) -> None:
    folder = sorted(path for path in (real_data / "seals").iterdir() if path.is_dir())[0]
    request = ClipRequest(Sampling(frames=4), size=96)
    (clip,) = read_clips(folder, request, frame=f"{folder.name}-00003.jpeg")
    assert clip.indices.tolist() == [0, 0, 1, 2]
    assert clip.mask.tolist() == [False, True, True, True]
    with Image.open(folder / f"{folder.name}-00003.jpeg") as image:
        assert abs(float(np.asarray(image).mean()) - clip.frames[-1].mean()) < 12
