"""Extraction: each video computed once, whatever happens in between."""

import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.config import Recipe, dump_recipe
from frameflow.data.manifest import Manifest, Region, Sample
from frameflow.errors import FrameFlowError, UsageError, VideoError
from frameflow.features import _writer, encode
from frameflow.features.extract import Features, extract, make_encoder
from frameflow.models.recognizer import build_recognizer
from frameflow.video.clip import Clip, read_clips

Recipes = Callable[..., Recipe]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the videos that were decoded."""
    seen: list[str] = []

    def counted(path: Path, *args: object, **options: object) -> list[Clip]:
        seen.append(path.name)
        return read_clips(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(encode, "read_clips", counted)
    return seen


def all_of(features: Features) -> np.ndarray:
    return np.stack([features.array(view)[0] for view in range(len(features.views))])


def with_streams(recipe: Recipe, *changes: dict[str, object]) -> Recipe:
    first = recipe.streams[0]
    return recipe.model_copy(update={"streams": tuple(first.model_copy(update=c) for c in changes)})


# What comes out -------------------------------------------------------------------------------


def test_features_are_those_of_each_sample_in_order(
    manifest: Manifest, recipe: Recipe, tmp_path: Path
) -> None:
    features = extract(manifest, recipe, store=tmp_path)
    assert features.samples == manifest.samples
    assert (features.frames, features.views, features.bad) == (4, ["view 1"], [])
    encoder = make_encoder(build_recognizer(recipe, ["a", "b"]))
    whole, mask = features.array()
    assert whole.shape == (24, 4, encoder.dim)
    assert whole.dtype == np.float32
    assert mask.all()
    for row in (0, 7, 23):  # what prediction computes is what is stored, to the bit
        found, _ = encoder.encode(encoder.read(manifest.path(manifest[row])))
        np.testing.assert_array_equal(found[0], whole[row])


def test_batches_are_rows_in_any_order_and_any_view(
    manifest: Manifest, recipe_with: Recipes, tmp_path: Path
) -> None:
    recipe = recipe_with("views.train=2", "views.flip=true")
    features = extract(manifest, recipe, purpose="train", store=tmp_path)
    assert features.views == ["view 1", "view 2", "view 1 flipped", "view 2 flipped"]
    whole = all_of(features)
    rows, views = np.array([5, 0, 5, 23]), np.array([3, 0, 1, 2])
    batch, mask = features.batch(rows, views)
    np.testing.assert_array_equal(batch, whole[views, rows])
    assert mask.shape == (4, 4)
    np.testing.assert_array_equal(features.batch(rows, 2)[0], whole[2, rows])
    assert features.batch(np.array([], int), 0)[0].shape == (0, 4, features.dim)
    assert len(np.unique(whole[:, 3].reshape(4, -1), axis=0)) == 4  # views differ


def test_streams_stand_one_after_the_other(
    manifest: Manifest, recipe: Recipe, tmp_path: Path, reads: list[str]
) -> None:
    both = with_streams(recipe, {}, {"kind": "difference", "gain": 3.0})
    features = extract(manifest, both, store=tmp_path)
    assert len(reads) == len(manifest)  # one decode for both
    alone = extract(manifest, recipe, store=tmp_path)
    assert len(reads) == len(manifest)  # nothing new to compute
    assert features.dim == 2 * alone.dim
    np.testing.assert_array_equal(features.array()[0][..., : alone.dim], alone.array()[0])
    assert not np.allclose(features.array()[0][..., alone.dim :], alone.array()[0])


def test_a_stream_that_is_added_computes_only_itself(
    manifest: Manifest, recipe: Recipe, tmp_path: Path
) -> None:
    extract(manifest, recipe, store=tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.features")}
    extract(manifest, with_streams(recipe, {}, {"kind": "difference"}), store=tmp_path)
    after = {p.parent for p in tmp_path.rglob("*.features")} - {p.parent for p in before}
    assert len(after) == 1
    assert all(p.stat().st_mtime_ns == when for p, when in before.items())


def test_random_views_are_the_same_every_time(
    manifest: Manifest, recipe_with: Recipes, tmp_path: Path
) -> None:
    recipe = recipe_with("sampling.strategy=segments", "views.train=3")
    few = manifest.replace(manifest.samples[:4])
    first = all_of(extract(few, recipe, purpose="train", store=tmp_path / "a"))
    turned = manifest.replace(manifest.samples[3::-1])
    second = all_of(extract(turned, recipe, purpose="train", store=tmp_path / "b", workers=1))
    np.testing.assert_array_equal(first, second[:, ::-1])
    assert not np.array_equal(first[0], first[1])
    test = all_of(extract(few, recipe, purpose="test", store=tmp_path / "a"))
    assert test.shape[0] == 1  # test views are never random, nor taken from those of training


def test_a_grid_of_parts_is_stored_beside_the_pooled_features(
    manifest: Manifest, recipe: Recipe, tmp_path: Path
) -> None:
    few = manifest.replace(manifest.samples[:3])
    pooled = extract(few, recipe, store=tmp_path)
    parts = extract(few, with_streams(recipe, {"grid": 2}), store=tmp_path)
    assert parts.dim % 4 == 0
    assert len({p.parent for p in tmp_path.rglob("*.features")}) == 2
    assert extract(few, recipe, store=tmp_path).dim == pooled.dim != parts.dim


def test_crops_are_views(manifest: Manifest, recipe: Recipe, tmp_path: Path) -> None:
    wide = with_streams(recipe, {"fit": "crops", "crops": 2}, {})
    features = extract(manifest, wide, store=tmp_path)
    assert features.views == ["view 1 crop 1", "view 1 crop 2"]
    left, right = all_of(features)
    half = features.dim // 2
    assert not np.array_equal(left[..., :half], right[..., :half])
    np.testing.assert_array_equal(left[..., half:], right[..., half:])
    shards = list(tmp_path.rglob("*.features"))
    assert len({p.parent for p in shards}) == 3  # two crops, and the whole frame once


def test_spans_frames_and_regions_of_one_video_are_samples_of_their_own(
    clips: Path, recipe: Recipe, tmp_path: Path
) -> None:
    samples = [
        Sample("00.mp4"),
        Sample("00.mp4", start=0.1, end=0.3),
        Sample("00.mp4", frame="2"),
        Sample("00.mp4", region=Region(0.2, 0.2, 0.5, 0.5)),
    ]
    features = extract(Manifest(samples, clips), recipe, store=tmp_path)
    whole, mask = features.array()
    assert len(np.unique(whole.reshape(4, -1), axis=0)) == 4
    assert mask.tolist() == [[True] * 4, [True] * 4, [False, True, True, True], [True] * 4]


def test_frame_folders_and_labelled_frames(recipe: Recipe, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "data" / "walk"
    folder.mkdir(parents=True)
    for i in range(8):
        Image.fromarray(np.full((64, 80, 3), 30 * i, np.uint8)).save(folder / f"{i:03}.png")
    samples = [Sample("walk"), Sample("walk", frame="005.png"), Sample("walk", frame="5")]
    features = extract(Manifest(samples, tmp_path / "data"), recipe, store=tmp_path / "store")
    whole, mask = features.array()
    assert mask.all()
    np.testing.assert_array_equal(whole[1], whole[2])
    assert not np.array_equal(whole[0], whole[1])


def test_an_empty_manifest_has_no_features(tmp_path: Path, recipe: Recipe) -> None:
    features = extract(Manifest([], tmp_path), recipe, store=tmp_path)
    assert len(features) == 0
    assert features.array()[0].shape == (0, 4, features.dim)


# Once only ------------------------------------------------------------------------------------


def test_no_video_is_computed_twice(
    manifest: Manifest,
    recipe: Recipe,
    tmp_path: Path,
    reads: list[str],
    write_clip: Callable[..., Path],
) -> None:
    first = extract(manifest, recipe, store=tmp_path / "store")
    assert sorted(reads) == sorted(s.video for s in manifest)
    moved = write_clip(tmp_path / "elsewhere" / "renamed.mp4", seed=5, frames=10)
    moved.write_bytes(manifest.path(manifest[5]).read_bytes())
    twice = Manifest(
        [*manifest.samples, manifest[0], Sample(str(moved), label="other")], manifest.root
    )
    again = extract(twice, recipe, store=tmp_path / "store")
    assert len(reads) == len(manifest)
    whole = again.array()[0]
    np.testing.assert_array_equal(whole[:24], first.array()[0])
    np.testing.assert_array_equal(whole[24:], whole[[0, 5]])


def test_the_same_video_twice_in_a_manifest_is_computed_once(
    manifest: Manifest, recipe: Recipe, tmp_path: Path, reads: list[str]
) -> None:
    doubled = manifest.replace([s for s in manifest.samples[:5] for _ in range(2)])
    features = extract(doubled, recipe, store=tmp_path)
    assert len(features) == 10
    assert len(reads) == 5


def test_a_changed_video_is_computed_again(
    recipe: Recipe, tmp_path: Path, reads: list[str], write_clip: Callable[..., Path]
) -> None:
    manifest = Manifest([Sample("a.mp4")], tmp_path)
    write_clip(tmp_path / "a.mp4", seed=1)
    first = extract(manifest, recipe, store=tmp_path / "store").array()[0]
    write_clip(tmp_path / "a.mp4", seed=2)
    second = extract(manifest, recipe, store=tmp_path / "store").array()[0]
    assert len(reads) == 2
    assert not np.allclose(first, second)


def test_other_weights_are_other_features(
    manifest: Manifest, recipe: Recipe, tmp_path: Path
) -> None:
    few = manifest.replace(manifest.samples[:2])
    recognizer = build_recognizer(recipe, ["a", "b"])
    first = extract(few, recipe, store=tmp_path, backbones=recognizer.backbones()).array()[0]
    for value in recognizer.backbones()[0].model.parameters():
        value.data.mul_(1.1)  # trained further, under the same name
    second = extract(few, recipe, store=tmp_path, backbones=recognizer.backbones()).array()[0]
    assert not np.allclose(first, second)


# Bad videos -----------------------------------------------------------------------------------


@pytest.fixture
def with_bad(clips: Path, tmp_path: Path) -> Manifest:
    """20 good videos, one without content, one missing, and one that is a text, twice."""
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video")
    samples = [Sample(str(clips / f"{i:02}.mp4"), row=i + 2) for i in range(20)]
    for place, name in ((3, "empty.mp4"), (9, "gone.mp4"), (11, "text.mp4"), (12, "text.mp4")):
        samples.insert(place, Sample(name, row=100 + place))
    return Manifest(samples, tmp_path)


def test_bad_videos_are_set_aside_with_their_row_and_reason(
    with_bad: Manifest, recipe: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        features = extract(with_bad, recipe, store=tmp_path / "store", max_bad=0.2)
    assert [(b.video, b.row) for b in features.bad] == [
        ("empty.mp4", 103),
        ("gone.mp4", 109),
        ("text.mp4", 111),
        ("text.mp4", 112),
    ]
    assert [b.reason for b in features.bad][:2] == ["is empty (0 bytes)", "does not exist"]
    assert "Set aside 4 of 24 videos: empty.mp4 (row 103) is empty (0 bytes)" in caplog.text
    good = [s for s in with_bad if s.row < 100]
    assert features.samples == good
    clean = extract(with_bad.replace(good), recipe, store=tmp_path / "other")
    np.testing.assert_array_equal(features.array()[0], clean.array()[0])


def test_past_the_stated_share_the_job_stops(
    with_bad: Manifest, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(FrameFlowError) as raised:
        extract(with_bad, recipe, store=tmp_path / "store")
    message = str(raised.value)
    assert "of 24 videos cannot be read, more than max_bad (0.1) allows: empty.mp4" in message
    assert "frameflow data check" in message
    assert not isinstance(raised.value, UsageError)


def test_what_was_computed_before_the_stop_is_kept(
    with_bad: Manifest, recipe: Recipe, tmp_path: Path, reads: list[str]
) -> None:
    late = with_bad.replace(sorted(with_bad.samples, key=lambda s: s.row))  # the bad ones last
    with pytest.raises(FrameFlowError):
        extract(late, recipe, store=tmp_path / "store", max_bad=0.1)
    before = len(reads)
    extract(late, recipe, store=tmp_path / "store", max_bad=0.2)
    assert len([name for name in reads[before:] if name[0].isdigit()]) < 20


def test_nothing_readable_is_an_error_whatever_the_share(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    manifest = Manifest([Sample("a.mp4", row=2), Sample("b.mp4", row=3)], tmp_path)
    with pytest.raises(FrameFlowError, match=r"None of the 2 videos .* a.mp4 \(row 2\)"):
        extract(manifest, recipe, store=tmp_path, max_bad=0.99)


def test_a_strange_fault_of_one_video_does_not_end_the_job(
    manifest: Manifest, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strange(path: Path, *args: object, **options: object) -> list[Clip]:
        if path.name == "01.mp4":
            raise RuntimeError("out of luck")
        return read_clips(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(encode, "read_clips", strange)
    features = extract(manifest, recipe, store=tmp_path)
    assert [str(bad) for bad in features.bad] == [
        "01.mp4 (row 3) cannot be read (RuntimeError: out of luck)"
    ]
    monkeypatch.undo()
    assert extract(manifest, recipe, store=tmp_path).bad == []  # tried again


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"purpose": "training"}, "'training'"),
        ({"workers": 0}, r"workers \(0\)"),
        ({"views": 0}, r"views \(0\)"),
        ({"engine": "onnx"}, "'onnxruntime'"),
    ],
)
def test_wrong_options_are_refused(
    manifest: Manifest, recipe: Recipe, tmp_path: Path, options: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        extract(manifest, recipe, store=tmp_path, **options)  # type: ignore[arg-type]


# Memory, kills, full disks --------------------------------------------------------------------


def test_a_bounded_number_of_decoded_videos_waits(
    manifest: Manifest, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead: list[int] = []
    decoded = 0
    done: set[str] = set()

    def counted(path: Path, *args: object, **options: object) -> list[Clip]:
        nonlocal decoded
        decoded += 1
        ahead.append(decoded - len(done))
        return read_clips(path, *args, **options)  # type: ignore[arg-type]

    class Slow(_writer.Writer):
        def add(self, target: int, key: str, features: np.ndarray, mask: np.ndarray) -> None:
            done.add(key)
            time.sleep(0.01)
            super().add(target, key, features, mask)

    monkeypatch.setattr(encode, "read_clips", counted)
    monkeypatch.setattr("frameflow.features._jobs.Writer", Slow)
    monkeypatch.setattr("frameflow.features.engines._Chunked.batch", 4)  # one clip at a time
    extract(manifest, recipe, store=tmp_path, workers=2)
    assert decoded == 24
    assert max(ahead) <= 6


CHILD = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from frameflow.config import load_recipe
from frameflow.data.manifest import Manifest
from frameflow.features import _writer, engines
from frameflow.features.extract import extract
_writer._FEWEST = 2  # small shards of single clips, so that a kill falls between and into them
engines._Chunked.batch = 4
real, log = _writer.Writer.add, open(sys.argv[4], "a", buffering=1)
def counted(self, target, key, *values):
    log.write(f"{target} {key}\\n")
    real(self, target, key, *values)
_writer.Writer.add = counted
manifest = Manifest.read(sys.argv[1])
extract(manifest, load_recipe(sys.argv[2]), store=Path(sys.argv[3]), engine="onnxruntime")
"""


@pytest.fixture
def child(
    manifest: Manifest, recipe: Recipe, tmp_path: Path, start_child: Callable[..., Any]
) -> Iterator[Callable[[Path], Any]]:
    """Start an extraction in a process of its own; gives the process."""
    manifest.write(tmp_path / "manifest.csv")
    both = with_streams(recipe, {}, {"kind": "difference"})
    (tmp_path / "recipe.yaml").write_text(dump_recipe(both))
    started: list[Any] = []

    def start(store: Path) -> Any:
        files = [tmp_path / "manifest.csv", tmp_path / "recipe.yaml", store]
        started.append(start_child(CHILD, *files, tmp_path / "computed.txt"))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def shards(store: Path) -> list[Path]:
    return [path for path in store.rglob("*.features") if not path.name.startswith(".")]


def test_a_killed_extraction_goes_on_where_it_was(
    manifest: Manifest,
    recipe: Recipe,
    tmp_path: Path,
    child: Callable[[Path], Any],
) -> None:
    store, chance = tmp_path / "store", random.Random(0)
    kills = 0
    for _ in range(3):
        process, before = child(store), len(shards(store))
        while process.poll() is None and len(shards(store)) <= before:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    last = child(store)
    assert last.wait() == 0
    assert kills >= 1
    computed = (tmp_path / "computed.txt").read_text().splitlines()
    for target in "01":  # the two streams: all clips, and again only those of a lost shard
        own = [line for line in computed if line.startswith(target)]
        assert len(set(own)) == len(manifest)
        assert len(own) <= len(manifest) + 2 * kills
    both = with_streams(recipe, {}, {"kind": "difference"})
    resumed = extract(manifest, both, store=store)
    unbroken = extract(manifest, both, store=tmp_path / "unbroken", engine="onnxruntime")
    np.testing.assert_array_equal(resumed.array()[0], unbroken.array()[0])


def test_two_extractions_at_once_do_not_disturb_one_another(
    manifest: Manifest,
    recipe: Recipe,
    tmp_path: Path,
    child: Callable[[Path], Any],
) -> None:
    store = tmp_path / "store"
    first, second = child(store), child(store)
    assert (first.wait(), second.wait()) == (0, 0)
    both = with_streams(recipe, {}, {"kind": "difference"})
    found = extract(manifest, both, store=store)
    alone = extract(manifest, both, store=tmp_path / "alone", engine="onnxruntime")
    np.testing.assert_array_equal(found.array()[0], alone.array()[0])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for some of the shards."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("a small file system can be mounted by root on Linux only")
    options = ["-o", "size=160k", "tmpfs", str(folder)]
    if subprocess.run(["mount", "-t", "tmpfs", *options], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)  # shards may still be mapped


def test_a_full_disk_is_said_and_loses_nothing(
    manifest: Manifest,
    recipe: Recipe,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    reads: list[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(_writer, "_FEWEST", 4)
    with pytest.raises(FrameFlowError) as raised:
        extract(manifest, recipe, store=small_disk)
    assert str(raised.value).startswith("The disk is full: ")
    assert str(small_disk) in str(raised.value)
    kept = {path: path.read_bytes() for path in shards(small_disk)}
    assert kept
    assert list(small_disk.rglob("*.tmp")) == []
    options = ["-o", "remount,size=10m", str(small_disk)]
    subprocess.run(["mount", *options], check=True)
    before = len(reads)
    features = extract(manifest, recipe, store=small_disk)
    assert 0 < len(reads) - before < 24
    assert all(path.read_bytes() == content for path, content in kept.items())
    whole = extract(manifest, recipe, store=tmp_path / "roomy")
    np.testing.assert_array_equal(features.array()[0], whole.array()[0])


def test_an_interrupt_keeps_what_was_computed(
    manifest: Manifest, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(_writer.Writer):
        def flush_full(self) -> None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("frameflow.features._jobs.Writer", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            extract(manifest, recipe, store=tmp_path)
    assert len(shards(tmp_path)) == 1


def test_prediction_reads_errors_as_they_are(recipe: Recipe, tmp_path: Path) -> None:
    encoder = make_encoder(build_recognizer(recipe, ["a", "b"]), views=2)
    assert encoder.views == 2
    with pytest.raises(VideoError, match="does not exist"):
        encoder.read(tmp_path / "gone.mp4")


def test_real_files_of_many_containers_are_stored_as_they_are_predicted(
    real_data: Path, recipe_with: Recipes, tmp_path: Path
) -> None:
    files = sorted((real_data / "clips").iterdir())
    recipe = recipe_with("streams.0.backbone=lite0", "streams.0.weights=auto", "streams.0.size=224")
    manifest = Manifest([Sample(f.name) for f in files], real_data / "clips")
    features = extract(manifest, recipe, store=tmp_path)
    assert features.bad == []
    encoder = make_encoder(build_recognizer(recipe, ["a", "b"]))
    for row, file in enumerate(files):
        found, _ = encoder.encode(encoder.read(file))
        np.testing.assert_array_equal(found, features.batch(np.array([row]))[0])
