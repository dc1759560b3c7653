"""The workers of a cluster find in a data set what one process finds."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from frameflow.audit.health import check
from frameflow.cluster import Cluster
from frameflow.data.manifest import Manifest, Sample


@pytest.fixture
def faulty(rooms: Manifest, tmp_path: Path) -> Manifest:
    """A scene and a file in two splits, spans past the end, files that are none."""
    shutil.copytree(rooms.root, tmp_path, dirs_exist_ok=True)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video")
    shutil.copy(tmp_path / "clip00.mp4", tmp_path / "copy.mp4")
    samples = [
        replace(sample, split="test" if number % 5 == 0 else "train", row=number + 2)
        for number, sample in enumerate(rooms.samples[:10])
    ]
    samples += [
        Sample("copy.mp4", "run", "train"),
        Sample("clip11.mp4", "run", "train", end=0.5),
        Sample("clip11.mp4", "run", "test", start=0.5),
        Sample("clip11.mp4", "run", "train", start=70.0),
        Sample("empty.mp4", "run", "train"),
        Sample("text.mp4", "run", "train"),
        Sample("absent.mp4", "run", "test"),
    ]
    manifest = Manifest(samples, tmp_path)
    manifest.write(tmp_path / "manifest.csv")
    return Manifest.read(tmp_path / "manifest.csv", check_files=False)


def test_the_findings_of_one_process(faulty: Manifest, ray_cluster: Cluster) -> None:
    here, there = check(faulty), check(faulty, cluster=ray_cluster)
    assert there == here
    assert len(here.troubles) == 4
    assert here.copies_across
    assert here.scenes
    assert here.compared == 13
    assert here.videos


def test_without_content_nothing_is_compared(faulty: Manifest, ray_cluster: Cluster) -> None:
    assert check(faulty, cluster=ray_cluster, content=False) == check(faulty, content=False)


@pytest.mark.usefixtures("ray_cluster")
def test_the_command_prints_the_same(faulty: Manifest, frameflow: Callable[..., Any]) -> None:
    line = ("data", "check", faulty.source, "--json")
    here, there = frameflow(*line), frameflow(*line, "--runner", "ray", "--workers", "1")
    assert there.out == here.out
    assert there.code == here.code == 1


def test_wrong_use(faulty: Manifest, frameflow: Callable[..., Any]) -> None:
    said = frameflow("data", "check", faulty.source, "--address", "auto")
    assert said.code == 2
    assert "--address is for Ray: add --runner ray" in said.error
    said = frameflow("data", "check", faulty.source, "--labels", "--runner", "ray")
    assert said.code == 2
    assert "--labels looks in this process" in said.error
