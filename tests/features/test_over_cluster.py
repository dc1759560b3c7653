"""Extraction by the workers of a cluster: the features, the faults and the kills."""

import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from frameflow.cluster import Cluster
from frameflow.config import Recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import FrameFlowError
from frameflow.features import over_cluster
from frameflow.features._shard import open_shard
from frameflow.features.extract import Features, extract
from frameflow.features.over_cluster import block_size
from frameflow.models.recognizer import build_streams


def rows_of(store: Path) -> Counter[str]:
    """How often each key is stored, over all shards of the one folder that there is."""
    (folder,) = [path for path in store.iterdir() if path.is_dir()]
    assert not list(folder.glob("*.tmp"))
    return Counter(key for path in folder.glob("*.features") for key in open_shard(path).keys)


def same(found: Features, expected: Features) -> None:
    assert [s.video for s in found.samples] == [s.video for s in expected.samples]
    for given, wanted in zip(found.array(), expected.array(), strict=True):
        # PyTorch adds in another order where it has another number of threads
        np.testing.assert_allclose(given, wanted, rtol=1e-4, atol=1e-4)


@pytest.fixture
def fresh(
    tmp_path: Path, write_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Manifest:
    """Videos that this machine has never seen; two show the same, two cannot be read."""
    monkeypatch.setenv("FRAMEFLOW_HOME", str(tmp_path / "home"))
    folder = tmp_path / "videos"
    for seed in range(10):
        write_clip(folder / f"{seed}.mp4", seed=seed)
    (folder / "copy.mp4").write_bytes((folder / "3.mp4").read_bytes())
    (folder / "text.mp4").write_text("no video\n" * 40)
    names = [f"{seed}.mp4" for seed in range(10)]
    names += ["copy.mp4", "text.mp4", "gone.mp4"]
    samples = [Sample(name, row=row + 2) for row, name in enumerate(names)]
    return Manifest([*samples, Sample("3.mp4", row=20, start=0.0, end=0.2)], folder)


@pytest.mark.parametrize(("tasks", "workers"), [(1, 1), (100, 1), (13_320, 100), (10**6, 8)])
def test_blocks_are_many_enough_and_shards_are_not_tiny(tasks: int, workers: int) -> None:
    size = block_size(tasks, workers)
    assert 4 <= size <= 256
    assert size == 4 or tasks / size >= 8 * workers


def test_workers_store_what_one_process_would(
    ray_cluster: Cluster,
    fresh: Manifest,
    recipe_with: Callable[..., Recipe],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "frameflow")
    weights = tmp_path / "weights.safetensors"
    save_file(build_streams(recipe_with())[0].model.state_dict(), weights)
    recipe = recipe_with("max_bad=0.5", "views.flip=true", f"streams.0.weights={weights}")
    backbones = build_streams(recipe)
    weights.unlink()  # the workers get them sent
    given: dict[str, Any] = {"purpose": "train", "engine": "torch", "backbones": backbones}
    found = extract(fresh, recipe, store=tmp_path / "ray", cluster=ray_cluster, **given)
    assert {bad.video: bad.reason for bad in found.bad} == {
        "text.mp4": "is not a video that FFmpeg can read",
        "gone.mp4": "does not exist",
    }
    same(found, extract(fresh, recipe, store=tmp_path / "here", **given))
    assert "by 1 workers" in caplog.text
    assert not [path for path in (tmp_path / "ray").iterdir() if path.name.startswith(".")]

    caplog.clear()  # all is stored, and the digests are remembered: no cluster is asked
    nobody = Cluster("nobody:1")
    readable = fresh.replace(found.samples)
    same(extract(readable, recipe, store=tmp_path / "ray", cluster=nobody, **given), found)
    assert "Computing" not in caplog.text


def test_too_many_bad_videos_stop_the_job(
    ray_cluster: Cluster, fresh: Manifest, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(FrameFlowError, match=r"cannot be read, more than max_bad .*data check"):
        extract(fresh, recipe, engine="torch", store=tmp_path / "store", cluster=ray_cluster)


@pytest.mark.slow
def test_a_worker_that_sees_another_folder_says_so(
    ray_cluster: Cluster,
    manifest: Manifest,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from contextlib import contextmanager

    @contextmanager
    def elsewhere(_: Path) -> Iterator[str]:
        yield ".job-that-is-not-there"

    monkeypatch.setattr(over_cluster, "_token", elsewhere)
    with pytest.raises(FrameFlowError, match=r"does not see the folder .*--store"):
        extract(manifest, recipe, engine="torch", store=tmp_path / "store", cluster=ray_cluster)


def test_the_command_line(
    ray_cluster: Cluster, frameflow: Callable[..., Any], small_clips: Path, fast: list[str]
) -> None:
    assert ray_cluster.workers
    manifest, store = small_clips / "manifest.csv", small_clips / "store"
    options = ("--runner", "ray", "--workers", 1, "--store", store)
    said = frameflow("features", manifest, *options, *fast)
    assert said.code == 0, said
    assert said.out.startswith("Stored 24 samples, 4 x ")
    assert "Traceback" not in said.err
    again = frameflow("features", manifest, "--store", store, *fast)
    assert "Computing" not in again.err  # what the workers stored is what this machine looks for


# Kills ----------------------------------------------------------------------------------------


def killing(log: Path) -> type[over_cluster.Extractor]:
    """An extractor that notes what it begins to compute, and takes its time; sent by value."""

    class Slow(over_cluster.Extractor):
        def __call__(self, tasks: Any) -> Any:
            from frameflow.features import _jobs

            compute = _jobs._compute

            def noted(group: Any, *rest: Any) -> None:
                with open(log, "a", encoding="utf-8") as file:
                    for job, _ in group:
                        file.write(f"{os.getpid()} {job.key}\n")
                time.sleep(0.3)
                compute(group, *rest)

            _jobs._compute = noted
            try:
                return super().__call__(tasks)
            finally:
                _jobs._compute = compute

    return Slow


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_and_doubles_nothing(
    ray_cluster: Cluster,
    manifest: Manifest,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ray_cluster
    log, store = tmp_path / "log", tmp_path / "store"
    monkeypatch.setattr(over_cluster, "Extractor", killing(log))
    killed = []
    take = over_cluster._Work.take

    def kill_then_take(self: Any, *given: Any) -> None:
        if not killed:  # the first block is done: the next is in the middle
            time.sleep(0.15)
            killed.append(int(log.read_text().split()[-2]))
            os.kill(killed[0], signal.SIGKILL)
        take(self, *given)

    monkeypatch.setattr(over_cluster._Work, "take", kill_then_take)
    found = extract(manifest, recipe, engine="torch", store=store, cluster=Cluster(workers=2))
    assert killed
    assert len(found) == len(manifest)
    assert set(rows_of(store).values()) == {1}
    begun = [line.split() for line in log.read_text().splitlines()]
    assert len({pid for pid, _ in begun}) == 3  # two, and the one that took over
    twice = len(begun) - len(manifest)
    assert twice <= block_size(len(manifest), 2)
    print(f"killed in the middle: {twice} of {len(manifest)} clips begun twice")
    same(found, extract(manifest, recipe, engine="torch", store=tmp_path / "here"))


@pytest.mark.slow
def test_a_video_that_ends_its_worker_is_set_aside(
    ray_cluster: Cluster,
    manifest: Manifest,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ray_cluster

    class Crashing(over_cluster.Extractor):
        def __call__(self, tasks: Any) -> Any:
            if any(task.video.endswith("/05.mp4") for task in tasks):
                os.kill(os.getpid(), signal.SIGSEGV)
            return super().__call__(tasks)

    monkeypatch.setattr(over_cluster, "Extractor", Crashing)
    store = tmp_path / "store"
    found = extract(manifest, recipe, engine="torch", store=store, cluster=Cluster(workers=2))
    assert [(bad.video, bad.reason[:33]) for bad in found.bad] == [
        ("05.mp4", "ends the process that reads it (4")
    ]
    assert len(found) == len(manifest) - 1
    assert set(rows_of(store).values()) == {1}
