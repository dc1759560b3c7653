"""The parts of the model card that tell what the model is and how it was made."""

import shlex
from collections.abc import Mapping
from typing import Any

from frameflow.config import Recipe
from frameflow.data.manifest import Manifest
from frameflow.evaluation import _ensemble_words as ensemble
from frameflow.evaluation._markdown import bullets, code, plain, table
from frameflow.evaluation._words import (
    bad_reasons,
    counted,
    init_words,
    labels,
    multilabel,
    plural,
    teacher_words,
)
from frameflow.evaluation.frame_predictions import has_frames

Metrics = Mapping[str, Any]

_SEES = {
    "rgb": "frames",
    "difference": "differences of frames",
    "stack": "stacks of three moments",
    "flow": "optical flow",
}
_WAYS = {"frozen": "frozen ", "cut": "partly trained ", "end-to-end": "trained "}
_LEARNS = {
    "frozen": "The backbone is frozen: its features are computed once, and the head learns.",
    "cut": "The activations of a layer are stored; what follows it learns with the head.",
    "end-to-end": "Backbone and head learn together, from videos.",
}
_FITS = {
    "crop": "the centre square",
    "letterbox": "the whole frame with bars",
    "squash": "the whole frame, distorted",
    "crops": "several squares along the long side",
    "follow": "a square that follows what moves",
}


def data_name(metrics: Metrics) -> str:
    """What the data is called: as it was named for the training, or the manifest that is scored."""
    record = metrics.get("training") or metrics.get("ensemble") or {}
    return str(record.get("data") or metrics["manifest"])


def what(recipe: Recipe) -> str:
    """The model in a line."""
    streams = " and ".join(
        f"{stream.backbone} on {_SEES[stream.kind]}" for stream in recipe.streams
    )
    sampling = recipe.sampling
    return (
        f"{plural(sampling.frames, 'frame')} a clip ({sampling.strategy}), "
        f"{_WAYS[recipe.way]}{streams}, and the head {recipe.head.name}"
    )


def goal(metrics: Metrics) -> list[str]:
    """What it is for, and what it is not for."""
    several = multilabel(metrics)
    task = "which of its labels apply to" if several else "which of its classes is shown by"
    return [
        f"To say {task} a short clip, on clips like those it was trained on.",
        bullets(
            [
                "Intended: clips of the same kind, camera and place as the training data; the "
                "figures below say how far they may be trusted.",
                "Out of scope: actions that are not among its labels, several actions one after "
                "another in one clip, and any decision about people or safety that rests on it "
                "alone.",
            ]
        ),
    ]


def architecture(metrics: Metrics, recipe: Recipe) -> list[str]:
    """Backbones, head, and how many parameters."""
    rows = [
        (
            "Backbone",
            f"{plain(entry['backbone'])} on {_SEES.get(entry['stream'], entry['stream'])}, weights "
            f"{plain(entry['source'])}, digest {entry['digest']}",
        )
        for entry in metrics["weights"]
    ]
    model = metrics.get("model") or {}
    options = model.get("options") or recipe.head.options
    shown = ", ".join(f"{name} {_value(value)}" for name, value in options.items())
    rows.append(("Head", f"{recipe.head.name}{f' ({plain(shown)})' if shown else ''}"))
    if model:
        rows.append(("Features", f"{model['features']:,} a frame or clip"))
    record = metrics.get("training")
    if record:
        learning = f"{record['parameters_learning']:,} of them learn"
        rows.append(("Parameters", f"{record['parameters']:,}; {learning}"))
    return [_LEARNS[recipe.way], table(("part", "what it is"), rows)]


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def inputs(metrics: Metrics, recipe: Recipe, manifest: Manifest) -> list[str]:
    """What it looks at."""
    sampling, rows = recipe.sampling, []
    if has_frames(manifest):
        rows.append(
            f"The {plural(sampling.frames, 'frame')} that end at the labelled one; those that "
            f"would lie before the start of the video are masked."
        )
    else:
        for own in dict.fromkeys(stream.sampling or sampling for stream in recipe.streams):
            rows.append(f"A clip of {plural(own.frames, 'frame')}, chosen by `{own.strategy}`.")
    sizes = (metrics.get("model") or {}).get("sizes") or [None] * len(recipe.streams)
    for stream, size in zip(recipe.streams, sizes):
        side = f", {size[0]} x {size[1]} px" if size else ""
        count = f", {plural(stream.sampling.frames, 'frame')}" if stream.sampling else ""
        rows.append(f"{_SEES[stream.kind].capitalize()}{count}{side}: {_FITS[stream.fit]}.")
    views = plural(metrics["views"], "clip")
    rows.append(f"Scored with {views} of each sample, their probabilities averaged.")
    return [bullets(rows)]


def output(metrics: Metrics) -> list[str]:
    """Its labels and what its probabilities are."""
    names = labels(metrics)
    said = (
        f"A probability of its own for each label; one above {metrics['threshold']:g} is present."
        if multilabel(metrics)
        else "A probability for each label; they add up to 1."
    )
    return [said, f"Labels: {', '.join(code(label) for label in names)}."]


def training_data(metrics: Metrics, manifest: Manifest, data: str) -> list[str]:
    """How much of what there was."""
    several, rows = multilabel(metrics), []
    for name in ("train", "val", "test", ""):
        part = [sample for sample in manifest if sample.split == name]
        if part:
            groups = {sample.group for sample in part} - {""}
            classes = {n for sample in part for n in sample.label_names(multilabel=several)}
            counts = (len(part), len(groups) if groups else "none given", len(classes))
            rows.append((name or "no split", *(str(count) for count in counts)))
    return [
        f"{plain(data)}; the samples and their splits are in `manifest.csv`.",
        table(("split", "samples", "groups", "classes"), rows),
    ]


def procedure(metrics: Metrics, recipe: Recipe) -> list[str]:
    """The settings that matter, and how the training went."""
    if ensemble.is_ensemble(metrics):
        return ["Nothing was trained: the members were, each as its own recipe in `members/` says."]
    train, record = recipe.train, metrics.get("training")
    lines = [
        f"Recipe `{recipe.name}`, seed {metrics['seed']}; all of it is in `recipe.yaml`.",
        f"{train.optimizer}, learning rate {train.lr:g} ({train.schedule}), weight decay "
        f"{train.weight_decay:g}, batches of {train.batch_size}, {train.loss} loss, label "
        f"smoothing {train.label_smoothing:g}.",
    ]
    if metrics.get("init"):
        lines.append(f"Began with {plain(init_words(metrics))}.")
    if metrics.get("teacher"):
        lines.append(f"Taught by another run: {plain(teacher_words(metrics))}.")
    if record:
        best = record["best"]
        early = ", stopped early" if record["stopped_early"] else ""
        rounds = f" in {record['rounds']} rounds" if record["rounds"] > 1 else ""
        lines.append(
            f"{plural(record['epochs'], 'epoch')}{rounds}{early}; the weights of epoch "
            f"{record['best_epoch']} are kept: training loss {best['train_loss']:.3f}"
            + (
                "."
                if best["val_loss"] is None
                else f", validation loss {best['val_loss']:.3f}, validation top-1 "
                f"{best['val_top1']:.3f}."
            )
        )
        lines.append(
            f"Learned from {plural(record['samples']['train'], 'sample')}, stopped by "
            f"{plural(record['samples']['val'], 'sample')} of validation, in {record['precision']} "
            f"on {plain(record['device'])} ({plain(record['device_name'])})."
        )
    return [bullets(lines)]


def leaks(metrics: Metrics, manifest: Manifest) -> str:
    """Whether anything stands on both sides of the split."""
    audit = metrics.get("audit")
    if metrics["leaky"]:
        found = f" {plain(audit['sentence'])}" if audit else ""
        return f"LEAKY SPLIT: groups stand in training and test; the scores say little.{found}"
    if audit:
        return plain(audit["sentence"])
    if manifest.has_groups:
        return "No group stands in two splits."
    return "No groups were given, so clips of one scene may stand in training and test."


def limits(metrics: Metrics) -> list[str]:
    """What the figures do not cover."""
    threshold = (metrics.get("refusal") or {}).get("abstain", {}).get("threshold", 0.0)
    unsure = threshold is None or threshold > 0
    always = "It answers with one of its labels whatever a video shows" + (
        ", unless it is too unsure to answer at all." if unsure else "."
    )
    lines = [
        f"It was scored on {counted(metrics)}; clips of another kind, camera or place may fare "
        f"worse.",
        f"It gives each label a probability of its own and calls it present above "
        f"{metrics['threshold']:g}; a video may have none."
        if multilabel(metrics)
        else always,
    ]
    if metrics["groups"] is None:
        lines.append(
            "No groups were given, so clips of one scene may stand in training and test; the "
            "scores may be too high."
        )
    if metrics["bad_videos"]:
        bad = metrics["bad_videos"]
        count = f"{plural(len(bad), 'video')} {'is' if len(bad) == 1 else 'are'}"
        lines.append(f"{count} unreadable and in no score: {plain(bad_reasons(metrics))}.")
    lines.append(
        "No licence is stated: that of the clips it was trained on and of the backbone's weights "
        "decides what it may be used for."
    )
    return lines


def trade_offs(metrics: Metrics, recipe: Recipe) -> list[str]:
    """What it costs."""
    record, timing, rows = metrics.get("training"), metrics.get("timing"), []
    if record:
        rows.append(("Training", f"{record['seconds']:,.1f} s"))
        rows.append(
            ("Reading the training and validation clips", f"{record['extraction_seconds']:,.1f} s")
        )
        if record["peak_memory_gb"] is not None:
            rows.append(("Peak memory of the process", f"{record['peak_memory_gb']:.2f} GB"))
        if record["peak_gpu_memory_gb"] is not None:
            rows.append(("Peak memory of the GPU", f"{record['peak_gpu_memory_gb']:.2f} GB"))
        if record.get("model_bytes") is not None:
            rows.append(("Saved weights", f"{record['model_bytes'] / 1e6:,.1f} MB"))
    if timing:
        samples = plural(metrics["samples"], "sample")
        rows.append((f"Scoring {samples}", f"{timing['seconds']:,.1f} s"))
    if not rows:
        return []
    why = (
        "A frozen backbone trains fast and can be stored, and gives up what learning it would gain."
        if recipe.way == "frozen"
        else "A backbone that learns costs time and memory, and features of its own to store."
    )
    return [
        table(("what", "cost"), rows),
        f"{why} Features that were stored before cost nothing again.",
    ]


def environment(metrics: Metrics) -> list[str]:
    """The versions that the figures depend on."""
    rows = [(plain(name), plain(version)) for name, version in metrics["versions"].items()]
    return [table(("package", "version"), rows), f"Scored on {metrics['date']}."]


def usage(metrics: Metrics) -> str:
    """Commands and code that run as they are."""
    run = metrics["run"]
    name = f'"{run}"' if " " in run and not set(run) & set('"$`\\!') else shlex.quote(run)
    return (
        "From the folder that holds this run:\n\n"
        f"```sh\nframeflow predict {name} clip.mp4 --topk 5\nframeflow evaluate {name}\n```\n\n"
        "```python\nimport frameflow as ff\n\n"
        f'print(ff.load({run!r}).predict("clip.mp4"))\n```'
    )
