"""Asking a teacher: whether it may be asked, and what it says of the training samples."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from frameflow.config import Recipe, load_recipe
from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError, listing
from frameflow.evaluation._words import plural
from frameflow.training.init import refuse_seen
from frameflow.training.run import Run
from frameflow.training.teacher import OPTION, Teacher, is_stored, taught

if TYPE_CHECKING:
    from frameflow.features.engines import EngineKind
    from frameflow.models.heads.ensemble import EnsembleHead
    from frameflow.models.recognizer import Recognizer

log = logging.getLogger(__name__)


def check_teacher(recognizer: "Recognizer", manifest: Manifest, *, allow: bool) -> bool:
    """Whether the teacher has seen what is to be held out; before hours of work.

    Args:
        recognizer: the student; its recipe names the teacher.
        manifest: its samples with their splits.
        allow: go on where it has.

    Raises:
        UsageError: no finished run; labels of the other kind, or none in common; features that
            cannot be matched.
        LeakError: it has, and ``allow`` is False.
    """
    from frameflow.training.distill import last_layer

    recipe, labels = recognizer.recipe, recognizer.labels
    if recipe.train.distill.features:
        last_layer(recognizer.head, recipe)
    folder = _folder(recipe)
    known, several = _labels_of(folder)
    _refuse_labels(folder, known, several, recipe, labels)
    return refuse_seen(Run(folder), manifest, allow=allow, option=OPTION)


def ask(
    recipe: Recipe,
    manifest: Manifest,
    *,
    engine: "EngineKind" = "auto",
) -> Teacher:
    """What the recipe's teacher says of the training samples of a manifest.

    Of a clip it has learnt from a frozen teacher speaks through a refit to the other folds of its
    training samples, parted by group: what it says of its own training clips is too sure, and says
    little beyond the labels.

    Raises:
        UsageError: no such run, or it says nothing of any of these samples.
    """
    folder = _folder(recipe)
    if is_stored(folder):
        return Teacher.load(folder)
    from frameflow.features.quarantine import sample_keys
    from frameflow.inference.said import teacher_probabilities

    settings, run, part = recipe.train.distill, Run(folder), manifest.split("train")
    log.info("Asking the teacher %s about %s.", folder, plural(len(part), "training sample"))
    said = teacher_probabilities(folder, part, engine=engine, views=settings.views)
    rows = dict(zip(said.keys, said.probabilities))
    own = run.manifest.split("train")
    theirs, gone = sample_keys(own)
    learnt = set(theirs.values()) & rows.keys()
    if gone:
        log.warning(
            "%s the teacher learnt from cannot be read any more: whether it knows these clips "
            "is told by the others.", plural(len(gone), "clip"),
        )  # fmt: skip
    refitted: dict[str, np.ndarray] = {}
    if learnt and settings.folds > 1:
        refitted = _refitted(run, own, recipe, len(learnt), engine)
        rows |= {key: refitted[key] for key in learnt & refitted.keys()}
    elif learnt:
        log.warning(
            "The teacher has learnt from %d of these clips: its soft targets are surer of them "
            "than it could be of others.", len(learnt),
        )  # fmt: skip
    keys = tuple(rows)
    _, several = _labels_of(folder)
    facts = {
        "run": folder.resolve().name,
        "recipe": run.recipe.name,
        "digest": _digest(folder),
        "views": settings.views or run.recipe.views.test,
        "clips": len(keys),
        "learnt": len(learnt),
        "gone": len(gone),
        "refitted": len(learnt & refitted.keys()),
        "folds": settings.folds if refitted else 0,
    }
    probabilities = np.stack([rows[key] for key in keys])
    features = _features(folder, part, keys, settings.views, engine) if settings.features else None
    found = Teacher(
        tuple(said.labels), several, keys, probabilities, features, facts,
        run.manifest.where(lambda sample: sample.split in ("train", "val")),
    )  # fmt: skip
    _tell(found, part)
    return found


def _folder(recipe: Recipe) -> Path:
    from frameflow.inference.predictor import run_folder

    folder = Path(str(recipe.train.distill.teacher))
    if is_stored(folder):
        return folder
    try:
        return run_folder(folder)
    except UsageError as error:
        raise UsageError(f"{OPTION}: {error}") from None


def _labels_of(folder: Path) -> tuple[tuple[str, ...], bool]:
    if is_stored(folder):
        held = Teacher.load(folder)
        return held.labels, held.multilabel
    run = Run(folder)
    held = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    return tuple(held["labels"]), run.recipe.multilabel


def _refuse_labels(
    folder: Path, known: Sequence[str], several: bool, recipe: Recipe, labels: Sequence[str]
) -> None:
    if several != recipe.multilabel:
        one, other = ("several labels", "one") if several else ("one label", "several")
        raise UsageError(
            f"{OPTION} {folder} gives a clip {one}, this recipe {other}: take a teacher of the "
            f"same kind, or set multilabel={str(several).lower()}."
        )
    common = [label for label in labels if label in set(known)]
    if len(common) < (1 if several else 2):
        named = f"only {common[0]!r}" if common else "no label"
        raise UsageError(
            f"{OPTION} {folder} has {named} in common with these clips: it knows "
            f"{listing(list(known), most=5)}; the clips have {listing(list(labels), most=5)}."
        )
    if missing := [label for label in labels if label not in set(known)]:
        log.warning(
            "The teacher does not know %s: of them the labels alone are learnt.", listing(missing)
        )


def _refitted(
    run: Run, own: Manifest, recipe: Recipe, count: int, engine: "EngineKind"
) -> dict[str, np.ndarray]:
    """What refits of the teacher without a clip's group say of it, by key; none where it cannot."""
    from frameflow.features.quarantine import sample_keys
    from frameflow.training.calibrate import NothingHeldOut, out_of_fold
    from frameflow.training.learning import read_material

    settings = recipe.train.distill
    log.info("It has learnt from %d of them: refits without their group speak of these.", count)
    shares: dict[str, np.ndarray] = {}
    try:
        for one, weight in _parts(run):
            views = one.recipe.views
            if settings.views:
                views = views.model_copy(update={"test": settings.views})
            one.recipe = one.recipe.model_copy(update={"views": views})
            if one.recipe.way != "frozen":
                raise NothingHeldOut("to train its backbone again on inner folds would take long")
            training = read_material(one, own, purpose="train", engine=engine, max_bad=1.0)
            kept = own.replace(training.samples)
            training = taught(training, run.path, one.recipe, one.labels, kept)
            found = out_of_fold(one, kept, training, engine, settings.folds)
            for index, key in sample_keys(kept)[0].items():
                shares[key] = shares.get(key, 0.0) + (weight * found[index]).astype(np.float32)
    except NothingHeldOut as nothing:
        log.warning(
            "The teacher has learnt from %d of these clips, and cannot be refitted without them "
            "(%s): its soft targets are surer of them than it could be of others.",
            count, str(nothing).rstrip("."),
        )  # fmt: skip
        return {}
    return shares


def _parts(run: Run) -> "list[tuple[Recognizer, float]]":
    """What can be refitted, and its weight: the run itself, or the members of an ensemble."""
    from frameflow.models.recognizer import build_recognizer

    whole = run.recognizer()
    if whole.recipe.head.name != "ensemble":
        return [(whole, 1.0)]
    head, parts = cast("EnsembleHead", whole.head), []
    for member, weight in zip(head.members, head.log_weights.exp().tolist()):
        recipe = load_recipe(run.path / "members" / member["name"] / "recipe.yaml")
        backbones = [whole.backbones()[place] for place in member["streams"]]
        parts.append((build_recognizer(recipe, whole.labels, backbones=backbones), weight))
    return parts


def _features(
    folder: Path, part: Manifest, keys: Sequence[str], views: int | None, engine: "EngineKind"
) -> np.ndarray:
    """``(N, F)`` of the clips of these keys."""
    from tempfile import TemporaryDirectory

    from frameflow.features.extract import extract
    from frameflow.features.quarantine import sample_keys
    from frameflow.inference.predictor import load_recognizer
    from frameflow.training.distill import compressed, features_read

    recognizer = load_recognizer(folder)
    with TemporaryDirectory(prefix="frameflow-") as scratch:
        found = extract(
            part, recognizer.recipe, purpose="test", engine=engine, views=views, max_bad=1.0,
            backbones=recognizer.backbones(),
            store=None if recognizer.recipe.way == "frozen" else Path(scratch),
        )  # fmt: skip
        read = features_read(recognizer, found)
    place = sample_keys(part.replace(found.samples))[0]
    by_key = {place[index]: row for index, row in enumerate(read)}
    return compressed(np.stack([by_key[key] for key in keys]))


def _digest(folder: Path) -> str:
    text = (folder / "model.json").read_bytes()
    found = json.loads(text).get("tensors_digest")
    return str(found or hashlib.sha256(text).hexdigest()[:16])


def _tell(teacher: Teacher, part: Manifest) -> None:
    """How often it names what the clips are labelled."""
    from frameflow.features.quarantine import sample_keys

    if teacher.multilabel:
        return
    places = {key: place for place, key in enumerate(teacher.keys)}
    keys, _ = sample_keys(part)
    right = [
        teacher.labels[int(teacher.probabilities[places[key]].argmax())] == part[index].label
        for index, key in keys.items()
        if key in places
    ]
    if right:
        teacher.facts["training_top1"] = round(float(np.mean(right)), 4)
        log.info("Its soft targets name the label of %.3f of the clips.", float(np.mean(right)))
