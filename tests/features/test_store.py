"""The store: shards are whole or absent, whatever happens to the files."""

import errno
import logging
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.errors import FrameFlowError
from frameflow.features import _files, store
from frameflow.features.store import FeatureSpec, FeatureStore

SPEC = FeatureSpec(
    backbone="lite0",
    weights="0123456789abcdef",
    size=64,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    interpolation="bicubic",
    fit="crop",
    strategy="uniform",
    frames=3,
)


def values(keys: list[str], dim: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Features that tell which key they are of."""
    features = np.stack([np.full((3, dim), float(int(key, 16)), np.float16) for key in keys])
    return features, np.array([[int(key, 16) % 2 == 0, True, False] for key in keys])


def names(*numbers: int) -> list[str]:
    return [f"{number:032x}" for number in numbers]


def shards(stored: FeatureStore) -> list[Path]:
    return sorted(stored.folder.glob("*.features"))


@given(
    written=st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=6), max_size=5),
    asked=st.lists(st.integers(0, 40), max_size=10),
)
@settings(max_examples=25, deadline=None)
def test_what_was_written_is_read_in_the_order_asked(
    tmp_path_factory: pytest.TempPathFactory, written: list[list[int]], asked: list[int]
) -> None:
    root = tmp_path_factory.mktemp("store")
    writing = FeatureStore(root, SPEC)
    for numbers in written:
        writing.write_shard(names(*numbers), *values(names(*numbers)))
    known = {number for numbers in written for number in numbers}
    for stored in (writing, FeatureStore(root, SPEC)):  # as it stands, and opened again
        assert stored.missing(names(*asked)) == list(
            dict.fromkeys(names(*(n for n in asked if n not in known)))
        )
        there = names(*(n for n in asked if n in known))
        features, mask = stored.read(there)
        assert len(features) == len(mask) == len(there)
        if there:
            expected = values(there)
            np.testing.assert_array_equal(features, expected[0])
            np.testing.assert_array_equal(mask, expected[1])


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "f" * 16},
        {"size": 65},
        {"flip": True},
        {"view": 1},
        {"random": True},
        {"kind": "difference", "gap": 1, "gain": 1.0},
        {"precision": "float16"},
        {"stride": 2},
        {"interpolation": "bilinear"},
    ],
)
def test_another_choice_is_another_folder(tmp_path: Path, change: dict[str, object]) -> None:
    FeatureStore(tmp_path, SPEC).write_shard(names(1), *values(names(1)))
    assert FeatureStore(tmp_path, SPEC).has(names(1)[0])
    assert not FeatureStore(tmp_path, replace(SPEC, **change)).has(names(1)[0])  # type: ignore[arg-type]


def test_the_spec_is_beside_the_features_in_clear(tmp_path: Path) -> None:
    stored = FeatureStore(tmp_path, SPEC)
    stored.write_shard(names(1), *values(names(1)))
    assert '"weights": "0123456789abcdef"' in (stored.folder / "spec.json").read_text()


def damage_end(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def damage_to_nothing(path: Path) -> None:
    os.truncate(path, 0)


def damage_header(path: Path) -> None:
    flip_byte(path, 20)


def damage_feature(path: Path) -> None:
    flip_byte(path, path.stat().st_size - 20)


def damage_mask(path: Path) -> None:
    flip_byte(path, path.stat().st_size - 1)


def flip_byte(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [damage_end, damage_to_nothing, damage_header, damage_feature, damage_mask]
)
def test_a_damaged_shard_is_dropped_and_no_other(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    writing = FeatureStore(tmp_path, SPEC)
    writing.write_shard(names(1, 2), *values(names(1, 2)))
    writing.write_shard(names(3), *values(names(3)))
    damage(shards(writing)[0])  # type: ignore[operator]
    stored = FeatureStore(tmp_path, SPEC)
    with caplog.at_level(logging.WARNING):
        assert stored.missing(names(1, 2, 3)) == names(1, 2)
    assert "damaged" in caplog.text
    assert len(shards(stored)) == 1
    stored.write_shard(names(1, 2), *values(names(1, 2)))
    np.testing.assert_array_equal(stored.read(names(2, 3, 1))[0], values(names(2, 3, 1))[0])


def test_a_damaged_shard_leaves_the_same_sample_in_another(tmp_path: Path) -> None:
    writing = FeatureStore(tmp_path, SPEC)
    writing.write_shard(names(1, 2), *values(names(1, 2)))
    writing.write_shard(names(2), *values(names(2)))
    damage_feature(shards(writing)[0])
    stored = FeatureStore(tmp_path, SPEC)
    assert stored.missing(names(1, 2)) == names(1)
    np.testing.assert_array_equal(stored.read(names(2))[0], values(names(2))[0])


def test_looking_for_keys_takes_no_longer_for_more_shards(tmp_path: Path) -> None:
    class Counted(dict[str, tuple[int, int]]):
        looks = 0

        def __contains__(self, key: object) -> bool:
            self.looks += 1
            return super().__contains__(key)

    keys, stored = names(*range(60)), FeatureStore(tmp_path, SPEC)
    for key in keys:
        stored.write_shard([key], *values([key]))
    stored._where = counted = Counted(stored._where)
    assert stored.missing(keys) == []
    assert counted.looks <= 4 * len(keys)  # and not once for each key and shard


def test_new_shards_of_another_process_are_seen(tmp_path: Path) -> None:
    reading, writing = FeatureStore(tmp_path, SPEC), FeatureStore(tmp_path, SPEC)
    writing.write_shard(names(1), *values(names(1)))
    assert not reading.has(names(1)[0])
    reading.refresh()
    assert reading.has(names(1)[0])


def _write_some(root: Path, first: int) -> None:
    stored = FeatureStore(root, SPEC)
    for number in range(first, first + 30):
        stored.write_shard(names(number), *values(names(number)))


def test_processes_that_write_at_once_do_not_disturb_one_another(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3) as pool:
        for job in [pool.submit(_write_some, tmp_path, first) for first in (0, 15, 15)]:
            job.result()
    stored = FeatureStore(tmp_path, SPEC)
    keys = names(*range(45))
    assert stored.missing(keys) == []
    np.testing.assert_array_equal(stored.read(keys)[0], values(keys)[0])


def test_only_abandoned_leavings_are_cleaned_away(tmp_path: Path) -> None:
    stored = FeatureStore(tmp_path, SPEC)
    stored.write_shard(names(1), *values(names(1)))
    old, fresh = stored.folder / ".old.features.1.tmp", stored.folder / ".new.features.1.tmp"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    assert len(FeatureStore(tmp_path, SPEC)) == 1
    assert not old.exists()
    assert fresh.exists()


def test_a_full_disk_names_the_folder_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = FeatureStore(tmp_path, SPEC)
    stored.write_shard(names(1), *values(names(1)))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    features, mask = values(names(2))
    monkeypatch.setattr(_files.os, "fsync", full)
    with pytest.raises(FrameFlowError) as raised:
        stored.write_shard(names(2), features, mask)
    message = str(raised.value)
    assert message.startswith("The disk is full: ")
    assert str(stored.folder) in message
    assert "MB are free" in message
    assert sorted(p.suffix for p in stored.folder.iterdir()) == [".features", ".json"]
    assert FeatureStore(tmp_path, SPEC).missing(names(1, 2)) == names(2)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FrameFlowError, match=r"cannot be written .* FRAMEFLOW_HOME"):
        FeatureStore(tmp_path / "file", SPEC).write_shard(names(1), *values(names(1)))


def test_only_the_rows_asked_for_are_mapped(tmp_path: Path) -> None:
    stored = FeatureStore(tmp_path, SPEC)
    stored.write_shard(names(1, 2), *values(names(1, 2)))
    (shard,) = store.FeatureStore(tmp_path, SPEC)._shards
    assert isinstance(shard.features, np.memmap)
