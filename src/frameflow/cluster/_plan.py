"""How many workers a cluster takes, and how many of its cores each."""

import logging
from dataclasses import dataclass
from typing import Any

from frameflow.cluster._options import Cluster

log = logging.getLogger(__name__)

_CORES = 8  # of one worker: decoding threads are no more, and the lock of Python is one


@dataclass(frozen=True, slots=True)
class Plan:
    """Workers, and what each holds while it lives."""

    workers: int
    cores: int
    gpus: int


def plan_of(ray: Any, cluster: Cluster, *, gpu: bool) -> Plan:
    """The plan for the machines that are in the cluster now.

    Args:
        ray: connected.
        cluster: says the number of workers, or not.
        gpu: each worker takes a GPU where the cluster has some.
    """
    held = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cores = [int(own.get("CPU", 0)) for own in held]
    gpus = int(sum(own.get("GPU", 0) for own in held)) if gpu else 0
    if gpus:
        workers = cluster.workers or gpus
        return _told(Plan(workers, max(1, min(_CORES, sum(cores) // max(workers, 1))), 1), gpus)
    workers = cluster.workers or sum(max(1, round(n / _CORES)) for n in cores if n) or 1
    return _told(Plan(workers, share_of(cores, workers), 0), sum(cores))


def share_of(cores: list[int], workers: int) -> int:
    """The most cores that each of the workers can have on one machine, at least 1."""
    fits = (n for n in range(max(cores, default=1), 1, -1) if sum(c // n for c in cores) >= workers)
    return next(fits, 1)


def _told(plan: Plan, places: int) -> Plan:
    if plan.workers > places:
        log.warning(
            "The cluster has room for %d of the %d workers now: the others wait.",
            places,
            plan.workers,
        )
    return plan
