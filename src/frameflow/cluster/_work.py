"""Sharing out the work, by Ray Data."""

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, TypeVar

from frameflow.cluster._diary import Diary
from frameflow.cluster._options import Cluster
from frameflow.cluster._plan import Plan, plan_of
from frameflow.cluster._session import connected, import_ray, missing_there
from frameflow.cluster._worker import Failed, Lost, Worker
from frameflow.errors import FrameFlowError, listing
from frameflow.progress import progress

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
Function = Callable[[Sequence[T]], Sequence[R]]

_MOST_TASKS = 4000  # of Ray's; each costs it some milliseconds and memory
_AHEAD = 2  # tasks handed to a worker, the one it is at among them
_SILENT = 30.0  # seconds after which to say why nothing happens


def run(
    cluster: Cluster,
    items: Sequence[T],
    make_worker: Callable[[], Function[T, R]],
    *,
    block: int,
    what: str,
    unit: str = "clips",
    gpu: bool = False,
    lost: Callable[[T, str], R] | None = None,
    name: Callable[[T], str] = str,
) -> Generator[tuple[T, R], None, None]:
    """Share out items over the workers of a cluster.

    What a worker had in hand when it ended is done again by another. So what a function does must
    be such that it may be done twice. Items that end their worker each time are tried alone, and
    then given up.

    Args:
        cluster: where; see `connected` to keep the connection for several jobs.
        items: what is to be done, can be pickled.
        make_worker: called once in each worker; gives the function that turns some items into as
            many results. It is sent with all it refers to.
        block: items handed to the function at once, and what is lost where a worker ends.
        what: for the progress bar, in a few words.
        unit: what is counted.
        gpu: each worker takes a GPU, where the cluster has some.
        lost: the result of an item that ends its worker each time, from the item and a reason.
        name: how an item is called in messages.

    Yields:
        Each item with its result, once, in the order in which they are done. While the caller
        takes none, no more than a few blocks are worked on.

    Raises:
        UsageError: Ray is not installed, or the address is none.
        FrameFlowError: the cluster cannot be reached; a worker raised it; workers end again and
            again while they start or, without ``lost``, at the same item.
    """
    if block < 1:
        raise ValueError(f"block ({block}) must be > 0")
    if not items:
        return
    import_ray()
    with (
        connected(cluster),
        closing(_shared(cluster, items, make_worker, block, what, unit, gpu)) as shared,
    ):
        for item, found in shared:
            if isinstance(found, Lost):
                if lost is None:
                    raise FrameFlowError(
                        f"{name(item)} {found.reason}. Leave it out, or give the workers more "
                        f"memory, and run the same command again."
                    )
                found = lost(item, found.reason)
            yield item, found


def workers_of(cluster: Cluster, *, gpu: bool = False) -> int:
    """How many workers `run` would have, within `connected`."""
    return plan_of(import_ray(), cluster, gpu=gpu).workers


def _shared(
    cluster: Cluster,
    items: Sequence[Any],
    make_worker: Callable[[], Any],
    block: int,
    what: str,
    unit: str,
    gpu: bool,
) -> Generator[tuple[Any, Any], None, None]:
    import ray

    plan = plan_of(ray, cluster, gpu=gpu)
    left = {i: items[begin : begin + block] for i, begin in enumerate(range(0, len(items), block))}
    diary = _diary(ray)
    with (
        progress(what, total=len(items), unit=unit) as advance,
        _impatience(ray, diary),
        closing(_found(ray, left, make_worker, diary, plan)) as rows,
    ):
        for number, found in rows:
            if isinstance(found, Failed):
                raise found.error
            for pair in zip(left.pop(number, ()), found):
                yield pair
                advance()
    if left:
        names = listing([str(item) for part in left.values() for item in part], most=3)
        raise FrameFlowError(f"Ray has lost {len(left)} blocks of work ({names}). Run it again.")
    again = ray.get(diary.repeated.remote())
    if again:
        log.info("Workers ended in the middle: %d blocks were begun again.", again)


def _diary(ray: Any) -> Any:
    """On the machine of this process, where the job ends with it anyway."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
    return ray.remote(Diary).options(scheduling_strategy=here, **options).remote()


def _found(
    ray: Any, blocks: dict[int, Any], make_worker: Callable[[], Any], diary: Any, plan: Plan
) -> Generator[tuple[int, Any], None, None]:
    from ray import cloudpickle
    from ray.data import ActorPoolStrategy

    made = ray.put(cloudpickle.dumps(make_worker))  # held by each machine once
    rows = [{"block": i, "items": cloudpickle.dumps(list(part))} for i, part in blocks.items()]
    tasks = min(len(rows), _MOST_TASKS)
    results = ray.data.from_items(rows, override_num_blocks=tasks).map(
        Worker,
        fn_constructor_args=(made, diary, plan.cores),
        compute=ActorPoolStrategy(
            size=min(plan.workers, tasks), max_tasks_in_flight_per_actor=_AHEAD
        ),
        num_cpus=plan.cores,
        num_gpus=plan.gpus or None,
    )
    with _translated():
        batches = iter(results.iter_batches(batch_size=None, prefetch_batches=0))
        for batch in batches:
            for number, found in zip(batch["block"], batch["found"]):
                yield int(number), cloudpickle.loads(found)


@contextmanager
def _translated() -> Iterator[None]:
    """Ray's own errors, of tens of lines, in one."""
    from ray.exceptions import RayError

    try:
        yield
    except FrameFlowError:
        raise
    except (RayError, ModuleNotFoundError) as error:
        said = str(error)
        if "No module named" in said:
            missing = said.rpartition("No module named")[2].splitlines()[0].strip()
            raise missing_there(f"No module named {missing}") from error
        if "OutOfMemory" in type(error).__name__ or "OOM" in said:
            raise FrameFlowError(
                "A machine of the cluster has no memory left for its workers: take fewer "
                "--workers, or machines with more memory. What was done is kept."
            ) from error
        line = next((line.strip() for line in said.splitlines() if line.strip()), "")
        raise FrameFlowError(
            f"The cluster gave up ({type(error).__name__}: {line[:200]}). What was done is kept: "
            f"run the same command again."
        ) from error


@contextmanager
def _impatience(ray: Any, diary: Any) -> Iterator[None]:
    """Say it where no worker can start, as where others use the cluster."""

    def tell() -> None:
        try:
            if ray.get(diary.begun.remote(), timeout=_SILENT):
                return
            free = ray.available_resources().get("CPU", 0)
            held = ray.cluster_resources().get("CPU", 0)
        except Exception as error:
            log.debug("It is not known whether a worker has begun: %s", error)
            return
        log.info(
            "No worker has begun in %.0f s; %g of the cluster's %g CPUs are free.",
            _SILENT,
            free,
            held,
        )

    timer = threading.Timer(_SILENT, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
