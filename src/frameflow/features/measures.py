"""What every clip of a manifest looks like, measured once and remembered by content."""

import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from frameflow.data.manifest import Manifest, Sample
from frameflow.features._memory import memory_of
from frameflow.features.home import home
from frameflow.features.quarantine import read_or_reason, sample_keys
from frameflow.progress import progress
from frameflow.video.measure import ClipMeasures, measure

log = logging.getLogger(__name__)

_VERSION = "1"  # of the measures
_AT_ONCE = 256


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
        with progress("Measuring", total=len(unknown), unit="clips") as advance:
            for start in range(0, len(unknown), _AT_ONCE):
                part = unknown[start : start + _AT_ONCE]
                # Threads that live on keep what decoding leaves behind: gigabytes in the end.
                with ThreadPoolExecutor(workers or os.cpu_count(), "measure") as pool:
                    read_part = pool.map(read, (manifest[i] for i in part))
                    for index, one in zip(part, read_part):
                        if isinstance(one, str):
                            log.debug("%s is not measured: %s", manifest[index].video, one)
                        else:
                            found[index] = one
                            memory.remember(keys[index], _VERSION, json.dumps(asdict(one)))
                        advance()
    return found
