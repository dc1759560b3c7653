"""Files that lie elsewhere, at any URL that fsspec opens, and their copies on this machine."""

from frameflow.remote.errors import RemoteError
from frameflow.remote.mirror import ensure, held, look, stamp_of
from frameflow.remote.objects import State, delete, find, get, list_folder, put, read, state, states

__all__ = [
    "RemoteError",
    "State",
    "delete",
    "ensure",
    "find",
    "get",
    "held",
    "list_folder",
    "look",
    "put",
    "read",
    "stamp_of",
    "state",
    "states",
]
