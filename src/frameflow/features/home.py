"""The folder where features, engines and digests are kept between runs."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from frameflow._places import Name, home, path_of

__all__ = ["home", "store_root", "stored_at"]

STORE = "FRAMEFLOW_STORE"


def store_root(store: Name | None = None) -> Path:
    """The folder of stored features: the one given, ``$FRAMEFLOW_STORE``, or one in `home`.

    A URL gives the place of its copies, as `frameflow._places.path_of` does.
    """
    named = store or os.environ.get(STORE)
    return path_of(named).expanduser() if named else home() / "features"


@contextlib.contextmanager
def stored_at(store: Name | None) -> Iterator[None]:
    """Features are stored there for a while, by processes that are started meanwhile too."""
    before = os.environ.get(STORE)
    if store is not None:
        os.environ[STORE] = os.fspath(store)
    try:
        yield
    finally:
        if store is not None:
            os.environ.pop(STORE)
            if before is not None:
                os.environ[STORE] = before
