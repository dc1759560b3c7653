"""Time and size of what `data explore` does beyond reading the videos, at the size of UCF101.

    python benchmarks/explore_page.py --clip ../shared/data/clips/ucf101.avi

All samples are links to one small video, and the vectors are drawn around the centres of classes
and groups, so nothing is extracted; the pictures are decoded and the page is written as ever.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from _machine import processor
from frameflow.audit._explore_page import render_explore
from frameflow.audit.health import HealthReport
from frameflow.audit.label_errors import find_label_errors
from frameflow.audit.map2d import map_2d
from frameflow.audit.survey import Survey
from frameflow.audit.vectors import ClipVectors, principal
from frameflow.data.manifest import Manifest, Sample
from frameflow.video.measure import measure
from frameflow.video.probe import probe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, required=True, help="any short video")
    parser.add_argument("--samples", type=int, default=13320)
    parser.add_argument("--classes", type=int, default=101)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--out", type=Path, help="keep the page")
    options = parser.parse_args()
    clip = options.clip.resolve()
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 25 * options.classes, options.samples)
    folder = Path(tempfile.mkdtemp())
    for number in range(options.samples):
        (folder / f"{number}{clip.suffix}").symlink_to(clip)
    samples = [
        Sample(
            f"{number}{clip.suffix}",
            f"class {group // 25:03d}",
            ("train", "test")[int(group % 25 < 7)],
            f"g{group}",
        )
        for number, group in enumerate(groups)
    ]
    manifest = Manifest(samples, folder)
    centres = rng.normal(0, 1, (options.classes, options.dim))
    scenes = rng.normal(0, 1, (25 * options.classes, options.dim))
    values = centres[groups // 25] + scenes[groups] + rng.normal(0, 1, (len(groups), options.dim))
    print(f"{processor()}, {os.cpu_count()} cores")
    print(f"{options.samples} clips, {options.classes} classes, vectors of {options.dim}\n")
    begun = time.perf_counter()

    def told(what: str) -> None:
        nonlocal begun
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{what:28} {time.perf_counter() - begun:7.1f} s, peak {memory:.2f} GB", flush=True)
        begun = time.perf_counter()

    turned = principal([values.astype(np.float32)])
    told("principal axes")
    vectors = ClipVectors(np.arange(len(samples)), turned, [], None)  # type: ignore[arg-type]
    errors = find_label_errors(manifest, vectors)
    told("likely label errors")
    places = map_2d(turned)
    told("map")
    info = probe(clip)
    health = HealthReport(manifest, [], [], videos={manifest.path(s): info for s in manifest})
    found = Survey(
        manifest, health, [measure(clip)] * len(samples), [s.split for s in samples], [], [],
        vectors, places, errors, "generated",
    )  # fmt: skip
    text = render_explore(found, name="generated")
    told("pictures and page")
    print(f"{'page':28} {len(text.encode()) / 1e6:7.1f} MB")
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
