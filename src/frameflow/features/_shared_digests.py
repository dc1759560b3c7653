"""Digests of videos that lie elsewhere, shared through a store that lies elsewhere too.

So a machine that has never seen the videos finds their features without fetching any of them: the
digest that a video of this URL and ETag had is as good as one that is computed again. Each job
writes a file of its own, whole, and nobody changes it.
"""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from frameflow._files import write_json
from frameflow.errors import FrameFlowError
from frameflow.features._elsewhere import Elsewhere

log = logging.getLogger(__name__)

FOLDER = "digests"
_SUFFIX = ".json"

_recalled: dict[Path, tuple[set[str], "Known"]] = {}  # files that this process has read

Known = dict[str, tuple[str, str]]  # by URL: the stamp it had, and its digest


def recall(root: Path) -> Known:
    """What all jobs found.

    Args:
        root: the place of the URL of a store.

    Raises:
        RemoteError: it cannot be reached.
    """
    elsewhere = Elsewhere(root, FOLDER)
    names = sorted(name for name in elsewhere.names() if name.endswith(_SUFFIX))
    elsewhere.fetch_all(name for name in names if not (elsewhere.twin / name).exists())
    read, known = _recalled.setdefault(elsewhere.twin, (set(), {}))
    for name in names:
        if name in read:
            continue
        read.add(name)
        try:
            found = json.loads((elsewhere.twin / name).read_text(encoding="utf-8"))
            known.update((url, (str(stamp), str(digest))) for url, (stamp, digest) in found.items())
        except (OSError, ValueError, AttributeError, TypeError) as error:
            log.debug("%s/%s is not used: %s", elsewhere.url, name, error)
    return known


def publish(root: Path, found: Mapping[str, tuple[str, str]]) -> None:
    """Tell others what this job found; that it cannot be written ends no job."""
    if not found:
        return
    elsewhere = Elsewhere(root, FOLDER)
    name = f"{time.time_ns():016x}-{uuid4().hex[:8]}{_SUFFIX}"
    try:
        elsewhere.twin.mkdir(parents=True, exist_ok=True)
        write_json(elsewhere.twin / name, dict(found), indent=None)
        elsewhere.send(name)
    except (FrameFlowError, OSError, UnicodeEncodeError) as error:
        log.debug("Digests are not shared: %s", error)
