"""The trials of a search in one journal, which several processes may share."""

import contextlib
import os
import socket
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frameflow.errors import FrameFlowError, UsageError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

FILE = "study.log"
OWNER = "process"  # who computes a trial
REASON = "failed"  # why a trial has no score; one that was killed has no reason


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


def open_study(folder: Path, search: str) -> "Study":
    """The study of one search in a folder, made where it does not exist.

    Raises:
        UsageError: the file is no journal of Optuna's, or damaged.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    path = folder / FILE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            journal = JournalFileBackend(str(path))
            return optuna.create_study(
                storage=optuna.storages.JournalStorage(journal),
                study_name=search,
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=0),
            )
    except Exception as error:  # whatever a damaged line makes of it
        reason = " ".join(str(error).split())[:160]
        raise UsageError(
            f"{path} cannot be opened as a search ({reason}): name a new folder."
        ) from None


def owner() -> str:
    """This process, for others to see whether it lives."""
    return f"{socket.gethostname()}:{os.getpid()}"


def lives(said: str | None) -> bool:
    """Whether a process lives; one of another machine is taken to."""
    host, _, number = (said or "").rpartition(":")
    if host != socket.gethostname():
        return bool(host)
    try:
        os.kill(int(number), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def bury_the_dead(study: "Study") -> int:
    """Give up the trials of processes that were killed; how many there were."""
    from optuna.trial import TrialState

    count = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        said = trial.user_attrs.get(OWNER)
        if said is not None and not lives(said):
            with contextlib.suppress(Exception):  # another process was quicker
                study.tell(trial.number, state=TrialState.FAIL)
                count += 1
    return count


def counting(study: "Study") -> "list[FrozenTrial]":
    """The trials that take a place of the search: not the killed ones, nor a surplus."""
    from optuna.trial import TrialState

    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state != TrialState.FAIL or REASON in trial.user_attrs
    ]


def running(study: "Study") -> int:
    """How many trials are in hand, of whatever process."""
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))


@contextlib.contextmanager
def finishing(folder: Path) -> Any:
    """Whether this process may write the results: one at a time.

    Yields:
        True, or False where another process that lives is at it.
    """
    path = folder / "finishing"
    mine = False
    try:
        for _ in range(2):
            try:
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                with contextlib.suppress(OSError):
                    if not lives(path.read_text(encoding="utf-8") or owner()):
                        path.unlink()
                        continue
                break
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(owner())
            mine = True
            break
        yield mine
    finally:
        if mine:
            path.unlink(missing_ok=True)
