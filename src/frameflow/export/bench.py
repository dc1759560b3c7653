"""How fast, how large and how right a run is under each engine and precision of this machine."""

import importlib.util
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from frameflow.errors import FrameFlowError, UsageError
from frameflow.export.agreement import same_answer
from frameflow.export.int8 import is_right
from frameflow.export.pipeline import ABOUT, ENDING, export
from frameflow.export.samples import (
    Example,
    generated,
    own_manifest,
    read_example,
    read_examples,
    reader,
    refuse_apart,
)
from frameflow.features.engines import computes_bfloat16, cores
from frameflow.inference._calibrated import calibration_of
from frameflow.inference.predictor import Source, load_recognizer, run_folder
from frameflow.progress import progress

if TYPE_CHECKING:
    from frameflow.data.manifest import Manifest, Sample
    from frameflow.models.recognizer import Recognizer

log = logging.getLogger(__name__)

BenchEngine = Literal["torch", "onnxruntime", "openvino"]
_PATIENCE = 1800.0  # seconds for one row


@dataclass(frozen=True, slots=True)
class Row:
    """One engine at one precision, and the file it runs (None: the run itself)."""

    engine: BenchEngine
    precision: str
    file: Path | None = None


def bench(
    run: Source,
    *,
    video: Path | None = None,
    repeat: int = 20,
    exported: Path | None = None,
    int8: bool = False,
    accuracy: bool = True,
    clips: int | None = None,
    engines: Sequence[str] = (),
) -> dict[str, Any]:
    """Measure a run under the engines of this machine, each in a process of its own.

    Args:
        run: the folder of a run.
        video: what is decoded and computed; a generated clip where None.
        repeat: how often one clip is computed under each engine, at most 20 s of it.
        exported: the folder of an export; those in ``RUN/exports``, or else a fresh one that is
            not kept, where None.
        int8: export in 8 bits too, where no export has them.
        accuracy: score the test split of the run's manifest, where its videos exist.
        clips: at most so many test clips.
        engines: only these, beside PyTorch, which the others are compared with.

    Returns:
        ``machine``, ``cores``, ``clip``, ``decode_seconds``, ``test_clips``, ``rows``, ``notes``.

    Raises:
        UsageError: no run, no such export, or an engine asked for is not installed.
        FrameFlowError: PyTorch itself could not be measured.
    """
    if repeat < 1 or (clips is not None and clips < 1):
        raise UsageError(f"repeat ({repeat}) and clips ({clips}) must be > 0.")
    for engine in engines:
        if engine not in get_args(BenchEngine):
            known = get_args(BenchEngine)
            raise UsageError(f"engine ({engine!r}) must be one of {', '.join(known)}.")
        if importlib.util.find_spec(engine) is None:
            raise UsageError(f"The engine {engine!r} is not installed: pip install {engine}.")
    folder = run_folder(run)
    recognizer = load_recognizer(folder).eval()
    refuse_apart(recognizer)
    manifest = own_manifest(folder, recognizer)
    with tempfile.TemporaryDirectory(prefix="frameflow-") as temporary:
        scratch = Path(temporary)
        files, notes = _files(folder, exported, scratch, int8=int8)
        clip, words, decoding = _clip(recognizer, video)
        np.savez(scratch / "clip.npz", **(_named(clip.images) | {"mask": clip.mask}))  # type: ignore[arg-type]
        samples: list[Sample] = []
        if accuracy:
            test = None if manifest is None else manifest.split("test")
            samples = _store_test(recognizer, test, scratch / "test", clips)
            if not samples:
                notes.append("no accuracy: the videos of the run's test split are not here")
        rows = _rows(files, engines)
        found = []
        with progress("Measuring", total=len(rows), unit="engines") as advance:
            for row in rows:
                found.append(_measured(row, folder, recognizer, scratch, repeat, bool(samples)))
                advance()
        _score(recognizer, found, samples)
    return {
        "machine": _machine(),
        "cores": cores(),
        "clip": words,
        "decode_seconds": decoding,
        "test_clips": len(samples),
        "rows": found,
        "notes": notes,
    }


def _files(
    folder: Path, exported: Path | None, scratch: Path, *, int8: bool
) -> tuple[dict[tuple[str, str], Path], list[str]]:
    """The file of each (engine, precision), and what there is to say of them."""
    folders = [exported] if exported else sorted((folder / "exports").glob("*"))
    folders = [each for each in folders if (each / ABOUT).is_file()]
    if exported and not folders:
        raise UsageError(f"{exported} is no export: `frameflow export` writes them.")
    notes: list[str] = []
    found = _found(folders)
    if not found or (int8 and not any(precision == "int8" for _, precision in found)):
        export(folder, quantise=int8, out=scratch / "export", min_agreement=0.0)
        found = _found([scratch / "export"]) | found
        notes.append("exported for this measurement only; `frameflow export` keeps an export")
    return found, notes


def _found(folders: Sequence[Path]) -> dict[tuple[str, str], Path]:
    found: dict[tuple[str, str], Path] = {}
    for folder in folders:
        form = json.loads((folder / ABOUT).read_text(encoding="utf-8"))["form"]
        for precision in ("float32", "int8"):
            middle = "" if precision == "float32" else f".{precision}"
            path = folder / f"model{middle}{ENDING[form]}"
            if not path.is_file():
                continue
            found["openvino", precision] = path
            if form == "onnx":
                found["onnxruntime", precision] = path
    return found


def _rows(files: dict[tuple[str, str], Path], engines: Sequence[str]) -> list[Row]:
    rows = [Row("torch", "float32")]
    order: tuple[BenchEngine, ...] = ("onnxruntime", "openvino")
    rows += [
        Row(engine, "float32", files[engine, "float32"])
        for engine in order
        if (engine, "float32") in files
    ]
    if computes_bfloat16():
        rows.insert(1, Row("torch", "bfloat16"))
        if ("openvino", "float32") in files:
            rows.append(Row("openvino", "bfloat16", files["openvino", "float32"]))
    rows += [
        Row(engine, "int8", files[engine, "int8"]) for engine in order if (engine, "int8") in files
    ]
    return [row for row in rows if not engines or row.engine in {"torch", *engines}]


def _clip(recognizer: "Recognizer", video: Path | None) -> tuple[Example, str, list[float] | None]:
    """One clip, what it is in words, and the seconds that decoding took."""
    if video is None:
        return generated(recognizer, 1)[0], "a generated clip", None
    encoder, seconds = reader(recognizer), []
    for _ in range(5):
        begun = time.perf_counter()
        example = read_example(encoder, video)
        seconds.append(time.perf_counter() - begun)
    return example, str(video), seconds


def _named(images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"stream{place}": part for place, part in enumerate(images)}


def _store_test(
    recognizer: "Recognizer", test: "Manifest | None", folder: Path, clips: int | None
) -> "list[Sample]":
    """Decode the test clips once, for all engines; the samples that could be read."""
    if test is None or not len(test):
        return []
    if clips is not None and clips < len(test):
        every = np.linspace(0, len(test) - 1, clips).round().astype(int)
        test = test.replace([test[int(place)] for place in every])
    folder.mkdir()
    samples: list[Sample] = []
    masks = []
    stored: list[np.memmap[Any, Any]] = []
    for example in read_examples(reader(recognizer), test):
        if not stored:
            stored = [
                np.lib.format.open_memmap(
                    folder / f"stream{place}.npy",
                    mode="w+",
                    dtype=np.uint8,
                    shape=(len(test), *part.shape),
                )
                for place, part in enumerate(example.images)
            ]
        for array, part in zip(stored, example.images):
            array[len(samples)] = part
        assert example.sample is not None
        samples.append(example.sample)
        masks.append(example.mask)
    if samples:
        np.save(folder / "mask.npy", np.stack(masks))
    return samples


def _measured(
    row: Row, run: Path, recognizer: "Recognizer", scratch: Path, repeat: int, test: bool
) -> dict[str, Any]:
    job = {
        "engine": row.engine,
        "precision": row.precision,
        "file": None if row.file is None else str(row.file),
        "run": str(run),
        "clip": str(scratch / "clip.npz"),
        "streams": len(recognizer.recipe.streams),
        "repeat": repeat,
        "test": str(scratch / "test") if test else None,
    }
    size = run / "model.safetensors" if row.file is None else row.file
    found: dict[str, Any] = {
        "engine": row.engine,
        "precision": row.precision,
        "file_bytes": sum(
            path.stat().st_size for path in (size, size.with_suffix(".bin")) if path.is_file()
        ),
        "error": None,
    }
    (scratch / "job.json").write_text(json.dumps(job), encoding="utf-8")
    out = scratch / "row.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "frameflow.export._bench_row", scratch / "job.json", out]
    try:
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, timeout=_PATIENCE
        )
        lines = done.stderr.strip().splitlines()
        failed = "" if done.returncode == 0 else (lines[-1][:200] if lines else "it was killed")
    except subprocess.TimeoutExpired:
        failed = f"it took more than {_PATIENCE:g} s"
    if failed:
        if row == Row("torch", "float32"):
            raise FrameFlowError(f"PyTorch cannot run the model here: {failed}")
        return found | {"error": failed}
    measured = json.loads(out.read_text(encoding="utf-8"))
    seconds = np.array(measured.pop("seconds"))
    return found | {
        "median_seconds": float(np.median(seconds)),
        "p95_seconds": float(np.percentile(seconds, 95)),
        "repeats": len(seconds),
        **measured,
    }


def _score(
    recognizer: "Recognizer", rows: list[dict[str, Any]], samples: "Sequence[Sample]"
) -> None:
    """Accuracy on the test clips, and the share with PyTorch's own top-1."""
    several = recognizer.recipe.multilabel
    expected: np.ndarray | None = None
    for row in rows:
        raw = row.pop("raw", None)
        row |= {"accuracy": None, "agreement": None}
        if raw is None:
            continue
        said = calibration_of(recognizer).apply(np.array(raw, dtype=np.float32))
        expected = said if expected is None else expected
        right = [is_right(recognizer, each, sample) for each, sample in zip(said, samples)]
        row["accuracy"] = float(np.mean(right))
        row["agreement"] = float(same_answer(said, expected, several=several).mean())


def _machine() -> str:
    from frameflow.features._agreement import _machine as name

    return name()
