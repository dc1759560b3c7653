"""Moments of a stream are those of its file, and so are the answers; what is late is left out."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from frameflow.config import load_recipe
from frameflow.inference.live.answers import Dropped, PieceAnswers
from frameflow.inference.live.clock import Moment
from frameflow.inference.live.inbox import Arrival, Inbox
from frameflow.inference.live.results import LiveEvent
from frameflow.inference.predictor import Predictor
from frameflow.inference.timeline import ShotRequest, WindowPlan, iter_shots, timeline
from frameflow.models.recognizer import build_recognizer

RATE = 24.0  # of the film
RGB = "[{backbone: resnet10t, weights: none, size: 32, fit: squash}]"
MOTION = (
    "[{backbone: resnet10t, weights: none, size: 32, fit: crops, crops: 2}, "
    "{kind: difference, backbone: resnet10t, weights: none, size: 32, gap: 2}]"
)
FOLLOW = "[{kind: stack, backbone: resnet10t, weights: none, size: 32, fit: follow}]"


@pytest.fixture(scope="module")
def predictor() -> Callable[[str], Predictor]:
    import torch

    @cache
    def make(streams: str) -> Predictor:
        torch.manual_seed(0)
        changes = ["sampling.frames=4", f"streams={streams}", "head.name=mean"]
        recognizer = build_recognizer(load_recipe("default", changes), ["a", "b", "c"])
        with torch.no_grad():
            for parameter in recognizer.head.parameters():
                parameter.copy_(torch.randn_like(parameter))
        return Predictor(recognizer.eval(), engine="torch")

    return make


def plan_of(length: float, stride: float, grid: float) -> Callable[[float], WindowPlan]:
    return lambda rate: WindowPlan(length, stride, min(grid, rate))


def fill(
    path: Path, predictor: Predictor, plan: Callable[[float], WindowPlan], *, seconds: float = 99
) -> list[Arrival | LiveEvent]:
    """What an inbox that nobody looked into would have held, had it been large enough."""
    import av

    inbox, found = Inbox(predictor.encoder.requests, plan), list[Arrival | LiveEvent]()
    with av.open(str(path)) as container:
        inbox.tell("connected", rate=RATE)
        for number, frame in enumerate(container.decode(video=0)):
            if number / RATE < seconds:
                at = number / RATE
                inbox.take(frame, Moment(at, anew=number == 0), 100 + at)
                found += inbox.wait(0)
    return found


def arrivals(items: Sequence[Arrival | LiveEvent]) -> list[Arrival]:
    return [item for item in items if isinstance(item, Arrival)]


@pytest.mark.parametrize("streams", [RGB, MOTION, FOLLOW], ids=["rgb", "motion", "follow"])
@pytest.mark.parametrize("grid", [3.0, 8.0, 13.7, 24.0])
def test_moments_are_those_of_the_file(
    film: Path, predictor: Callable[[str], Predictor], streams: str, grid: float
) -> None:
    requests = predictor(streams).encoder.requests
    expected = list(iter_shots(film, ShotRequest(tuple(requests), grid)))
    found = arrivals(fill(film, predictor(streams), plan_of(1.0, 0.5, grid)))
    reach = max((gap * (length - 1) for one in requests for gap, length in one.runs), default=0)
    complete = [shot for shot in expected if shot.index + reach < 72]
    # at the very end no frame says how long the last one is shown
    assert len(found) in (len(complete), len(complete) - 1)
    for arrival, shot in zip(found, complete):
        assert (arrival.shot.moment, arrival.shot.index) == (shot.moment, shot.index)
        assert arrival.shot.seconds == pytest.approx(shot.seconds)
        for ours, theirs in zip(arrival.shot.images, shot.images, strict=True):
            assert np.array_equal(ours, theirs)
        if shot.index + reach == 0:
            continue  # how far frames lie apart is known from the second one on
        # nothing is waited for that is not shown, but where the next frame may come early
        late = shot.seconds * RATE - shot.index > 0.885
        assert arrival.time == pytest.approx(100 + (shot.index + max(reach, late)) / RATE)


@pytest.mark.parametrize("streams", [RGB, MOTION, FOLLOW], ids=["rgb", "motion", "follow"])
def test_answers_are_those_of_the_timeline(
    film: Path, predictor: Callable[[str], Predictor], streams: str
) -> None:
    made = predictor(streams)
    expected = timeline(made, film, window=0.9, stride=0.4, grid=9)
    dropped, answers, found = Dropped(), None, []
    for arrival in arrivals(fill(film, made, plan_of(0.9, 0.4, 9))):
        answers = answers or PieceAnswers(
            made, arrival.piece, name="film", topk=3, rolling=1, dropped=dropped
        )
        answers.add(arrival)
        answers.look_ahead()
        if (number := answers.due()) is not None:
            found.append(answers.answer(number))
    assert len(found) >= 5
    assert (dropped.windows, dropped.frames) == (0, 0)
    assert [one.start for one in found] == pytest.approx(expected.starts[: len(found)].tolist())
    ours = np.stack([one.prediction.probabilities for one in found])
    # the runs of a file's last frames are shifted back: these windows may differ
    assert np.allclose(ours[:-1], expected.probabilities[: len(found) - 1], atol=1e-5)
    assert len({one.prediction.label for one in found}) > 1 or np.ptp(ours, axis=0).max() > 0.01


def test_only_the_newest_window_is_answered_and_the_others_are_counted(
    film: Path, predictor: Callable[[str], Predictor]
) -> None:
    made = predictor(RGB)
    whole = arrivals(fill(film, made, plan_of(0.5, 0.25, 8)))
    expected = timeline(made, film, window=0.5, stride=0.25, grid=8)
    dropped = Dropped()
    answers = PieceAnswers(made, whole[0].piece, name="", topk=1, rolling=1, dropped=dropped)
    for arrival in whole[:4]:
        answers.add(arrival)
    first = answers.answer(0)
    assert (first.start, first.end, first.dropped_windows) == (0.0, 0.5, 0)
    for arrival in whole[4:20]:  # up to 2.5 seconds
        answers.add(arrival)
    number = answers.due()
    assert number == 8
    later = answers.answer(number)
    assert (later.start, later.end) == (2.0, 2.5)
    assert later.dropped_windows == 7
    assert later.dropped_frames == 12  # moments from 0.5 to 2.0 seconds
    assert answers.due() is None
    assert np.allclose(later.prediction.probabilities, expected.probabilities[8], atol=1e-5)


def test_a_window_whose_moments_were_let_go_is_dropped(
    film: Path, predictor: Callable[[str], Predictor]
) -> None:
    made = predictor(RGB)
    whole = arrivals(fill(film, made, plan_of(0.5, 0.25, 8)))
    dropped = Dropped()
    answers = PieceAnswers(made, whole[0].piece, name="", topk=1, rolling=1, dropped=dropped)
    for arrival in whole[3:5]:  # the window of the first four moments would be complete
        answers.add(arrival)
    assert answers.due() is None
    for arrival in whole[5:8]:
        answers.add(arrival)
    assert answers.due() == 2
    assert answers.answer(2).dropped_windows == 2
    for arrival in whole[12:15]:
        answers.add(arrival)
    assert answers.due() is None
    answers.end()
    assert dropped.windows == 5  # of moments 6 to 13 three more were complete


def test_behind_is_what_frames_come_later_than_at_best(
    film: Path, predictor: Callable[[str], Predictor]
) -> None:
    made = predictor(RGB)
    whole = arrivals(fill(film, made, plan_of(0.5, 0.5, 8)))
    answers = PieceAnswers(made, whole[0].piece, name="", topk=1, rolling=1, dropped=Dropped())
    said = []
    for number, one in enumerate(whole):  # a burst of one second, then a network that gets slower
        late = 1.0 - one.shot.seconds if number < 8 else 0.25 * (number - 7)
        answers.add(Arrival(one.piece, one.shot, one.time + late))
        if (due := answers.due()) is not None:
            said.append(answers.answer(due).behind)
    assert said[0] == pytest.approx(0.0, abs=0.05)
    assert said[1] == pytest.approx(0.0, abs=0.05)
    steps = np.diff(said[2:])
    assert steps == pytest.approx([1.0] * len(steps), abs=0.05)


def test_rolling_is_the_mean_of_the_newest_answers(
    film: Path, predictor: Callable[[str], Predictor]
) -> None:
    made = predictor(RGB)
    whole = arrivals(fill(film, made, plan_of(0.5, 0.5, 8)))
    single, rolling = (
        PieceAnswers(made, whole[0].piece, name="", topk=1, rolling=n, dropped=Dropped())
        for n in (1, 3)
    )
    alone, together = [], []
    for arrival in whole:
        for answers, found in ((single, alone), (rolling, together)):
            answers.add(arrival)
            if (number := answers.due()) is not None:
                found.append(answers.answer(number).prediction.probabilities)
    assert len(alone) >= 5
    for number, said in enumerate(together):
        assert np.allclose(said, np.mean(alone[max(0, number - 2) : number + 1], axis=0), atol=1e-6)


def test_an_inbox_that_nobody_empties_stays_small(
    film: Path, predictor: Callable[[str], Predictor]
) -> None:
    import av

    inbox = Inbox(predictor(RGB).encoder.requests, plan_of(0.5, 0.25, 8))
    with av.open(str(film)) as container:
        frames = list(container.decode(video=0))
    for round_ in range(20):
        inbox.tell("connected", rate=RATE)
        for number in range(60):
            inbox.tell("stalled")
            inbox.take(frames[number], Moment(3.0 * round_ + number / RATE, anew=not number), 0.0)
    items = inbox.wait(0)
    assert sum(isinstance(item, LiveEvent) for item in items) == 256
    kept = arrivals(items)
    assert [item.shot.moment for item in kept] == list(range(20 - len(kept), 20))
    assert len(kept) == 8  # a window, a stride and two more


def test_frames_are_let_go_without_the_garbage_collector(
    film: Path, predictor: Callable[[str], Predictor]
) -> None:
    import gc

    made = predictor(RGB)
    gc.collect()
    gc.disable()
    try:
        fill(film, made, plan_of(0.5, 0.25, 8))
        held = [one for one in gc.get_objects() if type(one).__name__ == "VideoFrame"]
    finally:
        gc.enable()
    assert len(held) < 5  # a few are asked how they are rotated; of every frame it would be 72


def test_a_new_size_begins_a_piece(predictor: Callable[[str], Predictor]) -> None:
    from av import VideoFrame

    inbox = Inbox(predictor(RGB).encoder.requests, plan_of(0.5, 0.25, 8))
    inbox.tell("connected", rate=RATE)
    for number in range(24):
        side = 48 if number < 12 else 64
        frame = VideoFrame.from_ndarray(np.full((side, side, 3), number, np.uint8))
        inbox.take(frame, Moment(number / RATE, anew=not number), 0.0)
    items = inbox.wait(0)
    (jump,) = [i for i, item in enumerate(items) if isinstance(item, LiveEvent) and i]
    assert items[jump].to_dict()["width"] == 64  # type: ignore[union-attr]
    pieces = [item.piece for item in arrivals(items)]
    assert {piece.size for piece in pieces} == {(48, 48), (64, 64)}
    assert pieces[-1].begin == 0.5
    assert arrivals(items)[-1].shot.moment == 3


def test_what_goes_wrong_while_reading_is_raised_where_answers_are_made(
    predictor: Callable[[str], Predictor],
) -> None:
    def fails(rate: float) -> WindowPlan:
        raise ZeroDivisionError(rate)

    inbox = Inbox(predictor(RGB).encoder.requests, fails)
    inbox.tell("connected", rate=5.0)
    with pytest.raises(ZeroDivisionError):
        inbox.wait(1.0)
