"""Which unlabelled clips to label next: those a classifier is unsure of, unlike one another.

The method is that of Zhdanov, *Diverse mini-batch active learning*, 2019: of the clips whose two
likeliest labels are closest, three times as many as wanted are parted by k-means, each weighted by
how unsure it is, and of every part the clip nearest to its middle is taken.
`benchmarks/label_next.py` measures it beside random choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from frameflow import __version__
from frameflow._files import write_text
from frameflow._places import shown
from frameflow.audit._held_out import learn_and_say, scaled
from frameflow.audit.vectors import ClipVectors, clip_vectors
from frameflow.config import load_recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError
from frameflow.features.engines import EngineKind
from frameflow.pages.page import render_page
from frameflow.pages.strips import strip

_CANDIDATES = 3  # times as many as wanted
_LEAST = 1e-6  # weight of a clip that is quite sure


@dataclass(frozen=True, slots=True)
class Choice:
    """A clip to label.

    Attributes:
        row: its index in the manifest.
        reason: why this one, in words.
        likeliest: its likeliest labels and their probabilities; empty where nothing is labelled
            to learn from.
    """

    row: int
    reason: str
    likeliest: tuple[tuple[str, float], ...] = ()

    @property
    def margin(self) -> float | None:
        """The probability of the likeliest label less that of the next: 0 is a coin toss."""
        if len(self.likeliest) < 2:
            return None
        return self.likeliest[0][1] - self.likeliest[1][1]


def choose_next(
    manifest: Manifest,
    vectors: ClipVectors,
    count: int,
    *,
    probabilities: np.ndarray | None = None,
    labels: Sequence[str] = (),
) -> list[Choice]:
    """The unlabelled clips to label next, the least certain first.

    Args:
        manifest: an empty label means unlabelled.
        vectors: of its clips.
        count: how many are wanted; fewer come back where there are no more.
        probabilities: ``(N, K)`` of the clips of ``vectors`` by a trained recognizer; None: a
            classifier is fitted to the labelled clips.
        labels: the K labels of ``probabilities``.

    Raises:
        UsageError: ``count`` is not positive, or no readable clip is without a label.
    """
    if count < 1:
        raise UsageError(f"count ({count}) must be > 0.")
    open_ = np.array([not manifest[row].label for row in vectors.rows], dtype=bool)
    pool = np.flatnonzero(open_)
    if not len(pool):
        name = shown(manifest.source or "The manifest")
        raise UsageError(
            f"{name} has no readable clip without a label: leave the "
            "label of new clips empty, then ask which of them to label."
        )
    values = scaled(vectors.values).astype(np.float64)
    if probabilities is None:
        labels = sorted({manifest[row].label for row in vectors.rows[~open_]})
        if len(labels) >= 2:
            numbers = {label: number for number, label in enumerate(labels)}
            targets = np.array([numbers[manifest[row].label] for row in vectors.rows[~open_]])
            probabilities = np.zeros((len(values), len(labels)))
            probabilities[pool] = learn_and_say(values[~open_], targets, values[pool], len(labels))
    if probabilities is None or len(labels) < 2:
        chosen = spread(values[pool], count)
        reason = "unlike the others; too few labels to say how sure a model would be"
        return [Choice(int(vectors.rows[pool[index]]), reason) for index in chosen]
    unsure = 1.0 - margin(probabilities[pool])
    picked = unsure_and_spread(values[pool], unsure, count)
    return [
        _choice(int(vectors.rows[pool[index]]), probabilities[pool[index]], labels)
        for index in picked
    ]


def margin(probabilities: np.ndarray) -> np.ndarray:
    """The largest probability of each row less the next.

    Example:
        >>> margin(np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]])).tolist()
        [0.25, 1.0]
    """
    two = np.sort(probabilities, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]


def unsure_and_spread(values: np.ndarray, unsure: np.ndarray, count: int) -> list[int]:
    """Rows that are unsure and unlike one another, the least sure first.

    Args:
        values: ``(n, R)`` vectors.
        unsure: ``(n,)``, 0 (sure) to 1.
        count: how many.
    """
    order = np.argsort(-unsure, kind="stable")
    candidates = order[: _CANDIDATES * count]
    if len(candidates) > count:
        weights = unsure[candidates] + _LEAST
        candidates = candidates[_middles(values[candidates], count, weights)]
    return [int(index) for index in sorted(candidates, key=lambda i: (-unsure[i], i))]


def spread(values: np.ndarray, count: int) -> list[int]:
    """Rows that stand for all: the middles of the parts of k-means, the largest part first."""
    if len(values) <= count:
        return list(range(len(values)))
    return [int(index) for index in _middles(values, count, np.ones(len(values)))]


def _middles(values: np.ndarray, count: int, weights: np.ndarray) -> np.ndarray:
    """``(count,)`` rows, the nearest to the middle of each part of a weighted k-means."""
    from sklearn.cluster import KMeans

    distinct = len(np.unique(values, axis=0))
    found = KMeans(min(count, distinct), n_init=3, random_state=0).fit(
        values, sample_weight=weights
    )
    distances = found.transform(values)
    sizes = np.bincount(found.labels_, minlength=distances.shape[1])
    taken = np.zeros(len(values), dtype=bool)
    for part in np.argsort(-sizes, kind="stable"):
        taken[np.where(taken, np.inf, distances[:, part]).argmin()] = True
    for index in np.argsort(-weights, kind="stable"):  # copies leave fewer parts than wanted
        if taken.sum() == count:
            break
        taken[index] = True
    return np.flatnonzero(taken)


def _choice(row: int, shares: np.ndarray, labels: Sequence[str]) -> Choice:
    order = np.argsort(-shares, kind="stable")[:3]
    likeliest = tuple((labels[index], float(shares[index])) for index in order)
    (first, high), (second, low) = likeliest[:2]
    reason = f"{first} {high:.2f} or {second} {low:.2f}; unlike the others chosen"
    return Choice(row, reason, likeliest)


def next_manifest(manifest: Manifest, choices: Sequence[Choice]) -> Manifest:
    """The chosen clips as a manifest with the columns ``rank``, ``guess``, ``reason``.

    The labels are empty: a person fills them in.
    """

    def row(rank: int, choice: Choice) -> Sample:
        sample = manifest[choice.row]
        guess = choice.likeliest[0][0] if choice.likeliest else ""
        told = {"rank": str(rank), "guess": guess, "reason": choice.reason}
        return replace(sample, extra={**sample.extra, **told})

    return Manifest(
        [row(rank, choice) for rank, choice in enumerate(choices, start=1)],
        manifest.root,
        columns=[*manifest.columns, "rank", "guess", "reason"],
        source=manifest.source,
    )


@dataclass(frozen=True)
class Written:
    """What was chosen and written.

    Attributes:
        manifest: the chosen clips, with rank, guess and reason.
        out: the manifest that was written.
        page: the page that was written; None for none.
        left: how many clips are without a label.
    """

    manifest: Manifest
    out: Path
    page: Path | None
    left: int

    def lines(self) -> list[str]:
        """What was written, in sentences."""
        chosen = len(self.manifest)
        lines = [f"Wrote {self.out}: {chosen} of {self.left} clips without a label, ranked."]
        if self.page is not None:
            lines.append(f"Wrote {self.page}: the same clips to look at.")
        return lines


def write_next(
    manifest: Manifest,
    out: Path,
    *,
    count: int,
    run: Path | None = None,
    page: Path | None = None,
    recipe: str = "default",
    overrides: Sequence[str] = (),
    engine: EngineKind = "auto",
) -> Written:
    """Choose the clips to label next, and write them as a manifest and as a page.

    Args:
        manifest: an empty label means unlabelled.
        out: the manifest to write, with the columns ``rank``, ``guess`` and ``reason``.
        count: how many clips.
        run: the folder of a run whose recognizer and features are used; None: a classifier is
            fitted to the labelled clips, on the features of ``recipe``.
        page: an HTML file to write too.
        recipe: a name or a file.
        overrides: changes of the recipe, ``key=value``.
        engine: see `frameflow.features.engines.make_engine`.

    Raises:
        UsageError: nothing is unlabelled, or the run cannot be used.
    """
    if count < 1:
        raise UsageError(f"count ({count}) must be > 0.")
    if out.resolve() == (manifest.source or Path()).resolve():
        raise UsageError(f"{out} is the manifest itself: name another file with --out.")
    left = sum(not sample.label for sample in manifest)
    if run is None:
        vectors = clip_vectors(manifest, load_recipe(recipe, overrides), engine=engine)
        choices = choose_next(manifest, vectors, count)
    else:
        from frameflow.models.recognizer import Recognizer

        recognizer = Recognizer.load(run)
        if recognizer.recipe.multilabel:
            raise UsageError(
                f"{run} gives a clip several labels, and what it is unsure of is not comparable: "
                "leave --run out."
            )
        vectors = clip_vectors(
            manifest, recognizer.recipe, engine=engine, backbones=recognizer.backbones()
        )
        shares = _probabilities(recognizer, vectors)
        choices = choose_next(
            manifest, vectors, count, probabilities=shares, labels=list(recognizer.labels)
        )
    chosen = next_manifest(manifest, choices)
    chosen.write(out)
    if page is not None:
        _write_page(page, manifest, choices, left)
    return Written(chosen, out, page, left)


def _probabilities(recognizer: Any, vectors: ClipVectors) -> np.ndarray:
    """``(N, K)`` of the clips of ``vectors``."""
    import torch

    features = vectors.features
    found = []
    with torch.no_grad():
        for start in range(0, len(features), 64):
            rows = np.arange(start, min(start + 64, len(features)))
            values, mask = map(torch.from_numpy, features.batch(rows))
            found.append(recognizer.probabilities(values, mask).double().numpy())
    return np.concatenate(found)


def _write_page(path: Path, manifest: Manifest, choices: Sequence[Choice], left: int) -> None:
    clips = [
        {
            "rank": rank,
            "choice": choice,
            "sample": manifest[choice.row],
            "name": PurePath(manifest[choice.row].video).name,
            "picture": strip(manifest, manifest[choice.row]),
        }
        for rank, choice in enumerate(choices, start=1)
    ]
    name = manifest.source.name if manifest.source else manifest.root.name
    text = render_page("next.html.j2", name=name, version=__version__, clips=clips, left=left)
    write_text(path, text)
