"""Stores of features at URLs, seen from several machines."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow import remote
from frameflow._places import path_of
from frameflow.features.home import STORE, store_root, stored_at
from frameflow.features.store import FeatureSpec, FeatureStore
from frameflow.remote import RemoteError, errors

SPEC = FeatureSpec(
    backbone="tiny", weights="0" * 16, size=32, mean=(0.5,) * 3, std=(0.5,) * 3,
    interpolation="bilinear", fit="crop", strategy="segments", frames=2,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_WAITS", (0.0, 0.0))


@pytest.fixture
def machine(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], FeatureStore]:
    """The store as a machine of that name sees it."""

    def of(name: str) -> FeatureStore:
        monkeypatch.setenv("FRAMEFLOW_HOME", str(tmp_path / name))
        return FeatureStore(path_of(f"{bucket}/features"), SPEC)

    return of


def write(store: FeatureStore, keys: Sequence[str]) -> None:
    features = np.array([[[ord(key)] * 3] * 2 for key in keys], np.float16)
    store.write_shard(keys, features, np.ones((len(keys), 2), bool))


def values(store: FeatureStore, keys: Sequence[str]) -> list[str]:
    return [chr(int(row[0, 0])) for row in store.read(keys)[0]]


def shards(memory: Any, bucket: str) -> list[str]:
    return [path for path in memory.find(bucket) if path.endswith(".features")]


def test_what_one_machine_stores_another_reads(machine: Callable[[str], FeatureStore]) -> None:
    write(machine("one"), "ab")
    other = machine("other")
    assert other.missing("abc") == ["c"]
    assert values(other, "ba") == ["b", "a"]


def test_only_shards_that_are_needed_are_fetched(
    machine: Callable[[str], FeatureStore], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = machine("one")
    for key in "abcd":
        write(one, key)
    other = machine("other")
    fetched: list[str] = []
    real = remote.get
    monkeypatch.setattr(remote, "get", lambda url, to: (fetched.append(url), real(url, to))[1])
    assert other.missing("b") == []
    assert values(other, "b") == ["b"]
    assert len(fetched) == 1
    assert fetched[0].startswith(f"{bucket}/features/tiny-rgb-")
    assert values(other, "ad") == ["a", "d"]  # without being asked first
    assert len(fetched) == 3
    assert values(machine("other"), "abd") == ["a", "b", "d"]  # they stay on that machine
    assert len(fetched) == 3


def test_writers_at_once_lose_nothing(machine: Callable[[str], FeatureStore]) -> None:
    one, other = machine("one"), machine("other")
    write(one, "ab")
    write(other, "bc")  # b twice
    assert values(machine("third"), "abc") == ["a", "b", "c"]
    one.refresh()
    assert values(one, "abc") == ["a", "b", "c"]


def test_a_store_says_what_it_holds(
    machine: Callable[[str], FeatureStore], memory: Any, bucket: str
) -> None:
    write(machine("one"), "a")
    (spec,) = [path for path in memory.find(bucket) if path.endswith("spec.json")]
    assert b'"backbone": "tiny"' in memory.cat_file(spec)


@pytest.mark.parametrize("part", ["header", "content", "end"])
def test_a_damaged_shard_is_computed_again(
    machine: Callable[[str], FeatureStore],
    memory: Any,
    bucket: str,
    part: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(machine("one"), "a")
    (path,) = shards(memory, bucket)
    content = memory.cat_file(path)
    place = {"header": 20, "content": len(content) - 4, "end": len(content)}[part]
    flipped = b"" if part == "end" else bytes([content[place] ^ 255])
    whole = content[:place] + flipped + content[place + 1 :]
    memory.pipe_file(path, whole[:-1] if part == "end" else whole)
    other = machine("other")
    assert other.missing("a") == ["a"]
    assert f"{bucket}/features/tiny-rgb-" in caplog.text
    assert shards(memory, bucket) == []
    write(other, "a")
    assert values(machine("third"), "a") == ["a"]


@pytest.mark.parametrize("place", [20, -4])  # header, content
def test_a_damaged_copy_is_fetched_again(
    machine: Callable[[str], FeatureStore], memory: Any, bucket: str, place: int
) -> None:
    store = machine("one")
    write(store, "a")
    (copy,) = store.folder.glob("*.features")
    content = bytearray(copy.read_bytes())
    content[place] ^= 255
    copy.write_bytes(content)
    again = machine("one")
    assert again.missing("a") == []
    assert values(again, "a") == ["a"]
    assert len(shards(memory, bucket)) == 1


def test_what_could_not_be_sent_is_kept_and_sent_later(
    machine: Callable[[str], FeatureStore], memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine("one")
    write(store, "a")
    real = type(memory).put_file

    def put_file(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(type(memory), "put_file", put_file)
    with pytest.raises(RemoteError, match=r"cannot be reached \(no route to host\)"):
        write(store, "b")
    assert machine("other").missing("ab") == ["b"]
    monkeypatch.setattr(type(memory), "put_file", real)
    assert machine("one").missing("ab") == []
    assert machine("other").missing("ab") == []


def test_a_store_that_cannot_be_reached_is_told(
    machine: Callable[[str], FeatureStore], memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ls(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(type(memory), "ls", ls)
    with pytest.raises(RemoteError, match="cannot be reached"):
        machine("one")


def test_a_store_that_may_only_be_read_serves(
    machine: Callable[[str], FeatureStore], memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(machine("one"), "a")

    def put_file(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(type(memory), "put_file", put_file)
    other = machine("other")
    assert values(other, "a") == ["a"]
    with pytest.raises(RemoteError, match="may not be read or written"):
        write(other, "b")


def test_where_features_are_stored(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store_root() == own_home / "features"
    monkeypatch.setenv(STORE, "s3://bucket/features")
    assert store_root() == path_of("s3://bucket/features")
    with stored_at("/elsewhere"):
        assert store_root() == Path("/elsewhere")
        with stored_at(None):
            assert store_root() == Path("/elsewhere")
    assert store_root() == path_of("s3://bucket/features")
    assert store_root("here") == Path("here")
