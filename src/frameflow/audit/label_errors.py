"""Likely label errors: clips of which classifiers that never saw them surely say something else.

A wrong label of a single clip and a scene that is mislabelled throughout are found by different
means, so there are two lists. Where folds are drawn over clips, the siblings of a clip tell what
it is, and the one that differs stands out; but a scene mislabelled throughout confirms itself.
Where whole groups are held out, nothing of the scene was learnt, so its label is judged by other
scenes alone. `benchmarks/label_errors.py` measures both on flipped labels.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from frameflow.audit._held_out import held_out, learn_and_say, scaled
from frameflow.audit.vectors import ClipVectors
from frameflow.data._units import Units
from frameflow.data.manifest import Manifest
from frameflow.data.splits import add_folds, random_clip_folds

_CLIP_FOLDS, _GROUP_FOLDS = 10, 5
_REPEATS = 3  # other folds each time; probabilities are averaged
_MANY = 2000  # clips from which five folds, drawn once, must do
_FLOOR = 1e-9


@dataclass(frozen=True, slots=True)
class Suspect:
    """A clip whose label is probably wrong.

    Attributes:
        row: its index in the manifest.
        label: what the manifest says.
        said: the likeliest other label.
        probability: of ``said``.
        own: of ``label``.
        odds: the natural logarithm of ``probability / own``; the list is sorted by it.
    """

    row: int
    label: str
    said: str
    probability: float
    own: float
    odds: float


@dataclass(frozen=True, slots=True)
class SuspectScene:
    """All clips of one label in one group, of which other scenes say another label.

    Attributes:
        group: its name.
        rows: its clips, by index in the manifest.
        label: what the manifest says of all of them.
        said: the likeliest other label, on average over the clips.
        probability: of ``said``, the mean over the clips.
        own: of ``label``, likewise.
    """

    group: str
    rows: list[int]
    label: str
    said: str
    probability: float
    own: float


@dataclass(frozen=True)
class LabelErrors:
    """What was found.

    Attributes:
        clips: of which another label is likelier, surest first.
        likely: how many of them confident learning counts as errors.
        scenes: groups of which another label is likelier, surest first.
        judged: how many clips were looked at.
        accuracy: share of them whose label is the likeliest where their group, or the video they
            share, is held out; None where every clip stands alone.
        guesses: of clips without a label: row to the likeliest label and its probability.
        reason: why nothing was looked for; empty where it was.
    """

    clips: list[Suspect] = field(default_factory=list)
    likely: int = 0
    scenes: list[SuspectScene] = field(default_factory=list)
    judged: int = 0
    accuracy: float | None = None
    guesses: dict[int, tuple[str, float]] = field(default_factory=dict)
    reason: str = ""


def find_label_errors(manifest: Manifest, vectors: ClipVectors, *, seed: int = 0) -> LabelErrors:
    """Rank the labelled clips, and the groups, by how surely held-out classifiers disagree.

    The classifier is a logistic regression on one vector per clip. How many of the clips are
    errors is estimated by confident learning (Northcutt, Jiang and Chuang, *Confident learning:
    estimating uncertainty in dataset labels*, JAIR 2021).

    Args:
        manifest: labels and groups; a label cell is one class.
        vectors: of its clips.
        seed: of the folds.
    """
    has_label = np.array([bool(manifest[row].label) for row in vectors.rows], dtype=bool)
    rows = vectors.rows[has_label]
    part = manifest.replace(manifest[row] for row in rows)
    reason = _why_not(part)
    if reason:
        return LabelErrors(reason=reason, judged=len(rows))
    labels = part.labels
    numbers = {label: number for number, label in enumerate(labels)}
    targets = np.array([numbers[sample.label] for sample in part])
    values = scaled(vectors.values)
    known = values[has_label]

    def judged(draw: Callable[[Manifest, int, int], Manifest], folds: int) -> np.ndarray:
        folds, repeats = (folds, _REPEATS) if len(part) < _MANY else (min(folds, 5), 1)
        found = np.zeros((len(part), len(labels)))
        for repeat in range(repeats):
            drawn = np.array([sample.fold for sample in draw(part, folds, seed + repeat)])
            found += held_out(known, targets, drawn, len(labels))
        return found / repeats

    by_clip = judged(_clip_folds, min(_CLIP_FOLDS, len(part)))
    units = len(Units.of(part).members)  # groups, where samples of one video belong together
    scenes: list[SuspectScene] = []
    accuracy = None
    if 2 <= units < len(part):
        by_group = judged(_group_folds, min(_GROUP_FOLDS, units))
        accuracy = float((by_group.argmax(axis=1) == targets).mean())
        scenes = _scenes(part, rows, by_group, targets, labels)
    clips = _clips(rows, by_clip, targets, labels)
    wrong = {int(row) for row in rows[confident_errors(by_clip, targets)]}
    return LabelErrors(
        clips=clips,
        likely=sum(suspect.row in wrong for suspect in clips),
        scenes=scenes,
        judged=len(part),
        accuracy=accuracy,
        guesses=_guesses(vectors.rows[~has_label], known, targets, values[~has_label], labels),
    )


def confident_errors(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Which labels confident learning counts as wrong.

    A label counts as wrong where another class is at least as probable as that class is, on
    average, for the samples labelled with it, and the likeliest of those classes is not the label.

    Args:
        probabilities: ``(N, K)``, held out.
        targets: ``(N,)`` class numbers.

    Returns:
        ``(N,)`` bool.

    Example:
        >>> shares = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.95, 0.05]])
        >>> confident_errors(shares, np.array([0, 0, 1, 1])).tolist()
        [False, False, False, True]
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(targets)), targets]
    usual = np.full(classes, np.inf)
    for number in np.unique(targets):
        usual[number] = own[targets == number].mean()
    reached = np.where(probabilities >= usual, probabilities, -1.0)
    return (reached.max(axis=1) >= 0) & (reached.argmax(axis=1) != targets)


def _why_not(part: Manifest) -> str:
    """Why no label error can be found; empty where one can."""
    counts = Counter(sample.label for sample in part)
    if len(counts) < 2:
        return (
            f"{'one label is' if counts else 'no label is'} in use, and it takes two to be mixed up"
        )
    if len(part) < 2 * len(counts):
        return f"{len(part)} labelled clips of {len(counts)} classes are too few to judge labels"
    return ""


def _clip_folds(part: Manifest, folds: int, seed: int) -> Manifest:
    return random_clip_folds(part, folds, seed)


def _group_folds(part: Manifest, folds: int, seed: int) -> Manifest:
    return add_folds(part, folds, seed=seed)


def _likeliest_other(shares: np.ndarray, own: int) -> int:
    others = shares.copy()
    others[own] = -1.0
    return int(others.argmax())


def _clips(
    rows: np.ndarray, probabilities: np.ndarray, targets: np.ndarray, labels: Sequence[str]
) -> list[Suspect]:
    found = []
    for row, shares, target in zip(rows, probabilities, targets, strict=True):
        said = _likeliest_other(shares, target)
        own, other = float(shares[target]), float(shares[said])
        odds = float(np.log((other + _FLOOR) / (own + _FLOOR)))
        if odds > 0:
            found.append(Suspect(int(row), labels[target], labels[said], other, own, odds))
    return sorted(found, key=lambda suspect: (-suspect.odds, suspect.row))


def _scenes(
    part: Manifest,
    rows: np.ndarray,
    probabilities: np.ndarray,
    targets: np.ndarray,
    labels: Sequence[str],
) -> list[SuspectScene]:
    members: dict[tuple[str, int], list[int]] = defaultdict(list)
    for index, sample in enumerate(part):
        if sample.group:
            members[sample.group, int(targets[index])].append(index)
    found = []
    for (group, target), indices in members.items():
        if len(indices) < 2:  # a single clip is in the other list
            continue
        shares = probabilities[indices].mean(axis=0)
        said = _likeliest_other(shares, target)
        if shares[said] > shares[target]:
            found.append(
                SuspectScene(
                    group,
                    [int(rows[index]) for index in indices],
                    labels[target],
                    labels[said],
                    float(shares[said]),
                    float(shares[target]),
                )
            )
    return sorted(found, key=lambda scene: (scene.own - scene.probability, scene.group))


def _guesses(
    rows: np.ndarray,
    known: np.ndarray,
    targets: np.ndarray,
    unknown: np.ndarray,
    labels: Sequence[str],
) -> dict[int, tuple[str, float]]:
    """What is said of clips that have no label."""
    if not len(rows):
        return {}
    shares = learn_and_say(known, targets, unknown, len(labels))
    return {
        int(row): (labels[int(share.argmax())], float(share.max()))
        for row, share in zip(rows, shares, strict=True)
    }
