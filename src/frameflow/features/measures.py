"""What every clip of a manifest looks like, measured once and remembered by content."""

import json
import logging
import os
from dataclasses import asdict

from frameflow._threads import in_threads
from frameflow.data.manifest import Manifest, Sample
from frameflow.features._memory import memory_of
from frameflow.features.home import home
from frameflow.features.quarantine import read_or_reason, sample_keys
from frameflow.progress import progress
from frameflow.video.measure import ClipMeasures, measure

log = logging.getLogger(__name__)

_VERSION = "1"  # of the measures


def measure_samples(manifest: Manifest, *, workers: int | None = None) -> list[ClipMeasures | None]:
    """Measure every sample, those that are remembered without reading them.

    Args:
        manifest: the samples.
        workers: how many are read at once; the cores where None.

    Returns:
        One for each sample, None where its video cannot be read.
    """
    keys, _ = sample_keys(manifest)
    found: list[ClipMeasures | None] = [None] * len(manifest)

    def read(sample: Sample) -> ClipMeasures | str:
        path = manifest.path(sample)
        return read_or_reason(
            path,
            lambda: measure(
                path,
                start=sample.start,
                end=sample.end,
                frame=sample.frame,
                region=sample.region,
            ),
        )

    with memory_of(home() / "measures.sqlite", "measures") as memory:
        unknown = []
        for index, key in keys.items():
            known = memory.recall(key, _VERSION)
            if known is None:
                unknown.append(index)
            else:
                found[index] = ClipMeasures(**json.loads(known))
        if not unknown:
            return found
        samples, threads = (manifest[i] for i in unknown), workers or os.cpu_count() or 1
        with progress("Measuring", total=len(unknown), unit="clips") as advance:
            measured = in_threads(read, samples, workers=threads, name="measure")
            for index, one in zip(unknown, measured):
                if isinstance(one, str):
                    log.debug("%s is not measured: %s", manifest[index].video, one)
                else:
                    found[index] = one
                    memory.remember(keys[index], _VERSION, json.dumps(asdict(one)))
                advance()
    return found
