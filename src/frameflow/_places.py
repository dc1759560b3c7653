"""What a user names: a path of this machine, or a URL and the place of its copy here.

A URL (``s3://bucket/clips/a.mp4``) is handled as the path where its copy is kept, a place below
``remote`` in `home`, so that everything that works with paths works with it. `shown` turns a
place back into the URL, for messages and tables. Nothing here reads or writes.
"""

import os
import posixpath
import re
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, unquote

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)
_HERE = ("file", "local")
_SAFE = " !#$&'()+,;=@[]^_`{}~-"
_EMPTY = "%"  # a name that is empty: "a//b" is another object than "a/b"
_LONGEST, _TAIL = 200, 100  # letters of a name; most systems take 255 bytes

Name = str | os.PathLike[str]


def home() -> Path:
    """``$FRAMEFLOW_HOME``, or ``~/.cache/frameflow``; it need not exist yet.

    Everything in it can be computed or fetched again: deleting it costs time, nothing else.
    """
    named = os.environ.get("FRAMEFLOW_HOME")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "frameflow"


def mirror_root() -> Path:
    """The folder of the copies, absolute."""
    named = os.environ.get("FRAMEFLOW_HOME", "")
    return _mirror_root(named, os.environ.get("HOME"), os.path.isabs(named) or os.getcwd())  # noqa: PTH109, PTH117


@lru_cache(maxsize=8)
def _mirror_root(*_: object) -> Path:  # asked of every path that is opened
    return (home() / "remote").absolute()


def url_in(name: Name) -> str | None:
    """The URL that a name is, its scheme in small letters; None for a path of this machine.

    A `Path` of a URL has lost one of its slashes, so ``s3:/bucket/key`` is one too.

    Example:
        >>> url_in(Path("S3://bucket/a.mp4")), url_in("clips/a.mp4"), url_in("file:///a.mp4")
        ('s3://bucket/a.mp4', None, None)
    """
    text = os.fspath(name)
    if ":/" not in text:
        return None
    found = _URL.fullmatch(text)
    if found is None or found[1].lower() in _HERE:
        return None
    return f"{found[1].lower()}://{found[2]}"


def path_of(name: Name) -> Path:
    """The path of what a user names: of a URL the place of its copy, whether it is there or not.

    ``file://`` names files of this machine, which are read where they are.
    """
    url = url_in(name)
    if url is not None:
        return place_of(url)
    text = os.fspath(name)
    found = _URL.fullmatch(text) if ":/" in text else None
    if found is None:
        return Path(name)
    return Path(found[2] if re.match(r"[A-Za-z]:", found[2]) else f"/{found[2]}")


def place_of(url: str) -> Path:
    """The place of a URL's copy: each URL has its own, and `url_of` gives it back."""
    scheme, _, rest = url.partition("://")
    names = [part for name in rest.split("/") for part in _written(name)]
    return mirror_root().joinpath(scheme.lower(), *names)


def url_of(path: Name) -> str | None:
    """The URL whose copy has this place; None for any other path."""
    text, root = os.fspath(path), f"{mirror_root()}{os.sep}"
    if not text.startswith(root):
        return None
    scheme, *names = Path(text[len(root) :]).parts
    joined: list[str] = []
    goes_on = False
    for name in names:
        more = name.endswith("%") and name != _EMPTY
        part = name.removesuffix("%")
        if goes_on:
            joined[-1] += part
        else:
            joined.append(part)
        goes_on = more
    rest = "/".join(unquote(name, errors="surrogateescape") for name in joined)
    return f"{scheme}://{rest}"


def shown(name: Name) -> str:
    """How to name a path to the user: a copy by its URL."""
    return url_of(name) or url_in(name) or os.fspath(name)


def below(root: Path, name: str) -> Path:
    """The path of a name that a table in the folder ``root`` gives: relative to it, or a URL.

    Relative to a URL, ``..`` does not lead out of its bucket.
    """
    if ":/" in name and _URL.fullmatch(name):
        return path_of(name)
    url = url_of(root)
    if url is None or posixpath.isabs(name):
        return root / name
    return place_of(join(url, name))


def join(url: str, name: str) -> str:
    """The URL of a name relative to the URL of a folder.

    Example:
        >>> join("s3://bucket/tables", "../clips/a.mp4")
        's3://bucket/clips/a.mp4'
    """
    scheme, _, rest = url.partition("://")
    bucket, _, folder = rest.rstrip("/").partition("/")
    key = f"{folder}/{name}" if folder else name
    if {".", ".."} & set(name.split("/")):
        key = posixpath.normpath(f"/{key}").lstrip("/")
    return f"{scheme}://{bucket}/{key}"


def _written(name: str) -> list[str]:
    """A part of a URL as names of files, on any system; a long one is cut into several."""
    if not name:
        return [_EMPTY]
    text = quote(name, safe=_SAFE, errors="surrogateescape")
    if text[0] == ".":  # no "..", and no hidden file: those are ours, while they are fetched
        text = f"%2E{text[1:]}"
    if text[-1] in ". ":
        text = f"{text[:-1]}%{ord(text[-1]):02X}"
    parts = []
    while len(text) > _LONGEST:
        parts.append(f"{text[:_TAIL]}%")
        text = text[_TAIL:]
    return [*parts, text]
