"""The size of frames that FFmpeg did not even begin to decode."""

import re
from contextlib import suppress
from pathlib import Path

from frameflow.video._guard import current_guard
from frameflow.video._open import open_video
from frameflow.video._pyav import _in_full

_SIZE = re.compile(r"Picture size (\d{1,10})x(\d{1,10}) (?:is invalid|exceeds)")
_PACKETS = 4  # in which the first frame must be


def oversize(path: Path) -> tuple[int, int] | None:
    """Width and height of frames over this process's limit, if that is why nothing decodes.

    FFmpeg tells it in its log alone, so the file is opened once more, to listen.
    """
    import av

    guard = current_guard()
    if guard is None:
        return None
    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # else an earlier file's message comes with this one's
    try:
        with av.logging.Capture() as said, suppress(Exception), open_video(path) as (file, stream):
            packets = (packet for packet, _ in zip(file.demux(stream), range(_PACKETS)))
            next(iter(_in_full(stream, packets)), None)
    finally:
        av.logging.set_level(before)
    for _, _, text in said:
        for found in _SIZE.finditer(text):
            width, height = (int(side) for side in found.groups())
            if width * height > guard.pixels:
                return width, height
    return None
