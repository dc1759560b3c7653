"""A manifest whose samples end before the last frame of their video.

    python benchmarks/trim_manifest.py ../shared/data/tennis7/manifest.csv trimmed.csv

Clips that were cut by hand often end in a black frame, and where some classes do more often than
others a model can learn that instead of the action. Scores with and without the frame tell.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from frameflow import Manifest
from frameflow.video.probe import probe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    manifest = Manifest.read(given.manifest)
    samples = []
    for sample in manifest:
        path = manifest.path(sample).resolve()
        video = probe(path)
        end = (video.frames - 1.5) / video.rate  # between the last two frames
        samples.append(replace(sample, video=str(path), start=0.0, end=round(end, 4)))
    manifest.replace(samples).write(given.out)
    print(f"{len(samples)} samples, each without its last frame: {given.out}")


if __name__ == "__main__":
    main()
