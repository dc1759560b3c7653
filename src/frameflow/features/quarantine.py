"""Samples that cannot be read: set aside with their reason, never swapped for others."""

import logging
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from frameflow._places import shown
from frameflow.data.manifest import Manifest
from frameflow.errors import FrameFlowError, VideoError, listing
from frameflow.features.digests import Digest, content_digests, sample_key
from frameflow.features.stored import BadVideo
from frameflow.remote import RemoteError

log = logging.getLogger(__name__)

Read = TypeVar("Read")


def sample_keys(
    manifest: Manifest,
    *,
    store: Path | None = None,
    digests: Mapping[Path, Digest] | None = None,
) -> tuple[dict[int, str], dict[int, str]]:
    """The keys of the samples by index, and the reasons of those whose video cannot be read.

    Args:
        manifest: the samples.
        store: see `frameflow.features.digests.content_digests`.
        digests: those that are known already; samples of other videos have neither.
    """
    paths = [manifest.path(sample) for sample in manifest]
    if digests is None:
        digests = content_digests(paths, store=store)
    keys: dict[int, str] = {}
    bad: dict[int, str] = {}
    for index, (sample, path) in enumerate(zip(manifest, paths)):
        digest = digests.get(path)
        if digest is None:
            continue
        if isinstance(digest, VideoError):
            bad[index] = digest.reason
        else:
            keys[index] = sample_key(sample, digest)
    return keys, bad


def read_or_reason(path: Path, read: Callable[[], Read]) -> Read | str:
    """What ``read`` gives, or a short phrase that says why the video cannot be read.

    Raises:
        RemoteError: storage elsewhere is at fault, not this video.
    """
    try:
        return read()
    except RemoteError:
        raise
    except VideoError as error:
        return error.reason
    except FrameFlowError as error:
        return str(error)
    except Exception as error:  # one strange file must not end a night's work
        log.debug("%s failed.", path, exc_info=True)
        return f"cannot be read ({type(error).__name__}: {error})"


class Quarantine:
    """The samples set aside, and the point at which there are too many of them."""

    def __init__(
        self,
        manifest: Manifest,
        keys: dict[int, str],
        bad: dict[int, str],
        limit: float,
        stated: str,
    ) -> None:
        self.samples = manifest.samples
        self.name = shlex.quote(shown(manifest.source or "MANIFEST"))
        self.limit, self.stated = limit, stated
        self.reasons = dict(bad)
        self._rows: dict[str, list[int]] = {}
        for index, key in keys.items():
            self.know(index, key)

    @property
    def found(self) -> list[BadVideo]:
        return [
            BadVideo(self.samples[i].video, self.samples[i].row, reason)
            for i, reason in sorted(self.reasons.items())
        ]

    def know(self, index: int, key: str) -> None:
        """The key of a sample, where it is found out only now."""
        self._rows.setdefault(key, []).append(index)

    def set_aside(self, index: int, reason: str) -> None:
        """Set aside a sample whose video cannot even be read."""
        self.reasons[index] = reason

    def add(self, key: str, reason: str) -> None:
        """Set aside all samples that show these frames."""
        for index in self._rows[key]:
            self.reasons[index] = reason

    def check(self) -> None:
        """Stop past the stated share, or where nothing is left.

        Raises:
            FrameFlowError: with the count and the first of them.
        """
        count, total = len(self.reasons), len(self.samples)
        if not count or (count < total and count <= self.limit * total):
            return
        first = listing(self.found, most=3)
        if count == total:
            raise FrameFlowError(f"None of the {total} videos can be read: {first}.")
        raise FrameFlowError(
            f"{count} of {total} videos cannot be read, more than max_bad ({self.stated}) allows: "
            f"{first}. `frameflow data check {self.name}` lists all of them; mend or remove them, "
            f"or raise max_bad."
        )
