"""What a server is told when it starts."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from frameflow.errors import UsageError

if TYPE_CHECKING:
    from frameflow.features.engines import EngineKind
    from frameflow.serving.limits import Limits

MINUTE = 60.0


def _limits() -> "Limits":
    from frameflow.serving.limits import Limits

    return Limits()


@dataclass(frozen=True, slots=True)
class Settings:
    """All choices of one server.

    Attributes:
        host: the address it listens at.
        port: 0 takes a free one.
        token: what clients must send as ``Authorization: Bearer TOKEN``; None: nothing.
        allow_paths: the folder whose videos clients may name by path; None: none.
        samples: a folder of videos that the page offers.
        hosts: further names that the ``Host`` header may hold, where it is checked.
        workers: processes that decode; one is left for short work whatever long work there is.
        queue: requests with work that are in hand at once; the next is answered 429.
        jobs: timelines that wait; the next is answered 429.
        ttl: seconds that an upload or a finished job is kept after its last use.
        views: clips averaged per video; the recipe's where None.
        engine: what runs the backbones.
        batch: requests that are computed together at most; 1 switches batching off.
        limits: of what clients may send.

    Raises:
        UsageError: a number is out of range.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    allow_paths: Path | None = None
    samples: Path | None = None
    hosts: tuple[str, ...] = ()
    workers: int = 3
    queue: int = 32
    jobs: int = 8
    ttl: float = 15 * MINUTE
    views: int | None = None
    engine: "EngineKind" = "auto"
    batch: int = 8
    limits: "Limits" = field(default_factory=_limits)

    def __post_init__(self) -> None:
        for name in ("workers", "queue", "jobs", "ttl", "batch"):
            if (value := getattr(self, name)) <= 0:
                raise UsageError(f"{name} ({value}) must be > 0.")
        for name in ("allow_paths", "samples"):
            folder = getattr(self, name)
            if folder is not None and not folder.is_dir():
                option = name.replace("_", "-")
                raise UsageError(f"--{option} {folder} is no folder: name one that exists.")
        if self.token is not None and (not self.token or not self.token.isascii()):
            raise UsageError("The token must be plain ASCII and not empty.")

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether an address or name means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
