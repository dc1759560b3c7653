"""A store at a URL, and its twin on this machine.

The twin has the same files: shards that this machine wrote, and those of others that it needed.
It is not bounded, for features are small beside their videos; it may be deleted at any time. A
shard that was written here and not yet there has a note beside it, and is sent again.
"""

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from uuid import uuid4

from frameflow import remote
from frameflow._places import home, mirror_root, url_of
from frameflow.errors import FrameFlowError
from frameflow.features._files import write_failure
from frameflow.features._shard import SUFFIX, DamagedShard, Shard, parse_shard

log = logging.getLogger(__name__)

UNSENT = ".unsent"
_THREADS = 16


class Elsewhere:
    """One folder of a store at a URL.

    Args:
        root: the place of the URL of the store.
        name: of the folder.

    Attributes:
        url: of the folder.
        twin: the folder on this machine.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.url = f"{(url_of(root) or '').rstrip('/')}/{name}"
        self.twin = home().absolute() / "stores" / root.relative_to(mirror_root()) / name

    def names(self) -> dict[str, int]:
        """The files there and their bytes.

        Raises:
            RemoteError: it cannot be told.
        """
        found = remote.list_folder(self.url)
        return {name: one.size for name, one in found.items() if not one.folder}

    def headers(self, sizes: Iterable[tuple[str, int]]) -> Iterator[tuple[str, Shard | Exception]]:
        """What each shard holds, without fetching it; or what is wrong with it."""
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="shards") as pool:
            for name, waiting in [(n, pool.submit(self._header, n, s)) for n, s in sizes]:
                try:
                    yield name, waiting.result()
                except (DamagedShard, ValueError, KeyError, FileNotFoundError) as error:
                    yield name, error

    def _header(self, name: str, size: int) -> Shard:
        return parse_shard(self.twin / name, size, partial(remote.read, f"{self.url}/{name}"))

    def fetch(self, name: str) -> None:
        """Have a file here, whole; where it is not there any more nothing is here either.

        Raises:
            FrameFlowError: it cannot be written here.
            RemoteError: it cannot be fetched.
        """
        path = self.twin / name
        beside = self.twin / f".{name}.{uuid4().hex[:8]}.tmp"
        try:
            self.twin.mkdir(parents=True, exist_ok=True)
            remote.get(f"{self.url}/{name}", beside)
            beside.replace(path)
        except FileNotFoundError:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise write_failure(self.twin, error, kept="What is there is kept.") from error
        finally:
            beside.unlink(missing_ok=True)

    def fetch_all(self, names: Iterable[str]) -> None:
        """Several at once."""
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="shards") as pool:
            list(pool.map(self.fetch, names))

    def announce(self, name: str) -> None:
        """Before a shard is written here: a note that it is to be sent."""
        self.twin.mkdir(parents=True, exist_ok=True)
        (self.twin / f"{name}{UNSENT}").touch()

    def send(self, name: str) -> None:
        """Write a file of the twin there, and remove its note.

        Raises:
            RemoteError: it cannot be written there; the note stays.
        """
        remote.put(self.twin / name, f"{self.url}/{name}")
        (self.twin / f"{name}{UNSENT}").unlink(missing_ok=True)

    def send_again(self, there: Iterable[str]) -> None:
        """Send what an earlier job could not; a failure is told, and does not end this one."""
        present = set(there)
        for note in sorted(self.twin.glob(f"*{SUFFIX}{UNSENT}")):
            name = note.name.removesuffix(UNSENT)
            try:
                if name in present or not (self.twin / name).exists():
                    note.unlink(missing_ok=True)
                else:
                    self.send(name)
            except FrameFlowError as error:
                log.warning("Features that were computed before are not sent: %s", error)
                return

    def delete(self, name: str) -> None:
        """Delete a damaged file there, where that is allowed."""
        remote.delete(f"{self.url}/{name}")
