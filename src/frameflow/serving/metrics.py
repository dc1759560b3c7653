"""What Prometheus may ask of a server. No label can take values that a client makes up."""

from collections.abc import Callable
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The figures of one server, in a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # twice as many lines, and nobody asks for them
        own = self.registry = CollectorRegistry()
        self.requests = Counter(
            "frameflow_requests", "Requests, by route and status.",
            ["route", "method", "status"], registry=own,
        )  # fmt: skip
        self.refused = Counter(
            "frameflow_refused", "Requests that got an error, by its code.", ["code"], registry=own
        )
        self.seconds = Histogram(
            "frameflow_request_seconds", "From a request's head to the end of its answer.",
            ["route"], registry=own, buckets=_SECONDS,
        )  # fmt: skip
        self.read = Histogram(
            "frameflow_read_seconds", "Decoding for one prediction, waiting for a worker included.",
            registry=own, buckets=_SECONDS,
        )  # fmt: skip
        self.compute = Histogram(
            "frameflow_compute_seconds", "Computing one prediction, waiting for its turn included.",
            registry=own, buckets=_SECONDS,
        )  # fmt: skip
        self.together = Histogram(
            "frameflow_batch_size", "Requests that were computed together.",
            registry=own, buckets=(1, 2, 4, 8, 16, 32),
        )  # fmt: skip
        self.in_flight = Gauge(
            "frameflow_in_flight", "Requests with work that are in hand.", registry=own
        )
        self.jobs = Counter("frameflow_jobs", "Timelines that ended.", ["state"], registry=own)
        for state in ("done", "failed", "cancelled"):
            self.jobs.labels(state)

    def watch(self, name: str, said: str, value: Callable[[], float]) -> None:
        """A figure that is looked up whenever it is asked for."""
        Gauge(f"frameflow_{name}", said, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)


def memory(pid: int | str = "self") -> float:
    """Resident bytes of a process; 0 where the system does not say or it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return float(found[0]) * 1024 if found else 0.0
