"""What runs in the worker processes."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from frameflow.errors import FrameFlowError

CORES = "FRAMEFLOW_CORES"  # what `frameflow.features.engines.cores` reads
TOGETHER = 2  # times that the items of a block are tried with one another
ALONE = 2  # times that each is then tried by itself
STARTS = 3  # times that a worker may end before it can do anything


@dataclass(frozen=True, slots=True)
class Lost:
    """In place of the result of an item that ended its worker each time."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """In place of the results of a block: the job cannot go on."""

    error: BaseException


class Worker:
    """Turns rows of pickled items into rows of pickled results, for Ray Data.

    Its own making is put off to the first row: Ray would make a worker again and again whose
    making ends its process.

    Args:
        made: a reference to the pickled ``make_worker``.
        diary: see `frameflow.cluster._diary.Diary`.
        cores: how many it may use.
    """

    def __init__(self, made: Any, diary: Any, cores: int) -> None:
        os.environ[CORES] = str(cores)
        self._made, self._diary = made, diary
        self._function: Callable[[Sequence[Any]], Sequence[Any]] | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        from ray import cloudpickle

        try:
            found: Any = self._block(int(row["block"]), cloudpickle.loads(row["items"]))
        except Exception as error:
            found = Failed(_sent(error))
        return {"block": row["block"], "found": cloudpickle.dumps(found)}

    def _block(self, number: int, items: Sequence[Any]) -> list[Any]:
        function = self._ready()
        if self._begin(f"{number}") < TOGETHER:
            found = list(function(items))
            if len(found) != len(items):
                raise RuntimeError(f"{len(found)} results of {len(items)} items.")
        else:
            found = [self._alone(function, f"{number}.{i}", item) for i, item in enumerate(items)]
        self._diary.end.remote(f"{number}")
        return found

    def _alone(self, function: Callable[..., Sequence[Any]], name: str, item: Any) -> Any:
        if self._begin(name) >= ALONE:
            return Lost(
                f"ends the process that reads it ({TOGETHER + ALONE} times: a fault in a native "
                f"library, or the memory is full)"
            )
        (found,) = function([item])
        self._diary.end.remote(name)
        return found

    def _ready(self) -> Callable[[Sequence[Any]], Sequence[Any]]:
        if self._function is None:
            import ray
            from ray import cloudpickle

            name = f"start of {ray.get_runtime_context().get_actor_id()}"
            if self._begin(name) >= STARTS:
                raise FrameFlowError(
                    f"A worker ended {STARTS} times while it started: its memory is full, or a "
                    f"library crashes. Take fewer --workers, a smaller backbone or more memory."
                )
            self._function = cloudpickle.loads(ray.get(self._made))()
            self._diary.end.remote(name)
        return self._function

    def _begin(self, what: str) -> int:
        import ray

        return int(ray.get(self._diary.begin.remote(what)))


def _sent(error: Exception) -> BaseException:
    """The error in a form that can be sent."""
    from ray import cloudpickle

    if isinstance(error, MemoryError):
        return FrameFlowError(
            "The memory of a worker is full. Take fewer --workers, a smaller backbone or more "
            "memory."
        )
    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
