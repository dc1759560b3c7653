"""The command line on a real S3 server: nothing but URLs."""

import logging
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pytest

from frameflow import remote
from frameflow._places import path_of
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import FrameFlowError, UsageError, VideoError
from frameflow.features import quarantine
from frameflow.features.extract import extract
from frameflow.remote import RemoteError, errors
from frameflow.video.probe import probe


@pytest.fixture
def films(s3: str, film: Callable[..., Path], tmp_path: Path, upload: Callable[..., None]) -> str:
    """A bucket with 8 clips of two classes, and a manifest in a folder beside them."""
    names = [f"clips/{number}.mp4" for number in range(8)]
    for number, name in enumerate(names):
        film(tmp_path / "made" / name, scene=number, seed=number)
    splits = ["train", "train", "val", "test"] * 2
    manifest = Manifest(
        [
            Sample(f"../{name}", "ab"[number // 4], splits[number], f"g{number}")
            for number, name in enumerate(names)
        ],
        tmp_path / "made" / "tables",
    )
    manifest.write(tmp_path / "made" / "tables" / "manifest.csv")
    upload(tmp_path / "made", s3)
    return s3


class _Log(logging.Handler):
    """Takes down what was fetched, from the server's log."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        found = re.search(r'"GET /[^/ ?]+/([^ ?]+) HTTP', record.getMessage())
        if found:
            self.fetched.append(found[1])


@pytest.fixture
def fetched() -> Iterator[list[str]]:
    """The objects that were fetched since."""
    log, handler = logging.getLogger("werkzeug"), _Log()
    before = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    yield handler.fetched
    log.removeHandler(handler)
    log.setLevel(before)


def test_manifests_are_read_and_written(films: str, tmp_path: Path) -> None:
    manifest = Manifest.read(f"{films}/tables/manifest.csv")
    assert probe(manifest.path(manifest[0])).frames == 12
    manifest.write(f"{films}/other/manifest.parquet")
    again = Manifest.read(f"{films}/other/manifest.parquet")
    assert again[0].video == f"{films}/clips/0.mp4"
    manifest.write(f"{films}/all.csv")
    assert Manifest.read(f"{films}/all.csv")[0].video == "clips/0.mp4"
    again.write(tmp_path / "local.csv")
    local = Manifest.read(tmp_path / "local.csv")
    assert [local.path(sample) for sample in local] == [
        manifest.path(sample) for sample in manifest
    ]


def test_a_missing_video_is_a_fault_of_its_row(films: str, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"video,label\n{films}/clips/0.mp4,a\n{films}/clips/none.mp4,b\n")
    with pytest.raises(UsageError, match=r"row 3: there is no video s3://\S+/clips/none.mp4"):
        Manifest.read(path)
    many = "".join(f"{films}/clips/{number}.mp4,a\n" for number in range(10))
    path.write_text(f"video,label\n{many}")
    with pytest.raises(UsageError, match="has 2 faults") as caught:  # the folder was listed
        Manifest.read(path)
    assert "clips/8.mp4" in str(caught.value)


def test_the_whole_story(
    films: str,
    frameflow: Callable[..., Any],
    fast: Sequence[str],
    tmp_path: Path,
    fetched: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifest, store = f"{films}/tables/manifest.csv", f"{films}/features"
    checked = frameflow("data", "check", manifest)
    assert (checked.code, "8 samples read" in checked.out) == (0, True), checked
    assert len(fetched) == 9

    monkeypatch.setenv("FRAMEFLOW_STORE", store)
    stored = frameflow("features", *fast, manifest)
    assert "Computing features of 8 clips" in stored.err, stored
    assert len(fetched) == 9  # the copies

    monkeypatch.setenv("FRAMEFLOW_HOME", str(tmp_path / "another machine"))
    fetched.clear()
    frameflow("features", *fast, manifest)
    assert not [name for name in fetched if name.startswith("clips/")]

    monkeypatch.delenv("FRAMEFLOW_STORE")
    run = tmp_path / "run"
    trained = frameflow("train", *fast, manifest, "--store", store, "-o", run)
    assert trained.code == 0, trained
    assert "Computing features" not in trained.err
    own = Manifest.read(run / "manifest.csv")
    assert all(sample.video.startswith(f"{films}/clips/") for sample in own)

    scored = frameflow("evaluate", run, manifest, "--engine", "torch")
    assert scored.code == 0, scored
    clip, torch = f"{films}/clips/3.mp4", ["--engine", "torch"]
    predicted = frameflow("predict", run, clip, f"{films}/clips/[01].mp4", "--engine", "torch")
    assert predicted.code == 0, predicted
    assert all(f"{films}/clips/{number}.mp4" in predicted.out for number in (3, 0, 1))
    assert str(tmp_path / "another machine") not in predicted.out
    frameflow("predict", run, clip, "--gif", tmp_path / "3.gif", *torch)
    assert (tmp_path / "3.gif").stat().st_size > 1000
    every = frameflow("predict", run, f"{films}/clips", "--csv", tmp_path / "p.csv", *torch)
    assert "8 predicted, 0 failed" in every.err, every
    again = frameflow(
        "predict", run, f"{films}/clips", "--csv", tmp_path / "p.csv", "--resume", *torch
    )
    assert "8 of 8 videos are there" in again.err, again
    line = frameflow("timeline", run, clip, "--window", "0.5", "--engine", "torch")
    assert (line.code, clip in line.out) == (0, True), line


def test_a_changed_video_is_extracted_again(
    films: str, recipe_of: Callable[[], Any], film: Callable[..., Path], tmp_path: Path
) -> None:
    manifest = Manifest.read(f"{films}/tables/manifest.csv")
    before = extract(manifest, recipe_of(), store=f"{films}/features", engine="torch").array()[0]
    changed = film(tmp_path / "new.mp4", scene=77, seed=77)
    fs, path = fsspec.core.url_to_fs(f"{films}/clips/2.mp4")
    fs.put_file(str(changed), path)
    after = extract(manifest, recipe_of(), store=f"{films}/features", engine="torch").array()[0]
    same = [bool((a == b).all()) for a, b in zip(before, after)]
    assert same == [number != 2 for number in range(8)]


@pytest.fixture
def recipe_of() -> Callable[[], Any]:
    from frameflow.config import load_recipe

    overrides = [
        "sampling.frames=4",
        "streams.0.backbone=mobilenetv3_small_050",
        "streams.0.weights=none",
        "streams.0.size=64",
    ]
    return lambda: load_recipe("default", overrides)


def test_a_name_that_is_a_file_and_a_folder(films: str) -> None:
    remote.ensure(path_of(f"{films}/clips/0.mp4"))
    fs, path = fsspec.core.url_to_fs(f"{films}/clips")
    fs.pipe_file(path, b"film")
    with pytest.raises(VideoError, match=r"/clips: is both a file and a folder there"):
        remote.ensure(path_of(f"{films}/clips"))


# What can be wrong ----------------------------------------------------------------------------


def test_no_such_bucket(s3: str) -> None:
    with pytest.raises(UsageError, match="does not exist: check the bucket and the rest"):
        Manifest.read(f"{s3}-other/manifest.csv")
    with pytest.raises(VideoError, match=r"^s3://\S+-other/1.mp4: does not exist"):
        probe(f"{s3}-other/1.mp4")
    with pytest.raises(RemoteError, match=r"cannot be written: there is no such bucket"):
        Manifest([Sample("1.mp4", "a")], ".").write(f"{s3}-other/manifest.csv")


@pytest.mark.usefixtures("no_credentials")
def test_no_credentials(frameflow: Callable[..., Any], tmp_path: Path) -> None:
    said = frameflow("data", "check", "s3://bucket/manifest.csv")
    assert said.code == 1
    assert (
        "s3://bucket/manifest.csv needs credentials, and none were found. Set AWS_ACC" in said.error
    )
    path = tmp_path / "m.csv"
    path.write_text("video,label\ns3://bucket/1.mp4,a\ns3://bucket/2.mp4,b\n")
    said = frameflow("features", path)  # no video is at fault
    assert "needs credentials" in said.error


@pytest.mark.parametrize("name", ["s4://bucket/m.csv", "s33://bucket/m.csv", "gss://b/m.csv"])
def test_unknown_schemes(frameflow: Callable[..., Any], name: str) -> None:
    said = frameflow("data", "check", name)
    assert (said.code, "Did you mean" in said.error) == (2, True), said


@pytest.mark.usefixtures("own_home")
def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.registry import _registry

    for name in ("s3", "s3a"):
        monkeypatch.delitem(_registry, name, raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(FrameFlowError, match=r"pip install 'frameflow-video\[s3\]'"):
        probe("s3://bucket/1.mp4")


@pytest.mark.slow  # the library tries for ten seconds
def test_a_server_that_is_gone(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(errors, "_WAITS", ())
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(RemoteError, match=r"cannot be reached .* Check the network or AWS_ENDP"):
        probe(f"{s3}/1.mp4")


def test_a_fault_of_storage_is_no_fault_of_a_video() -> None:
    def read() -> None:
        raise RemoteError("gone")

    with pytest.raises(RemoteError):
        quarantine.read_or_reason(Path("1.mp4"), read)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "s3://bucket/run", "1.mp4"], "A run is used from a folder of this machine"),
        (["train", "s3://bucket/clips/"], "must end in .csv or .parquet"),
        (["data", "scan", "s3://bucket/clips", "-o", "m.csv"], "is read from this machine only"),
    ],
)
def test_what_is_not_done_elsewhere(
    frameflow: Callable[..., Any], arguments: list[str], message: str
) -> None:
    said = frameflow(*arguments)
    assert (said.code, message in said.error) == (2, True), said


def test_a_run_stays_here(
    frameflow: Callable[..., Any], small_clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_clips)
    said = frameflow("train", "manifest.csv", "-o", "s3://bucket/run")
    assert "A run is written to this machine" in said.error
    assert not (small_clips / "s3:").exists()
