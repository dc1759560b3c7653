"""Long videos: windows slide over them, in one pass and flat memory.

`plan` says where windows lie, `shots` decodes each moment of a grid once, `grid` computes its
features once, `windows` puts them together, and `compute.timeline` does all of it. `segments` makes
segments of what windows say, and `files`, `picture` and `annotate` show them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frameflow.inference.timeline.annotate import annotate_video as annotate_video
    from frameflow.inference.timeline.compute import Cancelled as Cancelled
    from frameflow.inference.timeline.compute import Timeline as Timeline
    from frameflow.inference.timeline.compute import timeline as timeline
    from frameflow.inference.timeline.files import timeline_text as timeline_text
    from frameflow.inference.timeline.files import write_timeline as write_timeline
    from frameflow.inference.timeline.picture import write_picture as write_picture
    from frameflow.inference.timeline.plan import WindowPlan as WindowPlan
    from frameflow.inference.timeline.plan import plan_windows as plan_windows
    from frameflow.inference.timeline.segments import Segment as Segment
    from frameflow.inference.timeline.segments import SegmentRule as SegmentRule
    from frameflow.inference.timeline.segments import find_segments as find_segments
    from frameflow.inference.timeline.shots import Shot as Shot
    from frameflow.inference.timeline.shots import ShotRequest as ShotRequest
    from frameflow.inference.timeline.shots import iter_shots as iter_shots

_HOME = {
    "annotate_video": "annotate",
    "timeline_text": "files",
    "write_timeline": "files",
    "write_picture": "picture",
    "Segment": "segments",
    "SegmentRule": "segments",
    "find_segments": "segments",
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
