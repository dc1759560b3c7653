"""Results of predictions as files."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from frameflow._files import write_text
from frameflow.data.labels import join_labels
from frameflow.errors import VideoError
from frameflow.inference.prediction import Prediction, Result


def write_csv(path: str | os.PathLike[str], results: Sequence[Result]) -> None:
    """Write results as a table: the video, the top k with their probabilities, or the error.

    In multi-label the labels above 0.5, joined by ``|``, stand before them. Where the model has
    prediction sets, that of the video follows, joined by ``|``, and whether it abstained.
    """
    predicted = [result for result in results if isinstance(result, Prediction)]
    most = max((len(result.topk) for result in predicted), default=1)
    present = ["present"] if any(result.multilabel for result in predicted) else []
    refusal = ["set", "abstained"] if any(r.set is not None for r in predicted) else []
    ranks = [name for k in range(1, most + 1) for name in (f"label_{k}", f"probability_{k}")]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["video", *present, *ranks, *refusal, "error"])
    for result in results:
        if isinstance(result, VideoError):
            blank = [""] * len(present + ranks + refusal)
            writer.writerow([result.path, *blank, result.reason])
            continue
        cells = [cell for label, share in result.topk for cell in (label, f"{share:.6g}")]
        cells += [""] * (len(ranks) - len(cells))
        found = [join_labels(result.present)] if present else []
        if refusal:
            cells += [join_labels(result.set or ()), "yes" if result.abstained else "no"]
        writer.writerow([result.video, *found, *cells, ""])
    write_text(Path(path), file.getvalue())
