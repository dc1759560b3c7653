"""A recognizer and its data, brought together in the way its recipe says.

frozen      videos -> stored features    -> head
cut         videos -> stored activations -> what follows the cut, head
end-to-end  videos                       -> the whole recognizer
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import nn

from frameflow.config import Recipe, Train
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError
from frameflow.training._checkpoint import find_checkpoints
from frameflow.training._random import reproducible
from frameflow.training._team import team
from frameflow.training.examples import Examples, FeatureExamples, FeatureSource, in_memory
from frameflow.training.targets import targets_of

if TYPE_CHECKING:
    from frameflow.features.engines import EngineKind
    from frameflow.features.extract import BadVideo, Purpose
    from frameflow.models.backbones import Backbone
    from frameflow.models.recognizer import Recognizer
    from frameflow.training.history import Fitted
    from frameflow.training.losses import Loss

log = logging.getLogger(__name__)

_MOST_CLIPS = 512  # whose features a head's standardisation is fitted to, where backbones learn


class Material(Protocol):
    """Readable samples to learn from or to be scored on.

    Attributes:
        samples: the readable ones, in manifest order.
        bad: those that were set aside.
        views: how many clips each has.
    """

    @property
    def samples(self) -> Sequence[Sample]: ...
    @property
    def bad(self) -> "Sequence[BadVideo]": ...
    @property
    def count(self) -> int: ...

    def examples(
        self, targets: np.ndarray, *, rows: np.ndarray | None = None, every_view: bool = False
    ) -> Examples: ...


class Stored:
    """Material as stored features or activations; see `Material`."""

    def __init__(self, features: FeatureSource, bad: "Sequence[BadVideo]" = ()) -> None:
        self.features = in_memory(features)
        self.samples: list[Sample] = list(features.samples)
        self.bad = list(bad)

    @property
    def count(self) -> int:
        return len(self.features.views)

    def examples(
        self, targets: np.ndarray, *, rows: np.ndarray | None = None, every_view: bool = False
    ) -> FeatureExamples:
        return FeatureExamples(self.features, targets, rows=rows, every_view=every_view)


def read_material(
    recognizer: "Recognizer",
    manifest: Manifest,
    *,
    purpose: "Purpose",
    engine: "EngineKind" = "auto",
    max_bad: float | None = None,
) -> Material:
    """The samples of a manifest as the recipe's way of training reads them.

    Args:
        recognizer: its recipe and backbones.
        manifest: labelled samples.
        purpose: ``train`` or ``test``.
        engine: what runs frozen backbones.
        max_bad: the share of unreadable samples at which to stop; the recipe's where None.

    Raises:
        FrameFlowError: too many of them cannot be read.
    """
    recipe = recognizer.recipe
    if recipe.way == "end-to-end":
        from frameflow.training.videos import Videos

        return Videos(
            manifest, recipe, recognizer.backbones(), recognizer.labels,
            purpose=purpose, max_bad=max_bad,
        )  # fmt: skip
    from frameflow.features.extract import extract

    if not team().leads:
        team().share(None)  # the first process stores what the others then read
    features = extract(
        manifest,
        recipe,
        purpose=purpose,
        engine=engine,
        backbones=encoders(recognizer),
        max_bad=max_bad,
    )
    if team().leads:
        team().share(None)
    return Stored(features, features.bad)


def encoders(recognizer: "Recognizer") -> "list[Backbone]":
    """What stays frozen and has its output stored, one for each stream."""
    from frameflow.models.cut import CutRecognizer

    return CutRecognizer(recognizer).encoders() if _cut(recognizer) else recognizer.backbones()


def trainee(recognizer: "Recognizer") -> nn.Module:
    """The module that training sees: it shares its parameters with the recognizer."""
    from frameflow.models.cut import CutRecognizer

    if _cut(recognizer):
        return CutRecognizer(recognizer)
    return recognizer.head if recognizer.recipe.way == "frozen" else recognizer


def fit_recognizer(
    recognizer: "Recognizer",
    training: Examples,
    validation: Examples | None,
    settings: Train | None = None,
    *,
    folder: Path | None = None,
    resume: bool = False,
) -> "Fitted":
    """Train a recognizer in place, in the way its recipe says.

    Args:
        recognizer: of the recipe.
        training: of `read_material`.
        validation: the same, every view an example; None: all epochs are run.
        settings: the recipe's where None.
        folder: for checkpoints and history; None: nothing is written.
        resume: go on from the checkpoint in ``folder``.
    """
    from frameflow.training.loop import fit, train_head
    from frameflow.training.losses import make_loss

    recipe = recognizer.recipe
    settings = settings or recipe.train
    loss = make_loss(settings, training.targets, multilabel=recipe.multilabel)
    wrap: Callable[[nn.Module], nn.Module] = _as_it_is
    if settings.distill.teacher is not None:
        loss, wrap = _distilled(recognizer, training, settings, loss)
    if recipe.way == "frozen":
        assert isinstance(training, FeatureExamples)
        assert validation is None or isinstance(validation, FeatureExamples)
        fitted = train_head(
            recognizer.head, training, validation, settings,
            loss=loss, folder=folder, resume=resume, wrap=wrap,
        )  # fmt: skip
    else:
        module = trainee(recognizer)
        # A checkpoint brings what was fitted; a run killed before its first one has none.
        # Of several processes the others get it from the first.
        if team().leads and not (resume and folder and find_checkpoints(folder)):
            prepare_head(recognizer, module, training, settings)
        fitted = fit(
            wrap(module), training, validation, settings,
            loss=loss, backbones=learners(recognizer, module), folder=folder, resume=resume,
        )  # fmt: skip
    if team().leads:
        weigh_streams(recognizer, validation)
    return fitted


def _as_it_is(module: nn.Module) -> nn.Module:
    return module


def _distilled(
    recognizer: "Recognizer", training: Examples, settings: Train, loss: "Loss"
) -> "tuple[Loss, Callable[[nn.Module], nn.Module]]":
    """The loss with a teacher, and what makes the module say what its features are."""
    from frameflow.training.distill import Distilled, Hinted, last_layer

    said, recipe, classes = (
        getattr(training, "taught", None),
        recognizer.recipe,
        len(recognizer.labels),
    )
    if said is None:
        raise UsageError("train.distill needs what a teacher says of the training samples.")
    distilled = Distilled(loss, settings.distill, classes, multilabel=recipe.multilabel)
    if said.shape[1] == classes:
        return distilled, _as_it_is
    last_layer(recognizer.head, recipe)

    def wrap(module: nn.Module) -> nn.Module:
        with reproducible(settings.seed):
            return Hinted(module, recognizer.head, said.shape[1] - classes)

    return distilled, wrap


@torch.no_grad()
def prepare_head(
    recognizer: "Recognizer", module: nn.Module, training: Examples, settings: Train
) -> None:
    """Fit the head's standardisation to features of the backbones before they learn."""
    from frameflow.models.heads.base import Standardise

    head = recognizer.head
    if not any(isinstance(module, Standardise) for module in head.modules()):
        return
    rng = np.random.default_rng(settings.seed)
    rows = rng.permutation(len(training))[:_MOST_CLIPS]
    module.eval()
    head.prepare(
        recognizer_features(module, recognizer, training, part)
        for part in np.array_split(rows, max(1, len(rows) // settings.batch_size))
    )


def recognizer_features(
    module: nn.Module, recognizer: "Recognizer", examples: Examples, rows: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the head sees of some examples: ``(n, S, D)`` features and their mask."""
    batch = examples.batch(rows, None)
    if module is recognizer.head:
        assert isinstance(batch.inputs, torch.Tensor)
        return batch.inputs.float(), batch.mask
    inputs = batch.inputs  # of videos a list of uint8, of a store halves
    given = inputs.float() if isinstance(inputs, torch.Tensor) else inputs
    features = module.encode(given)  # type: ignore[operator]
    if features.shape[1] != batch.mask.shape[1]:  # a video model's, all of them count
        return features, batch.mask.new_ones(features.shape[:2])
    return features, batch.mask


@torch.no_grad()
def weigh_streams(recognizer: "Recognizer", validation: Examples | None) -> None:
    """Find the weights of a late fusion on validation, where the head wants them."""
    from frameflow.models.heads.late_fusion import LateFusionHead

    head = recognizer.head
    if not isinstance(head, LateFusionHead) or head.weighted_by != "validation":
        return
    if validation is None or not len(validation):
        log.warning("There is no validation sample: the streams weigh the same.")
        return
    module = trainee(recognizer).eval()
    logits = []
    for rows in np.array_split(np.arange(len(validation)), -(-len(validation) // 32)):
        features, mask = recognizer_features(module, recognizer, validation, rows)
        logits.append(head.per_stream(features, mask))
    found = head.fit_weights(
        torch.cat(logits).transpose(0, 1), torch.from_numpy(np.asarray(validation.targets))
    )
    log.info("The streams weigh %s.", ", ".join(f"{weight:.2f}" for weight in found.tolist()))


def examples_of(
    material: Material, recipe: Recipe, labels: Sequence[str], *, every_view: bool = False
) -> Examples:
    """All samples of a material as examples."""
    targets = targets_of(material.samples, labels, recipe.multilabel)
    return material.examples(targets, every_view=every_view)


def learners(recognizer: "Recognizer", module: nn.Module) -> "list[Backbone]":
    """The backbones of which parts learn, each once."""
    if _cut(recognizer):
        return list(module.learners())  # type: ignore[operator]
    return list({id(backbone): backbone for backbone in recognizer.backbones()}.values())


def _cut(recognizer: "Recognizer") -> bool:
    return recognizer.recipe.way == "cut"
