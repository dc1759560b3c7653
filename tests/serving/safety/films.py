"""Small videos of the containers and codecs that people send, made by the ffmpeg command."""

import subprocess
from pathlib import Path

MOVING = "testsrc2=size=96x64:rate=12:duration=2"
TINY = "testsrc2=size=48x32:rate=12:duration=1"
X264 = "-c:v libx264 -pix_fmt yuv420p -preset ultrafast -g 8"

# The source and what follows it.
KINDS = {
    "h264.mp4": f"{MOVING} {X264} -bf 2",
    "h264.mov": f"{TINY} {X264}",
    "h264.mkv": f"{MOVING} {X264}",
    "h264.ts": f"{TINY} {X264}",
    "mpeg4.avi": f"{MOVING} -c:v mpeg4 -g 8 -bf 2",
    "vp9.webm": f"{TINY} -c:v libvpx-vp9 -deadline realtime -cpu-used 8",
    "vp8.webm": f"{TINY} -c:v libvpx -deadline realtime -cpu-used 8",
    "gif.gif": f"{TINY} -r 6",
    "mpeg2.mpg": f"{TINY} -r 25 -c:v mpeg2video",
    "flv1.flv": f"{TINY} -c:v flv",
    "wmv2.wmv": f"{TINY} -c:v wmv2",
    "theora.ogv": f"{TINY} -c:v libtheora",
    "mjpeg.avi": f"{TINY} -c:v mjpeg -pix_fmt yuvj420p",
    "hevc.mp4": f"{TINY} -c:v libx265 -preset ultrafast -x265-params log-level=none",
    "png.mkv": f"{TINY} -c:v png",
    "raw.avi": f"{TINY} -c:v rawvideo",
    "odd.mkv": "testsrc2=size=101x67:rate=10:duration=1 -c:v ffv1",
    "long.mp4": f"testsrc2=size=160x120:rate=30:duration=10 {X264} -g 250",
    "large.mp4": f"testsrc2=size=3840x2160:rate=5:duration=1 {X264} -g 1",
    "wide.mp4": f"testsrc2=size=640x360:rate=5:duration=1 {X264}",
    "fast.mkv": f"testsrc2=size=48x32:rate=60:duration=1 {X264}",
    "sound.m4a": "sine=duration=1 -c:a aac",
    "sound.mp3": "sine=duration=1 -c:a libmp3lame",
    "sound.mkv": "sine=duration=1 -c:a aac",
    "sound.wav": "sine=duration=1",
}


def run_ffmpeg(*arguments: str | Path) -> None:
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


class Films:
    """``films["h264.mp4"]``: the path of a video of that kind, made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, kind: str) -> Path:
        path = self.folder / kind
        if not path.exists():
            source, *options = KINDS[kind].split(" ")
            run_ffmpeg("-f", "lavfi", "-i", source, *options, path)
        return path
