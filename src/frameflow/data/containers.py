"""What counts as a video by its name: files in a container, and folders of numbered frames.

Names only: whether a file can be decoded is for the video layer to say.
"""

import os
import re
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

# The containers that FFmpeg demuxes and that hold pictures. Raw `.yuv` is not among them: it does
# not say its own size. `.gif` and `.apng` are: animated ones are common in small data sets.
VIDEO_SUFFIXES = frozenset(
    """
    .264 .265 .266 .3g2 .3gp .amv .apng .asf .av1 .avc .avi .avs2 .avs3 .bik .bk2 .cdxl .cine .dav
    .divx .dv .dvr-ms .evo .f4v .flc .fli .flv .gif .gxf .h261 .h263 .h264 .h265 .h266 .hevc .ifv
    .ismv .ivf .ivr .j2k .k3g .m1v .m2p .m2t .m2ts .m2v .m4v .mj2 .mjpeg .mjpg .mk3d .mkv .mod .mov
    .mp4 .mp4v .mpe .mpeg .mpg .mpv .mts .mvi .mxf .mxg .nsv .nut .nuv .obu .ogg .ogm .ogv .ogx .psp
    .pva .qt .rec .rm .rmvb .roq .smk .svi .swf .tod .tp .trp .ts .ty .vc1 .viv .vivo .vob .vp8 .vp9
    .vro .vvc .webm .wmv .wtv .xesc .xmv .xvid .y4m
    """.split()  # noqa: SIM905
)

IMAGE_SUFFIXES = frozenset(
    ".bmp .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()  # noqa: SIM905
)

_NUMBERED = re.compile(r"^(?P<before>.*?)(?P<number>\d+)$")


def is_video_name(path: str | PathLike[str]) -> bool:
    """Whether the name ends like a container that FFmpeg reads, in any case.

    Example:
        >>> is_video_name("clip.MP4"), is_video_name("notes.txt")
        (True, False)
    """
    return os.path.splitext(os.fspath(path))[1].lower() in VIDEO_SUFFIXES  # noqa: PTH122


def is_image_name(path: str | PathLike[str]) -> bool:
    """Whether the name ends like an image that may be one frame of a video."""
    return os.path.splitext(os.fspath(path))[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122


def frame_names(path: str | PathLike[str]) -> list[str]:
    """The frame images of a folder, in the order of their numbers; empty if it is no frame folder.

    A frame folder holds images that are named alike but for a number at the end
    (``0001.jpg``, ``frame_12.png``, ``s28-20-00001.jpeg``). It holds no folders and no videos;
    hidden files and further files such as a text are passed over.

    Raises:
        OSError: the folder cannot be listed.
    """
    with os.scandir(path) as entries:
        return frame_names_among((entry.name, entry.is_dir()) for entry in entries)


def frame_names_among(entries: Iterable[tuple[str, bool]]) -> list[str]:
    """As :func:`frame_names`, from (name, is a folder) pairs that were listed already."""
    numbered: list[tuple[int, str]] = []
    forms: set[tuple[str, str]] = set()
    for name, is_folder in entries:
        if name.startswith("."):
            continue
        stem, suffix = os.path.splitext(name)  # noqa: PTH122
        if is_folder or suffix.lower() in VIDEO_SUFFIXES:
            return []
        if suffix.lower() not in IMAGE_SUFFIXES:
            continue
        match = _NUMBERED.match(stem)
        if match is None:
            return []
        forms.add((match["before"], suffix.lower()))
        if len(forms) > 1:
            return []
        numbered.append((int(match["number"]), name))
    return [name for _, name in sorted(numbered)]


def is_frame_folder(path: str | PathLike[str]) -> bool:
    """Whether the path is a folder of numbered frame images, which reads as one video."""
    folder = Path(path)
    try:
        return folder.is_dir() and bool(frame_names(folder))
    except OSError:
        return False
