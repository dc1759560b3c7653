"""Does an exported file say what the model says? One that does not is never written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frameflow.errors import FrameFlowError
from frameflow.evaluation.multilabel import THRESHOLD
from frameflow.export.metadata import input_names
from frameflow.export.runners import Runner, feed_of
from frameflow.export.samples import Example
from frameflow.inference._calibrated import calibration_of

if TYPE_CHECKING:
    from frameflow.models.recognizer import Recognizer

MOST = 1e-3  # difference of probabilities
_TIE = 1e-6  # probabilities so near have no order


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a file and the model compare.

    Attributes:
        clips: how many clips, of views and samples.
        real: whether they are of the run's videos; otherwise they were generated.
        checks: how many runs of files with several batch sizes, lengths and masks.
        max_difference: of the probabilities, over all checks.
        same_top1: share of the rows with the same likeliest label (multi-label: the same set).
    """

    clips: int
    real: bool
    checks: int
    max_difference: float
    same_top1: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"most_difference": MOST, "least_same_top1": 1.0}

    def sentence(self) -> str:
        """In words, for users."""
        kind = "real" if self.real else "generated"
        return (
            f"{self.clips} {kind} clips, probabilities at most {self.max_difference:.1e} apart "
            f"(allowed {MOST:g}), same top-1 on {self.same_top1:.0%} (needed 100 %)"
        )


@dataclass(frozen=True, slots=True)
class Files:
    """The runners of one export.

    Attributes:
        whole: frames to probabilities.
        backbones: for each different backbone frames to features.
        head: features to probabilities.
        places: for each stream which backbone is its own.
    """

    whole: Runner
    backbones: Sequence[Runner]
    head: Runner
    places: Sequence[int]


class Reference:
    """What PyTorch says, in float32 on the CPU."""

    def __init__(self, recognizer: "Recognizer") -> None:
        self.recognizer = recognizer.cpu().eval()
        self.names = input_names(recognizer)
        self.preprocesses = [backbone.preprocess for backbone in recognizer.backbones()]
        self.masked = any(backbone.framewise for backbone in recognizer.backbones())
        self._calibration = calibration_of(recognizer)

    def features(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """``(B, T, H, W, 3)`` images of each stream to ``(B, S, D)``."""
        import torch

        with torch.no_grad():
            return self.recognizer.encode([np.ascontiguousarray(i) for i in images]).numpy()

    def probabilities(self, features: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """``(B, K)``, calibrated."""
        import torch

        if not self.masked:
            mask = np.ones(features.shape[:2], dtype=bool)
        with torch.no_grad():
            said = self.recognizer.probabilities(torch.from_numpy(features), torch.from_numpy(mask))
        return self._calibration.apply(said.numpy())

    def feed(self, images: Sequence[np.ndarray], mask: np.ndarray) -> dict[str, np.ndarray]:
        """The inputs of the whole file."""
        return feed_of(self.names, self.preprocesses, images, mask if self.masked else None)


def check(
    recognizer: "Recognizer",
    files: Files,
    examples: Sequence[Example],
    *,
    real: bool,
    any_time: bool,
) -> Agreement:
    """Compare files with the model: each clip alone, batches, other lengths and masks.

    Args:
        recognizer: what was exported.
        files: as read back from the disk.
        examples: clips to compare on, at least one.
        real: whether they are of videos.
        any_time: the whole file takes clips of any length, so other lengths are tried.

    Raises:
        FrameFlowError: they do not agree.
    """
    reference = Reference(recognizer)
    worst, same, rows, checks = 0.0, 0, 0, 0
    for found, expected in _pairs(reference, files, examples, any_time):
        if found.shape != expected.shape or not np.isfinite(found).all():
            raise _disagrees("it gives other shapes, or values that are not numbers")
        worst = max(worst, float(np.abs(found - expected).max()))
        same += int(same_answer(found, expected, several=recognizer.recipe.multilabel).sum())
        rows += len(found)
        checks += 1
    clips = sum(len(example.mask) for example in examples)
    agreement = Agreement(clips, real, checks, worst, same / rows)
    if worst > MOST or same < rows:
        raise _disagrees(agreement.sentence())
    return agreement


def same_answer(found: np.ndarray, expected: np.ndarray, *, several: bool) -> np.ndarray:
    """``(B,)`` bool: the same likeliest label, or in multi-label the same set of labels.

    Labels that are equally likely to ``expected`` have no order.
    """
    if several:
        either = np.abs(expected - THRESHOLD) < _TIE
        return np.asarray((((found > THRESHOLD) == (expected > THRESHOLD)) | either).all(axis=1))
    chosen = np.take_along_axis(expected, found.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.asarray(chosen >= expected.max(axis=1) - _TIE)


def _pairs(
    reference: Reference, files: Files, examples: Sequence[Example], any_time: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(file's, model's) probabilities."""
    rng = np.random.default_rng(0)
    kept: list[tuple[Example, np.ndarray]] = []
    for example in examples:
        features = reference.features(example.images)
        yield _whole(reference, files, example.images, example.mask, features)
        mask = rng.random(features.shape[:2]) > 0.3
        yield _head(reference, files, features, mask)
        if len(kept) < 2:
            kept.append((example, features))
    images = [np.concatenate(parts) for parts in zip(*(e.images for e, _ in kept))]
    features = np.concatenate([found for _, found in kept])
    mask = rng.random((len(images[0]), images[0].shape[1])) > 0.3
    yield _whole(reference, files, images, mask, features)
    yield _parts(reference, files, images, features)
    if any_time:
        fewer = rng.permutation(images[0].shape[1])[: max(1, images[0].shape[1] // 2)]
        more = np.tile(np.arange(images[0].shape[1]), 2)[: images[0].shape[1] + 3]
        for times in (np.sort(fewer), more):
            cut = rng.random((len(images[0]), len(times))) > 0.3
            some = [part[:, times] for part in images]
            yield _whole(reference, files, some, cut, features[:, times])


def _whole(
    reference: Reference,
    files: Files,
    images: Sequence[np.ndarray],
    mask: np.ndarray,
    features: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    found = files.whole(reference.feed(images, mask))[0]
    return found, reference.probabilities(features, mask)


def _head(
    reference: Reference, files: Files, features: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if not reference.masked:
        mask = np.ones_like(mask)
    found = files.head({"features": features, "mask": mask})[0]
    return found, reference.probabilities(features, mask)


def _parts(
    reference: Reference, files: Files, images: Sequence[np.ndarray], features: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Through the backbones' files, then the head's."""
    parts = features_of(reference.recognizer, files.backbones, files.places, images)
    mask = np.ones(features.shape[:2], dtype=bool)
    found = files.head({"features": parts, "mask": mask})[0]
    return found, reference.probabilities(features, mask)


def features_of(
    recognizer: "Recognizer",
    backbones: Sequence[Runner],
    places: Sequence[int],
    images: Sequence[np.ndarray],
) -> np.ndarray:
    """``(B, T, H, W, 3)`` images of each stream to ``(B, S, D)`` by the backbones' files."""
    parts = []
    for backbone, place, part in zip(recognizer.backbones(), places, images):
        feed: Mapping[str, np.ndarray]
        if backbone.temporal:
            feed = feed_of(["frames"], [backbone.preprocess], [part], None)
            parts.append(backbones[place](feed)[0])
            continue
        flat = part.reshape(-1, *part.shape[2:])
        feed = feed_of(["frames"], [backbone.preprocess], [flat], None)
        parts.append(backbones[place](feed)[0].reshape(*part.shape[:2], -1))
    return np.concatenate(parts, axis=-1)


def _disagrees(said: str) -> FrameFlowError:
    return FrameFlowError(
        f"The export does not agree with the model, so nothing was written: {said}. "
        f"Try another --format or --opset."
    )
