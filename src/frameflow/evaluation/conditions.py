"""What the accuracy depends on: how a clip looks, and what the manifest says of it.

`conditions` and `by_columns` are what ``metrics.json`` holds under ``conditions`` and ``by``.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from frameflow.data.manifest import Sample
from frameflow.errors import UsageError, listing, near_names
from frameflow.evaluation.intervals import units_of
from frameflow.evaluation.predictions import Predictions
from frameflow.evaluation.trend import effective_samples, trend, wilson
from frameflow.video.measure import ClipMeasures

SURE = 0.05  # the chance of naming one condition or more where none matters
_PER_BIN = 12  # clips: with fewer an interval says nothing
_BINS = 5
_MOST_VALUES = 60  # of a column, in its table
_FEW_VALUES = 12  # of a column that is shown without being asked for
_OWN = ("label", "group", "split", "fold")


@dataclass(frozen=True, slots=True)
class _Measure:
    """A measure of a clip and how to speak of it."""

    key: str
    title: str
    unit: str
    least: str
    most: str


MEASURES = (
    _Measure("seconds", "Clip length", "s", "the shortest", "the longest"),
    _Measure("brightness", "Brightness", "", "the darkest", "the brightest"),
    _Measure("motion", "Motion", "", "the stillest", "the most moving"),
)


def hits(predictions: Predictions) -> np.ndarray:
    """``(N,)`` bool: the answer is right; in multi-label, all labels are and no other."""
    if predictions.multilabel:
        said = predictions.probabilities > 0.5
        return np.asarray((said == predictions.targets).all(axis=1))
    return np.asarray(predictions.probabilities.argmax(axis=1) == predictions.truth)


def conditions(
    predictions: Predictions, measures: Sequence[ClipMeasures | None] | None, *, seed: int = 0
) -> dict[str, Any] | None:
    """The accuracy in bins of clip length, brightness and motion, with a test of trend.

    Args:
        predictions: of the samples that were scored; each has a label.
        measures: of these samples; None for one that cannot be read.
        seed: of the tests.

    Returns:
        For JSON: ``measured`` of ``samples``, and ``conditions``, each with ``bins`` of equal mass
        (``low``, ``high``, ``samples``, ``groups``, ``accuracy``, ``interval``), ``trend`` and a
        ``sentence``. None where nothing was measured.
    """
    known = [i for i, one in enumerate(measures or ()) if one is not None]
    if not known or measures is None:
        return None
    rows = np.array(known)
    right, groups = hits(predictions)[rows], _groups(predictions.samples)[rows]
    classes = None if predictions.multilabel else predictions.truth[rows]
    found = []
    for kind in MEASURES:
        values = np.array([getattr(measures[i], kind.key) for i in known], dtype=np.float64)
        found.append(_condition(kind, values, right, groups, classes, seed))
    _judge(found)
    return {
        "figure": "exact match" if predictions.multilabel else "top-1",
        "samples": len(predictions),
        "measured": len(known),
        "conditions": found,
    }


def equal_bins(values: np.ndarray, *, most: int = _BINS, least: int = _PER_BIN) -> np.ndarray:
    """``(N,)`` the bin of each value: bins hold equally many, and equal values share one.

    Example:
        >>> equal_bins(np.array([1.0, 2, 3, 4]), most=2, least=2).tolist()
        [0, 0, 1, 1]
    """
    count = int(np.clip(len(values) // least, 1, most))
    edges = np.unique(np.quantile(values, np.arange(1, count) / count, method="lower"))
    placed = np.searchsorted(edges, values, side="left")
    return np.asarray(np.unique(placed, return_inverse=True)[1])


def by_columns(
    predictions: Predictions, columns: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """The accuracy by the values of columns of the manifest.

    Args:
        predictions: of the samples that were scored.
        columns: further columns of the manifest, or ``label``, ``group``, ``split`` and ``fold``.
            Where None, the further columns of a few values, which are what one looks at first.

    Returns:
        For JSON, one entry a column: ``column``, ``figure``, ``values`` (how many it has), ``rows``
        (``value``, ``samples``, ``groups``, ``accuracy``, ``interval``; the lowest accuracy
        first), ``left_out`` (values beyond the most frequent) and a ``sentence``.

    Raises:
        UsageError: no sample has such a column.
    """
    samples = predictions.samples
    further = list(dict.fromkeys(name for sample in samples for name in sample.extra))
    if columns is None:
        columns = [name for name in further if _telling(samples, name)]
    check_columns(columns, further)
    right, groups = hits(predictions), _groups(samples)
    return [_column(name, samples, right, groups, predictions.multilabel) for name in columns]


def check_columns(columns: Sequence[str], further: Sequence[str]) -> None:
    """Refuse a column that the manifest does not have.

    Raises:
        UsageError: with what it has.
    """
    allowed = [*further, *_OWN]
    for name in columns:
        if name not in allowed:
            raise UsageError(
                f"The manifest has no column {name!r}.{near_names(name, allowed)} "
                f"The scores can be told by {listing(allowed, most=12)}."
            )


def _condition(
    kind: _Measure,
    values: np.ndarray,
    right: np.ndarray,
    groups: np.ndarray,
    classes: np.ndarray | None,
    seed: int,
) -> dict[str, Any]:
    placed = equal_bins(values)
    bins = []
    for index in range(int(placed.max()) + 1):
        inside = placed == index
        bins.append(
            {"low": float(values[inside].min()), "high": float(values[inside].max())}
            | _share(right[inside], groups[inside])
        )
    overall = trend(values, right, groups, seed=seed)
    same = trend(values, right, groups, within=classes, seed=seed) if classes is not None else None
    return {
        "key": kind.key,
        "title": kind.title,
        "unit": kind.unit,
        "bins": bins,
        "trend": {
            "correlation": overall.correlation,
            "p": overall.p,
            "p_within_classes": None if same is None else same.p,
            "correlation_within_classes": None if same is None else same.correlation,
            "groups": overall.groups,
        },
        "matters": False,
        "sentence": "",
    }


def _judge(found: list[dict[str, Any]]) -> None:
    """Say of each condition whether it matters; of several tests, by Holm's procedure."""
    tested = sorted(
        (one for one in found if one["trend"]["p"] is not None), key=lambda one: one["trend"]["p"]
    )
    held = True
    for place, one in enumerate(tested):
        held = held and one["trend"]["p"] <= SURE / (len(tested) - place)
        one["matters"] = held and len(one["bins"]) > 1
    kinds = {kind.key: kind for kind in MEASURES}
    for one in found:
        one["sentence"] = _sentence(kinds[one["key"]], one)


def _sentence(kind: _Measure, one: dict[str, Any]) -> str:
    bins, result = one["bins"], one["trend"]
    name = kind.title.lower()
    if len(bins) < 2:
        alike = bins[0]["low"] == bins[0]["high"]
        why = "all clips are alike in it" if alike else "there are too few clips to compare"
        return f"Nothing can be said of {name}: {why}."
    first, last = bins[0], bins[-1]
    ends = (
        f"{first['accuracy']:.2f} of {kind.least} {first['samples']:,} clips, "
        f"{last['accuracy']:.2f} of {kind.most} {last['samples']:,}"
    )
    if result["p"] is None:
        return f"{kind.title}: {ends}; too few groups, or too few mistakes, to test for a trend."
    shown = p_words(result["p"])
    if not one["matters"]:
        return f"No trend with {name} is shown: {ends} ({shown})."
    verb = "rises" if result["correlation"] > 0 else "falls"
    return f"Accuracy {verb} with {name}: {ends} ({shown}). {_within(result)}".rstrip()


def _within(result: dict[str, Any]) -> str:
    p = result["p_within_classes"]
    if p is None:
        return ""
    same = result["correlation"] * result["correlation_within_classes"] > 0
    if p <= SURE and same:
        return f"It holds among clips of one class as well ({p_words(p)})."
    return f"Among clips of one class no trend is shown ({p_words(p)}): classes may explain it."


def p_words(p: float) -> str:
    """``p = 0.03``, or ``p < 0.001``."""
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.0995 else f"p = {p:.2f}"


def _share(right: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """Samples, groups, accuracy and its interval, which knows of the groups."""
    samples = len(right)
    bounds = wilson(int(right.sum()), samples, effective=effective_samples(right, groups))
    return {
        "samples": samples,
        "groups": len(np.unique(groups)),
        "accuracy": float(right.mean()),
        "interval": list(bounds),
    }


def _column(
    name: str, samples: Sequence[Sample], right: np.ndarray, groups: np.ndarray, several: bool
) -> dict[str, Any]:
    values = np.array([_value(sample, name) for sample in samples], dtype=object)
    counts = Counter(values.tolist())
    shown = [value for value, _ in counts.most_common(_MOST_VALUES)]
    rows = [{"value": value, **_share(right[values == value], groups[values == value])}
            for value in shown]  # fmt: skip
    rows.sort(key=lambda row: (row["accuracy"], -row["samples"], row["value"]))
    return {
        "column": name,
        "figure": "exact match" if several else "top-1",
        "values": len(counts),
        "left_out": len(counts) - len(shown),
        "rows": rows,
        "sentence": _column_sentence(name, rows),
    }


def _column_sentence(name: str, rows: list[dict[str, Any]]) -> str:
    if len(rows) < 2:
        return f"All samples have one value of {name}."
    low, high = rows[0], rows[-1]
    apart = low["interval"][1] < high["interval"][0]
    said = (
        f"From {low['accuracy']:.2f} ({low['value']}) to {high['accuracy']:.2f} ({high['value']})"
    )
    if apart and len(rows) == 2:
        return f"{said}; their intervals do not meet."
    if apart:
        return f"{said}; the intervals of these two do not meet, which among many may be by chance."
    return f"{said}; their intervals overlap."


def _value(sample: Sample, name: str) -> str:
    held = getattr(sample, name) if name in _OWN else sample.extra.get(name, "")
    return "(empty)" if held is None or str(held) == "" else str(held)


def _telling(samples: Sequence[Sample], name: str) -> bool:
    """Whether a column has a few values, each of more than one clip on average."""
    count = len({sample.extra.get(name, "") for sample in samples})
    return 2 <= count <= _FEW_VALUES and 2 * count <= len(samples)


def _groups(samples: Sequence[Sample]) -> np.ndarray:
    return units_of([sample.group for sample in samples], len(samples)).index
