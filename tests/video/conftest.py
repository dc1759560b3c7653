"""Videos for the tests of this folder, made with the ``ffmpeg`` of imageio-ffmpeg.

``video(kind)`` gives the path of one of ``KINDS``; ``any_video`` runs a test on each of them;
``ffmpeg_frames(path)`` is what the ``ffmpeg`` command itself decodes.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

Frames = NDArray[np.uint8]

MOVING = "testsrc2=size=96x64:rate=25:duration=1.2"  # 30 frames, each different
X265 = "-c:v libx265 -preset ultrafast -x265-params log-level=0:keyint=24:pools=1"
LONGER = "testsrc2=size=96x64:rate=25:duration=6"  # 150 frames, many keyframes
X264 = "-c:v libx264 -preset veryfast -threads 1"
UNEVEN = (
    "settb=1/1000,setpts='if(lt(N,10),N,10+(N-10)*3)*40'"  # the frames after the tenth come slower
)

# What follows ``ffmpeg -f lavfi -i``; the ending of the name says the container.
KINDS: dict[str, str] = {
    "mpeg4.avi": f"{MOVING} -c:v mpeg4 -g 12 -q:v 4",
    "mpeg4_bframes.avi": f"{MOVING} -c:v mpeg4 -g 12 -bf 2 -q:v 4",
    "mpeg4_bframes.mp4": f"{MOVING} -c:v mpeg4 -g 12 -bf 2 -q:v 4",
    "xvid_packed.avi": f"{MOVING} -c:v libxvid -g 12 -bf 2 -q:v 4",
    "h264_bframes.mp4": f"{LONGER} {X264} -g 24 -bf 3",
    "h264_open_gop.mkv": f"{LONGER} {X264} -g 20 -bf 3 -x264-params open-gop=1",
    "h264_intra_refresh.mkv": f"{LONGER} {X264} -g 20 -x264-params intra-refresh=1",
    "h264_bframes.avi": f"{MOVING} {X264} -g 12 -bf 3",
    "h264.ts": f"{LONGER} {X264} -g 24 -bf 2",
    "h264_no_bframes.mkv": f"{MOVING} {X264} -bf 0",
    "h264_interlaced.mp4": f"{MOVING} {X264} -bf 2 -x264-params tff=1",
    "h264_sliced.mp4": f"{MOVING} {X264} -bf 2 -x264-params slices=4",
    "h264_fragmented.mp4": f"{MOVING} {X264} -bf 2 -movflags frag_keyframe+empty_moov",
    "faststart.mp4": f"{LONGER} {X264} -bf 2 -movflags +faststart",
    "vp9.webm": f"{MOVING} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 12 -threads 1",
    "vp8.webm": f"{MOVING} -c:v libvpx -deadline realtime -auto-alt-ref 1 -lag-in-frames 12",
    "hevc.mp4": f"{LONGER} {X265}",
    "av1.mp4": f"{MOVING} -c:v libaom-av1 -cpu-used 8 -usage realtime -g 12",
    "mpeg2.mpg": f"{MOVING} -c:v mpeg2video -bf 2 -g 12",
    "mjpeg.avi": f"{MOVING} -c:v mjpeg -q:v 3",
    "lossless.mkv": f"{MOVING} -c:v ffv1 -g 1",
    "wmv.wmv": f"{MOVING} -c:v wmv2",
    "variable_rate.mp4": f"{MOVING} -vf {UNEVEN} -fps_mode vfr {X264} -bf 2",
    "variable_rate.mkv": f"{MOVING} -vf {UNEVEN} -fps_mode vfr {X264} -bf 2",
    "odd_sizes.mkv": "testsrc=size=97x63:rate=25:duration=1.2 -c:v mpeg4 -q:v 4",
    "ten_bit.mp4": f"{MOVING} {X264} -pix_fmt yuv420p10le",
    "full_range.mp4": f"{MOVING} -vf scale=out_range=full {X264} -pix_fmt yuvj420p",
    "bt709.mp4": f"{MOVING} -vf scale=out_color_matrix=bt709 {X264} -colorspace bt709",
    "yuv444.mkv": f"{MOVING} {X264} -pix_fmt yuv444p",
    "rgb.mkv": f"{MOVING} -c:v ffv1 -pix_fmt bgr0",
    "with_audio.mp4": f"{MOVING} -f lavfi -i sine=duration=1.2 {X264} -bf 2 -c:a aac",
    "animated.gif": f"{MOVING}",
    "one_frame.mp4": f"{MOVING} -frames:v 1 {X264}",
    "late_start.mkv": f"{MOVING} {X264} -bf 2 -output_ts_offset 5",
}

# What follows ``ffmpeg -i SOURCE``: one of the above, its metadata changed.
DERIVED: dict[str, tuple[str, str]] = {
    **{
        f"rotated_{degrees}.mp4": ("h264_no_bframes.mkv", f"-display_rotation {degrees} -c copy")
        for degrees in (90, 180, 270)
    },
    "mirrored.mp4": ("h264_no_bframes.mkv", "-display_hflip -c copy"),
    "rotated_mirrored.mp4": ("h264_no_bframes.mkv", "-display_rotation 90 -display_hflip -c copy"),
    "edit_list.mp4": ("h264_bframes.mp4", "-ss 1.3 -c copy"),
    "cut_mid_gop.ts": ("h264.ts", "-c copy -copyinkf -ss 0.5"),
}


def run_ffmpeg(*arguments: str | Path) -> bytes:
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``video(kind)``: the path of a video of that kind, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("videos")

    def make(kind: str) -> Path:
        path = folder / kind
        if path.exists():
            return path
        if kind in KINDS:
            source, *options = KINDS[kind].split(" ")
            run_ffmpeg("-f", "lavfi", "-i", source, *options, path)
        else:
            name, text = DERIVED[kind]
            options = text.split(" ")
            input_options = options[: options.index("-c")] if "-display" in text else []
            rest = options[len(input_options) :]
            if "-ss" in rest:  # cut while copying, so that the container hides what is before
                at = rest.index("-ss")
                input_options, rest = rest[at : at + 2], rest[:at] + rest[at + 2 :]
            run_ffmpeg(*input_options, "-i", make(name), *rest, path)
        return path

    return make


@pytest.fixture(params=[*KINDS, *DERIVED])
def any_video(request: pytest.FixtureRequest, video: Callable[[str], Path]) -> Path:
    """The path of a video, for each kind."""
    return video(request.param)


@pytest.fixture(scope="session")
def ffmpeg_command() -> Callable[..., bytes]:
    """Runs ffmpeg with the given arguments; its output, where that is a pipe."""
    return run_ffmpeg


@pytest.fixture(scope="session")
def ffmpeg_frames() -> Callable[..., Frames]:
    """``ffmpeg_frames(path, width, height, *options)``: the frames as the ffmpeg command has them.

    ``(N, height, width, 3)`` uint8; ``options`` go before the output, a ``-vf`` for example.
    """

    def read(path: Path, width: int, height: int, *options: str) -> Frames:
        raw = run_ffmpeg(
            *("-i", path, "-map", "0:V:0", "-fps_mode", "passthrough", *options),
            *("-pix_fmt", "rgb24", "-f", "rawvideo", "-"),
        )
        return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)

    return read


@pytest.fixture
def frame_folder(tmp_path: Path) -> Callable[..., Path]:
    """``frame_folder(frames, form="{:05d}.png")``: a folder of numbered images, from 1."""
    from PIL import Image

    def write(frames: Frames, form: str = "{:05d}.png") -> Path:
        folder = tmp_path / "frames"
        folder.mkdir()
        for number, frame in enumerate(frames, 1):
            Image.fromarray(frame).save(folder / form.format(number))
        return folder

    return write
