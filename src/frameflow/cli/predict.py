"""`frameflow predict`."""

import sys
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from frameflow.cli._common import (
    Address,
    AsJson,
    EngineName,
    RunFolder,
    RunnerName,
    Workers,
    print_table,
)
from frameflow.errors import listing

if TYPE_CHECKING:
    from frameflow.inference.prediction import Prediction, Result
    from frameflow.inference.results import JsonArray, JsonLines

NONE = "none of these"
MOST = 5  # labels of a set that are named
PAGE = 100  # videos after which a table is printed, so that thousands need no memory


def predict(
    run: RunFolder,
    videos: Annotated[list[str], typer.Argument(help="Videos, folders or globs.")],
    topk: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 5,
    views: Annotated[int | None, typer.Option(min=1, help="Clips averaged per video.")] = None,
    engine: EngineName = "auto",
    as_json: AsJson = False,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write a table to this file, row by row.")
    ] = None,
    jsonl: Annotated[
        str | None, typer.Option("--jsonl", help="Write JSON lines to this file; - prints them.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Skip the videos that --csv or --jsonl has already.")
    ] = False,
    per_frame: Annotated[
        Path | None, typer.Option("--per-frame", help="A table with a row for every frame.")
    ] = None,
    rolling: Annotated[
        int | None, typer.Option(min=1, help="Mean over the last N frames, of what frames say.")
    ] = None,
    window: Annotated[
        float | None, typer.Option(help="Seconds looked at around a frame.", show_default=False)
    ] = None,
    gif: Annotated[
        Path | None, typer.Option("--gif", help="The clip with labels; a folder for several.")
    ] = None,
    video: Annotated[
        Path | None, typer.Option("--video", help="The same as MP4, every frame of it.")
    ] = None,
    strip: Annotated[
        Path | None, typer.Option("--strip", help="The same as a contact sheet (PNG, JPEG).")
    ] = None,
    runner: RunnerName = "local",
    address: Address = None,
    workers: Workers = None,
) -> None:
    """Say what happens in videos. Exit code 1 where one of them could not be read."""
    from frameflow.cluster import cluster_of, connected
    from frameflow.errors import UsageError, VideoError
    from frameflow.inference.on_cluster import predict_on_cluster
    from frameflow.inference.outputs import Outputs, Wanted
    from frameflow.inference.predictor import expand_paths, load
    from frameflow.progress import progress

    printed = jsonl == "-"
    if printed and (as_json or (resume and csv is None)):
        raise UsageError("--jsonl - prints JSON lines: leave out --json and --resume.")
    cluster = cluster_of(runner, address, workers)
    paths = expand_paths(videos)
    wanted = Wanted(
        csv=csv,
        jsonl=Path(jsonl) if jsonl and not printed else None,
        per_frame=per_frame,
        rolling=rolling,
        window=window,
        gif=gif,
        video=video,
        strip=strip,
        resume=resume,
    )
    targets = wanted.check(paths, elsewhere=cluster is not None)
    # Where workers predict, this process needs no engine of its own.
    predictor = load(run, engine=engine if cluster is None else "torch", views=views)
    with (
        nullcontext() if cluster is None else connected(cluster),
        Outputs(wanted, targets, predictor, topk=topk, watch=len(paths) == 1) as outputs,
        _screen(as_json, lines=printed, quiet=bool(csv or wanted.jsonl)) as show,
    ):
        left = outputs.left(paths)
        if len(left) < len(paths):
            typer.echo(f"{len(paths) - len(left)} of {len(paths)} videos are there.", err=True)
        try:
            several = len(left) if len(paths) > 1 else 0  # of one the frames are shown
            several = several if cluster is None else 0  # the cluster has a bar of its own
            results = (
                predictor.stream(left, topk=topk)
                if cluster is None
                else predict_on_cluster(cluster, run, left, engine=engine, views=views, topk=topk)
            )
            with (
                closing(results),
                progress("Predicting", total=several, unit="videos") as advance,
            ):
                for found in results:
                    result = outputs.write(found)
                    if isinstance(result, VideoError):
                        typer.echo(f"{result.path}: {result.reason}", err=True)
                    show.write(result)
                    advance()
        except KeyboardInterrupt:
            done = outputs.predicted + outputs.failed
            again = " Add --resume to go on." if csv or wanted.jsonl else ""
            typer.echo(f"{done} of {len(left)} videos were done.{again}", err=True)
            raise
    for line in outputs.told():
        typer.echo(line, err=True)
    if outputs.failed:
        raise typer.Exit(1)


def _screen(
    as_json: bool, *, lines: bool, quiet: bool
) -> "AbstractContextManager[JsonArray | JsonLines | _Tables | _Nothing]":
    """What takes results to stdout."""
    from frameflow.inference.results import JsonArray, JsonLines

    if as_json:
        return JsonArray(sys.stdout)
    if lines:
        return nullcontext(JsonLines(sys.stdout))
    return nullcontext(_Nothing()) if quiet else _Tables()


class _Nothing:
    def write(self, result: "Result") -> None:
        pass


class _Tables:
    """One video: a row for each label. Several: a row for each video, a table for every few."""

    def __init__(self) -> None:
        self._waiting: list[Prediction] = []
        self._several = False

    def write(self, result: "Result") -> None:
        from frameflow.errors import VideoError

        if isinstance(result, VideoError):
            return
        self._waiting.append(result)
        if len(self._waiting) == PAGE:
            self._print()

    def _print(self) -> None:
        if len(self._waiting) == 1 and not self._several:
            _print_one(self._waiting[0])
        elif self._waiting:
            _print_several(self._waiting)
        self._waiting.clear()
        self._several = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._print()


def _print_several(predicted: "list[Prediction]") -> None:
    if predicted[0].multilabel:
        sets = [(each.video, _present(each), _shares(each.topk)) for each in predicted]
        print_table(("video", "present", "probabilities"), sets)
        return
    header: tuple[str, ...] = ("video", "label", "probability", "or")
    rows: list[tuple[object, ...]] = [
        (each.video, _answer(each), each.probability, _shares(each.topk[1:])) for each in predicted
    ]
    if any(each.set is not None for each in predicted):
        header += ("set",)
        rows = [(*row, _set(each)) for row, each in zip(rows, predicted)]
    print_table(header, rows)


def _print_one(one: "Prediction") -> None:
    header: tuple[str, ...] = ("label", "probability")
    rows: list[tuple[object, ...]] = list(one.topk)
    if one.multilabel:
        present = set(one.present)
        header += ("present",)
        rows = [(label, share, "yes" if label in present else "no") for label, share in one.topk]
    elif one.set is not None:
        header += ("in the set",)
        rows = [(label, share, "yes" if label in one.set else "no") for label, share in one.topk]
    print_table(header, rows, title=one.video)
    if one.abstained:
        typer.echo(f"{NONE}: no label is likely enough to be answered.")


def _answer(prediction: "Prediction") -> str:
    return f"{NONE} ({prediction.label})" if prediction.abstained else prediction.label


def _set(prediction: "Prediction") -> str:
    labels = prediction.set or ()
    if len(labels) == len(prediction.labels) > MOST:
        return f"any of {len(labels)}"
    return listing(labels, most=MOST)


def _present(prediction: "Prediction") -> str:
    return ", ".join(prediction.present) or "none"


def _shares(ranked: list[tuple[str, float]]) -> str:
    return ", ".join(f"{label} {share:.3f}" for label, share in ranked)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(predict)
