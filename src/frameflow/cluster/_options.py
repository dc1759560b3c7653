"""Where work is done, as the user says it."""

from dataclasses import dataclass
from typing import Literal

from frameflow.errors import UsageError

Runner = Literal["local", "ray"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray cluster.

    Attributes:
        address: None for a small cluster of this machine, started for the job and ended with it
            (or the one that RAY_ADDRESS names); ``auto`` for the one that runs here;
            ``HOST:PORT`` for the one with this head node, of which this machine is one.
        workers: processes that share the work; as the cluster's CPUs and GPUs suggest where None.

    Raises:
        UsageError: there is nobody to do the work.
    """

    address: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers ({self.workers}) must be at least 1.")
        if self.address is not None and not self.address.strip():
            raise UsageError("--address is empty: name auto or HOST:PORT, or leave it away.")


def cluster_of(
    runner: Runner = "local", address: str | None = None, workers: int | None = None
) -> Cluster | None:
    """The cluster that the options name, None where the work is done in this process.

    Args:
        runner: ``local`` or ``ray``.
        address: see `Cluster`.
        workers: see `Cluster`.

    Raises:
        UsageError: an option that only Ray takes, without it; a number below 1.
    """
    if runner not in ("local", "ray"):
        raise UsageError(f"--runner ({runner!r}) must be local or ray.")
    if runner == "ray":
        return Cluster(address, workers)
    for option, value in (("--address", address), ("--workers", workers)):
        if value is not None:
            raise UsageError(f"{option} is for Ray: add --runner ray, or leave {option} away.")
    return None
