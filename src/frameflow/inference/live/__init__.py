"""Watching a stream: the newest windows are answered, old ones are dropped and counted.

`live` is the whole of it. A thread of its own reads (`reader`, `_link`), keeps only the moments
that are looked at (`moments`) and leaves them in an `inbox` that holds one window; `answers` takes
the newest complete window from it, however late it comes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frameflow.inference.live.events import Happenings as Happenings
    from frameflow.inference.live.events import changes as changes
    from frameflow.inference.live.events import happenings as happenings
    from frameflow.inference.live.results import LiveEvent as LiveEvent
    from frameflow.inference.live.results import LivePrediction as LivePrediction
    from frameflow.inference.live.watch import live as live

_HOME = {
    "Happenings": "events",
    "changes": "events",
    "happenings": "events",
    "LiveEvent": "results",
    "LivePrediction": "results",
    "live": "watch",
}


def __getattr__(name: str) -> Any:
    """Import a public name's module when it is first asked for: a library's start stays light."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
