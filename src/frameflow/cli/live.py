"""`frameflow live`."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from frameflow.cli._common import EngineName, RunFolder
from frameflow.errors import UsageError

if TYPE_CHECKING:
    from frameflow.inference.live import LiveEvent, LivePrediction

_TERMINATED = 143


def live(
    run: RunFolder,
    source: Annotated[
        str,
        typer.Option(help="A camera's number, rtsp://, http://, udp://..., a file, - for a pipe."),
    ] = "0",
    window: Annotated[float | None, typer.Option(help="Seconds of a window.")] = None,
    stride: Annotated[float | None, typer.Option(help="Seconds between windows.")] = None,
    grid: Annotated[float | None, typer.Option(help="Frames looked at per second.")] = None,
    show: Annotated[
        Literal["windows", "changes", "events"],
        typer.Option(help="Every window, changed answers, or actions that begin and end."),
    ] = "windows",
    topk: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    rolling: Annotated[int, typer.Option(min=1, help="Mean over so many windows.")] = 1,
    enter: Annotated[float, typer.Option(help="events: probability that begins one.")] = 0.5,
    leave: Annotated[float, typer.Option(help="events: probability below which it ends.")] = 0.3,
    format: Annotated[str | None, typer.Option(help="FFmpeg's input format.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Of FFmpeg: video_size=640x480. Repeatable.")
    ] = None,
    reconnect: Annotated[
        bool | None,
        typer.Option(
            "--reconnect/--no-reconnect",
            help="Open it again also where it never worked, or never.",
            show_default="once it has worked",
        ),
    ] = None,
    stall_timeout: Annotated[float, typer.Option(help="Seconds without video that end it.")] = 10.0,
    max_seconds: Annotated[float | None, typer.Option(help="Stop after so many.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many windows.")] = None,
    engine: EngineName = "auto",
) -> None:
    """Say what happens in a stream while it happens: one line of JSON for each window.

    Nothing else goes to stdout. When answering takes longer than the stride, windows are left out
    and counted, so that the answer is always about now.
    """
    from frameflow.inference.live import changes, happenings, live
    from frameflow.inference.predictor import load
    from frameflow.inference.timeline.plan import ends_at_frame

    predictor = load(run, engine=engine)
    found: Any = live(
        predictor,
        source,
        window=window,
        stride=stride,
        grid=grid,
        topk=topk,
        rolling=rolling,
        format=format,
        options=_options(option),
        reconnect=reconnect,
        stall_timeout=stall_timeout,
        max_seconds=max_seconds,
        count=count,
    )
    summary = _Summary()
    shown: Any = summary.counted(found)
    if show == "changes":
        shown = changes(shown)
    elif show == "events":
        ending = ends_at_frame(predictor.recognizer)
        shown = happenings(shown, enter=enter, leave=leave, ending=ending)
    try:
        with _terminated():
            for one in shown:
                _print(one.to_dict())
    finally:
        found.close()
        if summary.connected:
            typer.echo(summary.text(), err=True)


class _Summary:
    """What is told at the end."""

    def __init__(self) -> None:
        self.connected = self.answered = self.windows = self.frames = 0
        self.latency = 0.0

    def counted(
        self, found: "Iterator[LiveEvent | LivePrediction]"
    ) -> "Iterator[LiveEvent | LivePrediction]":
        """The same, counted."""
        from frameflow.inference.live import LivePrediction

        for one in found:
            if isinstance(one, LivePrediction):
                self.answered += 1
                self.latency += one.latency
                self.windows, self.frames = one.dropped_windows, one.dropped_frames
            else:
                self.connected += one.event == "connected"
            yield one

    def text(self) -> str:
        mean = f", {1000 * self.latency / self.answered:.0f} ms on average" if self.answered else ""
        return (
            f"Answered: {self.answered} windows{mean}. Dropped: {self.windows} windows, "
            f"{self.frames} frames. Reconnected: {self.connected - 1} times."
        )


def _print(line: dict[str, Any]) -> None:
    text = json.dumps(line, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(line, allow_nan=False)
    typer.echo(text)


def _options(given: list[str] | None) -> dict[str, str]:
    pairs = [one.partition("=") for one in given or ()]
    for name, sign, _ in pairs:
        if not (name and sign):
            raise UsageError(f"--option {name!r} must be NAME=VALUE, such as video_size=640x480.")
    return {name: value for name, _, value in pairs}


@contextmanager
def _terminated() -> Iterator[None]:
    """Ended by a service manager it ends as by Ctrl-C: nothing is left open."""

    def end(*_: object) -> None:
        raise SystemExit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(live)
