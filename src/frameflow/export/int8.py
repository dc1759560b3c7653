"""An export in 8-bit integers: calibrated on training clips, accepted on held-out ones."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frameflow.errors import FrameFlowError, UsageError
from frameflow.evaluation.multilabel import THRESHOLD
from frameflow.export.agreement import Reference, same_answer
from frameflow.export.quantise import quantised
from frameflow.export.runners import Runner, normalised
from frameflow.export.samples import Example, read_examples, reader, spread
from frameflow.inference._calibrated import calibration_of
from frameflow.progress import progress

if TYPE_CHECKING:
    from frameflow.data.manifest import Manifest, Sample
    from frameflow.export.pipeline import Format, Graphs
    from frameflow.models.recognizer import Recognizer

log = logging.getLogger(__name__)

CLIPS = 32  # that ranges are measured on
LEAST = 0.9  # share of held-out clips with the same top-1
_FRAMES = 4  # of a clip, where each has its own features
_HELD = 64  # clips that decide whether the file is kept
_FEWEST = 2  # clips, to calibrate with and to accept on


def check_options(calibrate_with: int | None, min_agreement: float) -> None:
    """Refuse numbers that mean nothing.

    Raises:
        UsageError: with what is allowed.
    """
    if calibrate_with is not None and calibrate_with < _FEWEST:
        raise UsageError(f"calibrate-with ({calibrate_with}) must be {_FEWEST} clips or more.")
    if not 0 <= min_agreement <= 1:
        raise UsageError(f"min-agreement ({min_agreement}) must be a share from 0 to 1.")


def check_clips(manifest: "Manifest | None") -> None:
    """Refuse 8 bits without training clips to calibrate with.

    Raises:
        UsageError: the videos are not here.
    """
    count = 0 if manifest is None else sum(sample.split == "train" for sample in manifest)
    if count < 2 * _FEWEST:
        raise UsageError(
            f"--int8 is calibrated on clips of the run's training split, and {count} of their "
            f"videos are here: put them where its manifest.csv looks for them, or leave out --int8."
        )


def quantise(
    graphs: "Graphs",
    manifest: "Manifest",
    folder: Path,
    about: dict[str, Any],
    form: "Format",
    calibrate_with: int | None,
    min_agreement: float,
) -> dict[str, Any]:
    """Write the files in 8 bits, and say what they lose.

    Args:
        graphs: in float32.
        manifest: of the run, those of its samples whose videos are here.
        folder: where the files in float32 are.
        about: what goes into the files' metadata.
        form: of the files.
        calibrate_with: training clips; 32 where None, at most half of those there are.
        min_agreement: share of held-out clips that must keep their top-1.

    Returns:
        What ``export.json`` says of them.

    Raises:
        FrameFlowError: too few held-out clips keep their top-1, or the quantiser fails.
    """
    from frameflow.export.pipeline import ENDING, write_files
    from frameflow.export.runners import open_file

    recognizer = graphs.recognizer
    training = manifest.split("train")
    count = min(calibrate_with or CLIPS, max(_FEWEST, len(training) // 2))
    chosen = spread(manifest, ("train",), count)
    kept = _calibration_frames(graphs, chosen)
    small = [
        quantised(model, _batches(frames, backbone))
        for model, (backbone, frames) in zip(graphs.backbones, kept)
    ]
    quantised_graphs = replace(graphs, backbones=small)
    files = write_files(folder, quantised_graphs, about, form=form, precision="int8")
    full = open_file(folder / f"model{ENDING[form]}")
    held, words = _held_out(manifest, count)
    compared = compare(recognizer, full, files.whole, held)
    record: dict[str, Any] = {
        "calibrated_on": f"{len(chosen)} training clips",
        "held_out": {"clips": compared["clips"], "which": words, "agreement": compared["same"]},
        "min_agreement": min_agreement,
    }
    said = f"{compared['same']:.1%} of {compared['clips']} {words}"
    if compared["same"] < min_agreement:
        raise FrameFlowError(
            f"In 8 bits the model gives the same top-1 on {said} only, less than "
            f"--min-agreement {min_agreement:g}, so nothing was written. "
            f"Leave out --int8, or calibrate with more clips (--calibrate-with)."
        )
    log.info("8 bits give the same top-1 on %s (needed %.0f %%).", said, 100 * min_agreement)
    test = manifest.split("test")
    record["test"] = None
    if len(test):
        lost = compare(recognizer, full, files.whole, test)
        record["test"] = lost
        log.info(
            "On %d test clips: same top-1 on %.1f %%, accuracy %.3f in float32, %.3f in 8 bits.",
            lost["clips"], 100 * lost["same"], lost["accuracy_float32"], lost["accuracy_int8"],
        )  # fmt: skip
    return record


def _held_out(manifest: "Manifest", calibrated: int) -> tuple["Manifest", str]:
    """Clips that 8 bits were not calibrated on: validation, or else further training clips."""
    found = spread(manifest, ("val",), _HELD)
    if len(found) >= _FEWEST:
        return found, "validation clips"
    return spread(manifest, ("train",), _HELD, skip=calibrated), "further training clips"


def _calibration_frames(graphs: "Graphs", chosen: "Manifest") -> list[tuple[Any, list[np.ndarray]]]:
    """For each different backbone itself, and uint8 images of all streams that go through it."""
    recognizer = graphs.recognizer
    found: list[list[np.ndarray]] = [[] for _ in graphs.backbones]
    models: list[Any] = [None] * len(found)
    encoder = reader(recognizer)
    with progress("Calibrating", total=len(chosen)) as advance:
        for example in read_examples(encoder, chosen):
            for place, backbone, images in zip(
                graphs.places, recognizer.backbones(), example.images
            ):
                models[place] = backbone
                found[place].append(_some(images[:1], example.mask[:1], backbone.temporal))
            advance()
    if not all(found):
        raise FrameFlowError("No training clip could be read, so 8 bits cannot be calibrated.")
    return list(zip(models, found))


def _some(images: np.ndarray, mask: np.ndarray, temporal: bool) -> np.ndarray:
    """The first view of a clip; single frames of it, spread, where each has its own features."""
    if temporal:
        return images
    (seen,) = mask.nonzero()[1:]
    if not len(seen):
        seen = np.arange(mask.shape[1])
    places = np.linspace(0, len(seen) - 1, min(_FRAMES, len(seen))).round().astype(int)
    return np.ascontiguousarray(images[0, seen[places]])


def _batches(frames: Sequence[np.ndarray], backbone: Any) -> Any:
    def batches() -> Iterator[np.ndarray]:
        for part in frames:
            yield normalised(part, backbone.preprocess)

    return batches


def compare(
    recognizer: "Recognizer", full: Runner, small: Runner, manifest: "Manifest"
) -> dict[str, Any]:
    """How two files do on the same clips.

    Returns:
        ``clips``, ``same`` (share of the same top-1; in multi-label of the same set),
        ``accuracy_float32``, ``accuracy_int8`` and ``max_difference`` of the probabilities.

    Raises:
        FrameFlowError: no clip can be read.
    """
    reference = Reference(recognizer)
    several = recognizer.recipe.multilabel
    same, right, worst = [], [], 0.0
    with progress("Comparing", total=len(manifest)) as advance:
        for example in read_examples(reader(recognizer), manifest):
            pair = [sample_probabilities(reference, runner, example) for runner in (full, small)]
            same.append(bool(same_answer(pair[1][None], pair[0][None], several=several)[0]))
            right.append([is_right(recognizer, found, example.sample) for found in pair])
            worst = max(worst, float(np.abs(pair[0] - pair[1]).max()))
            advance()
    if not same:
        raise FrameFlowError("No clip could be read to compare 8 bits with float32 on.")
    accuracy = np.mean(right, axis=0)
    return {
        "clips": len(same),
        "same": float(np.mean(same)),
        "accuracy_float32": float(accuracy[0]),
        "accuracy_int8": float(accuracy[1]),
        "max_difference": worst,
    }


def sample_probabilities(reference: Reference, runner: Runner, example: Example) -> np.ndarray:
    """``(K,)``: the mean over the views, then calibrated, as a prediction has it."""
    raw = runner(reference.feed(example.images, example.mask))[1]
    mean = raw.mean(axis=0, keepdims=True)
    return np.asarray(calibration_of(reference.recognizer).apply(mean)[0])


def is_right(recognizer: "Recognizer", said: np.ndarray, sample: "Sample | None") -> bool:
    """Whether the likeliest label is the sample's (multi-label: whether the set is)."""
    assert sample is not None
    several = recognizer.recipe.multilabel
    truth = set(sample.label_names(multilabel=several))
    if several:
        return {
            label for label, share in zip(recognizer.labels, said) if share > THRESHOLD
        } == truth
    return recognizer.labels[int(said.argmax())] in truth
