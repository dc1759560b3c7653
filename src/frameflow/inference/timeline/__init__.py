"""Long videos: windows slide over them, in one pass and flat memory.

`plan` says where windows lie, `shots` decodes each moment of a grid once, `grid` computes its
features once, `windows` puts them together, and `compute.timeline` does all of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frameflow.inference.timeline.compute import Cancelled as Cancelled
    from frameflow.inference.timeline.compute import Timeline as Timeline
    from frameflow.inference.timeline.compute import timeline as timeline
    from frameflow.inference.timeline.plan import WindowPlan as WindowPlan
    from frameflow.inference.timeline.plan import plan_windows as plan_windows
    from frameflow.inference.timeline.shots import Shot as Shot
    from frameflow.inference.timeline.shots import ShotRequest as ShotRequest
    from frameflow.inference.timeline.shots import iter_shots as iter_shots

_HOME = {
    "Cancelled": "compute",
    "Timeline": "compute",
    "timeline": "compute",
    "WindowPlan": "plan",
    "plan_windows": "plan",
    "Shot": "shots",
    "ShotRequest": "shots",
    "iter_shots": "shots",
}


def __getattr__(name: str) -> Any:
    """Import a public name's module when it is first asked for: a library's start stays light."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
