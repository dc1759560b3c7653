"""What a run says of the clips that another is to learn from, kept in the run that learns.

    RUN/teacher/
      teacher.json              who it was, its labels, the clips' keys
      said.safetensors          probabilities (N, K), and features (N, F) where they are matched
      manifest.csv              what the teacher itself had learnt from, to refuse leaks

So a run that is resumed or repeated needs no teacher. The folder can be a teacher itself.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frameflow._files import write_json
from frameflow.config import Recipe, load_recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError
from frameflow.training.run import Run

if TYPE_CHECKING:
    from frameflow.training.examples import Examples
    from frameflow.training.learning import Material

log = logging.getLogger(__name__)

FOLDER = "teacher"  # in the run that has learnt
_ABOUT, _SAID = "teacher.json", "said.safetensors"
_FORMAT = 1
OPTION = "--teacher"


@dataclass(frozen=True, eq=False)
class Teacher:
    """What a run says of clips.

    Attributes:
        labels: the K labels of the teacher.
        multilabel: whether each has a probability of its own.
        keys: of N clips in the store: what a clip shows, under whatever path.
        probabilities: ``(N, K)`` float32, not calibrated, the mean over its views.
        features: ``(N, F)`` float32, what its last layer reads, compressed; None: not asked for.
        facts: ``run``, ``recipe``, ``digest``, ``views``, ``clips``, how many of them it had learnt
            from (``learnt``), of how many of these the refits speak (``refitted``), and how many
            that it learnt from could not be read any more (``gone``).
        manifest: what it learnt from.
    """

    labels: tuple[str, ...]
    multilabel: bool
    keys: tuple[str, ...]
    probabilities: np.ndarray
    features: np.ndarray | None
    facts: dict[str, Any]
    manifest: Manifest

    def save(self, folder: Path, *, leaky: bool = False) -> None:
        """Write the three files, the one that says they are whole last.

        Args:
            folder: to be made.
            leaky: whether the teacher has seen what the student holds out.
        """
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        arrays = {"probabilities": self.probabilities}
        if self.features is not None:
            arrays["features"] = self.features
        held = {name: np.ascontiguousarray(a, dtype=np.float32) for name, a in arrays.items()}
        save_file(held, folder / _SAID)
        self.manifest.write(folder / "manifest.csv")
        about = {
            "format": _FORMAT,
            "labels": list(self.labels),
            "multilabel": self.multilabel,
            "facts": self.facts | {"leaky": leaky},
            "keys": list(self.keys),
        }
        write_json(folder / _ABOUT, about)

    @classmethod
    def load(cls, folder: Path) -> "Teacher":
        """Read what `save` wrote.

        Raises:
            UsageError: a file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
            arrays = load_file(folder / _SAID)
            if about["format"] != _FORMAT:
                raise ValueError("another version of FrameFlow wrote it")
            found = cls(
                tuple(about["labels"]),
                bool(about["multilabel"]),
                tuple(about["keys"]),
                arrays["probabilities"],
                arrays.get("features"),
                dict(about["facts"]),
                Manifest.read(folder / "manifest.csv", check_files=False),
            )
            if found.probabilities.shape != (len(found.keys), len(found.labels)):
                raise ValueError("its files do not belong together")
        except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
            raise UsageError(
                f"{folder}, what a teacher said, is damaged ({error}): start the run again with "
                f"{OPTION} RUN."
            ) from None
        return found


def is_stored(folder: Path) -> bool:
    """Whether it is what a teacher said, as a run keeps it."""
    return (folder / _ABOUT).is_file()


def with_teacher(
    recipe: Recipe, source: str | Path | Recipe, teacher: str | Path | Run | None
) -> Recipe:
    """The recipe with its teacher named.

    Args:
        recipe: as read.
        source: from where; beside the recipe of a run that had a teacher lies what it said.
        teacher: a run, or what one said, in place of the recipe's.

    Raises:
        UsageError: the recipe needs a teacher and none is named, or cannot have one.
    """
    if teacher is None and not isinstance(source, Recipe) and Path(source).is_file():
        kept = Path(source).parent / FOLDER
        teacher = kept if is_stored(kept) else None
    if teacher is None:
        if recipe.train.distill.asked and recipe.train.distill.teacher is None:
            raise UsageError(
                f"The recipe {recipe.name} learns from another run too: name one with "
                f"{OPTION} RUN, or set train.distill.teacher."
            )
        return recipe
    name = str(teacher.path if isinstance(teacher, Run) else teacher)
    distill = recipe.train.distill.model_copy(update={"teacher": name})
    train = recipe.train.model_copy(update={"distill": distill})
    return load_recipe(recipe.model_copy(update={"train": train}))  # checks it again


def refuse_teacher(recipe: Recipe, what: str) -> None:
    """For what trains on folds: a teacher would have learnt from the clips that are scored.

    Raises:
        UsageError: the recipe asks for a teacher.
    """
    if recipe.train.distill.asked:
        raise UsageError(
            f"{what} trains on parts of the data, of which a teacher (train.distill) has learnt "
            f"others: train single folds with `frameflow train --fold K --teacher RUN`, or set "
            f"train.distill={{}}."
        )


class Taught:
    """A `Material` whose training examples carry what a teacher says.

    Args:
        material: the samples.
        taught: ``(N, K + F)`` float32 of each, NaN where nothing is said.
    """

    def __init__(self, material: "Material", taught: np.ndarray) -> None:
        self._material, self.taught = material, taught
        self.samples, self.bad, self.count = material.samples, material.bad, material.count

    def examples(
        self, targets: np.ndarray, *, rows: np.ndarray | None = None, every_view: bool = False
    ) -> "Examples":
        found = self._material.examples(targets, rows=rows, every_view=every_view)
        if not every_view:
            found.taught = self.taught if rows is None else self.taught[rows]  # type: ignore[attr-defined]
        return found


def taught(
    material: "Material", run: Path, recipe: Recipe, labels: Sequence[str], manifest: Manifest
) -> "Material":
    """The training samples of a run with what its teacher says of them; the same without one.

    Raises:
        UsageError: what the teacher said is missing, damaged, or about other clips.
    """
    if recipe.train.distill.teacher is None:
        return material
    from frameflow.features.quarantine import sample_keys

    teacher = Teacher.load(run / FOLDER)
    keys, _ = sample_keys(manifest.replace(material.samples))
    rows = [keys.get(index, "") for index in range(len(material.samples))]
    return Taught(material, rows_of(teacher, rows, material.samples, recipe, labels))


def rows_of(
    teacher: Teacher,
    keys: Sequence[str],
    samples: Sequence[Sample],
    recipe: Recipe,
    labels: Sequence[str],
) -> np.ndarray:
    """``(N, K + F)``: soft targets at the recipe's temperature, then features.

    Labels are matched by name. What the teacher says of labels that the student lacks is left out.
    Of labels that the teacher lacks it says nothing: a clip of one has no soft targets, and where
    clips have several labels, such a label has none.

    Raises:
        UsageError: it says nothing of any sample, or has no features.
    """
    from frameflow.training.distill import tempered

    settings, several = recipe.train.distill, recipe.multilabel
    places = {key: place for place, key in enumerate(teacher.keys)}
    found = np.array([places.get(key, -1) for key in keys])
    known = [k for k, label in enumerate(labels) if label in teacher.labels]
    columns = [teacher.labels.index(labels[k]) for k in known]
    names = {labels[k] for k in known}
    has = found >= 0
    if not several:
        has &= np.array([sample.label in names for sample in samples], dtype=bool)
    if not has.any():
        raise UsageError(
            f"The teacher {teacher.facts.get('run', '')} says nothing of these clips: what it said "
            f"is about others. Name the run itself: {OPTION} RUN."
        )
    if missing := int((~has).sum()):
        log.warning("%d of %d clips have no soft targets: labels alone.", missing, len(has))
    soft = np.full((len(keys), len(labels)), np.nan, dtype=np.float32)
    own = teacher.probabilities[found[has]][:, columns]
    block = tempered(own, settings.temperature, multilabel=several)
    if not several:
        soft[has] = (
            0.0  # it is certain to be none of the labels the teacher lacks: its own is known
        )
    soft[np.ix_(np.flatnonzero(has), np.array(known))] = block
    if not settings.features:
        return soft
    if teacher.features is None:
        raise UsageError(
            f"What the teacher said has no features (train.distill.features "
            f"{settings.features:g}): name the run itself, {OPTION} RUN."
        )
    hints = np.full((len(keys), teacher.features.shape[1]), np.nan, dtype=np.float32)
    hints[found >= 0] = teacher.features[found[found >= 0]]
    return np.hstack([soft, hints])


def record(run: Path, recipe: Recipe) -> dict[str, Any] | None:
    """What `model.json` says of the teacher; None where there was none."""
    if recipe.train.distill.teacher is None:
        return None
    settings = recipe.train.distill
    facts = Teacher.load(run / FOLDER).facts
    chosen = {
        "weight": settings.share,
        "temperature": settings.temperature,
        "features": settings.features,
    }
    return facts | chosen
