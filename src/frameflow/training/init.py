"""Begin with what another run has learnt."""

import logging
from typing import TYPE_CHECKING

from frameflow.data.manifest import Manifest
from frameflow.errors import LeakError, UsageError
from frameflow.inference._leaks import leaks_from_training
from frameflow.training.run import Run

if TYPE_CHECKING:
    from frameflow.models.backbones import Backbone
    from frameflow.models.recognizer import Recognizer

log = logging.getLogger(__name__)


def start_from(recognizer: "Recognizer", run: Run) -> None:
    """Give a recognizer the weights of a run.

    The backbones must be the same. The head's weights are taken where the head and the labels are
    the same, the labels in any order; otherwise the head starts as its seed says.

    Raises:
        UsageError: no trained run, or its backbones are others.
    """
    other = run.recognizer()
    own, theirs = recognizer.backbones(), other.backbones()
    if len(own) != len(theirs):
        raise UsageError(
            f"{run.path} has {len(theirs)} streams, this recipe {len(own)}: "
            f"start from a run of the same streams."
        )
    for number, (backbone, given) in enumerate(zip(own, theirs)):
        _fill(backbone, given, run, number)
    same_head = recognizer.head.name == other.head.name and _shapes(recognizer) == _shapes(other)
    taken = same_head and recognizer.labels == other.labels
    if taken:
        recognizer.head.load_state_dict(other.head.state_dict())
    recognizer.extra["init"] = {"run": run.path.resolve().name, "head": taken}
    why = "its head too" if taken else "its head learns anew, for other labels or of another form"
    log.info("Starting from the backbones of %s; %s.", run.path, why)


def refuse_seen(run: Run, manifest: Manifest, *, allow: bool, option: str = "--init") -> bool:
    """Whether a run has seen what is to be held out; ``option`` is what named it.

    The test split must share nothing with what the run learned from or was stopped by, validation
    nothing with what it learned from.

    Raises:
        LeakError: one does, and ``allow`` is False.
    """
    theirs = run.manifest
    learned = theirs.where(lambda sample: sample.split == "train")
    found = False
    for seen, split in ((theirs, "test"), (learned, "val")):
        part = manifest.split(split)
        try:
            found |= leaks_from_training(seen, part, foreign=True, split=split, allow=allow)
        except LeakError as error:
            cure = " Or train without validation: --set split.val=0." if split == "val" else ""
            raise LeakError(
                f"{option} {run.path} has been trained on what is to be scored. {error}{cure}"
            ) from None
    return found


def _fill(backbone: "Backbone", given: "Backbone", run: Run, number: int) -> None:
    from frameflow.models.weights import Weights, digest

    if backbone.name != given.name:
        raise UsageError(
            f"Stream {number} of {run.path} looks through {given.name}, this recipe's through "
            f"{backbone.name}: --set streams.{number}.backbone={given.name}"
        )
    state = given.model.state_dict()
    try:
        backbone.model.load_state_dict(state)
    except RuntimeError as error:
        raise UsageError(
            f"The {given.name} of {run.path} does not fit stream {number} of this recipe: "
            f"{' '.join(str(error).split())[:200]}"
        ) from None
    source = given.weights.source.removesuffix(", trained further")
    backbone.weights = Weights(f"{source}, trained further", digest(state))


def _shapes(recognizer: "Recognizer") -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in recognizer.head.state_dict().items()}
