"""What a run saw in a video that speaks for a label: maps over the frames, weights over time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frameflow._places import shown
from frameflow.data.manifest import Sample
from frameflow.errors import UsageError, listing, near_names
from frameflow.inference._calibrated import calibration_of
from frameflow.inference._overlay import place
from frameflow.inference.explanation import Explanation
from frameflow.inference.predictor import Source, load_recognizer, probabilities_of, run_folder

if TYPE_CHECKING:
    from frameflow.models.explain import Look
    from frameflow.models.recognizer import Recognizer
    from frameflow.video.clip import Clip, ClipRequest
    from frameflow.video.probe import VideoInfo

    Read = Callable[[Sequence[ClipRequest]], list[list[Clip]]]

LONG_SIDE = 320  # px of the picture's longer side
_TOP = 0.998  # this share of the pixels of a clip is below the strongest colour


class Explainer:
    """Explains clips with one recognizer.

    Args:
        recognizer: backbones, head and labels.
        side: px of the longer side of the pictures.
    """

    def __init__(self, recognizer: "Recognizer", *, side: int = LONG_SIDE) -> None:
        from frameflow.features.encode import ClipEncoder

        self.recognizer = recognizer
        self.side = side
        recipe = recognizer.recipe
        # It reads and says which clip is whose; PyTorch computes, for it has gradients.
        self._encoder = ClipEncoder(
            recipe.streams, recognizer.backbones(), recipe.sampling, engine="torch"
        )

    def explain(
        self,
        path: Path,
        *,
        label: str | None = None,
        sample: Sample | None = None,
        read: "Read | None" = None,
        info: "VideoInfo | None" = None,
    ) -> Explanation:
        """What speaks for a label in the middle clip of a video; all crops count.

        Args:
            path: the video.
            label: what to explain; the likeliest where None.
            sample: its span, frame and region are kept to.
            read: gives the clips of each request, where the video is read elsewhere: it is not
                opened here then. For whole videos only.
            info: what `frameflow.video.probe.probe` said of it; needed with ``read``.

        Raises:
            UsageError: unknown label, or a backbone that cannot be traced to places.
            VideoError: the video cannot be read.
        """
        from frameflow.models.explain import Look
        from frameflow.models.streams import stream_images
        from frameflow.video.probe import probe

        labels = self.recognizer.labels
        if label is not None and label not in labels:
            raise UsageError(
                f"The model has no label {label!r}.{near_names(label, labels)} "
                f"It knows {listing(labels, most=8)}."
            )
        sample = sample or Sample(video=shown(path), label="")
        encoder = self._encoder
        if read is None:
            read = _reader(path, sample)
        given = read(encoder.requests)
        clips = [encoder.clips_of(i, given) for i in range(len(encoder.streams))]
        shared = _timeline(clips)
        looks = []
        for crop in range(encoder.views):
            own = [stream[crop] for stream in clips]
            masks = [clip.mask for clip in own]
            images = [stream_images(s, c) for s, c in zip(encoder.streams, own)]
            looks.append(Look(self.recognizer, images, masks))
        shares = _shares(self.recognizer, looks)
        best = int(shares.argmax())
        chosen = best if label is None else labels.index(label)
        frames = self._picture(read, info or probe(path), clips[shared][0], sample, shared)
        size = (frames.shape[2], frames.shape[1])
        total, spoken = self._evidence(looks, clips, clips[shared][0], chosen, sample, size)
        seen = clips[shared][0].mask
        attention = [look.attention() for look in looks]
        return Explanation(
            video=sample.video,
            label=labels[chosen],
            probability=float(shares[chosen]),
            predicted=labels[best],
            frames=frames[seen],
            seconds=clips[shared][0].seconds[seen],
            maps=_normalised(total[seen]),
            attention=None if attention[0] is None else _mean_weights(attention, seen),
            streams=tuple((s.kind, share) for s, share in zip(encoder.streams, spoken)),
        )

    def _evidence(
        self,
        looks: "list[Look]",
        clips: "list[list[Clip]]",
        timeline: "Clip",
        label: int,
        sample: Sample,
        size: tuple[int, int],
    ) -> tuple[np.ndarray, list[float]]:
        """(T, H, W) what speaks for the label in each pixel, and each stream's share of it."""
        total = np.zeros((len(timeline.mask), size[1], size[0]), np.float32)
        spoken = np.zeros(len(clips))
        for crop, look in enumerate(looks):
            for stream, maps in enumerate(look.evidence(label)):
                clip = clips[stream][crop]
                placed = place(np.maximum(maps, 0), _within(clip, sample), size)
                spoken[stream] += float(placed.sum())
                if np.array_equal(clip.indices, timeline.indices):
                    total += placed
                    continue
                apart = np.abs(clip.indices[:, None] - timeline.indices)
                np.add.at(total, apart.argmin(axis=1), placed)
        return total, [float(share) for share in spoken / max(float(spoken.sum()), 1e-12)]

    def _picture(
        self, read: "Read", info: "VideoInfo", clip: "Clip", sample: Sample, stream: int
    ) -> np.ndarray:
        """(T, H, W, 3) the frames of a clip, whole and small."""
        from frameflow.video.clip import ClipRequest

        region = sample.region
        wide, high = (1.0, 1.0) if region is None else (region.w, region.h)
        width, height = info.width * wide, info.height * high
        scale = min(1.0, self.side / max(width, height))
        size = (max(2, round(width * scale)), max(2, round(height * scale)))
        own = self._encoder.requests[self._encoder.request_of[stream]]
        asked = ClipRequest(own.sampling, size=size, fit="squash", pace=own.pace)
        ((found,),) = read([asked])
        assert np.array_equal(found.indices, clip.indices)
        return found.frames


def explain(run: "Source | Recognizer", video: Source, label: str | None = None) -> Explanation:
    """What a run saw in a video that speaks for a label.

    Args:
        run: the folder of a run, or a recognizer.
        video: a file or a folder of frames.
        label: what to explain; what the run predicts where None.

    Raises:
        UsageError: no such run or label, or a backbone that cannot be traced to places.
        VideoError: the video cannot be read.

    Example:
        >>> explain("runs/first", "clip.mp4").write("why.gif")  # doctest: +SKIP
    """
    from frameflow.models.recognizer import Recognizer

    recognizer = run if isinstance(run, Recognizer) else load_recognizer(run_folder(run))
    return Explainer(recognizer).explain(Path(video), label=label)


def _reader(path: Path, sample: Sample) -> "Read":
    """Reads a sample's clips here."""
    from frameflow.video.clip import read_clips

    def read(requests: "Sequence[ClipRequest]") -> "list[list[Clip]]":
        return [
            read_clips(
                path,
                each,
                start=sample.start,
                end=sample.end,
                frame=sample.frame,
                region=sample.region,
            )
            for each in requests
        ]

    return read


def _timeline(clips: "list[list[Clip]]") -> int:
    """The stream whose frames are shown: the first of those that look at the longest time."""
    spans = [np.ptp(stream[0].seconds) for stream in clips]
    return int(np.argmax(spans))


def _within(clip: "Clip", sample: Sample) -> np.ndarray:
    """(T, 4) what a clip shows as shares of the sample's region, where it has one."""
    assert clip.shown is not None
    if sample.region is None:
        return clip.shown
    region = sample.region
    start, size = (region.x, region.y, 0, 0), (region.w, region.h, region.w, region.h)
    return (clip.shown - start) / size


def _shares(recognizer: "Recognizer", looks: "list[Look]") -> np.ndarray:
    """(K,) calibrated probabilities, the mean over the crops."""
    features = np.concatenate([look.features.cpu().numpy() for look in looks])
    masks = np.concatenate([look.mask.cpu().numpy() for look in looks])
    return calibration_of(recognizer).apply(
        probabilities_of(recognizer, features, masks).mean(axis=0, keepdims=True)
    )[0]


def _mean_weights(attention: "list[np.ndarray | None]", seen: np.ndarray) -> np.ndarray:
    weights = np.mean([weights for weights in attention if weights is not None], axis=0)[seen]
    return weights / max(float(weights.sum()), 1e-12)


def _normalised(total: np.ndarray) -> np.ndarray:
    """From 0 to 1 over the whole clip; a few pixels that stand out do not dim all others."""
    most = float(np.quantile(total, _TOP)) or float(total.max(initial=0.0))
    return np.minimum(total / most, 1.0).astype(np.float32) if most > 0 else total
