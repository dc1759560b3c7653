"""What a check must see of every video, looked at by the workers of a cluster."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from frameflow._places import path_of, shown
from frameflow._threads import in_threads
from frameflow.audit.scenes import Part, background
from frameflow.cluster import Cluster, run
from frameflow.errors import FrameFlowError, VideoError
from frameflow.features.digests import content_digests
from frameflow.features.engines import cores
from frameflow.video.decode import read_frames
from frameflow.video.probe import VideoInfo, probe

BLOCK = 16  # videos handed to a worker at once: what is done again where it ends

Opened = VideoInfo | VideoError
"""What a video is, or why it cannot be used."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of one video.

    Attributes:
        opened: what it is, or why it cannot be used.
        digest: of its bytes; None where it cannot be used or read.
        backgrounds: of each part that was asked for, see `frameflow.audit.scenes`.
    """

    opened: Opened
    digest: str | None = None
    backgrounds: tuple[np.ndarray | VideoError, ...] = ()


def open_video(path: Path) -> Opened:
    """Probe a video and decode its first, middle and last frames."""
    try:
        info = probe(path)
        wanted = sorted({0, info.frames // 2, info.frames - 1})
        read_frames(path, wanted, short_side=32, info=info)
    except VideoError as error:
        return error
    return info


_Asked = tuple[int, str, tuple[Part, ...]]


def looks_on_cluster(cluster: Cluster, parts: Mapping[Path, Sequence[Part]]) -> dict[Path, Look]:
    """Look at videos, each once.

    Args:
        cluster: whose workers look; they read the videos under the same paths or URLs.
        parts: of which of each video the backgrounds are wanted.

    Returns:
        A look for each video, in the order given.

    Raises:
        UsageError: what `frameflow.cluster.run` raises; so is the next.
        FrameFlowError: the cluster cannot be reached, or its workers cannot work.
    """
    paths = list(parts)
    items: list[_Asked] = [(i, shown(path), tuple(parts[path])) for i, path in enumerate(paths)]
    found: list[Look | None] = [None] * len(paths)
    seen = run(
        cluster,
        items,
        _make,
        block=BLOCK,
        what="Checking",
        unit="videos",
        lost=lambda item, reason: Look(VideoError(item[1], reason)),
        name=lambda item: item[1],
    )
    for (index, _, _), look in seen:
        found[index] = _with_path(look, paths[index])
    if None in found:
        raise FrameFlowError("The cluster has not looked at every video: run it again.")
    return {path: look for path, look in zip(paths, found) if look is not None}


def _make() -> "Callable[[Sequence[_Asked]], list[Look]]":
    def work(items: Sequence[_Asked]) -> list[Look]:
        return list(in_threads(_look, items, workers=cores(), name="check"))

    return work


def _look(asked: _Asked) -> Look:
    _, name, parts = asked
    path = path_of(name)
    opened = open_video(path)
    if isinstance(opened, VideoError):
        return Look(opened)
    digest = content_digests([path])[path]
    pictures = tuple(background(path, part) for part in parts)
    return Look(opened, digest if isinstance(digest, str) else None, tuple(map(_small, pictures)))


def _with_path(look: Look, path: Path) -> Look:
    """The paths of this machine, where the worker's are others."""
    if isinstance(look.opened, VideoError):
        return replace(look, opened=VideoError(path, look.opened.reason))
    pictures = tuple(
        VideoError(path, one.reason) if isinstance(one, VideoError) else one.astype(np.float32)
        for one in look.backgrounds
    )
    return replace(look, opened=replace(look.opened, path=path), backgrounds=pictures)


def _small(picture: np.ndarray | VideoError) -> np.ndarray | VideoError:
    """Medians of eight levels of 255: half precision holds them exactly."""
    return picture if isinstance(picture, VideoError) else picture.astype(np.float16)
