"""Score a run on a split, and write what a reader needs to judge the score."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from frameflow._files import write_json
from frameflow.config import Recipe, dump_recipe
from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError
from frameflow.evaluation._words import (
    bad_reasons,
    counted,
    headline_figure,
    multilabel,
    plural,
    spread,
    topk_key,
    warnings,
    weights,
)
from frameflow.evaluation.card import write_card
from frameflow.evaluation.frame_predictions import FILE as FRAMES
from frameflow.evaluation.frame_predictions import has_frames, write_frame_predictions
from frameflow.evaluation.metrics import score
from frameflow.evaluation.multilabel import score_sets
from frameflow.evaluation.predictions import Predictions
from frameflow.evaluation.report import write_report
from frameflow.evaluation.results_json import write_results
from frameflow.inference._calibrated import calibrated, calibration_figures
from frameflow.inference._conditions import columns_asked, condition_figures
from frameflow.inference._explained import explain_shown
from frameflow.inference._facts import bad_in_training, now, versions
from frameflow.inference._frames import other_frames
from frameflow.inference._leaks import leaks_from_training
from frameflow.inference._recorded import audit_record, model_record, stopwatch, training_record
from frameflow.inference._scope import Scope, folder_for, scope
from frameflow.inference.predictor import (
    EngineKind,
    Source,
    average_views,
    load_recognizer,
    run_folder,
)

if TYPE_CHECKING:
    from frameflow.features.extract import Features
    from frameflow.models.recognizer import Recognizer

log = logging.getLogger(__name__)


def evaluate(
    run: Source,
    manifest: Source | Manifest | None = None,
    *,
    split: str = "test",
    views: int | None = None,
    allow_leak: bool = False,
    engine: EngineKind = "auto",
    by: str | Sequence[str] | None = None,
    explain: bool = True,
) -> dict[str, Any]:
    """Score a run on a split of its own manifest, or of another one.

    Writes ``metrics.json``, ``predictions.csv``, ``results.json``, ``report.html`` and
    ``README.md``: for the run's own test split into the run, for anything else into
    ``RUN/evaluations/NAME``, so that the first figures stay.

    Args:
        run: the folder of a run.
        manifest: other clips; a path or a `Manifest`. The run's own where None.
        split: ``train``, ``val``, ``test`` or ``all``. Another manifest without splits is scored
            whole.
        views: clips averaged per sample; the recipe's ``views.test`` where None.
        allow_leak: score another manifest although it shares groups or clips with the training.
        engine: what runs the backbone.
        by: columns of the manifest to tell the accuracy by; those of a few values where None.
        explain: show in the report what the surest mistakes and least sure hits rest on.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        UsageError: no run, an empty split, labels that the model does not know, or no such column.
        LeakError: another manifest shares groups or clips with the training.
        FrameFlowError: more videos cannot be read than the recipe's ``max_bad`` allows.
    """
    from frameflow.features.extract import extract

    timing = stopwatch()
    folder = run_folder(run)
    if views is not None and views < 1:
        raise UsageError(f"views ({views}) must be > 0.")
    recognizer = load_recognizer(folder)
    recipe = recognizer.recipe
    scored = scope(
        folder, manifest, split=split, labels=recognizer.labels, multilabel=recipe.multilabel
    )
    columns = columns_asked(by, scored.manifest)
    own = Manifest.read(folder / "manifest.csv", check_files=False)
    leaky = leaks_from_training(
        own,
        scored.manifest,
        foreign=scored.foreign,
        split=scored.split,
        allow=allow_leak,
    )
    if not scored.foreign:  # it began with, learnt from or holds a run that had seen these clips
        made_of = (recognizer.extra.get(name, {}) for name in ("init", "teacher", "ensemble"))
        leaky = leaky or any(each.get("leaky") for each in made_of)
    views = views or recipe.views.test
    into = folder_for(folder, scored, views=views, usual_views=recipe.views.test)
    with _store_for(recipe) as store:
        features = extract(
            scored.manifest,
            recipe,
            purpose="test",
            engine=engine,
            store=store,
            backbones=recognizer.backbones(),
            views=views,
            max_bad=None if scored.foreign else _bad_share(folder, own, scored, recipe.max_bad),
        )
        shares = average_views(recognizer, features)
        others = [] if scored.foreign else other_frames(
            recognizer, own, split=scored.split, views=views, engine=engine, store=store
        )  # fmt: skip
    said = Predictions(features.samples, recognizer.labels, shares, multilabel=recipe.multilabel)
    found = calibrated(recognizer, said)
    metrics = _metrics(found, recipe) | _facts(
        recognizer, features, scored, leaky=leaky, run=folder, engine=engine
    )
    metrics |= {
        "training": training_record(recognizer.extra, folder),
        "audit": audit_record(recognizer.extra, own, foreign=scored.foreign),
        "timing": timing(),
        "model": model_record(recognizer),
        "ensemble": recognizer.extra.get("ensemble"),
    }
    metrics |= calibration_figures(recognizer, said, found)
    metrics |= condition_figures(found, scored.manifest, by=columns, seed=recipe.train.seed)
    into.mkdir(parents=True, exist_ok=True)
    found.write_csv(into / "predictions.csv")
    back = Path(os.path.relpath(folder.resolve(), into.resolve())).as_posix()
    write_results(into / "results.json", found, metrics, recipe=recipe, run=back)
    if has_frames(found.samples):
        write_frame_predictions(into / FRAMES, [found, *others])
    write_json(into / "metrics.json", metrics)
    write_card(into / "README.md", metrics, recipe=recipe, manifest=own)
    write_report(
        into / "report.html",
        metrics,
        found,
        manifest=scored.manifest,
        history=folder / "history.csv",
        recipe=dump_recipe(recipe),
        explanations=explain_shown(recognizer, scored.manifest, found) if explain else None,
        own=own,
    )
    log.info("Wrote the report %s.", into / "report.html")
    return metrics


@contextmanager
def _store_for(recipe: Recipe) -> Iterator[Path | None]:
    """Features of a backbone that learnt serve this run alone, so they are not kept."""
    if recipe.way == "frozen":
        yield None
        return
    with TemporaryDirectory(prefix="frameflow-") as folder:
        yield Path(folder)


def describe(metrics: dict[str, Any]) -> str:
    """A score in a few lines, with all that it rests on.

    Example:
        >>> print(describe(evaluate("runs/first")))  # doctest: +SKIP
        test: top-1 0.512 (95 % interval 0.401 to 0.620), top-5 0.960, macro F1 0.498
        74 samples of 18 groups, 1 view, seed 0, tf_efficientnet_lite0 (wheel, 3f0c...)
    """
    lines = [
        _score_line(metrics),
        f"{counted(metrics)}, {plural(metrics['views'], 'view')}, seed {metrics['seed']}, "
        f"{weights(metrics)}",
    ]
    if metrics["bad_videos"]:
        count = plural(len(metrics["bad_videos"]), "video")
        lines.append(f"{count} set aside as unreadable: {bad_reasons(metrics)}")
    return "\n".join([*(f"{w}: {s}" for w, s in warnings(metrics)), *lines, *metrics["notes"]])


def _score_line(metrics: dict[str, Any]) -> str:
    name, _, value = headline_figure(metrics)
    line = f"{metrics['split']}: {name.lower()} {value:.3f} ({spread(metrics)}), "
    if multilabel(metrics):
        return (
            f"{line}chance {metrics['chance']:.3f}, micro F1 {metrics['micro']['f1']:.3f}, "
            f"macro F1 {metrics['macro']['f1']:.3f}, exact match {metrics['exact_match']:.3f}"
        )
    return (
        f"{line}top-{metrics['k']} {metrics[topk_key(metrics)]:.3f}, "
        f"macro F1 {metrics['macro']['f1']:.3f}"
    )


def _bad_share(run: Path, own: Manifest, scored: Scope, max_bad: float) -> float:
    """How many of a run's own samples may be bad, lest one of a small split end the job.

    The share is one of the whole manifest, less what training set aside already.
    """
    left = max_bad * len(own) - len(bad_in_training(run, besides=scored.split))
    return min(1.0, max(0.0, left) / len(scored.manifest))


def _metrics(found: Predictions, recipe: Recipe) -> dict[str, Any]:
    settings = recipe.evaluation
    groups = [sample.group for sample in found.samples]
    if recipe.multilabel:
        return score_sets(
            found.targets,
            found.probabilities,
            found.labels,
            groups=groups,
            resamples=settings.resamples,
            confidence=settings.confidence,
            seed=recipe.train.seed,
        ).to_dict()
    return score(
        found.truth,
        found.probabilities,
        found.labels,
        groups=groups,
        topk=settings.topk,
        resamples=settings.resamples,
        confidence=settings.confidence,
        seed=recipe.train.seed,
    ).to_dict()


def _facts(
    recognizer: "Recognizer",
    features: "Features",
    scored: Scope,
    *,
    leaky: bool,
    run: Path,
    engine: str,
) -> dict[str, Any]:
    """What the score rests on, beside the figures."""
    recipe = recognizer.recipe
    streams = [
        {
            "stream": stream.kind,
            "backbone": stream.backbone,
            "source": backbone.weights.source,
            "digest": backbone.weights.digest,
        }
        for stream, backbone in zip(recipe.streams, recognizer.backbones())
    ]
    return {
        "split": scored.split,
        "manifest": scored.name,
        "leaky": leaky,
        "seen_in_training": not scored.foreign and scored.split != "test",
        "views": len(features.views),
        "seed": recipe.train.seed,
        "recipe": recipe.name,
        "teacher": recognizer.extra.get("teacher"),
        "init": recognizer.extra.get("init"),
        "run": run.resolve().name,
        "weights": streams,
        "engine": engine,
        "precision": features.precision,
        "unlabelled": scored.unlabelled,
        "bad_videos": [asdict(bad) for bad in features.bad],
        "bad_in_training": [] if scored.foreign else bad_in_training(run, besides=scored.split),
        "versions": versions(),
        "date": now(),
    }
