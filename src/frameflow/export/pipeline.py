"""From a run to files that need no PyTorch, checked before they are kept."""

import logging
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from frameflow._files import write_json
from frameflow.errors import FrameFlowError, UsageError, near_names
from frameflow.export import int8
from frameflow.export.agreement import Agreement, Files, check
from frameflow.export.metadata import as_strings, describe, input_names, stamp
from frameflow.export.runners import open_file
from frameflow.export.samples import (
    Example,
    generated,
    own_manifest,
    read_examples,
    reader,
    refuse_apart,
    spread,
)
from frameflow.features._openvino import openvino_core
from frameflow.inference.predictor import Source, load_recognizer, run_folder

if TYPE_CHECKING:
    import onnx

    from frameflow.data.manifest import Manifest
    from frameflow.models.backbones import Backbone
    from frameflow.models.recognizer import Recognizer

log = logging.getLogger(__name__)

Format = Literal["onnx", "openvino"]
ENDING = {"onnx": ".onnx", "openvino": ".xml"}
ABOUT = "export.json"
CHECKED = 8  # clips that a file is compared on
MOST_BYTES = 2**31 - 2**20  # of a protocol buffer


@dataclass(frozen=True)
class Graphs:
    """The parts of a recognizer as graphs.

    Attributes:
        recognizer: what is exported.
        backbones: each different one.
        head: with calibration.
        places: for each stream which backbone is its own.
    """

    recognizer: "Recognizer"
    backbones: "Sequence[onnx.ModelProto]"
    head: "onnx.ModelProto"
    places: Sequence[int]

    @property
    def masked(self) -> bool:
        """Whether frames can be padding: whether any stream has features of single frames."""
        return any(backbone.framewise for backbone in self.recognizer.backbones())

    @property
    def steps(self) -> int | None:
        """T of the whole file; None where clips may have any."""
        seen = self.recognizer.backbones()
        free = self.recognizer.head.any_length and not any(each.temporal for each in seen)
        return None if free else self.recognizer.frames

    @cached_property
    def whole(self) -> "onnx.ModelProto":
        """Frames to probabilities."""
        from frameflow.export.compose import Input, compose

        inputs = [
            Input(name, place, backbone.preprocess.size, backbone.temporal)
            for name, place, backbone in zip(
                input_names(self.recognizer), self.places, self.recognizer.backbones()
            )
        ]
        return compose(self.backbones, self.head, inputs, steps=self.steps, masked=self.masked)


def export(
    run: Source,
    *,
    form: Format = "onnx",
    quantise: bool = False,
    opset: int | None = None,
    out: Path | None = None,
    calibrate_with: int | None = None,
    min_agreement: float = int8.LEAST,
) -> dict[str, Any]:
    """Export a run, and keep the files only where they agree with it.

    Args:
        run: the folder of a run.
        form: ``onnx``, or ``openvino`` for its ``.xml`` and ``.bin``.
        quantise: write the files in 8 bits beside those in float32.
        opset: of ONNX; `graphs.OPSET` where None.
        out: the folder to write; ``RUN/exports/FORM`` where None. An older export in it is
            replaced.
        calibrate_with: training clips that 8 bits are calibrated with.
        min_agreement: the share of held-out clips on which 8 bits must give the same top-1.

    Returns:
        What ``export.json`` holds.

    Raises:
        UsageError: no run, or an option that cannot be.
        FrameFlowError: the run cannot be exported, or what was exported does not agree with it.
    """
    from frameflow.export.graphs import OPSET, check_opset

    if form not in get_args(Format):
        raise UsageError(
            f"format ({form!r}) must be one of {', '.join(get_args(Format))}."
            f"{near_names(form, get_args(Format))}"
        )
    check_opset(opset or OPSET)
    int8.check_options(calibrate_with, min_agreement)
    folder = run_folder(run)
    target = out if out is not None else folder / "exports" / form
    _check_target(target)
    recognizer = load_recognizer(folder).eval()
    refuse_apart(recognizer)
    manifest = own_manifest(folder, recognizer)
    if quantise:
        int8.check_clips(manifest)
    graphs = export_graphs(recognizer, opset=opset or OPSET)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
        beside = Path(temporary) / "export"
        beside.mkdir()
        about = describe(recognizer, steps=graphs.steps, masked=graphs.masked)
        about |= {"form": form, "opset": opset or OPSET}
        files = write_files(beside, graphs, about, form=form, precision="float32")
        agreement = _checked(recognizer, files, manifest, any_time=graphs.steps is None)
        about["agreement"] = agreement.to_dict()
        log.info("float32 agrees with the model: %s.", agreement.sentence())
        if quantise:
            assert manifest is not None
            record = int8.quantise(
                graphs, manifest, beside, about, form, calibrate_with, min_agreement
            )
            about["int8"] = record
        about["files"] = {path.name: path.stat().st_size for path in sorted(beside.iterdir())}
        write_json(beside / ABOUT, about)
        _keep(beside, target)
    return about | {"folder": str(target)}


def export_graphs(recognizer: "Recognizer", *, opset: int) -> Graphs:
    """The parts of a recognizer.

    Raises:
        FrameFlowError: the exporter cannot write one of them.
    """
    from frameflow.export.graphs import backbone_graph, head_graph
    from frameflow.inference._calibrated import calibration_of

    different: list[Backbone] = []
    for backbone in recognizer.backbones():
        if not any(backbone is known for known in different):
            different.append(backbone)
    places = [
        next(place for place, known in enumerate(different) if known is backbone)
        for backbone in recognizer.backbones()
    ]
    size = sum(p.numel() * p.element_size() for p in recognizer.parameters())
    if size > MOST_BYTES:
        raise FrameFlowError(
            f"The model has {size / 2**30:.1f} GiB of weights, and an ONNX file holds 2 GiB: "
            f"serve the run itself."
        )
    head = head_graph(
        recognizer.head,
        calibration_of(recognizer),
        steps=different[0].steps(recognizer.frames),
        opset=opset,
    )
    backbones = [backbone_graph(b, frames=recognizer.frames, opset=opset) for b in different]
    return Graphs(recognizer, backbones, head, places)


def write_files(
    folder: Path, graphs: Graphs, about: dict[str, Any], *, form: Format, precision: str
) -> Files:
    """Write whole, backbones and head into a folder, and open them again."""
    ending = ENDING[form] if precision == "float32" else f".{precision}{ENDING[form]}"
    parts: list[tuple[str, str, onnx.ModelProto]] = [("model", "whole", graphs.whole)]
    for place, backbone in enumerate(graphs.backbones):
        name = "backbone" if place == 0 else f"backbone_{place + 1}"
        parts.append((name, "backbone", backbone))
    parts.append(("head", "head", graphs.head))
    opened = []
    for name, part, model in parts:
        strings = as_strings(about, part, "float32" if part == "head" else precision)
        # The head stays in float32: it is written once.
        path = folder / f"{name}{ENDING[form] if part == 'head' else ending}"
        if not path.exists():
            _write(path, stamp(model, strings), strings, form)
        opened.append(open_file(path))
    return Files(opened[0], opened[1:-1], opened[-1], graphs.places)


def _write(path: Path, model: "onnx.ModelProto", strings: dict[str, str], form: Format) -> None:
    import onnx

    if form == "onnx":
        onnx.save(model, path)
        return
    try:
        import openvino
    except ModuleNotFoundError:
        raise UsageError(
            "OpenVINO is not installed: pip install openvino, or take --format onnx."
        ) from None
    try:
        found = openvino_core().read_model(model.SerializeToString())
        for key, value in strings.items():
            found.set_rt_info(value, ["frameflow", key])
        openvino.save_model(found, path, compress_to_fp16=False)
    except RuntimeError as error:
        said = " ".join(str(error).split())[:200]
        raise FrameFlowError(
            f"OpenVINO cannot read the graph: {said}. Try --format onnx."
        ) from None


def _checked(
    recognizer: "Recognizer", files: Files, manifest: "Manifest | None", *, any_time: bool
) -> Agreement:
    """Compare on clips of the run, or on generated ones where it has none that can be read."""
    examples: list[Example] = []
    if manifest is not None:
        chosen = spread(manifest, ("train", "val", "test"), CHECKED)
        examples = list(read_examples(reader(recognizer), chosen))
    real = bool(examples)
    if not real:
        log.info("The run's videos are not here: agreement is checked on generated clips.")
        examples = generated(recognizer, CHECKED)
    return check(recognizer, files, examples, real=real, any_time=any_time)


def _check_target(target: Path) -> None:
    """Refuse to replace what is no export."""
    if target.is_dir():
        if any(target.iterdir()) and not (target / ABOUT).is_file():
            raise UsageError(f"{target} holds other files: name a new or an empty folder with -o.")
    elif target.exists():
        raise UsageError(f"{target} is a file: name a folder with -o.")


def _keep(beside: Path, target: Path) -> None:
    """Put a whole export in its place; an older one leaves in the same moment, or stays."""
    if target.exists():
        old = beside.with_name("old")
        target.rename(old)
        try:
            beside.rename(target)
        except OSError:
            old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)
        return
    beside.rename(target)
