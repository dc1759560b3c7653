"""The samples that a training learns from, and those that decide when to stop."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from frameflow._places import shown
from frameflow.data.manifest import Manifest
from frameflow.errors import FrameFlowError
from frameflow.training._bad import Bad
from frameflow.training.teacher import taught

if TYPE_CHECKING:
    from frameflow.features.engines import EngineKind
    from frameflow.features.extract import Purpose
    from frameflow.models.recognizer import Recognizer
    from frameflow.training.learning import Material


@dataclass(frozen=True)
class Sets:
    """What is learned from, and what decides when to stop."""

    training: "Material"
    validation: "Material | None"


def read_sets(
    recognizer: "Recognizer",
    manifest: Manifest,
    *,
    engine: "EngineKind",
    held_out: bool = True,
    run: Path | None = None,
) -> tuple[Sets, list[Bad]]:
    """The training and validation samples; the test is left to evaluation.

    Args:
        recognizer: its recipe and backbones.
        manifest: with splits.
        engine: what runs frozen backbones.
        held_out: whether validation is read.
        run: the folder that keeps what the recipe's teacher said.

    Raises:
        FrameFlowError: too many videos cannot be read.
    """
    from frameflow.training.learning import read_material

    recipe = recognizer.recipe
    limit = recipe.max_bad * len(manifest)  # of the whole, lest one bad video of few stop the job

    def material(split: str, purpose: "Purpose") -> "Material":
        part = manifest.split(split)
        share = min(1.0, limit / len(part))
        return read_material(recognizer, part, purpose=purpose, engine=engine, max_bad=share)

    training = material("train", "train")
    bad = [Bad.of(entry, "train") for entry in training.bad]
    if run is not None:
        training = taught(training, run, recipe, recognizer.labels, manifest)
    if not (held_out and len(manifest.split("val"))):
        return Sets(training, None), bad
    validation = material("val", "test")
    bad += [Bad.of(entry, "val") for entry in validation.bad]
    if len(bad) > limit:
        name = shown(manifest.source or "MANIFEST")
        raise FrameFlowError(
            f"{len(bad)} of {len(manifest)} videos cannot be read, more than max_bad "
            f"({recipe.max_bad:g}) allows. `frameflow data check {name}` lists all of "
            f"them; mend or remove them, or raise max_bad."
        )
    return Sets(training, validation), bad
