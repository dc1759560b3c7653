"""Single objects at URLs: what there is, whole reading and whole writing."""

import glob
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from frameflow.errors import FrameFlowError, UsageError, near_names
from frameflow.remote.errors import attempt, scheme_of

log = logging.getLogger(__name__)

THREADS = 16  # requests wait for the network, not for the processor
_LIST_FROM = 5  # objects of one folder: from so many on it is listed
_EXTRAS = {"s3": "s3", "gs": "gcs"}
_CHANGES = ("ETag", "etag", "md5Hash", "Content-MD5", "generation")
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created", "Last-Modified")
# Writing there is whole or not at all by itself; elsewhere a name is given at the end.
_WHOLE = {"s3", "gs", "abfs", "abfss", "az", "adl", "memory", "oss", "oci"}


@dataclass(frozen=True, slots=True)
class State:
    """What there is at a URL.

    Attributes:
        size: bytes.
        stamp: text that changes with the content, drawn from its ETag where it has one.
        folder: whether other objects lie below it, and it is none itself.
    """

    size: int
    stamp: str
    folder: bool = False


def filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path there.

    Options come from where fsspec and its libraries take them: the environment (``AWS_...``,
    ``FSSPEC_S3_...``) and their files, so that processes started elsewhere have them too.

    Raises:
        UsageError: no such scheme.
        FrameFlowError: the library of the scheme is not installed.
    """
    import fsspec

    scheme = url.partition("://")[0]
    known = fsspec.available_protocols()
    if "::" in url or scheme not in known:
        near = near_names(scheme, [name for name in known if "://" not in name])
        raise UsageError(f"{url} has a scheme that is not known ({scheme}://).{near}")
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        extra = _EXTRAS.get(scheme_of(url))
        cure = f"pip install 'frameflow-video[{extra}]'" if extra else str(error)
        raise FrameFlowError(f"{scheme}:// needs a library that is not installed: {cure}") from None
    except ValueError as error:
        raise UsageError(f"{url} is no URL of a file: {error}.") from None
    return fs, str(path)


def state(url: str) -> State | None:
    """What there is at a URL now; None where there is nothing.

    Raises:
        RemoteError: it cannot be told.
    """
    fs, path = attempt(url, lambda: filesystem(url))

    def look() -> State:
        fs.invalidate_cache(path)
        return _state(fs.info(path), fs, path)

    try:
        return attempt(url, look)
    except FileNotFoundError:
        return None


def states(urls: Iterable[str]) -> Mapping[str, State | None]:
    """What there is at many URLs now; folders that hold several of them are listed.

    Raises:
        RemoteError: it cannot be told.
    """
    folders: dict[str, list[str]] = defaultdict(list)
    for url in dict.fromkeys(urls):
        folders[url.rpartition("/")[0]].append(url)
    found: dict[str, State | None] = {}
    single: list[str] = []
    with ThreadPoolExecutor(THREADS, thread_name_prefix="remote") as pool:
        listed = []
        for folder, members in folders.items():
            if len(members) < _LIST_FROM or folder.startswith("http"):
                single += members
            else:
                listed.append((members, pool.submit(list_folder, folder)))
        for url, one in zip(single, pool.map(state, single)):
            found[url] = one
        for members, entries in listed:
            there = entries.result()
            found.update((url, there.get(url.rpartition("/")[2])) for url in members)
    return found


def list_folder(url: str) -> dict[str, State]:
    """What there is in a folder, by name; nothing where there is no such folder.

    Raises:
        RemoteError: it cannot be told.
    """
    fs, path = attempt(url, lambda: filesystem(url))

    def look() -> list[dict[str, Any]]:
        fs.invalidate_cache(path)
        return list(fs.ls(path, detail=True))

    try:
        entries = attempt(url, look)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {
        entry["name"].rstrip("/").rpartition("/")[2]: _state(entry, fs, entry["name"])
        for entry in entries
    }


def find(url: str) -> list[str]:
    """The URLs of all objects below a folder, or that a pattern (``*``, ``?``, ``**``) matches.

    Raises:
        RemoteError: it cannot be told.
    """
    fs, path = attempt(url, lambda: filesystem(url))
    magic = glob.has_magic(url)

    def look() -> list[str]:
        fs.invalidate_cache()
        return list(fs.glob(path) if magic else fs.find(path))

    try:
        found = attempt(url, look)
    except FileNotFoundError:
        return []
    # What stands before the pattern is the same in the URL and in the path.
    stem, own = _unmagical(url), _unmagical(path)
    return sorted(f"{stem}/{name.removeprefix(own).lstrip('/')}" for name in found)


def _unmagical(name: str) -> str:
    plain = name.rstrip("/")
    while glob.has_magic(plain):
        plain = plain.rpartition("/")[0]
    return plain


def get(url: str, target: Path) -> None:
    """Fetch an object to a path of this machine; the caller sees to it that it is whole.

    Raises:
        FileNotFoundError: there is nothing at the URL.
        OSError: it cannot be written here.
        RemoteError: it cannot be fetched.
    """
    fs, path = attempt(url, lambda: filesystem(url))
    attempt(url, lambda: fs.get_file(path, os.fspath(target)))


def read(url: str, start: int | None = None, end: int | None = None) -> bytes:
    """The bytes of an object, or some of them.

    Raises:
        FileNotFoundError: there is nothing at the URL.
        RemoteError: it cannot be read.
    """
    fs, path = attempt(url, lambda: filesystem(url))
    return attempt(url, lambda: bytes(fs.cat_file(path, start=start, end=end)))


def put(source: Path, url: str) -> None:
    """Write a file to a URL: whole or not at all, for whoever looks there.

    Raises:
        RemoteError: it cannot be written, or there is no such bucket.
    """
    fs, path = attempt(url, lambda: filesystem(url))
    parent, _, name = path.rpartition("/")
    beside = path if scheme_of(url) in _WHOLE else f"{parent}/.{name}.{uuid4().hex[:8]}.tmp"
    try:
        attempt(url, partial(_put, fs, os.fspath(source), beside, parent))
        if beside != path:
            attempt(url, lambda: fs.mv(beside, path))
    except FileNotFoundError as error:
        from frameflow.remote.errors import RemoteError

        raise RemoteError(f"{url} cannot be written: there is no such bucket. ({error})") from None
    fs.invalidate_cache(parent)


def _put(fs: Any, source: str, path: str, parent: str) -> None:
    # Object stores have no folders, and asking for one may ask for the right to make buckets.
    if not hasattr(fs, "bucket_exists") and "s3" not in fs.protocol and parent:
        fs.makedirs(parent, exist_ok=True)
    fs.put_file(source, path)


def delete(url: str) -> None:
    """Delete an object; one that is not there, or may not be deleted, is left at that."""
    try:
        fs, path = filesystem(url)
        attempt(url, lambda: fs.rm_file(path))
    except (FileNotFoundError, FrameFlowError, NotImplementedError) as error:
        log.debug("%s is not deleted: %s", url, error)


def _state(info: Mapping[str, Any], fs: Any, path: str) -> State:
    folder = info.get("type") == "directory"
    size = int(info.get("size") or 0)
    change = next((str(info[name]) for name in _CHANGES if info.get(name)), "")
    if not change and not folder:
        times = [str(info[name]) for name in _TIMES if info.get(name)]
        change = times[0] if times else str(fs.ukey(path))
    return State(size, f"{size}:{change.strip(chr(34))}", folder)
