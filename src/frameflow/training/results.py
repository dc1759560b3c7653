"""What a cross-validation found: figures, tables and words."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from frameflow.config import Recipe
from frameflow.evaluation._words import plural
from frameflow.evaluation.intervals import Intervals, bootstrap, units_of
from frameflow.evaluation.multilabel import SetScores, score_sets
from frameflow.evaluation.paired import Effect, effects


@dataclass(frozen=True)
class FoldScore:
    """One training and its test on a fold."""

    fold: int
    seed: int
    samples: int
    top1: float
    epochs: int
    best_epoch: int
    val_top1: float | None


@dataclass(frozen=True)
class Study:
    """All folds with all seeds.

    Attributes:
        scores: of every fold and seed.
        probabilities: ``(N, K)`` out-of-fold, the mean over seeds.
        hits: ``(N,)`` the share of the seeds in which each sample was right.
    """

    scores: Sequence[FoldScore]
    probabilities: np.ndarray
    hits: np.ndarray

    @property
    def folds(self) -> list[int]:
        return sorted({score.fold for score in self.scores})

    @property
    def seeds(self) -> list[int]:
        return sorted({score.seed for score in self.scores})

    def matrix(self) -> np.ndarray:
        """``(folds, seeds)`` top-1."""
        found = {(score.fold, score.seed): score.top1 for score in self.scores}
        return np.array([[found[fold, seed] for seed in self.seeds] for fold in self.folds])

    @property
    def mean(self) -> float:
        """Top-1, the mean over folds and seeds."""
        return float(self.matrix().mean())

    @property
    def sd_folds(self) -> float:
        """The standard deviation over folds of their means over seeds."""
        return float(self.matrix().mean(axis=1).std(ddof=1))

    @property
    def sd_seeds(self) -> float | None:
        """The standard deviation over seeds of their means over folds; None with one seed."""
        means = self.matrix().mean(axis=0)
        return float(means.std(ddof=1)) if len(means) > 1 else None

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        means = self.matrix().mean(axis=0)
        return {
            "top1": self.mean,
            "sd_folds": self.sd_folds,
            "sd_seeds": self.sd_seeds,
            "top1_of_seed": dict(zip(map(str, self.seeds), means.tolist())),
            "scores": [asdict(score) for score in self.scores],
        }

    def rows(self, split: str) -> list[list[Any]]:
        """Table rows: one a fold, then the mean and the deviation over folds."""
        matrix = self.matrix()
        samples = {score.fold: score.samples for score in self.scores}
        table = [
            [split, str(fold), samples[fold], *values.tolist(), float(values.mean())]
            for fold, values in zip(self.folds, matrix)
        ]
        mean = [*matrix.mean(axis=0).tolist(), self.mean]
        sd = [*matrix.std(axis=0, ddof=1).tolist(), self.sd_folds]
        total = sum(samples.values())
        return [*table, [split, "mean", total, *mean], [split, "sd over folds", None, *sd]]


@dataclass(frozen=True)
class CrossvalResult:
    """What `frameflow.training.crossval.crossval` returns.

    Attributes:
        held_out: the folds that were asked for.
        random_clips: the same on random folds of clips, where it was asked for.
        groups: how many groups the samples are of; None where none is named.
        group_of: the group of each sample.
        leaky: a group stands in two folds, and that was allowed.
        bad_videos: what was set aside.
        targets: ``(N, K)`` which labels each sample has, in multi-label.
    """

    recipe: Recipe
    source: str
    labels: Sequence[str]
    samples: int
    groups: int | None
    group_of: Sequence[str]
    leaky: bool
    held_out: Study
    random_clips: Study | None
    bad_videos: Sequence[Mapping[str, Any]]
    versions: Mapping[str, str]
    seconds: float
    targets: np.ndarray | None = None

    @cached_property
    def sets(self) -> SetScores | None:
        """In multi-label, the figures of the out-of-fold probabilities of all clips together.

        With several seeds these are means over seeds, so the figures are of an ensemble.
        """
        if self.targets is None:
            return None
        settings = self.recipe.evaluation
        return score_sets(
            self.targets,
            self.held_out.probabilities,
            self.labels,
            groups=self.group_of,
            resamples=settings.resamples,
            confidence=settings.confidence,
            seed=self.recipe.train.seed,
        )

    @property
    def top1(self) -> float:
        """The figure to quote: the mean over folds and seeds."""
        return self.held_out.mean

    def interval(self) -> Intervals:
        """Of the pooled out-of-fold top-1, by a bootstrap over groups."""
        hits = self.held_out.hits
        counts = np.stack([hits, np.ones_like(hits)], axis=1)
        settings = self.recipe.evaluation
        return bootstrap(
            counts,
            lambda sums: {"top1": sums[:, 0] / sums[:, 1]},
            units=units_of(self.group_of, len(hits)),
            draws=settings.resamples,
            confidence=settings.confidence,
            seed=self.recipe.train.seed,
        )

    def inflated(self) -> Effect | None:
        """The same difference over all clips together, with its interval over groups.

        Each clip is scored in both studies, so they are judged on the same draws of groups.
        """
        if self.random_clips is None:
            return None
        gained = self.random_clips.hits - self.held_out.hits
        units = units_of(self.group_of, len(gained))
        total, size = (np.bincount(units.index, part) for part in (gained, np.ones(len(gained))))
        settings = self.recipe.evaluation
        found = effects(
            {"top1": float(gained.mean())},
            lambda weights: {"top1": (weights @ total) / (weights @ size)},
            units=units,
            draws=settings.resamples,
            confidence=settings.confidence,
            seed=self.recipe.train.seed,
        )
        return found["top1"]

    def inflation(self) -> dict[str, Any] | None:
        """What the random folds claim beyond the held-out ones: in points, and as a ratio.

        ``points`` is the difference of the means over folds; ``pooled_points`` that over all
        clips, of which ``interval`` is.
        """
        effect = self.inflated()
        if self.random_clips is None or effect is None:
            return None
        claimed, honest = self.random_clips.mean, self.held_out.mean
        found = {
            "points": 100 * (claimed - honest),
            "pooled_points": 100 * effect.value,
            "interval": None if effect.bounds is None else [100 * end for end in effect.bounds],
            "p": effect.p,
        }
        return found | ({"ratio": claimed / honest} if honest else {})

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        other, sets = self.random_clips, self.sets
        pooled = {} if sets is None else {"pooled_sets": sets.to_dict()}
        return {
            "source": self.source,
            "recipe": self.recipe.name,
            "samples": self.samples,
            "groups": self.groups,
            "labels": list(self.labels),
            "views": self.recipe.views.test,
            "leaky": self.leaky,
            **self.held_out.to_dict(),
            "pooled_top1": float(self.held_out.hits.mean()),
            "intervals": self.interval().to_dict(),
            **pooled,
            "random_clips": None if other is None else other.to_dict(),
            "inflation": self.inflation(),
            "calibrated": False,
            "bad_videos": [dict(bad) for bad in self.bad_videos],
            "versions": dict(self.versions),
            "seconds": self.seconds,
        }

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Header and rows: top-1 of each fold and seed, means and deviations."""
        seeds = [f"seed {seed}" for seed in self.held_out.seeds]
        header = ["test folds", "fold", "samples", *seeds, "mean"]
        rows = self.held_out.rows("held-out groups" if self.groups else "clips, no groups known")
        if self.random_clips is not None:
            rows += self.random_clips.rows("random clips")
        return header, rows

    def summary(self) -> str:
        """The figure and what it rests on, in a few lines."""
        held = self.held_out
        over_seeds = "" if held.sd_seeds is None else f", {held.sd_seeds:.3f} over seeds"
        groups = f" of {plural(self.groups, 'group')}" if self.groups else ", no groups known"
        lines = [
            f"Top-1 {held.mean:.3f}: mean of {len(held.folds)} folds and "
            f"{plural(len(held.seeds), 'seed')}; deviation {held.sd_folds:.3f} over folds"
            f"{over_seeds}.",
            f"{self._interval_words()}; {plural(self.samples, 'sample')}{groups}, "
            f"{len(self.labels)} classes, recipe {self.recipe.name}.",
        ]
        if self.sets is not None:
            lines.append(self._set_words(self.sets))
        if self.leaky:
            lines.insert(0, "LEAKY SPLIT: groups stand in several folds, so the score is too high.")
        inflation = self.inflation()
        if inflation is not None and self.random_clips is not None:
            ratio = f", {inflation['ratio']:.2f} times" if "ratio" in inflation else ""
            lines.append(
                f"On random folds of clips the same recipe claims {self.random_clips.mean:.3f}: "
                f"{inflation['points']:+.1f} points{ratio} what it does on new groups"
                f"{self._inflation_words(inflation)}."
            )
        if self.bad_videos:
            lines.append(f"{plural(len(self.bad_videos), 'video')} set aside as unreadable.")
        return "\n".join(lines)

    def markdown(self) -> str:
        """The table and the summary as Markdown."""
        header, rows = self.table()
        lines = [f"# {self.recipe.name} on {self.source}", "", self.summary(), ""]
        lines += [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
        lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
        mean = "means over the seeds and " if len(self.held_out.seeds) > 1 else ""
        lines += ["", f"The probabilities in `predictions.csv` are {mean}not calibrated."]
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """The table as CSV."""
        header, rows = self.table()
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_cell(cell) for cell in row] for row in rows)
        return file.getvalue()

    def _set_words(self, sets: SetScores) -> str:
        bounds = sets.intervals.bounds["map"]
        share = f"{100 * sets.intervals.confidence:g} % interval"
        spread = f"no {share}" if bounds is None else f"{share} {bounds[0]:.3f} to {bounds[1]:.3f}"
        seeds = len(self.held_out.seeds)
        mean = f", probabilities averaged over {seeds} seeds" if seeds > 1 else ""
        return (
            f"Mean average precision {sets.mean_average_precision:.3f} ({spread}; by chance "
            f"{sets.chance:.3f}) over all clips, each scored out of fold{mean}; top-1 counts a "
            f"likeliest label that is one of the clip's."
        )

    def _inflation_words(self, inflation: Mapping[str, Any]) -> str:
        if inflation["interval"] is None:
            return ""
        low, high = inflation["interval"]
        share = f"{100 * self.recipe.evaluation.confidence:g} % interval"
        return f" ({share} {low:+.1f} to {high:+.1f}, over all clips)"

    def _interval_words(self) -> str:
        found = self.interval()
        bounds = found.bounds["top1"]
        share = f"{100 * found.confidence:g} % interval"
        if bounds is None:
            return f"No {share}: {(found.reason or '').rstrip('.')}"
        return f"{share} {bounds[0]:.3f} to {bounds[1]:.3f}, resampled over {found.over}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
