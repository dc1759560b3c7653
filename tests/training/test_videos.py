"""Batches from videos: what is decoded, changed, kept and set aside."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from frameflow.config import Recipe, load_recipe
from frameflow.data.manifest import Manifest, Region, Sample
from frameflow.errors import FrameFlowError, UsageError
from frameflow.models.backbones import Backbone
from frameflow.models.recognizer import build_streams
from frameflow.models.streams import stream_images
from frameflow.training import _keeping, _reading
from frameflow.training.loader import load
from frameflow.training.videos import VideoExamples, Videos
from frameflow.video.clip import ClipRequest, read_clips

LEARN = "train.learn=[{parts: ['*']}]"
TINY = [
    LEARN,
    "sampling.frames=3",
    "streams.0.backbone=resnet10t",
    "streams.0.weights=none",
    "streams.0.size=32",
    "streams.0.fit=crop",
    "train.workers=2",
]
TWO = "streams=[{backbone: resnet10t, weights: none, size: 32}, \
{kind: difference, backbone: resnet10t, weights: none, size: 48, gap: 1}]"


@pytest.fixture(scope="module")
def backbones() -> Callable[[Recipe], list[Backbone]]:
    """One untrained backbone, with the size that a recipe asks of it."""
    built = build_streams(load_recipe("default", TINY))[0]

    class Sized:
        def __init__(self, size: int) -> None:
            self.preprocess = replace(built.preprocess, size=size)

        def __getattr__(self, name: str) -> object:
            return getattr(built, name)

    def make(recipe: Recipe) -> list[Backbone]:
        return [Sized(stream.size) for stream in recipe.streams]  # type: ignore[misc, arg-type]

    return make


@pytest.fixture
def make(backbones, made_videos: Path, tmp_path: Path) -> Callable[..., VideoExamples]:
    """Examples of some of the made videos, by overrides of a tiny recipe."""

    def examples(*overrides: str, samples: list[Sample] | None = None, **options) -> VideoExamples:
        recipe = load_recipe("default", [*TINY, *overrides])
        manifest = Manifest(few(made_videos) if samples is None else samples, made_videos)
        labels = sorted({label for s in manifest for label in s.label.split("|")})
        options.setdefault("purpose", "train")
        options.setdefault("cache", tmp_path / "frames")
        return VideoExamples(manifest, recipe, backbones(recipe), labels, **options)

    return examples


def few(root: Path, labels: dict[str, str] | None = None) -> list[Sample]:
    """Two videos of each class; ``labels`` renames the classes."""
    found = sorted(root.rglob("v_X_g0[12]_c01.mp4"))
    names = labels or {}
    return [
        Sample(path.relative_to(root).as_posix(), names.get(path.parent.name, path.parent.name))
        for path in found
    ]


def refuse(*_given: object, **_options: object) -> None:
    pytest.fail("a video was decoded")


ALL = np.arange(6)


def same(one, other) -> bool:
    return (
        all(torch.equal(a, b) for a, b in zip(one.inputs, other.inputs))
        and torch.equal(one.mask, other.mask)
        and torch.equal(one.targets, other.targets)
    )


def test_a_batch_has_the_frames_of_each_stream_masks_and_targets(make, made_videos) -> None:
    examples = make(TWO, "sampling.strategy=first", "sampling.frames=8", purpose="test")
    inputs, mask, targets, _ = examples.batch(ALL[::2], None)
    assert [tuple(images.shape) for images in inputs] == [(3, 8, 32, 32, 3), (3, 8, 48, 48, 3)]
    assert all(images.dtype == torch.uint8 for images in inputs)
    assert mask.sum(1).tolist() == [6, 6, 6]  # the videos have six frames
    assert targets.tolist() == [0, 1, 2]
    assert targets.dtype == torch.int64
    stream = examples.videos.recipe.streams[1]
    request = ClipRequest(
        examples.videos.recipe.sampling, size=48, gaps=(1,), interpolation="bicubic"
    )
    for row, images in zip(ALL[::2], inputs[1]):
        clip = read_clips(made_videos / examples.videos.samples[row].video, request)[0]
        assert np.array_equal(stream_images(stream, clip), images.numpy())


def test_spans_frames_and_regions_are_read_as_the_manifest_says(make, made_videos) -> None:
    video = few(made_videos)[0].video
    samples = [
        Sample(video, "a", start=0.1, end=0.2),
        Sample(video, "a", frame="4"),
        Sample(video, "b", region=Region(0.5, 0.0, 0.5, 1.0)),
    ]
    examples = make(samples=samples, purpose="test")
    request = ClipRequest(examples.videos.recipe.sampling, size=32, interpolation="bicubic")
    images = examples.batch(np.arange(3), None).inputs[0].numpy()
    for sample, found in zip(samples, images):
        where = {name: getattr(sample, name) for name in ("start", "end", "frame", "region")}
        assert np.array_equal(read_clips(made_videos / video, request, **where)[0].frames, found)


@pytest.mark.parametrize("cache", ["on", "off"])
def test_the_same_seed_gives_the_same_batch_and_another_does_not(cache: str, make) -> None:
    examples = make(
        f"train.cache={cache}", "sampling.strategy=segments", "augment.crop=0.5",
        "augment.flip=true", "augment.colour=0.5", "augment.mixup=0.5",
    )  # fmt: skip
    one, again, other = (examples.batch(ALL, np.random.default_rng(s)) for s in (1, 1, 2))
    assert same(one, again)
    assert not same(one, other)


def test_workers_and_their_number_do_not_matter(make) -> None:
    examples = make("augment.crop=0.5", "sampling.strategy=segments")
    parts = np.array_split(ALL, 3)
    ways = [
        [batch for _, batch in load(examples, parts, np.random.default_rng(4), workers=workers)]
        for workers in (1, 3)
    ]
    assert all(same(one, other) for one, other in zip(*ways))


def test_nothing_random_is_global(make) -> None:
    examples = make("augment.crop=0.5", "augment.low_light=1", "sampling.strategy=dense")
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    examples.batch(ALL, np.random.default_rng(4))
    assert np.array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


# Clips of a sample


def moments(examples: VideoExamples, seeds: int = 24) -> int:
    """How many different clips of the first sample training sees."""
    found = {
        examples.batch(ALL[:1], np.random.default_rng(seed)).inputs[0].numpy().tobytes()
        for seed in range(seeds)
    }
    return len(found)


@pytest.mark.parametrize(
    ("overrides", "fewest", "most"),
    [
        (["sampling.strategy=segments", "train.cache=off"], 6, 8),  # 2 frames in each of 3
        (["sampling.strategy=segments", "train.cache=auto"], 6, 8),
        (["sampling.strategy=segments", "train.cache=on"], 1, 1),
        (["sampling.strategy=segments", "train.cache=on", "views.train=3"], 2, 3),
        (["sampling.strategy=segments", "train.cache=auto", "views.train=3"], 2, 3),
        (["sampling.strategy=uniform", "train.cache=off"], 1, 1),
        (["sampling.strategy=uniform", "train.cache=off", "views.train=2"], 2, 2),
        (["sampling.strategy=uniform", "train.cache=on", "views.train=2"], 2, 2),
    ],
)
def test_how_many_clips_of_a_sample_are_seen(overrides, fewest, most, make) -> None:
    assert fewest <= moments(make(*overrides)) <= most


@pytest.mark.parametrize("strategy", ["uniform", "segments", "dense"])
def test_kept_frames_are_those_that_decoding_gives(strategy: str, make) -> None:
    overrides = [
        TWO, f"sampling.strategy={strategy}", "views.train=2", "augment.crop=0.6",
        "augment.colour=0.3", "streams.0.fit=crops", "streams.0.crops=2",
    ]  # fmt: skip
    kept = make("train.cache=on", *overrides)
    assert kept.videos._is_kept(kept.videos._keys[0])
    batches = [kept.batch(ALL, np.random.default_rng(seed)) for seed in range(3)]
    kept.videos._stores = []
    again = [kept.batch(ALL, np.random.default_rng(seed)) for seed in range(3)]
    assert all(same(one, other) for one, other in zip(batches, again))


def test_auto_learns_the_same_whether_it_keeps_frames_or_not(make, tmp_path, monkeypatch) -> None:
    overrides = ["sampling.strategy=segments", "views.train=3", "augment.crop=0.6"]
    monkeypatch.setattr(_keeping, "_FIRST", 2)
    batches = []
    for answer in (True, False):
        monkeypatch.setattr(_keeping, "pays", lambda _, a=answer: (a, "of the test"))
        examples = make(*overrides, cache=tmp_path / str(answer))
        assert examples.videos._is_kept(examples.videos._keys[0]) == answer
        batches.append(examples.batch(ALL, np.random.default_rng(5)))
    assert same(*batches)


def test_kept_frames_are_not_decoded_again(make, monkeypatch) -> None:
    overrides = ["train.cache=on", "views.train=2"]
    first = make(*overrides)
    monkeypatch.setattr("frameflow.features.encode.read_clips", refuse)
    again = make(*overrides)
    rngs = [np.random.default_rng(3) for _ in range(2)]
    assert same(first.batch(ALL, rngs[0]), again.batch(ALL, rngs[1]))


def test_damaged_frames_are_decoded_instead(make, caplog) -> None:
    examples = make("train.cache=on")
    expected = make("train.cache=off").batch(ALL, None)
    (shard,) = (examples.videos._stores[0].folder).glob("*.safetensors")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0x55
    shard.write_bytes(content)
    assert same(make("train.cache=on").batch(ALL, None), expected)
    assert "damaged" in caplog.text


def test_moved_videos_are_known_again(backbones, videos: Path, tmp_path, monkeypatch) -> None:
    recipe = load_recipe("default", [*TINY, "train.cache=on"])
    options = {"purpose": "test", "cache": tmp_path / "frames"}
    samples = few(videos)
    labels = sorted({sample.label for sample in samples})
    VideoExamples(Manifest(samples, videos), recipe, backbones(recipe), labels, **options)
    moved = videos.rename(tmp_path / "moved")
    monkeypatch.setattr("frameflow.features.encode.read_clips", refuse)
    again = VideoExamples(Manifest(samples, moved), recipe, backbones(recipe), labels, **options)
    assert len(again) == 6
    assert again.batch(ALL, None).targets.tolist() == [0, 0, 1, 1, 2, 2]


def test_crops_are_read_in_more_pixels_and_handed_out_in_the_size_asked(make) -> None:
    examples = make("augment.crop=0.25", "train.cache=off")
    (request,) = examples.videos._encoder.requests
    assert request.size == round(32 / 0.625**0.5)
    for rng in (None, np.random.default_rng(0)):
        assert examples.batch(ALL, rng).inputs[0].shape == (6, 3, 32, 32, 3)
    assert make("augment.crop=0.25", purpose="test").videos._encoder.requests[0].size == 32


def test_every_view_is_an_example(make) -> None:
    examples = make("views.test=2", purpose="test", every_view=True)
    assert len(examples) == 12
    assert examples.targets.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    images = examples.batch(np.arange(12), None).inputs[0]
    assert not torch.equal(images[0], images[1])
    plain = make("views.test=2", purpose="test").batch(ALL, None).inputs[0]
    assert torch.equal(images[::2], plain)


def test_some_rows_with_targets_of_their_own(make) -> None:
    videos = make(purpose="test").videos
    assert isinstance(videos, Videos)
    part = videos.examples(np.array([7, 8]), rows=np.array([5, 0]), every_view=True)
    whole = videos.examples(np.arange(6))
    assert torch.equal(
        part.batch(np.arange(2), None).inputs[0], whole.batch(np.array([5, 0]), None).inputs[0]
    )
    assert part.batch(np.array([1]), None).targets.tolist() == [8]
    assert part.names(np.array([0])) == [videos.samples[5].video]
    with pytest.raises(ValueError, match=r"targets \(3\) must be one for each of 2"):
        videos.examples(np.arange(3), rows=np.arange(2))


# Labels


def flips(examples: VideoExamples, seeds: int = 30) -> list[set[tuple[bool, int]]]:
    """For each sample: whether it was mirrored, and its target, over many draws."""
    plain = examples.batch(ALL, None).inputs[0]
    found: list[set[tuple[bool, int]]] = [set() for _ in ALL]
    for seed in range(seeds):
        batch = examples.batch(ALL, np.random.default_rng(seed))
        for row in ALL:
            mirrored = torch.equal(batch.inputs[0][row], plain[row].flip(2))
            assert mirrored or torch.equal(batch.inputs[0][row], plain[row])
            target = batch.targets[row]
            code = int(target) if target.ndim == 0 else tuple(target.tolist())
            found[row].add((mirrored, code))
    return found


def test_a_mirrored_clip_has_the_label_it_then_shows(make, made_videos) -> None:
    names = {"red": "step left", "green, dark": "step right", "blå": "turn left"}
    examples = make(
        "augment.flip=true", "augment.mirror=[[step left, step right]]",
        samples=few(made_videos, names),
    )  # fmt: skip
    labels = examples.videos.labels
    left, right, turn = (
        labels.index(name) for name in ("step left", "step right", "turn left")
    )  # fmt: skip
    expected = {
        left: {(False, left), (True, right)},
        right: {(False, right), (True, left)},
        turn: {(False, turn)},
    }
    for sample, found in zip(examples.targets.tolist(), flips(examples)):
        assert found == expected[sample]


def test_labels_without_a_side_are_mirrored_and_stay(make) -> None:
    examples = make("augment.flip=true")
    for target, found in zip(examples.targets.tolist(), flips(examples)):
        assert found == {(False, target), (True, target)}


def test_several_labels_a_clip(make, made_videos) -> None:
    names = {"red": "wave|step left", "green, dark": "step right", "blå": "wave|turn left"}
    examples = make(
        "multilabel=true", "augment.flip=true", "augment.mirror=[[step left, step right]]",
        samples=few(made_videos, names),
    )  # fmt: skip
    assert examples.videos.labels == ["step left", "step right", "turn left", "wave"]
    assert examples.batch(ALL, None).targets.dtype == torch.float32
    by_first = dict(zip(map(tuple, examples.targets.tolist()), flips(examples)))
    assert by_first[1, 0, 0, 1] == {(False, (1, 0, 0, 1)), (True, (0, 1, 0, 1))}
    assert by_first[0, 0, 1, 1] == {(False, (0, 0, 1, 1))}


def test_mixed_batches_have_shares_of_the_classes(make) -> None:
    examples = make("augment.mixup=0.8", "augment.cutmix=0.8")
    batch = examples.batch(ALL, np.random.default_rng(0))
    assert batch.targets.shape == (6, 3)
    assert torch.allclose(batch.targets.sum(1), torch.ones(6))
    plain = examples.batch(ALL, None)
    assert plain.targets.tolist() == [0, 0, 1, 1, 2, 2]


def test_which_labels_are_not_mirrored_is_said(make, made_videos, caplog) -> None:
    caplog.set_level(logging.INFO)
    make("augment.flip=true", samples=few(made_videos, {"red": "turn left"}))
    assert "Not mirrored, since the label names a side: turn left." in caplog.text


# Bad videos


@pytest.mark.parametrize("cache", ["on", "off", "auto"])
def test_bad_videos_are_set_aside_and_never_swapped(
    cache: str, backbones, videos: Path, tmp_path, caplog
) -> None:
    samples = few(videos)
    (videos / samples[1].video).write_bytes(b"no video")
    (videos / samples[4].video).unlink()
    recipe = load_recipe("default", [*TINY, f"train.cache={cache}", "max_bad=0.5"])
    labels = sorted({sample.label for sample in samples})
    examples = VideoExamples(
        Manifest(samples, videos), recipe, backbones(recipe), labels, purpose="train",
        cache=tmp_path / "frames",
    )  # fmt: skip
    assert [bad.video for bad in examples.bad] == [samples[1].video, samples[4].video]
    assert [sample.video for sample in examples.videos.samples] == [
        samples[row].video for row in (0, 2, 3, 5)
    ]
    assert examples.targets.tolist() == [0, 1, 1, 2]
    assert len(examples.batch(np.arange(4), None).targets) == 4
    assert "Set aside 2 of 6 videos" in caplog.text
    with pytest.raises(FrameFlowError, match=r"1 of 6 videos cannot be read.*max_bad \(0.5 of the"):
        Videos(
            Manifest(samples, videos), recipe, backbones(recipe), labels, purpose="train",
            max_bad=0.1, cache=tmp_path / "other",
        )  # fmt: skip


def test_a_video_that_vanishes_meanwhile_is_named(backbones, videos: Path) -> None:
    samples = few(videos)
    recipe = load_recipe("default", [*TINY, "train.cache=off"])
    labels = sorted({sample.label for sample in samples})
    examples = VideoExamples(
        Manifest(samples, videos), recipe, backbones(recipe), labels, purpose="train"
    )
    (videos / samples[3].video).unlink()
    name = Path(samples[3].video).name
    with pytest.raises(FrameFlowError, match=f"{name} could be read before, but not any more"):
        list(load(examples, [ALL], None, workers=2))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch")]


def test_too_many_bad_videos_end_the_first_pass_with_no_thread_left(
    backbones, videos: Path
) -> None:
    samples = few(videos)
    for number in range(3):
        (videos / samples[number].video).write_bytes(b"no video" * (number + 1))
    recipe = load_recipe("default", [*TINY, "max_bad=0.2"])
    labels = sorted({sample.label for sample in samples})
    with pytest.raises(FrameFlowError, match="2 of 6 videos cannot be read") as caught:
        Videos(Manifest(samples, videos), recipe, backbones(recipe), labels, purpose="train")
    assert caught.tb is not None  # the traceback is held, and with it all that was going on
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch")]


def test_samples_that_show_the_same_frames_are_read_once(make, made_videos, monkeypatch) -> None:
    read = []
    real = read_clips
    monkeypatch.setattr(
        "frameflow.features.encode.read_clips",
        lambda path, *given, **options: read.append(path) or real(path, *given, **options),
    )
    one = few(made_videos)[0]
    examples = make(samples=[one, replace(one, label="other")], purpose="test")
    assert len(read) == 1
    assert examples.targets.tolist() == [0, 1]


# Choices


@pytest.mark.parametrize(
    ("overrides", "cores", "gpu", "expected"),
    [
        (["train.workers=0"], 8, False, 1),
        (["train.workers=5"], 2, False, 5),
        ([], 2, False, 2),
        ([], 12, False, 6),
        ([], 12, True, 12),
        ([], 64, True, 16),
        (["sampling.frames=64", "streams.0.size=448", "train.batch_size=16"], 16, True, 2),
        (["sampling.frames=64", "streams.0.size=448", "train.batch_size=64"], 16, True, 1),
    ],
)
def test_threads_that_read(overrides, cores, gpu, expected, monkeypatch) -> None:
    monkeypatch.setattr(_reading, "cores", lambda: cores)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    recipe = load_recipe("default", [LEARN, "streams.0.size=112", *overrides])
    assert _reading.reading_workers(recipe, [recipe.streams[0].size]) == expected


def test_what_only_stored_features_do_is_refused(make) -> None:
    with pytest.raises(UsageError, match=r"set augment\.flip"):
        make("views.flip=true")
    with pytest.raises(UsageError, match="purpose"):
        make(purpose="val")
    with pytest.raises(UsageError, match="'up', which is no label"):
        make("augment.flip=true", "augment.mirror=[[up, red]]")
