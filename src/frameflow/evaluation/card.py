"""``README.md`` of a run: the model card, from facts only."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frameflow._files import write_text
from frameflow.config import Recipe
from frameflow.data.manifest import Manifest
from frameflow.errors import listing
from frameflow.evaluation._words import (
    bad_reasons,
    counted,
    facts,
    figures,
    headline,
    interval_name,
    labels,
    multilabel,
    plural,
    warnings,
    weak_classes,
)

_SEES = {
    "rgb": "frames",
    "difference": "differences of frames",
    "stack": "stacks of three moments",
    "flow": "optical flow",
}
_WAYS = {"frozen": "frozen ", "cut": "partly trained ", "end-to-end": "trained "}


def write_card(
    path: Path, metrics: Mapping[str, Any], *, recipe: Recipe, manifest: Manifest
) -> None:
    """Write the model card.

    Args:
        path: of the file to write.
        metrics: what ``metrics.json`` holds.
        recipe: of the run.
        manifest: of the run, with all its splits.
    """
    write_text(path, render(metrics, recipe, manifest))


def render(metrics: Mapping[str, Any], recipe: Recipe, manifest: Manifest) -> str:
    """The card as Markdown; see `write_card`."""
    names = labels(metrics)
    kind = "multi-label " if multilabel(metrics) else ""
    parts = [
        f"# {_plain(metrics['run'])}",
        *(f"> **{word}**: {sentence}" for word, sentence in warnings(metrics)),
        f"A {kind}video classifier for {plural(len(names), 'class').replace('classs', 'classes')}: "
        f"{_what(recipe)}. Trained and scored with FrameFlow "
        f"{metrics['versions'].get('frameflow-video', '')}".rstrip()
        + ".",
        "## Labels",
        ", ".join(_code(label) for label in names),
        "## Data",
        "The samples are in `manifest.csv`.",
        _table(
            ("split", "samples", "groups", "classes"),
            _splits(manifest, several=multilabel(metrics)),
        ),
        "## Scores",
        f"On the {headline(metrics)}.",
        _table(("figure", "value", interval_name(metrics)), _figures(metrics)),
        *(f"- {_plain(note)}" for note in metrics["notes"]),
        "What they rest on:",
        _table(("", ""), [(name, _plain(value)) for name, value in facts(metrics)]),
        "## Use",
        _usage(metrics["run"]),
        "## Limits",
        "\n".join(f"- {line}" for line in _limits(metrics, manifest)),
    ]
    return "\n\n".join(parts) + "\n"


def _what(recipe: Recipe) -> str:
    streams = " and ".join(
        f"{stream.backbone} on {_SEES[stream.kind]}" for stream in recipe.streams
    )
    sampling = recipe.sampling
    return (
        f"{plural(sampling.frames, 'frame')} a clip ({sampling.strategy}), "
        f"{_WAYS[recipe.way]}{streams}, and a {recipe.head.name} head"
    )


def _splits(manifest: Manifest, *, several: bool) -> list[tuple[str, ...]]:
    rows = []
    for name in ("train", "val", "test", ""):
        part = [sample for sample in manifest if sample.split == name]
        if part:
            groups = {sample.group for sample in part} - {""}
            classes = {n for sample in part for n in sample.label_names(multilabel=several)}
            counts = (len(part), len(groups) if groups else "none given", len(classes))
            rows.append((name or "no split", *(str(count) for count in counts)))
    return rows


def _figures(metrics: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (name, f"{value:.3f}", f"{bounds[0]:.3f} to {bounds[1]:.3f}" if bounds else "")
        for name, value, bounds in figures(metrics)
    ]


def _usage(run: str) -> str:
    name = run if run.replace("-", "").replace("_", "").replace(".", "").isalnum() else f'"{run}"'
    return (
        "From the folder that holds this run:\n\n"
        f"```sh\nframeflow predict {name} clip.mp4 --topk 5\nframeflow evaluate {name}\n```\n\n"
        "```python\nimport frameflow as ff\n\n"
        f'print(ff.load({run!r}).predict("clip.mp4"))\n```'
    )


def _limits(metrics: Mapping[str, Any], manifest: Manifest) -> list[str]:
    lines = [
        f"It was scored on {counted(metrics)}; clips of another kind, camera or place may fare "
        f"worse.",
        "It gives each label a probability of its own and calls it present above "
        f"{metrics['threshold']:g}; a video may have none."
        if multilabel(metrics)
        else "It answers with one of its labels whatever a video shows.",
    ]
    if metrics["leaky"]:
        lines.append("LEAKY SPLIT: groups stand in training and test; the scores say little.")
    elif not manifest.has_groups:
        lines.append(
            "No groups were given, so clips of one scene may stand in training and test; the "
            "scores may be too high."
        )
    else:
        lines.append("No group stands in two splits.")
    weak = weak_classes(metrics)
    if weak:
        named = [f"{_code(e['label'])} (F1 {e['f1']:.2f}, {e['support']} samples)" for e in weak]
        lines.append(f"Weakest classes: {', '.join(named)}.")
    absent = [_code(entry["label"]) for entry in metrics["per_class"] if not entry["support"]]
    if absent:
        lines.append(f"Not tested at all, for want of samples: {listing(absent, most=8)}.")
    if metrics["bad_videos"]:
        bad = metrics["bad_videos"]
        count = f"{plural(len(bad), 'video')} {'is' if len(bad) == 1 else 'are'}"
        lines.append(f"{count} unreadable and in no score: {_plain(bad_reasons(metrics))}.")
    return lines


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell for cell in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Text that Markdown and the HTML inside it leave alone."""
    # An underscore inside a word, as in a file name, is no emphasis.
    return " ".join(re.sub(r"[\\`*\[\]<>|#]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text).split())


def _code(label: str) -> str:
    """A label as code, whatever it holds."""
    fence = "`"
    while fence in label:
        fence += "`"
    return f"{fence}{label}{fence}" if fence == "`" else f"{fence} {label} {fence}"
