"""Read runs and cross-validations, and compare them."""

import json
import os
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from frameflow._places import below
from frameflow.config import load_recipe
from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError
from frameflow.evaluation._words import plural
from frameflow.evaluation.compare import Comparison, Entry, compare
from frameflow.evaluation.predictions import Predictions, read_predictions

_NOT_SETTINGS = {"description"}
_COSTS = {
    "seconds": ("Training (s)", 1.0),
    "parameters": ("Parameters", 1.0),
    "model_bytes": ("Model (MB)", 1e-6),
}


def compare_runs(runs: Sequence[str | os.PathLike[str]], *, common: bool = False) -> Comparison:
    """Whether runs differ by more than chance; see `frameflow.evaluation.compare.compare`.

    Args:
        runs: folders of runs, of their evaluations (``RUN/evaluations/NAME``) or of
            cross-validations; the first is the base.
        common: where they were scored on different samples, compare those that they share.

    Raises:
        UsageError: a folder that is none of these, was never evaluated or is damaged; runs that
            cannot be compared.

    Example:
        >>> found = compare_runs(["runs/default-1", "runs/few-clips-1"])  # doctest: +SKIP
        >>> found.pairs[0].effects["top1"].value  # doctest: +SKIP
        0.052
    """
    paths = [Path(run) for run in runs]
    names = _names(paths)
    entries = [read_entry(path, name) for path, name in zip(paths, names)]
    return compare(_matched(entries), common=common)


def read_entry(run: Path, name: str | None = None) -> Entry:
    """What a folder holds of a run, one of its evaluations, or a cross-validation.

    Raises:
        UsageError: it holds none of these, or a file of it is missing or damaged.
    """
    folder = _scored_folder(run)
    crossval = (folder / "crossval.json").is_file()
    facts = _json(folder / ("crossval.json" if crossval else "metrics.json"))
    found = read_predictions(folder / "predictions.csv")
    top = folder.parent.parent if folder.parent.name == "evaluations" else folder
    try:
        _check(folder, found, facts)
        warnings = _warnings(facts)
        settings = _settings(top, facts, crossval=crossval)
        cost = facts.get("training") or {}
        roots = _roots(top, facts)
        return Entry(
            name=name or run.resolve().name,
            predictions=found,
            keys=_keys(found, roots),
            settings=settings,
            split="out of fold" if crossval else str(facts["split"]),
            warnings=warnings,
            cost={
                title: factor * float(cost[key])
                for key, (title, factor) in _COSTS.items()
                if isinstance(cost.get(key), int | float)
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(_damaged(folder, f"lacks or garbles {error}")) from None


def _matched(entries: Sequence[Entry]) -> Sequence[Entry]:
    """The entries, matched by their paths' ends where a run was moved away from its videos.

    Where all videos are found, the same end of two paths proves nothing.
    """
    first = set(entries[0].keys)
    apart = [entry for entry in entries[1:] if not first & set(entry.keys)]
    lost = [entry.name for entry in entries if not Path(_video(entry.keys[0])).exists()]
    if not apart or not lost:
        return entries
    said = (
        "its videos are not where its paths lead, so samples are matched by their paths below "
        "the folder that holds all of them."
    )
    return [
        replace(
            entry,
            keys=_ends(entry.keys),
            warnings=[*entry.warnings, *([said] if entry.name in lost else [])],
        )
        for entry in entries
    ]


def _video(key: Hashable) -> str:
    assert isinstance(key, tuple)
    return str(key[0])


def _ends(keys: Sequence[Hashable]) -> list[Hashable]:
    """The keys with paths from the folder that holds all videos."""
    top = os.path.commonpath([Path(_video(key)).parent for key in keys])
    return [(os.path.relpath(_video(key), top), *key[1:]) for key in keys if isinstance(key, tuple)]


def _names(paths: Sequence[Path]) -> list[str]:
    """Short names; where two are alike, the paths as the user wrote them."""
    short = [path.resolve().name for path in paths]
    counts = Counter(short)
    names = [str(p) if counts[name] > 1 else name for p, name in zip(paths, short)]
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[place] = f"{name} ({seen[name]})"
    return names


def _scored_folder(run: Path) -> Path:
    """The folder that holds figures and predictions."""
    if not run.is_dir():
        what = "is a file" if run.exists() else "does not exist"
        raise UsageError(f"{run} {what}: name folders that `frameflow train` wrote.")
    for folder in (run, run / "evaluations" / "val"):  # without a test split val is scored
        for name in ("crossval.json", "metrics.json"):
            if (folder / name).is_file():
                return folder
    if (run / "model.json").is_file():
        raise UsageError(f"{run} was never evaluated: `frameflow evaluate {run}` does that.")
    if (run / "recipe.yaml").is_file():
        raise UsageError(
            f"{run} has no figures: its training did not end. `frameflow train --resume {run}` "
            f"goes on with it; a cross-validation is started again."
        )
    inside = sorted(path.parent.name for path in run.glob("*/metrics.json"))
    cure = f"Did you mean {run / inside[-1]}?" if inside else "`frameflow train` writes runs."
    raise UsageError(f"{run} is no run: it has no metrics.json. {cure}")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(_damaged(path.parent, f"cannot be read ({error})", path.name)) from None
    if not isinstance(found, dict):
        raise UsageError(_damaged(path.parent, "holds no object", path.name))
    return found


def _damaged(folder: Path, said: str, name: str = "metrics.json") -> str:
    if (folder / "crossval.json").is_file():
        return f"{folder / 'crossval.json'} {said}: run `frameflow crossval` again."
    return f"{folder / name} {said}: write it again with `frameflow evaluate`."


def _check(folder: Path, found: Predictions, facts: Mapping[str, Any]) -> None:
    """Figures and predictions are of one evaluation, and can be scored."""
    where, again = folder / "predictions.csv", "evaluate or cross-validate again."
    if len(found) != facts["samples"]:
        raise UsageError(
            f"{where} has {len(found)} samples, the figures beside it are of {facts['samples']}: "
            f"{again}"
        )
    if not len(found):
        raise UsageError(f"{where} holds no sample: {again}")
    if not np.isfinite(found.probabilities).all():
        raise UsageError(f"{where} has probabilities that are no finite numbers: {again}")
    known = set(found.labels)
    strange = [s for s in found.samples if not _named(s.label, known, several=found.multilabel)]
    if strange:
        raise UsageError(
            f"{where} has {plural(len(strange), 'sample')} of no label that it has a column for "
            f"({strange[0].video}: {strange[0].label!r}): {again}"
        )


def _named(label: str, known: set[str], *, several: bool) -> bool:
    if several:
        names = {name.strip() for name in label.split("|")} - {"none"}
        return bool(label) and names <= known
    return label in known


def _warnings(facts: Mapping[str, Any]) -> list[str]:
    said = []
    if facts["leaky"]:
        said.append("LEAKY SPLIT, groups of it stand in its training too.")
    if facts.get("seen_in_training"):
        said.append("SEEN IN TRAINING, its training saw what is scored.")
    return said


def _settings(run: Path, facts: Mapping[str, Any], *, crossval: bool) -> dict[str, Any]:
    """The flat recipe, and what else a score depends on."""
    recipe = load_recipe(run / "recipe.yaml")
    found = flatten(recipe.model_dump(mode="json"))
    found = {key: value for key, value in found.items() if key not in _NOT_SETTINGS}
    if crossval:
        found["folds"] = len({score["fold"] for score in facts["scores"]})
        found["seeds"] = len({score["seed"] for score in facts["scores"]})
    else:
        found["views scored"] = facts["views"]
        found["precision of the features"] = facts["precision"]
        found["weights"] = ", ".join(entry["digest"][:12] for entry in facts["weights"])
        manifest = run / "manifest.csv"
        if manifest.is_file():
            splits = [sample.split for sample in Manifest.read(manifest, check_files=False)]
            found["training samples"] = splits.count("train")
    for name in ("frameflow-video", "torch"):
        found[f"version of {name}"] = facts["versions"].get(name)
    return found


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as ``{"streams.0.backbone": ...}``; a list of plain values is one value.

    Example:
        >>> flatten({"train": {"lr": 0.1, "rounds": [1, 2]}, "streams": [{"kind": "rgb"}]})
        {'train.lr': 0.1, 'train.rounds': '[1, 2]', 'streams.0.kind': 'rgb'}
    """
    if isinstance(values, Mapping):
        pairs: Any = values.items()
    elif isinstance(values, list) and any(isinstance(value, Mapping) for value in values):
        pairs = enumerate(values)
    else:
        return {prefix: str(values) if isinstance(values, list) else values}
    found: dict[str, Any] = {}
    for key, value in pairs:
        found |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def _roots(run: Path, facts: Mapping[str, Any]) -> list[Path]:
    """Where the paths of predictions may start: the run, or the manifest that was scored."""
    named = str(facts.get("manifest", "manifest.csv"))
    return [run, Path(named).parent]


def _keys(found: Predictions, roots: Sequence[Path]) -> list[Hashable]:
    """What tells a sample from others, wherever the run lies: its video's place and its span."""
    videos = [sample.video for sample in found.samples]
    root = next((r for r in roots if videos and below(r, videos[0]).exists()), roots[0])
    places = {video: os.path.realpath(below(root, video)) for video in set(videos)}
    return [(places[s.video], s.start, s.end, s.frame) for s in found.samples]
