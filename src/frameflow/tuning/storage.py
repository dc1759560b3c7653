"""The trials of a search in one SQLite file, which several processes of a machine may share."""

import contextlib
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frameflow.errors import FrameFlowError, UsageError
from frameflow.tuning._locks import held, is_held

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

FILE = "study.sqlite"
BUSY = 60.0  # seconds to wait for another program that has the file locked
OWNER = "process"  # who computes a trial
PLACE = "place"  # of a trial in the search, from 0
REASON = "failed"  # why a trial has no score; one that was killed has no reason

_EARLIER = ("study.log", "study.db")
_PLAN = "plan"
_HEAD = b"SQLite format 3\x00"
_PERMISSION = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def require_optuna() -> None:
    """Say how to install what search needs.

    Raises:
        FrameFlowError: Optuna is missing.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise FrameFlowError("Search needs Optuna: pip install 'frameflow-video[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)


class Storage:
    """A folder with the trials of its searches, open in this process.

    What a process does is known by the locks it holds in ``locks/``: they end with it, also where
    it is killed, and do not mistake another process that has got its number for it.

    Args:
        folder: of the search.
        plan: what tells one search from another, each part as a digest.

    Raises:
        UsageError: the folder holds a storage of an earlier form, of another search or none.
        FrameFlowError: it cannot be opened.
    """

    def __init__(self, folder: Path, plan: Mapping[str, str]) -> None:
        self.path = folder / FILE
        self.owner = uuid.uuid4().hex[:12]
        self._locks = folder / "locks"
        self._plan = dict(plan)
        self._storage: Any = None
        self._own = contextlib.ExitStack()

    def __enter__(self) -> "Storage":
        refuse_foreign(self.path)
        self._own.enter_context(held(self._locks / self.owner))
        try:
            with self.saying(), self.alone():  # two that make the tables at once fail
                self._storage = _opened(self.path)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._storage is not None:
            self._storage.remove_session()
            self._storage.engine.dispose()  # the last to close leaves one file
        self._own.close()
        (self._locks / self.owner).unlink(missing_ok=True)

    def study(self, search: str) -> "Study":
        """The study of one search, made where it does not exist.

        Raises:
            UsageError: the file is that of a search with another plan.
        """
        import optuna

        with self.alone():
            study = optuna.create_study(
                storage=self._storage,
                study_name=search,
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=0),
            )
            if not study.user_attrs and not study.get_trials(deepcopy=False):
                study.set_user_attr(_PLAN, self._plan)
            there = study.user_attrs.get(_PLAN) or {}
        other = [part for part, digest in self._plan.items() if there.get(part) != digest]
        if other:
            raise UsageError(
                f"{self.path} is the storage of a search with other {' and '.join(other)}: "
                f"put it back where it was, or name a new folder."
            )
        return study

    def alone(self) -> contextlib.AbstractContextManager[bool]:
        """Be the only process that hands out a trial; others wait."""
        return held(self._locks / "trials")

    def finishing(self) -> contextlib.AbstractContextManager[bool]:
        """Whether this process may write the results: False where another is at it."""
        return held(self._locks / "results", wait=False)

    def lives(self, owner: str | None) -> bool:
        """Whether the process that has a trial in hand is still there."""
        return owner == self.owner or (bool(owner) and is_held(self._locks / str(owner)))

    def bury_the_dead(self, study: "Study") -> None:
        """Give up the trials of processes that were killed; to be called `alone`.

        A trial gets its owner before the lock is let go: one that has none is nobody's.
        """
        from optuna.trial import TrialState

        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            owner = trial.user_attrs.get(OWNER)
            if not self.lives(owner):
                study.tell(trial.number, state=TrialState.FAIL)
                (self._locks / str(owner)).unlink(missing_ok=True)

    @contextlib.contextmanager
    def saying(self) -> Iterator[None]:
        """Turn what SQLite refuses into an error for users.

        Raises:
            FrameFlowError: the file is locked, read-only or damaged, or the disk is full.
        """
        try:
            yield
        except Exception as error:
            said = _words(self.path, error)
            if said is None:
                raise
            raise said from None


def refuse_foreign(path: Path) -> None:
    """See that a file may become or is the storage of a search.

    Raises:
        UsageError: it is something else, or a search of an earlier form lies beside it.
    """
    earlier = [name for name in _EARLIER if (path.parent / name).exists()]
    if not path.exists():
        if earlier:
            raise UsageError(
                f"{path.parent} holds a search of an earlier version ({earlier[0]}), which cannot "
                f"go on: name a new folder."
            )
        return
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a new folder for the search.")
    with path.open("rb") as file:
        head = file.read(len(_HEAD))
    if head not in (_HEAD, b""):  # empty: killed before the first write
        raise UsageError(f"{path} is no SQLite file, or damaged: name a new folder.")


def counting(study: "Study") -> "list[FrozenTrial]":
    """The trials that take a place of the search, by their place: not the killed ones."""
    from optuna.trial import TrialState

    found = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if PLACE in trial.user_attrs
        and (trial.state != TrialState.FAIL or REASON in trial.user_attrs)
    ]
    return sorted(found, key=lambda trial: trial.user_attrs[PLACE])


def free_place(study: "Study") -> int:
    """The first place that no trial has: of one that was killed, or the next."""
    taken = {trial.user_attrs[PLACE] for trial in counting(study)}
    return next(place for place in range(len(taken) + 1) if place not in taken)


def running(study: "Study") -> int:
    """How many trials are in hand, of whatever process."""
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))


def _opened(path: Path) -> Any:
    """Optuna's storage in a file, its tables made where there are none."""
    import optuna

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=BUSY, check_same_thread=False)
        # Readers and a writer go on beside each other, and a trial, some twenty small writes,
        # does not wait for the disk at each. A killed process loses nothing by that.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    tables = _tables(connect)
    if tables and "studies" not in tables:
        raise UsageError(f"{path} is the database of another program: name a new folder.")
    try:  # the address says what kind it is; the place, in letters of any kind, is in `connect`
        return optuna.storages.RDBStorage(f"sqlite:///{FILE}", engine_kwargs={"creator": connect})
    except RuntimeError as error:  # tables of another version of Optuna
        reason = " ".join(str(error).split())[:160]
        raise UsageError(f"{path} cannot be opened ({reason}): name a new folder.") from None


def _tables(connect: Any) -> set[str]:
    with contextlib.closing(connect()) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {name for (name,) in rows}


def _words(path: Path, error: BaseException) -> FrameFlowError | None:
    """What a fault of SQLite means; None for another fault."""
    fault: BaseException | None = error
    while fault is not None and not isinstance(fault, sqlite3.Error):
        fault = getattr(fault, "orig", None) or fault.__cause__  # SQLAlchemy's, Optuna's
    if fault is None:
        return None
    code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return FrameFlowError(
            f"{path} was locked by another program for {BUSY:g} seconds (a viewer, a backup?): "
            f"close that and run the same command again, which goes on."
        )
    if code in _PERMISSION:
        return FrameFlowError(
            f"{path} cannot be written: make the file and its folder writable, or name a new "
            f"folder."
        )
    if code in _DAMAGED:
        return UsageError(f"{path} is no SQLite file, or damaged: name a new folder.")
    if code == sqlite3.SQLITE_FULL:
        return FrameFlowError(f"The disk of {path} is full: free some space and run it again.")
    return FrameFlowError(
        f"{path} cannot be used ({fault}): keep the folder of a search on a local disk."
    )
