"""What an ablation found: means, spread, and the effect of each change."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from frameflow.config import Recipe
from frameflow.data.labels import label_matrix
from frameflow.data.manifest import Manifest
from frameflow.evaluation.intervals import Units, units_of
from frameflow.evaluation.paired import (
    Effect,
    Figures,
    class_figures,
    effects,
    holm,
    set_figures,
    whole,
)
from frameflow.training.ablation_cells import Cell
from frameflow.training.ablation_plan import Variant

Key = tuple[int, int]  # a variant's place and a seed
Contrast = Sequence[tuple[int, int]]  # pairs of variants: the second less the first


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
        name: what is changed.
        seeds: how many trainings succeeded.
        mean: of the headline figure over seeds; None where all failed.
        sd_seeds: its deviation over seeds; None with one.
        sd_folds: over folds, of their means over seeds; None in multi-label.
        figures: the other figures, means over seeds.
        effect: against the base, of the seeds that both have; None for the base.
        corrected: its p, corrected for the number of variants.
        seconds: of one training on all folds, the mean.
        failed: why trainings failed, each reason once.
    """

    name: str
    seeds: int
    mean: float | None
    sd_seeds: float | None
    sd_folds: float | None
    figures: Mapping[str, float]
    effect: Effect | None
    corrected: float | None
    seconds: float | None
    failed: Sequence[str]


@dataclass(frozen=True)
class Main:
    """What one value does on average over all combinations with the others."""

    key: str
    level: str
    reference: str
    effect: Effect
    corrected: float | None
    pairs: int


@dataclass(frozen=True)
class AblationResult:
    """What `frameflow.training.ablate.ablate` returns.

    Attributes:
        variants: the base first.
        seeds: of the trainings.
        folds: how many.
        manifest: the samples that were scored out of fold.
        held_back: how many samples of the test split were not looked at.
        cells: the variant's place and the seed to what was found.
    """

    recipe: Recipe
    source: str
    variants: Sequence[Variant]
    seeds: Sequence[int]
    folds: int
    manifest: Manifest
    held_back: int
    cells: Mapping[Key, Cell]

    @property
    def headline(self) -> str:
        """The figure that decides: top-1, in multi-label the mean average precision."""
        return "map" if self.recipe.multilabel else "top1"

    @cached_property
    def rows(self) -> list[Row]:
        """One for each variant, the base first."""
        places = range(1, len(self.variants))
        found = self._judge({place: [(0, place)] for place in places})
        values = [found[p].p if p in found else None for p in places]
        corrected = dict(zip(places, holm(values)))
        return [self._row(p, found.get(p), corrected.get(p)) for p in range(len(self.variants))]

    @cached_property
    def main_effects(self) -> list[Main]:
        """Of each value of each factor against its first, where several were combined.

        The base's value stands for the first where it is among the combinations. Only pairs that
        differ in nothing but the factor count.
        """
        contrasts: dict[tuple[str, str, str], Contrast] = {}
        grid = [(p, v.levels) for p, v in enumerate(self.variants) if v.levels]
        keys = list(dict.fromkeys(key for _, levels in grid for key in levels))
        if len(keys) < 2 or any(len(levels) < len(keys) for _, levels in grid):
            return []
        for key in keys:
            names = list(dict.fromkeys(levels[key] for _, levels in grid))
            for level in names[1:]:
                pairs = [
                    (before, after)
                    for before, one in grid
                    for after, other in grid
                    if one[key] == names[0]
                    and other[key] == level
                    and all(one[k] == other[k] for k in keys if k != key)
                ]
                contrasts[key, level, names[0]] = pairs
        found = self._judge(contrasts)
        corrected = dict(zip(found, holm([effect.p for effect in found.values()])))
        return [
            Main(
                key,
                level,
                first,
                effect,
                corrected[key, level, first],
                len(self._pairs(contrasts[key, level, first])),
            )
            for (key, level, first), effect in found.items()
        ]

    def sure(self, corrected: float | None) -> bool | None:
        """Whether an effect is more than chance; None where that cannot be said."""
        return None if corrected is None else corrected < 1 - self.recipe.evaluation.confidence

    @property
    def failures(self) -> list[tuple[str, str]]:
        """Each variant that failed with a seed, and why."""
        return [(row.name, reason) for row in self.rows for reason in row.failed]

    # The arithmetic -------------------------------------------------------------------------

    def _row(self, place: int, effect: Effect | None, corrected: float | None) -> Row:
        cells = [self.cells[place, seed] for seed in self.seeds]
        done = [cell for cell in cells if not cell.failed]
        means = [whole(self._figures[place, s], self._units) for s in self._done(place)]
        own = [mean[self.headline] for mean in means]
        table = [[score.top1 for score in cell.scores] for cell in done]
        folds = np.array(table).mean(axis=0) if done and not self.recipe.multilabel else None
        return Row(
            name=self.variants[place].name,
            seeds=len(done),
            mean=float(np.mean(own)) if own else None,
            sd_seeds=float(np.std(own, ddof=1)) if len(own) > 1 else None,
            sd_folds=None if folds is None else float(folds.std(ddof=1)),
            figures={
                name: float(np.mean([mean[name] for mean in means]))
                for name in (means[0] if means else {})
                if name != self.headline
            },
            effect=effect,
            corrected=corrected,
            seconds=float(np.mean([cell.seconds for cell in done])) if done else None,
            failed=list(dict.fromkeys(cell.failed for cell in cells if cell.failed)),
        )

    def _done(self, place: int) -> list[int]:
        return [seed for seed in self.seeds if (place, seed) in self._figures]

    @cached_property
    def _shared(self) -> np.ndarray:
        """The samples that every variant could read."""
        rows = [cell.rows for cell in self.cells.values() if not cell.failed]
        shared = np.arange(len(self.manifest))
        for own in rows:
            shared = np.intersect1d(shared, own)
        return shared

    @cached_property
    def _units(self) -> Units:
        groups = [self.manifest[int(row)].group for row in self._shared]
        return units_of(groups, len(groups))

    @cached_property
    def _figures(self) -> dict[Key, Figures]:
        """What gives the figures of each finished training for any draw of groups."""
        several = self.recipe.multilabel
        labels = self.manifest.label_names(multilabel=several)
        samples = [self.manifest[int(row)] for row in self._shared]
        number = {label: place for place, label in enumerate(labels)}
        truth = (
            label_matrix(samples, labels).astype(bool)
            if several
            else np.array([number[sample.label] for sample in samples])
        )
        found: dict[Key, Figures] = {}
        for key, cell in self.cells.items():
            if cell.failed:
                continue
            own = np.searchsorted(cell.rows, self._shared)
            if cell.probabilities is not None:
                found[key] = set_figures(truth, cell.probabilities[own], units=self._units)
                continue
            found[key] = class_figures(
                truth, cell.predicted[own], cell.loss[own],
                classes=len(labels), units=self._units,
            )  # fmt: skip
        return found

    def _pairs(self, contrast: Contrast) -> Contrast:
        """Those of which both were trained with one seed at least."""
        return [(a, b) for a, b in contrast if set(self._done(a)) & set(self._done(b))]

    def _judge(self, contrasts: Mapping[Any, Contrast]) -> dict[Any, Effect]:
        """The mean difference of each contrast's pairs, over the seeds that both have.

        A draw draws groups, and seeds where there are several: both are a sample of what could
        have been. Seeds are spread by sqrt(S / (S - 1)), so that few of them do not seem alike.
        """
        known = {name: self._pairs(pairs) for name, pairs in contrasts.items()}
        known = {name: pairs for name, pairs in known.items() if pairs}
        if not known:
            return {}
        rng = np.random.default_rng(self.recipe.train.seed)
        mixed = _mixer(len(self.seeds), rng)
        settings = self.recipe.evaluation
        even = np.full((1, len(self.seeds)), 1 / len(self.seeds))
        values = self._differences(known, np.ones((1, self._units.count)), even)
        return effects(
            {name: float(value[0]) for name, value in values.items()},
            lambda weights: self._differences(known, weights, mixed(len(weights))),
            units=self._units,
            draws=settings.resamples,
            confidence=settings.confidence,
            seed=self.recipe.train.seed,
            centred=tuple(known) if self.recipe.multilabel else (),
        )

    def _differences(
        self, contrasts: Mapping[Any, Contrast], weights: np.ndarray, mix: np.ndarray
    ) -> dict[Any, np.ndarray]:
        """Each contrast in each draw: of the groups by ``weights``, of the seeds by ``mix``."""
        wanted = {place for pairs in contrasts.values() for pair in pairs for place in pair}
        drawn = {
            (place, seed): self._figures[place, seed](weights)[self.headline]
            for place in wanted
            for seed in self._done(place)
        }
        found = {}
        for name, pairs in contrasts.items():
            total = np.zeros(len(weights))
            for before, after in pairs:
                both = [s for s in self._done(before) if s in self._done(after)]
                shares = mix[:, [list(self.seeds).index(seed) for seed in both]]
                # With a seed missing the others stand for all.
                shares = shares + (1 - shares.sum(axis=1, keepdims=True)) / len(both)
                for column, seed in enumerate(both):
                    apart = drawn[after, seed] - drawn[before, seed]
                    total += shares[:, column] * apart
            found[name] = total / len(pairs)
        return found

    # Words and tables -----------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            "source": self.source,
            "recipe": self.recipe.name,
            "figure": self.headline,
            "samples": len(self._shared),
            "groups": self._units.count if self._units.over == "groups" else None,
            "folds": self.folds,
            "seeds": list(self.seeds),
            "held_back": self.held_back,
            "confidence": self.recipe.evaluation.confidence,
            "variants": [
                {
                    "name": row.name,
                    "levels": dict(variant.levels),
                    "seeds": row.seeds,
                    "mean": row.mean,
                    "sd_seeds": row.sd_seeds,
                    "sd_folds": row.sd_folds,
                    **row.figures,
                    "effect": _plain(row.effect),
                    "p_corrected": row.corrected,
                    "seconds": row.seconds,
                    "failed": list(row.failed),
                }
                for variant, row in zip(self.variants, self.rows)
            ],
            "main_effects": [
                {
                    "key": main.key,
                    "level": main.level,
                    "reference": main.reference,
                    "pairs": main.pairs,
                    "effect": _plain(main.effect),
                    "p_corrected": main.corrected,
                }
                for main in self.main_effects
            ],
        }

    def csv(self) -> str:
        """One row a variant."""
        others = list(self.rows[0].figures) or list(
            next((row.figures for row in self.rows if row.figures), {})
        )
        columns = ["variant", "seeds", self.headline, "sd_seeds", "sd_folds", *others]
        columns += ["effect", "effect_low", "effect_high", "p", "p_corrected", "seconds", "failed"]
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in self.rows:
            effect = row.effect
            ends = (None, None) if effect is None or effect.bounds is None else effect.bounds
            cells = [row.name, row.seeds, row.mean, row.sd_seeds, row.sd_folds]
            cells += [row.figures.get(name) for name in others]
            cells += [effect and effect.value, *ends, effect and effect.p, row.corrected]
            cells += [row.seconds, "; ".join(row.failed)]
            writer.writerow([f"{c:.6g}" if isinstance(c, float) else c for c in cells])
        return file.getvalue()

    def markdown(self) -> str:
        """The tables and the summary as Markdown."""
        from frameflow.training.ablation_words import main_table, notes, summary, variant_table

        lines = [f"# {self.recipe.name} on {self.source}: ablation", "", *summary(self), ""]
        for header, rows in (variant_table(self), main_table(self)):
            if rows:
                lines += [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
                lines += [f"| {' | '.join(c.replace('|', '/') for c in row)} |" for row in rows]
                lines.append("")
        return "\n".join([*lines, *(f"- {note}" for note in notes(self))]) + "\n"


def _plain(effect: Effect | None) -> dict[str, Any] | None:
    if effect is None:
        return None
    bounds = None if effect.bounds is None else list(effect.bounds)
    return {"value": effect.value, "interval": bounds, "p": effect.p}


def _mixer(seeds: int, rng: np.random.Generator) -> Callable[[int], np.ndarray]:
    """Weights of the seeds for so many draws: ``(draws, seeds)``, each row adds up to 1."""
    even = np.full(seeds, 1 / seeds)
    spread = np.sqrt(seeds / (seeds - 1)) if seeds > 1 else 0.0

    def mix(draws: int) -> np.ndarray:
        drawn = rng.multinomial(seeds, even, size=draws) / seeds
        return even + spread * (drawn - even)

    return mix
