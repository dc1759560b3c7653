"""A few clips of each class: how many, of whom, and that the test stays what it was."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError
from frameflow.training.pipeline import train
from frameflow.training.shots import take_shots


def some() -> Manifest:
    samples = [
        Sample(f"{split}/{n}.mp4", "abc"[n % 3], split=split, group=f"{split}{n // 6}")
        for split, count in (("train", 36), ("val", 6), ("test", 9))
        for n in range(count)
    ]
    return Manifest(samples, ".")


@given(st.integers(1, 12), st.integers(0, 5))
def test_so_many_of_each_and_the_test_as_it_was(shots: int, seed: int) -> None:
    found = take_shots(some(), shots, seed=seed)
    assert Counter(s.label for s in found.split("train")) == dict.fromkeys("abc", shots)
    assert not len(found.split("val"))
    assert [s.video for s in found.split("test")] == [s.video for s in some().split("test")]


@given(st.integers(1, 11), st.integers(0, 5))
def test_more_shots_contain_the_fewer(shots: int, seed: int) -> None:
    few, more = (
        {s.video for s in take_shots(some(), count, seed=seed).split("train")}
        for count in (shots, shots + 1)
    )
    assert few < more


@given(st.integers(1, 6), st.integers(0, 5))
def test_a_group_comes_again_when_all_have_come(shots: int, seed: int) -> None:
    found = take_shots(some(), shots, seed=seed)
    for label in "abc":
        groups = [s.group for s in found.split("train") if s.label == label]
        assert len(set(groups)) == shots


@pytest.mark.parametrize("shots", [0, 13])
def test_too_few_and_too_many(shots: int) -> None:
    with pytest.raises(UsageError, match=r"shots.*(1 or more|a \(12\))"):
        take_shots(some(), shots)


def test_a_run_of_few_shots(small_clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_clips)
    tiny = ["streams.0.backbone=mobilenetv3_small_050", "streams.1.backbone=mobilenetv3_small_050"]
    tiny += [f"streams.{n}.{k}" for n in (0, 1) for k in ("weights=none", "size=64", "grid=1")]
    run = train(
        "manifest.csv", recipe="few-shot", shots=2, out="few", engine="torch",
        overrides=[*tiny, "sampling.frames=4", "evaluation.resamples=50"],
    )  # fmt: skip
    assert len(run.manifest.split("train")) == 4
    assert run.recognizer().extra["shots"] == 2
    assert len(run.history) == 1
    assert run.report.is_file()


def test_shots_and_a_range_test_do_not_go_together(
    frameflow: Callable[..., Any], small_clips: Path
) -> None:
    said = frameflow("train", small_clips / "manifest.csv", "--shots", "1", "--find-lr")
    assert said.code == 2
    assert "--shots" in said.error
