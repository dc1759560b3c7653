"""Decoded frames on disk: equal to decoding, whole or absent, and kept only where that pays."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from frameflow.config import Sampling
from frameflow.errors import FrameFlowError
from frameflow.features import _files
from frameflow.training import _keeping
from frameflow.training._keeping import Keeper, Measured, pays
from frameflow.training.cache import DamagedFrames, FrameStore
from frameflow.video.clip import Clip, ClipRequest, read_clips

REQUEST = ClipRequest(Sampling(strategy="first", frames=8), size=32, views=2, gaps=(1,))


@pytest.fixture(scope="module")
def videos(made_videos: Path) -> dict[str, list[Clip]]:
    """Clips by key; eight frames of videos that have six, so that some are padding."""
    found = sorted(made_videos.rglob("*.mp4"))[:6]
    return {f"{number:032x}": read_clips(path, REQUEST) for number, path in enumerate(found)}


def assert_equal(one: Clip, other: Clip) -> None:
    assert np.array_equal(one.pack(), other.pack())
    for name in ("mask", "indices", "seconds"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype
    assert one.runs.keys() == other.runs.keys()


def test_clips_come_back_as_they_were_decoded(videos: dict[str, list[Clip]], tmp_path) -> None:
    store = FrameStore(tmp_path, REQUEST)
    rows = list(videos.items())
    store.write(rows[:4])
    store.write(rows[3:])  # one of them again
    again = FrameStore(tmp_path, REQUEST)
    assert len(again) == 6
    for key, clips in rows:
        assert key in again
        for view, clip in enumerate(clips):
            assert_equal(again.read(key, view), clip)
    assert not videos[rows[0][0]][0].mask.all()


def test_what_is_read_may_be_written_into(videos: dict[str, list[Clip]], tmp_path) -> None:
    store = FrameStore(tmp_path, REQUEST)
    store.write(list(videos.items()))
    key = next(iter(videos))
    store.read(key, 0).frames[:] = 0
    assert_equal(store.read(key, 0), videos[key][0])


def test_requests_do_not_share_a_folder_but_equal_ones_do(tmp_path) -> None:
    sampling = Sampling(strategy="first", frames=8)
    others = [
        ClipRequest(sampling, size=40),
        ClipRequest(sampling, size=32, views=2),
        ClipRequest(sampling, size=32, gaps=(1,)),
        ClipRequest(sampling, size=32, gaps=(2,)),
        ClipRequest(sampling, size=32, stacks=(1,)),
        ClipRequest(sampling, size=32, fit="squash"),
        ClipRequest(sampling, size=32, fit="follow"),
        ClipRequest(sampling, size=32, fit="follow", follow=0.5),
        ClipRequest(sampling, size=32, pace=2),
        ClipRequest(sampling, size=32, interpolation="bicubic"),
        ClipRequest(Sampling(strategy="dense", frames=8), size=32),
    ]
    folders = {FrameStore(tmp_path, request).folder for request in others}
    folders.add(FrameStore(tmp_path, others[0], random=True).folder)
    assert len(folders) == len(others) + 1
    same = ClipRequest(sampling, size=32, fit="squash", crops=5, follow=0.4)
    assert FrameStore(tmp_path, same).folder in folders


@pytest.mark.parametrize("cut", [0, 5, 300, -1])
def test_a_truncated_shard_is_dropped(cut: int, videos, tmp_path, caplog) -> None:
    path = FrameStore(tmp_path, REQUEST).write(list(videos.items()))
    path.write_bytes(path.read_bytes()[:cut])
    assert len(FrameStore(tmp_path, REQUEST)) == 0
    assert not path.exists()
    assert "damaged" in caplog.text


@pytest.mark.parametrize("place", [-5, -3000, 0.5])
def test_altered_content_is_found_out_and_not_handed_out(place, videos, tmp_path) -> None:
    path = FrameStore(tmp_path, REQUEST).write(list(videos.items())[:1])
    content = bytearray(path.read_bytes())
    content[int(place * len(content)) if isinstance(place, float) else place] ^= 0x55
    path.write_bytes(content)
    store = FrameStore(tmp_path, REQUEST)
    key = next(iter(videos))
    with pytest.raises(DamagedFrames):
        store.read(key, 0)
    assert key not in store
    assert not path.exists()


def test_a_shard_of_other_clips_is_dropped(videos, tmp_path, caplog) -> None:
    path = FrameStore(tmp_path, REQUEST).write(list(videos.items())[:2])
    other = FrameStore(tmp_path, ClipRequest(REQUEST.sampling, size=32))
    other.folder.mkdir()
    path.rename(other.folder / path.name)
    other.refresh()
    assert len(other) == 0
    assert "another shape" in caplog.text


WRITER = """
import sys, time
import numpy as np
from pathlib import Path
from frameflow.config import Sampling
from frameflow.training.cache import FrameStore
from frameflow.video.clip import Clip, ClipRequest
request = ClipRequest(Sampling(frames=8), size=128)
store = FrameStore(Path(sys.argv[1]), request)
number = 0
while True:
    frames = np.full((8, 128, 128, 3), number % 256, np.uint8)
    clip = Clip(frames, np.ones(8, bool), np.arange(8), np.arange(8) / 25.0)
    store.write([(f"{number + i:032x}", [clip]) for i in range(4)])
    number += 4
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_whole_shards_only(tmp_path: Path) -> None:
    request = ClipRequest(Sampling(frames=8), size=128)
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = 0
    while told < 40:
        told = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    store = FrameStore(tmp_path, request)
    assert len(store) >= told
    for number in range(len(store)):
        clip = store.read(f"{number:032x}", 0)
        assert (clip.frames == number // 4 * 4 % 256).all()


def test_several_threads_read_at_once(videos: dict[str, list[Clip]], tmp_path) -> None:
    store = FrameStore(tmp_path, REQUEST)
    store.write(list(videos.items()))
    faults: list[object] = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(40):
            key = list(videos)[rng.integers(len(videos))]
            view = int(rng.integers(2))
            if not np.array_equal(store.read(key, view).pack(), videos[key][view].pack()):
                faults.append(key)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


# Whether to keep them


BASE = Measured(samples=100, sample_bytes=10**6, free=10**9, decode=0.03, write=0.002, epochs=10)


@pytest.mark.parametrize(
    ("changed", "kept", "said"),
    [
        ({}, True, "100 MB of 1.0 GB free; decoding takes 30.0 ms a clip, keeping one 2.0 ms"),
        ({"free": 3 * 10**8}, False, "they would take 100 MB of 300 MB free"),
        ({"samples": 10**6, "free": 3 * 10**12}, False, "1000.0 GB of 3000.0 GB"),
        ({"epochs": 1}, False, "there is 1 epoch"),
        ({"decode": 0.001}, False, "decoding takes 1.0 ms a clip, keeping one 2.0 ms"),
        ({"epochs": 2, "write": 0.02}, False, "there are 2 epochs"),
        ({"epochs": 2, "write": 0.01}, True, "keeping one 10.0 ms"),
    ],
)
def test_the_decision_and_its_reason(changed: dict[str, float], kept: bool, said: str) -> None:
    from dataclasses import replace

    decided, reason = pays(replace(BASE, **changed))
    assert decided == kept
    assert said in reason


def keep(videos, root: Path, choice: str, *, seconds: float = 1.0, epochs: int = 30) -> FrameStore:
    store = FrameStore(root, REQUEST)
    with Keeper([store], choice, samples=len(videos), epochs=epochs) as keeper:  # type: ignore[arg-type]
        for key, clips in videos.items():
            keeper.add(key, [clips], seconds)
    return FrameStore(root, REQUEST)


def test_auto_measures_says_and_keeps_where_it_pays(videos, tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setattr(_keeping, "_FIRST", 2)
    caplog.set_level("INFO")
    assert len(keep(videos, tmp_path, "auto")) == 6
    assert "Decoded frames are kept: 1 MB of" in caplog.text
    assert "decoding takes 1000.0 ms a clip" in caplog.text


@pytest.mark.parametrize("why", [{"epochs": 1}, {"seconds": 0.0}])
def test_auto_leaves_nothing_where_it_does_not_pay(
    why, videos, tmp_path, caplog, monkeypatch
) -> None:
    monkeypatch.setattr(_keeping, "_FIRST", 2)
    caplog.set_level("INFO")
    assert len(keep(videos, tmp_path, "auto", **why)) == 0
    assert not list(tmp_path.rglob("*.safetensors"))
    assert "not kept (train.cache: on keeps them)" in caplog.text


def test_on_keeps_them_whatever_it_costs(videos, tmp_path) -> None:
    assert len(keep(videos, tmp_path, "on", epochs=1, seconds=0.0)) == 6


def test_a_full_disk_ends_on_but_not_auto(videos, tmp_path, caplog, monkeypatch) -> None:
    import errno

    monkeypatch.setattr(_keeping, "_FIRST", 2)
    real, written = _files.write_whole, []

    def write(path, parts):  # the first shard fits
        written.append(path)
        if len(written) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, parts)

    monkeypatch.setattr("frameflow.training.cache.write_whole", write)
    assert len(keep(videos, tmp_path / "auto", "auto")) == 2
    assert "not kept any more: The disk is full" in caplog.text
    monkeypatch.setattr(_keeping, "_SHARD", 1)
    written.clear()
    with pytest.raises(FrameFlowError, match="The disk is full"):
        keep(videos, tmp_path / "on", "on")
    assert len(FrameStore(tmp_path / "on", REQUEST)) == 1


def test_what_was_decoded_before_an_error_is_kept(videos, tmp_path) -> None:
    store = FrameStore(tmp_path, REQUEST)
    key, clips = next(iter(videos.items()))

    def stopped() -> None:
        with Keeper([store], "on", samples=6, epochs=3) as keeper:
            keeper.add(key, [clips], 0.1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert key in FrameStore(tmp_path, REQUEST)
