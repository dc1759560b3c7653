"""What the scores of an evaluation depend on, measured from its clips."""

from collections.abc import Sequence
from typing import Any

from frameflow.data.manifest import Manifest
from frameflow.evaluation.conditions import by_columns, check_columns, conditions
from frameflow.evaluation.predictions import Predictions
from frameflow.features.measures import measure_samples


def columns_asked(by: str | Sequence[str] | None, manifest: Manifest) -> list[str] | None:
    """The columns to tell the accuracy by; None where none was asked for.

    Raises:
        UsageError: the manifest has no such column.
    """
    if by is None:
        return None
    asked = [by] if isinstance(by, str) else list(by)
    check_columns(asked, manifest.columns)
    return asked


def condition_figures(
    found: Predictions, manifest: Manifest, *, by: list[str] | None, seed: int
) -> dict[str, Any]:
    """``conditions`` and ``by`` of ``metrics.json``.

    Args:
        found: the predictions.
        manifest: finds their videos.
        by: columns of the manifest; those of a few values where None.
        seed: of the tests.
    """
    measures = measure_samples(Manifest(found.samples, manifest.root))
    return {
        "conditions": conditions(found, measures, seed=seed),
        "by": by_columns(found, by),
    }
