"""Clips that exports are checked, calibrated and measured with: those of a run, or generated."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frameflow._places import url_of
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError, VideoError
from frameflow.features.encode import ClipEncoder
from frameflow.models.streams import difference, stream_images

if TYPE_CHECKING:
    from frameflow.models.recognizer import Recognizer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """What the streams look at of one sample.

    Attributes:
        images: for each stream ``(V, T, H, W, 3)`` uint8, V views.
        mask: ``(V, T)`` bool, False for padded frames.
        sample: of a manifest; None where it was generated.
    """

    images: tuple[np.ndarray, ...]
    mask: np.ndarray
    sample: Sample | None = None


def reader(recognizer: "Recognizer") -> ClipEncoder:
    """What reads clips as the recognizer looks at them; its engines are never made."""
    recipe = recognizer.recipe
    return ClipEncoder(
        recipe.streams,
        recognizer.backbones(),
        recipe.sampling,
        views=recipe.views.test,
        engine="torch",
    )


def refuse_apart(recognizer: "Recognizer") -> None:
    """One file takes one clip.

    Raises:
        UsageError: the streams choose frames differently, as members of an ensemble may.
    """
    own = [stream.sampling for stream in recognizer.recipe.streams]
    ways = dict.fromkeys(f"{s.frames} {s.strategy}" for s in own if s is not None)
    if ways:
        raise UsageError(
            f"The members of this ensemble choose frames differently ({' and '.join(ways)}), so "
            f"no single file can take their clips: export each run by itself, or serve the "
            f"ensemble with `frameflow serve`."
        )


def own_manifest(run: Path, recognizer: "Recognizer") -> Manifest | None:
    """The labelled samples of a run whose videos exist; None where there are none."""
    path = run / "manifest.csv"
    if not path.is_file():
        return None
    manifest = Manifest.read(path, check_files=False)
    known = set(recognizer.labels)
    several = recognizer.recipe.multilabel

    def usable(sample: Sample) -> bool:
        named, path = sample.label_names(multilabel=several), manifest.path(sample)
        there = path.exists() or url_of(path) is not None
        return bool(sample.label) and known.issuperset(named) and there

    found = manifest.where(usable)
    return found if len(found) else None


def spread(manifest: Manifest, splits: Sequence[str], count: int, *, skip: int = 0) -> Manifest:
    """At most ``count`` samples of some splits, in turns of the labels, after the first ``skip``.

    The earlier split goes first.
    """
    chosen: list[Sample] = []
    for split in splits:
        by_label: dict[str, list[Sample]] = {}
        for sample in manifest:
            if sample.split == split:
                by_label.setdefault(sample.label, []).append(sample)
        for samples in by_label.values():  # not all of one group, which often stand together
            np.random.default_rng(len(samples)).shuffle(samples)
        for place in range(max(map(len, by_label.values()), default=0)):
            chosen += [own[place] for _, own in sorted(by_label.items()) if place < len(own)]
    return manifest.replace(chosen[skip : skip + count])


def read_examples(encoder: ClipEncoder, manifest: Manifest) -> Iterator[Example]:
    """The examples of a manifest's samples; what cannot be read is left out, and logged."""
    from concurrent.futures import ThreadPoolExecutor

    def read(sample: Sample) -> Example | None:
        try:
            return read_example(
                encoder,
                manifest.path(sample),
                sample,
            )
        except VideoError as error:
            log.warning("%s is left out: %s", sample.video, error.reason)
            return None

    with ThreadPoolExecutor(1, thread_name_prefix="decode") as pool:
        samples = list(manifest)
        waiting = pool.submit(read, samples[0]) if samples else None
        for following in [*samples[1:], None]:
            assert waiting is not None
            found = waiting.result()
            if following is not None:
                waiting = pool.submit(read, following)
            if found is not None:
                yield found


def read_example(encoder: ClipEncoder, path: Path, sample: Sample | None = None) -> Example:
    """What the streams look at of a video, or of the span of one.

    Raises:
        VideoError: it cannot be read.
    """
    if sample is None:
        clips = encoder.read(path)
    else:
        clips = encoder.read(
            path, start=sample.start, end=sample.end, frame=sample.frame, region=sample.region
        )
    images = []
    masks = []
    for place, stream in enumerate(encoder.streams):
        own = encoder.clips_of(place, clips)
        images.append(np.stack([stream_images(stream, clip) for clip in own]))
        masks.append(np.stack([clip.mask for clip in own]))
    return Example(tuple(images), np.logical_and.reduce(masks), sample)


def generated(recognizer: "Recognizer", count: int) -> list[Example]:
    """Coloured blobs that drift, each clip another: what takes the place of videos."""
    found = []
    for seed in range(count):
        images = []
        for stream, backbone in zip(recognizer.recipe.streams, recognizer.backbones()):
            rng = np.random.default_rng([seed, stream.gap])
            size, frames = backbone.preprocess.size, recognizer.frames
            step = max(1, size // 8)
            small = rng.integers(0, 256, (8, 8 + frames, 3), dtype=np.uint8)
            wide = small.repeat(step, axis=0).repeat(step, axis=1)
            wide = np.pad(wide, ((0, size), (0, size), (0, 0)), "edge")
            clip = np.stack([wide[:size, t * step // 2 :][:, :size] for t in range(frames)])
            if stream.kind != "rgb":
                clip = difference(clip, np.roll(clip, 1, axis=2), stream.gain)
            images.append(clip[None])
        found.append(Example(tuple(images), np.ones((1, recognizer.frames), dtype=bool)))
    return found
