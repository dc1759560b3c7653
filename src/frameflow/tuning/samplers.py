"""Ways to search, by name, as samplers of Optuna."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from frameflow.errors import UsageError, near_names
from frameflow.tuning.space import Space
from frameflow.tuning.storage import counting
from frameflow.tuning.ucb import UcbOptions, suggest

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

SEARCHES = {
    "grid": "all combinations of evenly spread values",
    "random": "values drawn at random (Bergstra and Bengio, JMLR 2012)",
    "tpe": "Optuna's tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011)",
    "gp": "Optuna's Gaussian process with log expected improvement",
    "bayes": "a Gaussian process and its upper confidence bound; its choices by --bayes",
}
_HUGE = 2**31 - 1


def check_searches(names: "list[str]") -> None:
    """Refuse unknown searches.

    Raises:
        UsageError: with near names.
    """
    for name in names:
        if name not in SEARCHES:
            raise UsageError(
                f"No search is named {name!r}.{near_names(name, SEARCHES)} "
                f"Known: {', '.join(SEARCHES)}."
            )
    if len(set(names)) < len(names) or not names:
        raise UsageError("--search names a search twice, or none.")


def make_sampler(
    search: str, space: Space, *, trials: int, seed: int, options: UcbOptions
) -> "BaseSampler":
    """The sampler of a search.

    What it draws for a trial follows from the seed, the trials before and how many these are. So a
    search that was stopped goes on with what it would have tried, and processes that begin a trial
    at the same moment do not try the same.

    Args:
        search: one of `SEARCHES`.
        space: what may be changed.
        trials: of the whole search; a grid is as fine as they allow.
        seed: of the search.
        options: of ``bayes``.
    """
    import optuna

    if search == "grid":
        return _grid_sampler(space, trials)
    if search == "bayes":
        return _ucb_sampler(space, seed, options)
    kinds = {
        "random": optuna.samplers.RandomSampler,
        "tpe": optuna.samplers.TPESampler,
        "gp": optuna.samplers.GPSampler,
    }

    def make(place: int) -> "BaseSampler":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return kinds[search](seed=(seed * 1_000_003 + place * 7919) % _HUGE)

    return _seeded(make)


def _place(study: Any, trial: Any) -> int:
    """How many trials that count were begun before one."""
    return sum(other.number < trial.number for other in counting(study))


def _seeded(make: "Callable[[int], BaseSampler]") -> Any:
    import optuna

    class Seeded(optuna.samplers.BaseSampler):
        """A sampler of Optuna's, made anew for each trial."""

        def __init__(self) -> None:
            self._held: tuple[int, Any] = (-1, None)

        def _of(self, study: Any, trial: Any) -> Any:
            if self._held[0] != trial.number:
                self._held = (trial.number, make(_place(study, trial)))
            return self._held[1]

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self._of(study, trial).infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            return self._of(study, trial).sample_relative(study, trial, search_space)

        def sample_independent(self, study: Any, trial: Any, name: str, of: Any) -> Any:
            return self._of(study, trial).sample_independent(study, trial, name, of)

    return Seeded()


def _base() -> Any:
    import optuna

    class Relative(optuna.samplers.BaseSampler):
        """All values of a trial at once."""

        space: Space

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:  # noqa: ARG002
            return self.space.distributions()

        def sample_independent(self, study: Any, trial: Any, name: str, of: Any) -> Any:  # noqa: ARG002
            raise AssertionError(f"{name} was not sampled with the others")  # pragma: no cover

    return Relative


def _grid_sampler(space: Space, trials: int) -> Any:
    from optuna.trial import TrialState

    class Grid(_base()):  # type: ignore[misc]
        """The first combination that nobody has tried or tries now."""

        def __init__(self) -> None:
            self.space = space

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:  # noqa: ARG002
            states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
            others = study.get_trials(deepcopy=False, states=states)
            tried = [other.params for other in others if other.number != trial.number]
            points = space.grid(trials)
            left = [point for point in points if point not in tried]
            return (left or points)[0]

    return Grid()


def _ucb_sampler(space: Space, seed: int, options: UcbOptions) -> Any:
    from optuna.trial import TrialState

    class Ucb(_base()):  # type: ignore[misc]
        """`frameflow.tuning.ucb.suggest` over the trials of a study."""

        def __init__(self) -> None:
            self.space = space

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:  # noqa: ARG002
            done, pending = [], []
            for other in study.get_trials(deepcopy=False):
                whole = set(other.params) == set(space.keys)
                if other.state == TrialState.COMPLETE and whole:
                    done.append((other.params, other.value))
                elif other.state == TrialState.PRUNED and whole and other.intermediate_values:
                    last = max(other.intermediate_values)
                    done.append((other.params, other.intermediate_values[last]))
                elif other.state == TrialState.RUNNING and whole and other.number != trial.number:
                    pending.append(other.params)
            place = _place(study, trial)
            return suggest(space, done, options, seed=seed, number=place, pending=pending)

    return Ucb()
