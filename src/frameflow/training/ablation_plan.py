"""What an ablation trains: changes of a recipe, one at a time or all combinations of them."""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from frameflow.config import Recipe, load_recipe
from frameflow.errors import UsageError, near_names
from frameflow.models.heads import head_class, head_options

# `--over head=mean,gru` where the names are plain words.
_SHORT = {"head": "head.name", "sampling": "sampling.strategy", "backbone": "streams.0.backbone"}
_LONGEST = 60  # letters of a value in tables


@dataclass(frozen=True)
class Factor:
    """One key and the values it takes.

    Attributes:
        key: as in ``--set``.
        values: of YAML.
    """

    key: str
    values: Sequence[Any]

    def override(self, place: int) -> str:
        """``key=value`` as `load_recipe` takes it."""
        value = self.values[place]
        return f"{self.key}={value if isinstance(value, str) else json.dumps(value)}"

    def shown(self, place: int) -> str:
        """The value in words of a table."""
        value = self.values[place]
        if isinstance(value, str):
            return value
        text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
        text = text.removesuffix("...").strip()
        return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


@dataclass(frozen=True)
class Variant:
    """One recipe of an ablation.

    Attributes:
        name: what is changed, in words; ``base`` for the recipe itself.
        levels: the value of each factor, by key; a factor that is not changed is left out.
        recipe: None where the combination is impossible, for ``fault`` 's reason.
        fault: why there is no recipe.
    """

    name: str
    levels: Mapping[str, str]
    recipe: Recipe | None
    fault: str = ""

    @property
    def digest(self) -> str:
        """Of all that decides its numbers, the seed apart."""
        values = {} if self.recipe is None else self.recipe.model_dump(mode="json")
        values = {key: values[key] for key in values if key not in ("name", "description")}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def read_factor(text: str) -> Factor:
    """One ``--over``: a key and its values, split at the commas that YAML would split at.

    Raises:
        UsageError: it is no ``key=value,value``, or a value stands there twice.

    Example:
        >>> read_factor("head=mean,gru").values
        ['mean', 'gru']
        >>> read_factor("train.learn=[], [{parts: [layer4]}]").values
        [[], [{'parts': ['layer4']}]]
    """
    key, equals, values = text.partition("=")
    key = key.strip()
    if not equals or not key or not values.strip():
        raise UsageError(f"--over {text!r} must read key=value,value: head.name=mean,gru.")
    try:
        found = yaml.safe_load(f"[{values}]")
    except yaml.YAMLError as error:
        raise UsageError(
            f"--over {text!r}: the values are not valid YAML ({' '.join(str(error).split())})."
        ) from None
    if not isinstance(found, list) or len(found) != len({json.dumps(v) for v in found}):
        raise UsageError(f"--over {text!r} names a value twice.")
    if key in _SHORT and all(isinstance(value, str) for value in found):
        key = _SHORT[key]
    return Factor(key, found)


def plan(
    recipe: Recipe, factors: Sequence[Factor], *, one_at_a_time: bool = False
) -> list[Variant]:
    """The base and its variants; the base comes first and stands there once.

    Args:
        recipe: the base.
        factors: what is changed.
        one_at_a_time: each value alone against the base, rather than all combinations.

    Raises:
        UsageError: nothing to change, a key twice, or a value that no recipe can have.
    """
    if not factors:
        raise UsageError("Say what to change: --over head.name=mean,gru")
    keys = [factor.key for factor in factors]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UsageError(f"--over {twice} stands there twice: join the values with commas.")
    choices: list[dict[int, int]]
    if one_at_a_time:
        choices = [{f: v} for f, factor in enumerate(factors) for v in range(len(factor.values))]
    else:
        counts = [range(len(factor.values)) for factor in factors]
        choices = [dict(enumerate(chosen)) for chosen in itertools.product(*counts)]
    variants = [_variant(recipe, factors, choice) for choice in choices]
    _refuse_impossible(factors, choices, variants)
    base = Variant("base", {}, recipe)
    alike = [v for v in variants if v.digest == base.digest and v.recipe is not None]
    levels = dict(itertools.chain.from_iterable(v.levels.items() for v in alike))
    base = Variant("base", levels if alike else {}, recipe)
    return [base, *(variant for variant in variants if variant not in alike)]


def _variant(recipe: Recipe, factors: Sequence[Factor], choice: Mapping[int, int]) -> Variant:
    levels = {factors[f].key: factors[f].shown(v) for f, v in choice.items()}
    name = ", ".join(f"{key}={value}" for key, value in levels.items())
    try:
        changed = load_recipe(recipe, [factors[f].override(v) for f, v in choice.items()])
        check_head(changed)
    except UsageError as error:
        return Variant(name, levels, None, str(error))
    return Variant(name, levels, changed)


def check_head(recipe: Recipe) -> None:
    """A typo in the head is told before hours of work."""
    known = head_class(recipe.head.name).known_options(recipe.head.options)
    for option in recipe.head.options:
        if option not in known:
            raise UsageError(
                f"The {recipe.head.name} head has no option {option!r}."
                f"{near_names(option, head_options(recipe.head.name))}"
            )


def _refuse_impossible(
    factors: Sequence[Factor], choices: Sequence[Mapping[int, int]], variants: Sequence[Variant]
) -> None:
    """A value that fails in every combination is a mistake; in some, it is a finding."""
    for f, factor in enumerate(factors):
        for v in range(len(factor.values)):
            own = [w for choice, w in zip(choices, variants) if choice.get(f) == v]
            if own and all(variant.recipe is None for variant in own):
                raise UsageError(f"--over {factor.override(v)}: {own[0].fault}")
