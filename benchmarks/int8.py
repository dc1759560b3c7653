"""What each way of quantising the backbone of a run loses, on its validation clips.

    python benchmarks/int8.py RUN [--clips 32]

Ranges and biases are fitted on training clips; the test split is not read. `plain` is what ONNX
Runtime's quantiser does by itself with the least and largest value of each activation.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from frameflow.export import quantise
from frameflow.export.graphs import backbone_graph
from frameflow.export.int8 import _some
from frameflow.export.runners import normalised, open_file
from frameflow.export.samples import own_manifest, read_examples, reader, spread
from frameflow.features._agreement import _machine
from frameflow.inference.predictor import load_recognizer, probabilities_of

WAYS = ("float32", "plain", "ranges", "biases", "ranges and biases")


def variant(model: onnx.ModelProto, way: str, batches: Any) -> onnx.ModelProto:
    found = onnx.ModelProto()
    found.CopyFrom(model)
    if way == "float32":
        return found
    if "biases" in way:
        quantise.correct_biases(found, batches)
    shrink = quantise._SHRINK
    quantise._SHRINK = shrink if "ranges" in way else (1.0,)
    try:
        ranges = quantise.best_ranges(found, batches)
    finally:
        quantise._SHRINK = shrink
    return quantise._quantised(found, ranges, next(iter(batches()))[:1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--clips", type=int, default=32)
    asked = parser.parse_args()
    recognizer = load_recognizer(asked.run).eval()
    manifest = own_manifest(asked.run, recognizer)
    assert manifest is not None, "the run's videos are not here"
    (backbone,) = recognizer.backbones()
    encoder = reader(recognizer)
    frames = [
        _some(example.images[0][:1], example.mask[:1], backbone.temporal)
        for example in read_examples(encoder, spread(manifest, ("train",), asked.clips))
    ]

    def batches() -> Iterator[np.ndarray]:
        yield from (normalised(part, backbone.preprocess) for part in frames)

    held = list(read_examples(encoder, manifest.split("val")))
    model = backbone_graph(backbone, frames=recognizer.frames)
    truth = np.array([recognizer.labels.index(e.sample.label) for e in held])  # type: ignore[union-attr]
    print(f"{_machine()}; {len(frames)} training clips, {len(held)} validation clips")
    print(f"{'':18} same top-1  cosine   mean difference  accuracy  MB")
    expected, reference = np.empty(0), np.empty(0)
    for way in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "backbone.onnx"
            onnx.save(variant(model, way, batches), path)
            size = path.stat().st_size / 1e6
            runner = open_file(path)
            features = np.stack(
                [
                    runner({"frames": normalised(e.images[0][0], backbone.preprocess)})[0]
                    for e in held
                ]
            )
        said = probabilities_of(recognizer, features, np.stack([e.mask[0] for e in held]))
        if way == "float32":
            expected, reference = said, features
        lengths = np.linalg.norm(features, axis=-1) * np.linalg.norm(reference, axis=-1)
        cosine = ((features * reference).sum(axis=-1) / lengths).mean()
        same = (said.argmax(axis=1) == expected.argmax(axis=1)).mean()
        off, right = np.abs(said - expected).mean(), (said.argmax(axis=1) == truth).mean()
        print(f"{way:18} {same:10.1%} {cosine:8.4f} {off:16.4f} {right:10.3f} {size:5.1f}")


if __name__ == "__main__":
    main()
