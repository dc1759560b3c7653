"""From videos to a trained and evaluated run, step by step."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from frameflow._files import write_text
from frameflow.audit.summary import Origin, split_audit
from frameflow.config import Recipe, dump_recipe, load_recipe
from frameflow.data.manifest import Manifest
from frameflow.data.splits import refuse_leaks
from frameflow.errors import UsageError
from frameflow.training._asking import ask, check_teacher
from frameflow.training._bad import Bad, write_bad
from frameflow.training._random import reproducible
from frameflow.training._record import Recorder, write_audit
from frameflow.training._sets import Sets, read_sets
from frameflow.training._team import Team, team, together
from frameflow.training._words import learner_words, told
from frameflow.training.init import refuse_seen, start_from
from frameflow.training.run import Run, new_run_folder, refuse_used_folder
from frameflow.training.shots import take_shots
from frameflow.training.sources import (
    Source,
    check_classes,
    name_of,
    read_source,
    refuse_one_class,
    warn_of_shared_scenes,
    with_groups,
    with_splits,
)
from frameflow.training.teacher import FOLDER, Teacher, record, refuse_teacher, with_teacher

if TYPE_CHECKING:
    from frameflow.features.engines import EngineKind
    from frameflow.models.recognizer import Recognizer
    from frameflow.training.examples import Examples
    from frameflow.training.history import Fitted
    from frameflow.training.lr_range import LrRange

log = logging.getLogger(__name__)

FEW = 1000  # clips
START = "start"  # in a run that began from another: what it began with


def train(
    source: Source,
    *,
    recipe: str | Path | Recipe = "default",
    overrides: Sequence[str] = (),
    out: str | os.PathLike[str] | None = None,
    fold: int | None = None,
    classes: str | Sequence[str] | int | None = None,
    seed: int | None = None,
    engine: "EngineKind" = "auto",
    allow_leak: bool = False,
    init: str | os.PathLike[str] | Run | None = None,
    shots: int | None = None,
    teacher: str | os.PathLike[str] | Run | None = None,
) -> Run:
    """Train a recognizer and evaluate it on clips of groups it has never seen.

    Args:
        source: a folder of class folders, a manifest file or a `Manifest`.
        recipe: a name, a YAML file or a `Recipe`.
        overrides: changes to it, ``"train.lr=0.001"`` and the like.
        out: a new folder for the run; None: ``runs/<recipe>-<source>-<n>``.
        fold: of the manifest's folds, the one to test on.
        classes: only these labels, or the first so many.
        seed: replaces the recipe's ``train.seed``; it also decides the split, where one is made.
        engine: what runs the frozen backbone: auto, torch, onnxruntime, openvino.
        allow_leak: go on with a group in two splits, or with a test split that ``init`` or the
            teacher was trained on; every report then says so.
        init: start from this run: its backbones, and its head where the labels are the same.
        shots: keep so many training clips of each class and no validation, see
            `frameflow.training.shots`.
        teacher: a run whose soft targets are learnt beside the labels, as ``train.distill`` says,
            see `frameflow.training.distill`.

    Returns:
        The run, trained and evaluated. Where `torchrun` started several processes, all but the
        first return when it is trained.

    Raises:
        UsageError: bad input, with its cure.
        LeakError: a group stands in two splits, or ``init`` or the teacher has seen the test split.
        FrameFlowError: too many videos cannot be read, or the training diverged.

    Example:
        >>> run = train("VIDEOS/", recipe="frozen-gru")  # doctest: +SKIP
        >>> run.metrics["top1"]  # doctest: +SKIP
        0.91
    """
    chosen = load_recipe(recipe, overrides)
    if seed is not None:
        chosen = load_recipe(chosen, [f"train.seed={seed}"])
    named = teacher if teacher is None or isinstance(teacher, Run) else Path(teacher)
    chosen = with_teacher(chosen, recipe, named)
    begin = init if init is None or isinstance(init, Run) else Run(init)
    with together(shared=chosen.way != "frozen") as processes:
        if not processes.leads:
            return _follow(processes, chosen, engine=engine)
        if out is not None:
            refuse_used_folder(out)
        prepared = _prepare(
            source, chosen, classes=classes, fold=fold, begin=begin, allow_leak=allow_leak,
            shots=shots,
        )  # fmt: skip
        said = None
        if chosen.train.distill.teacher is not None:
            said = ask(chosen, prepared[0], engine=engine)
        run = _begin(source, chosen, *prepared, out=out, begin=begin, said=said)
        processes.share(run.path)
        return _finish(run, prepared[1], engine=engine, resume=False)


def _begin(
    source: Source,
    chosen: Recipe,
    manifest: Manifest,
    recognizer: "Recognizer",
    *,
    out: str | os.PathLike[str] | None,
    begin: Run | None,
    said: Teacher | None,
) -> Run:
    """The folder of a new run, with all that is needed to go on with it."""
    if chosen.name == "default" and len(manifest) < FEW:
        log.info("With so few clips --recipe few-clips takes longer and often scores higher.")

    path = new_run_folder(out, recipe=chosen.name, source=name_of(source))
    log.info("The run is in %s.", path)
    write_text(path / "recipe.yaml", dump_recipe(chosen))
    if begin is not None:
        recognizer.save(path / START)  # a resumed training begins as this one does
    if said is not None:
        said.save(path / FOLDER, leaky=recognizer.extra["teacher"]["leaky"])
    write_audit(path, recognizer.extra["audit"], data=name_of(source))
    manifest.write(path / "manifest.csv")  # last: from here on the run can be resumed
    return Run(path)


def _follow(processes: Team, recipe: Recipe, *, engine: "EngineKind") -> Run:
    """What the others do of several processes: learn from their part of what the first made."""
    if recipe.way == "frozen":
        raise SystemExit(0)
    run = Run(processes.share(None))
    return _finish(run, _reopened(run), engine=engine, resume=False)


def find_lr(
    source: Source,
    *,
    recipe: str | Path | Recipe = "default",
    overrides: Sequence[str] = (),
    fold: int | None = None,
    classes: str | Sequence[str] | int | None = None,
    seed: int | None = None,
    engine: "EngineKind" = "auto",
    allow_leak: bool = False,
    init: str | os.PathLike[str] | Run | None = None,
) -> "LrRange":
    """Try rising learning rates on the training split and look at the loss; no run is made.

    The arguments are those of `train`, the method is `frameflow.training.lr_range.lr_range`.
    Validation and test are not looked at.
    """
    from frameflow.training.learning import examples_of, learners, prepare_head, trainee
    from frameflow.training.lr_range import lr_range

    chosen = load_recipe(recipe, overrides)
    refuse_teacher(chosen, "A range test")
    if seed is not None:
        chosen = load_recipe(chosen, [f"train.seed={seed}"])
    begin = init if init is None or isinstance(init, Run) else Run(init)
    manifest, recognizer = _prepare(
        source, chosen, classes=classes, fold=fold, begin=begin, allow_leak=allow_leak
    )
    sets, _ = read_sets(recognizer, manifest, engine=engine, held_out=False)
    training = examples_of(sets.training, chosen, recognizer.labels)
    module = trainee(recognizer)
    prepare_head(recognizer, module, training, chosen.train)
    backbones = learners(recognizer, module)
    return lr_range(module, training, chosen.train, backbones=backbones)


def _prepare(
    source: Source,
    recipe: Recipe,
    *,
    classes: str | Sequence[str] | int | None,
    fold: int | None,
    begin: Run | None,
    allow_leak: bool,
    shots: int | None = None,
) -> tuple[Manifest, "Recognizer"]:
    """The samples with their splits, checked, and the recognizer before training."""
    several = recipe.multilabel
    manifest = read_source(source, classes=classes, multilabel=several)
    # Early: a typo is told before hours of work.
    recognizer = _build(recipe, manifest.label_names(multilabel=several))
    if begin is not None:
        start_from(recognizer, begin)
    given = manifest
    scanned = None if isinstance(source, Manifest) or not Path(source).is_dir() else Path(source)
    if scanned or not (manifest.has_splits or fold is not None):
        manifest = with_groups(manifest, always=scanned is not None)
    found = manifest is not given  # groups, by comparing the clips
    manifest = with_splits(manifest, recipe, fold=fold)
    if shots is not None:
        if several:
            raise UsageError("--shots counts clips of one class: a clip here may have several.")
        manifest = take_shots(manifest, shots, seed=recipe.train.seed)
        recognizer.extra["shots"] = shots
    check_classes(manifest, multilabel=several)
    refuse_leaks(manifest, allow=allow_leak, folder=scanned)
    if begin is not None:
        recognizer.extra["init"]["leaky"] = refuse_seen(begin, manifest, allow=allow_leak)
    if recipe.train.distill.teacher is not None:
        seen = check_teacher(recognizer, manifest, allow=allow_leak)
        recognizer.extra["teacher"] = {"leaky": seen}
    scene_pairs = None if manifest.has_groups else warn_of_shared_scenes(manifest)
    groups: Origin = "found" if found else "given" if manifest.has_groups else "none"
    recognizer.extra["audit"] = split_audit(manifest, groups=groups, scene_pairs=scene_pairs)
    return manifest, recognizer


def resume(run: str | os.PathLike[str] | Run, *, engine: "EngineKind" = "auto") -> Run:
    """Go on with a run that was stopped, wherever that was, to the numbers it would have had.

    Raises:
        UsageError: no such run, or it was stopped before it had its recipe and manifest.
    """
    opened = run if isinstance(run, Run) else Run(run)
    if not (opened.path / "manifest.csv").is_file():
        raise UsageError(
            f"{opened.path} has no manifest.csv: it is no run, or was stopped while its data was "
            f"read. Start it again with `frameflow train`."
        )
    if opened.is_finished:
        log.info("The run %s is finished already.", opened.path)
        return opened
    with together(shared=opened.recipe.way != "frozen") as processes:
        if not processes.leads and opened.recipe.way == "frozen":
            raise SystemExit(0)
        return _finish(opened, _reopened(opened), engine=engine, resume=True)


def _reopened(run: Run) -> "Recognizer":
    """The recognizer of a run as it was before training."""
    from frameflow.models.recognizer import Recognizer

    if (run.path / START).is_dir():
        return Recognizer.load(run.path / START)
    return _build(run.recipe, run.manifest.label_names(multilabel=run.recipe.multilabel))


def _build(recipe: Recipe, labels: Sequence[str]) -> "Recognizer":
    """The recognizer before training; its head starts as the seed says."""
    from frameflow.models.recognizer import build_recognizer

    with reproducible(recipe.train.seed):
        return build_recognizer(recipe, labels)


def _finish(run: Run, recognizer: "Recognizer", *, engine: "EngineKind", resume: bool) -> Run:
    """Extract, train, save, evaluate: what a recipe and a manifest with splits lead to."""
    from frameflow.inference.evaluate import evaluate

    if not team().leads:
        sets, _ = read_sets(recognizer, run.manifest, engine=engine, run=run.path)
        _fit(run, recognizer, sets, resume=resume)
        return run
    manifest, recorder = run.manifest, Recorder(run.path)
    with recorder.extraction():
        sets, bad = read_sets(recognizer, manifest, engine=engine, run=run.path)
    write_bad(run.path, bad)
    fitted = _train(run, recognizer, sets, recorder, engine=engine, resume=resume)
    log.info(told(fitted, run.recipe))

    scored = "test" if len(manifest.split("test")) else "val"
    if not len(manifest.split(scored)):
        raise UsageError(
            f"{run.path} holds the trained model, but neither a test nor a validation clip to "
            f"score it on: `frameflow evaluate {run.path} OTHER.csv`."
        )
    log.info("Scoring the %d %s samples.", len(manifest.split(scored)), scored)
    metrics = evaluate(run.path, split=scored, engine=engine)
    if scored == "test":
        write_bad(run.path, bad + [Bad.of(entry, "test") for entry in metrics["bad_videos"]])
    return Run(run.path)


def _train(
    run: Run,
    recognizer: "Recognizer",
    sets: Sets,
    recorder: Recorder,
    *,
    engine: "EngineKind",
    resume: bool,
) -> "Fitted":
    """Train, calibrate, and save the recognizer."""
    from frameflow.inference.timeline.plan import measure_clips
    from frameflow.training.calibrate import calibrate

    processes = team().size
    fitted, validation = _fit(run, recognizer, sets, resume=resume)
    held_out = sets.validation.samples if sets.validation is not None else ()
    samples = {"train": len(sets.training.samples), "val": len(held_out)}
    recorded = recorder.finish(recognizer, fitted, samples)
    recognizer.extra |= {
        "best_epoch": fitted.best_epoch,
        "epochs": fitted.epochs,
        "audit": recorder.audit,
        "training": recorded | ({"processes": processes} if processes > 1 else {}),
        **measure_clips(run.manifest),  # as long are the windows of a long video
    }
    if (about := record(run.path, run.recipe)) is not None:
        recognizer.extra["teacher"] = about
    recognizer.extra |= calibrate(
        recognizer.eval(), run.manifest, sets.training, sets.validation, validation, engine=engine
    )
    recognizer.save(run.path, extra=recognizer.extra)
    return fitted


def _fit(
    run: Run, recognizer: "Recognizer", sets: Sets, *, resume: bool
) -> "tuple[Fitted, Examples | None]":
    """Train the recognizer: what several processes do together; the validation examples too."""
    from frameflow.training.learning import examples_of, fit_recognizer

    recipe, labels = run.recipe, recognizer.labels
    try:
        counts = refuse_one_class(sets.training.samples, multilabel=recipe.multilabel)
    except UsageError as error:
        if not sets.training.bad:
            raise
        raise UsageError(
            f"Of the readable training videos (see {run.path / 'bad_videos.csv'}): {error}"
        ) from None
    if sets.validation is None and recipe.train.solver == "epochs":
        log.warning("There is no validation sample: all %d epochs are run.", recipe.train.epochs)
    training = examples_of(sets.training, recipe, labels)
    validation = None
    if sets.validation is not None:
        validation = examples_of(sets.validation, recipe, labels, every_view=True)
    log.info(
        "Training %s on %d clips of %d classes.", learner_words(recipe), len(training), len(counts)
    )
    fitted = fit_recognizer(recognizer, training, validation, folder=run.path, resume=resume)
    team().leave()
    return fitted, validation
