"""What waits is computed together, and each gets what it would get alone."""

import threading
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.serving import batching
from frameflow.serving.batching import Batcher, encode_together
from frameflow.serving.limits import Refused


@pytest.fixture(scope="module")
def predictor(served: Path, _one_thread: None) -> Any:
    from frameflow.inference.predictor import load

    return load(served / "run", engine="torch", views=2)


@pytest.fixture(scope="module")
def clips(predictor: Any, served_clips: list[Path]) -> list[Any]:
    return [predictor.encoder.read(path) for path in served_clips]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Computing waits until it is set; ``gate.sizes`` lists what was computed together."""
    opened: Any = threading.Event()
    opened.begun, opened.sizes = threading.Event(), []
    real = batching.encode_together

    def held(predictor: Any, clips: Any) -> Any:
        opened.sizes.append(len(clips))
        opened.begun.set()
        assert opened.wait(30)
        return real(predictor, clips)

    monkeypatch.setattr(batching, "encode_together", held)
    yield opened
    opened.set()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_features_are_the_same_to_the_bit(predictor: Any, clips: list[Any], count: int) -> None:
    together = encode_together(predictor, clips[:count])
    assert len(together) == count
    for given, (features, mask) in zip(clips, together):
        alone, own = predictor.encoder.encode(given)
        assert np.array_equal(features, alone)
        assert np.array_equal(mask, own)


def test_streams_and_crops_keep_their_places(served_clips: list[Path]) -> None:
    """A stream with three crops beside one that sees the whole frame."""
    from frameflow.config import load_recipe
    from frameflow.inference.predictor import Predictor
    from frameflow.models.recognizer import build_recognizer

    look = "backbone: resnet10t, weights: none, size: 32"
    streams = f"streams=[{{kind: rgb, {look}, fit: crops}}, {{kind: difference, {look}}}]"
    recipe = load_recipe("default", [streams, "sampling.frames=4", "head.name=mean"])
    recognizer = build_recognizer(recipe, ["a", "b"])
    own = Predictor(recognizer, engine="torch", views=2)
    read = [own.encoder.read(path) for path in served_clips[:3]]
    for given, (features, mask) in zip(read, encode_together(own, read)):
        alone, expected = own.encoder.encode(given)
        assert len(alone) == 6
        assert np.array_equal(features, alone)
        assert np.array_equal(mask, expected)


def test_what_comes_meanwhile_is_one_batch(predictor: Any, clips: list[Any], gate: Any) -> None:
    sizes: list[int] = []
    batcher = Batcher(3, sizes.append)
    first = batcher.submit(predictor, "0", clips[0], 3)
    assert gate.begun.wait(30)
    rest = [batcher.submit(predictor, str(n), clips[n % 5], 3) for n in range(1, 6)]
    assert batcher.waiting == 5
    gate.set()
    answers = [future.result(60) for future in (first, *rest)]
    assert gate.sizes == sizes == [1, 3, 2]
    for number, answer in enumerate(answers):
        alone = predictor.from_clips(str(number), clips[number % 5], topk=3)
        assert answer.topk == alone.topk
        assert answer.video == str(number)
    batcher.close()


def test_another_model_waits_for_its_own_turn(
    predictor: Any, clips: list[Any], gate: Any, served: Path
) -> None:
    from frameflow.inference.predictor import load

    other = load(served / "run", engine="torch", views=2)
    batcher = Batcher(8)
    futures = [batcher.submit(predictor, "a", clips[0], 1)]
    assert gate.begun.wait(30)
    for one in (predictor, other, predictor, other):
        futures.append(batcher.submit(one, "b", clips[1], 1))
    gate.set()
    wait(futures, timeout=60)
    assert gate.sizes == [1, 2, 2]
    assert all(future.result().label for future in futures)
    batcher.close()


def test_what_was_cancelled_is_not_computed(predictor: Any, clips: list[Any], gate: Any) -> None:
    batcher = Batcher(8)
    first = batcher.submit(predictor, "a", clips[0], 1)
    assert gate.begun.wait(30)
    dropped = batcher.submit(predictor, "b", clips[1], 1)
    kept = batcher.submit(predictor, "c", clips[2], 1)
    assert dropped.cancel()
    gate.set()
    assert first.result(60).video == "a"
    assert kept.result(60).video == "c"
    assert gate.sizes == [1, 1]
    batcher.close()


def test_a_fault_of_one_is_not_that_of_others(predictor: Any, clips: list[Any], gate: Any) -> None:
    batcher = Batcher(8)
    first = batcher.submit(predictor, "a", clips[0], 1)
    assert gate.begun.wait(30)
    broken = batcher.submit(predictor, "b", [["no clip"]], 1)  # type: ignore[list-item]
    kept = batcher.submit(predictor, "c", clips[2], 1)
    gate.set()
    assert first.result(60)
    assert kept.result(60).topk == predictor.from_clips("c", clips[2], topk=1).topk
    with pytest.raises(AttributeError):
        broken.result(60)
    assert batcher.submit(predictor, "d", clips[3], 1).result(60), "the thread lives"
    batcher.close()


def test_the_end_refuses_what_waits(predictor: Any, clips: list[Any], gate: Any) -> None:
    batcher = Batcher(8)
    first = batcher.submit(predictor, "a", clips[0], 1)
    assert gate.begun.wait(30)
    waiting = batcher.submit(predictor, "b", clips[1], 1)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    gate.set()
    closing.join(30)
    assert first.result(60)
    for late in (waiting, batcher.submit(predictor, "c", clips[2], 1)):
        with pytest.raises(Refused) as refused:
            late.result(60)
        assert (refused.value.status, refused.value.code) == (503, "stopping")
