"""What a search may change: ``train.lr=log:1e-5..1e-1``, ``head.name=gru,lstm``."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from frameflow.config import Recipe, load_recipe
from frameflow.errors import UsageError, near_names
from frameflow.models.heads import head_class, head_options
from frameflow.training.ablation_plan import check_head, read_factor

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_RANGE = re.compile(
    r"^(?:(?P<how>log|int|logint):)?(?P<low>[^.,\s]\S*?)\.\.(?P<high>[^/\s]+)(?:/(?P<points>\d+))?$"
)
_FORMS = "train.lr=log:1e-5..1e-1, train.batch_size=int:8..64 or head.name=gru,lstm"
_HEAD = "head.name"
_UNSEEN = {
    "name": "the name of a recipe changes no score.",
    "description": "the description of a recipe changes no score.",
    "train.seed": "a seed is luck, not a setting; --seeds says how often finalists are trained.",
    "split": "a search cuts folds of its own: --folds says how many.",
    "evaluation": "trials are scored by --metric alone; evaluation changes no trial.",
    "calibration": "trials are scored before they are calibrated; calibration changes no trial.",
    "multilabel": "it says what the labels mean: give it by --set.",
}
_MOST_COMBINATIONS = 256  # of values that are tried out before the search begins


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting and what it may be.

    Attributes:
        key: as in ``--set``.
        low: the least value of a range; None for a list of values.
        high: the greatest.
        whole: whole numbers only.
        log: equal steps are factors.
        points: how many values of a range a grid takes; None: as the number of trials allows.
        values: of a list, each as ``--set`` would read it.
    """

    key: str
    low: float | None = None
    high: float | None = None
    whole: bool = False
    log: bool = False
    points: int | None = None
    values: tuple[str, ...] = ()

    @property
    def ranged(self) -> bool:
        return self.low is not None

    def grid(self, count: int) -> list[Any]:
        """``count`` values of a range, evenly spread with both ends; all values of a list."""
        if self.low is None or self.high is None:
            return list(self.values)
        count = self.points or count
        steps = [0.5] if count == 1 else [place / (count - 1) for place in range(count)]
        found = [self.at(step) for step in steps]
        return list(dict.fromkeys(found))  # whole numbers may fall together

    def at(self, share: float) -> float | int:
        """The value at a share of the range, 0 its low end and 1 its high one."""
        assert self.low is not None
        assert self.high is not None
        if share in (0, 1):  # the ends are what was written, to the last digit
            value = self.high if share else self.low
        elif self.log:
            value = math.exp(
                math.log(self.low) + share * (math.log(self.high) - math.log(self.low))
            )
        else:
            value = self.low + share * (self.high - self.low)
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else value

    def share(self, value: float) -> float:
        """Where in the range a value lies, 0 to 1: the other way round than `at`."""
        assert self.low is not None
        assert self.high is not None
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def distribution(self) -> "BaseDistribution":
        """The same for Optuna."""
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        if self.low is None or self.high is None:
            return CategoricalDistribution(self.values)
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def override(self, value: Any) -> str:
        """``key=value`` as `load_recipe` takes it."""
        return f"{self.key}={value if isinstance(value, str) else repr(value)}"


def read_parameter(text: str) -> Parameter:
    """One ``--param``: a key and a range, or a key and its values.

    Raises:
        UsageError: it is neither, or the range is empty.

    Example:
        >>> read_parameter("train.lr=log:1e-5..1e-1").grid(3)
        [1e-05, 0.001, 0.1]
        >>> read_parameter("head.name=gru,lstm").values
        ('gru', 'lstm')
    """
    key, equals, rest = (part.strip() for part in text.partition("="))
    if not equals or not key or not rest:
        raise UsageError(f"--param {text!r} must read like {_FORMS}.")
    found = _RANGE.match(rest)
    if found is None:
        if ".." in rest:
            raise UsageError(f"--param {text!r}: a range reads like {_FORMS}.")
        factor = read_factor(text)
        overrides = [factor.override(place) for place in range(len(factor.values))]
        return Parameter(factor.key, values=tuple(o.partition("=")[2] for o in overrides))
    how = found["how"] or ""
    whole, log = how.endswith("int"), how.startswith("log")
    low, high = (_number(text, found[end], whole=whole) for end in ("low", "high"))
    points = int(found["points"]) if found["points"] else None
    if not low < high:
        raise UsageError(f"--param {text!r}: the range is empty ({low:g} is not below {high:g}).")
    if log and low <= 0:
        raise UsageError(f"--param {text!r}: a log range must be above 0, and begins at {low:g}.")
    if points == 0:
        raise UsageError(f"--param {text!r}: a grid of 0 values is none.")
    return Parameter(key, low, high, whole=whole, log=log, points=points)


def _number(text: str, part: str, *, whole: bool) -> float:
    try:
        value = float(part)
    except ValueError:
        raise UsageError(f"--param {text!r}: {part!r} is no number.") from None
    if not math.isfinite(value) or (whole and value != int(value)):
        kind = "whole number" if whole else "finite number"
        raise UsageError(f"--param {text!r}: {part} is no {kind}.")
    return value


class Space:
    """All parameters of a search.

    Args:
        parameters: at least one, each key once.

    Raises:
        UsageError: there is none, or a key stands there twice.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = tuple(parameters)
        if not self.parameters:
            raise UsageError(f"Say what to search over: --param {_FORMS.split(',')[0]}")
        keys = [parameter.key for parameter in self.parameters]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise UsageError(f"--param {twice} stands there twice: join its values.")

    def __getitem__(self, key: str) -> Parameter:
        return next(p for p in self.parameters if p.key == key)

    @property
    def keys(self) -> list[str]:
        return [parameter.key for parameter in self.parameters]

    def distributions(self) -> "dict[str, BaseDistribution]":
        """The same for Optuna."""
        return {parameter.key: parameter.distribution() for parameter in self.parameters}

    def applying(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """The values that count: where heads are searched, not the options another one has.

        So ``head.name=gru,mean`` goes with ``head.hidden=int:16..256``, which the mean leaves out.
        """
        own = {_option(key): value for key, value in chosen.items() if _option(key)}
        if _HEAD not in chosen or not own:
            return dict(chosen)
        known = _known(str(chosen[_HEAD]), str(own.get("of", "")))
        return {
            key: value for key, value in chosen.items()
            if known is None or not _option(key) or _option(key) in known
        }  # fmt: skip

    def overrides(self, chosen: Mapping[str, Any]) -> list[str]:
        """Chosen values as `load_recipe` takes them; names first, for options depend on them."""
        ordered = sorted(self.parameters, key=lambda p: not p.key.endswith(".name"))
        there = self.applying(chosen)
        return [p.override(there[p.key]) for p in ordered if p.key in there]

    def recipe(self, base: Recipe, chosen: Mapping[str, Any]) -> Recipe:
        """The base with chosen values.

        Raises:
            UsageError: no recipe can have them.
        """
        recipe = load_recipe(base, self.overrides(chosen))
        check_head(recipe)
        return recipe

    def grid(self, trials: int) -> list[dict[str, Any]]:
        """All combinations, at most ``trials`` of them where every range may be as coarse.

        Ranges without a number of points of their own share what the lists leave of the trials.
        """
        columns = [parameter.grid(self._each(trials)) for parameter in self.parameters]
        found: dict[str, dict[str, Any]] = {}
        for row in itertools.product(*columns):  # those that differ in what is of no account: once
            chosen = dict(zip(self.keys, row))
            found.setdefault(repr(self.applying(chosen)), chosen)
        return list(found.values())

    def _each(self, trials: int) -> int:
        """How many values of a range there may be in a grid, where it does not say."""
        free = sum(1 for p in self.parameters if p.ranged and p.points is None)
        fixed = math.prod(
            p.points or len(p.values) for p in self.parameters if p.points or not p.ranged
        )
        return max(1, int((trials / fixed) ** (1 / free) + 1e-9)) if free else 1

    def check_grid(self, trials: int) -> None:
        """See that a grid and the number of trials fit.

        Raises:
            UsageError: it has more combinations, or ranges with a single value.
        """
        free = [p for p in self.parameters if p.ranged and p.points is None]
        points = len(self.grid(trials))
        if points > trials:
            raise UsageError(
                f"The grid has {points} combinations, and --trials {trials} allows fewer: give "
                f"--trials {points}, or fewer values."
            )
        single = [p.key for p in free if len(p.grid(2)) > 1 and self._each(trials) == 1]
        if single:
            raise UsageError(
                f"--trials {trials} leaves a grid one value of {' and '.join(single)}: give more "
                f"trials, or say how many values, such as {single[0]}=log:1e-4..1/5."
            )

    def check(self, base: Recipe) -> None:
        """See that every value is possible in some combination, before hours of work.

        Raises:
            UsageError: a key that the recipe does not have or no trial sees, or a value that it
                cannot have.
        """
        for key in self.keys:
            for unseen, why in _UNSEEN.items():
                if key == unseen or key.startswith(f"{unseen}."):
                    raise UsageError(f"--param {key}: {why}")
        ends = [p.values if p.values else (p.at(0.0), p.at(1.0)) for p in self.parameters]
        faults: dict[tuple[str, Any], str] = {
            (p.key, value): "" for p, values in zip(self.parameters, ends) for value in values
        }
        good: set[tuple[str, Any]] = set()
        for row in itertools.islice(itertools.product(*ends), _MOST_COMBINATIONS):
            chosen = dict(zip(self.keys, row))
            there = self.applying(chosen)
            for item in chosen.items() - there.items():
                faults[item] = faults[item] or self._nobodys(item[0])
            try:
                self.recipe(base, chosen)
                good.update(there.items())
            except UsageError as error:
                for item in chosen.items():
                    faults[item] = faults[item] or str(error)
        for (key, value), fault in faults.items():
            if fault and (key, value) not in good:
                self._blame(base, key, value, fault)

    def _nobodys(self, key: str) -> str:
        names = self[_HEAD].values
        known = {option for name in names for option in head_options(name)}
        return (
            f"none of the heads {', '.join(names)} has an option {_option(key)!r}."
            f"{near_names(_option(key), known)}"
        )

    def _blame(self, base: Recipe, key: str, value: Any, fault: str) -> None:
        """Another parameter's fault is not this one's: ask this one alone first."""
        try:
            load_recipe(base, [self[key].override(value)])
        except UsageError as error:
            fault = str(error)
        else:
            others = [p for p in self.parameters if p.key != key]
            for other in others:
                try:
                    load_recipe(base, [other.override(other.grid(2)[0])])
                except UsageError as error:
                    raise UsageError(f"--param {other.key}: {error}") from None
        raise UsageError(f"--param {key}={value}: {fault}")


def _option(key: str) -> str:
    """The name of a head's option; empty for another key."""
    return key.removeprefix("head.") if key.startswith("head.") and key != _HEAD else ""


@cache
def _known(name: str, of: str) -> frozenset[str] | None:
    """The options of a head, ``of`` another where it is made of others; None: there is no such."""
    try:
        return frozenset(head_class(name).known_options({"of": of} if of else {}))
    except UsageError:
        return None
