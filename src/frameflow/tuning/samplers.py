"""Ways to search, by name, as samplers of Optuna."""

import warnings
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
    search: str, space: Space, *, trials: int, seed: int, place: int, options: UcbOptions
) -> "BaseSampler":
    """The sampler of one trial.

    What it draws follows from the seed, the place of the trial and the trials before. So a search
    that was stopped goes on with what it would have tried.

    Args:
        search: one of `SEARCHES`.
        space: what may be changed.
        trials: of the whole search; a grid is as fine as they allow.
        seed: of the search.
        place: of the trial in the search, from 0.
        options: of ``bayes``.
    """
    import optuna

    if search == "grid":
        return _grid_sampler(space, trials)
    if search == "bayes":
        return _ucb_sampler(space, seed, place, options)
    kinds = {
        "random": optuna.samplers.RandomSampler,
        "tpe": optuna.samplers.TPESampler,
        "gp": optuna.samplers.GPSampler,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return kinds[search](seed=(seed * 1_000_003 + place * 7919) % _HUGE)


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
    class Grid(_base()):  # type: ignore[misc]
        """The first combination that nobody has tried or tries now."""

        def __init__(self) -> None:
            self.space = space

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:  # noqa: ARG002
            tried = [space.applying(other.params) for other in counting(study)]
            points = space.grid(trials)
            left = [point for point in points if space.applying(point) not in tried]
            return (left or points)[0]

    return Grid()


def _ucb_sampler(space: Space, seed: int, place: int, options: UcbOptions) -> Any:
    from optuna.trial import TrialState

    class Ucb(_base()):  # type: ignore[misc]
        """`frameflow.tuning.ucb.suggest` over the trials of a study."""

        def __init__(self) -> None:
            self.space = space

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:  # noqa: ARG002
            done, pending = [], []
            for other in counting(study):
                if other.state == TrialState.COMPLETE and other.value is not None:
                    done.append((other.params, other.value))
                elif other.state == TrialState.PRUNED and other.intermediate_values:
                    last = max(other.intermediate_values)
                    done.append((other.params, other.intermediate_values[last]))
                elif other.state == TrialState.RUNNING:
                    pending.append(other.params)
            return suggest(space, done, options, seed=seed, number=place, pending=pending)

    return Ucb()
