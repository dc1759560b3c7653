"""`frameflow timeline`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frameflow.cli._common import AsJson, EngineName, RunFolder, print_json, print_table

if TYPE_CHECKING:
    from frameflow.evaluation.segment_scores import SegmentScores
    from frameflow.inference.timeline.compute import Timeline
    from frameflow.inference.timeline.segments import Segment

File = Path | None


def timeline(
    run: RunFolder,
    videos: Annotated[list[str], typer.Argument(help="Videos, folders or globs.")],
    window: Annotated[
        float | None, typer.Option(help="Seconds of a window. Default: as the training clips.")
    ] = None,
    stride: Annotated[
        float | None, typer.Option(help="Seconds between windows. Default: a quarter of one.")
    ] = None,
    grid: Annotated[
        float | None, typer.Option(help="Frames looked at in a second. Default: as in training.")
    ] = None,
    smooth: Annotated[
        float | None, typer.Option(help="Seconds of smoothing, 0 for none. Default: 1.5 windows.")
    ] = None,
    enter: Annotated[
        float | None, typer.Option(help="The probability that a segment must reach. Default: 0.2.")
    ] = None,
    leave: Annotated[
        float | None,
        typer.Option(help="The probability below which it ends. Default: 0.6 of --enter."),
    ] = None,
    min_length: Annotated[
        float | None, typer.Option(help="Seconds of the shortest segment. Default: 0.75 windows.")
    ] = None,
    gap: Annotated[
        float | None, typer.Option(help="Seconds of gaps to close. Default: half a window.")
    ] = None,
    background: Annotated[
        list[str] | None, typer.Option(help="A label that means that nothing happens. Repeatable.")
    ] = None,
    csv: Annotated[File, typer.Option("--csv", help="A table of all videos.")] = None,
    as_json: AsJson = False,
    vtt: Annotated[File, typer.Option("--vtt", help="WebVTT subtitles.")] = None,
    srt: Annotated[File, typer.Option("--srt", help="SubRip subtitles.")] = None,
    elan: Annotated[File, typer.Option("--elan", help="ELAN annotations, .eaf.")] = None,
    picture: Annotated[File, typer.Option("--picture", help="A picture, .svg or .png.")] = None,
    video: Annotated[
        File, typer.Option("--video", help="The video with the labels on it, without sound.")
    ] = None,
    out: Annotated[
        File, typer.Option("--out", "-o", help="A folder for all files but --video.")
    ] = None,
    truth: Annotated[
        File, typer.Option(help="True segments to score with: a table, timestamps, ELAN, ...")
    ] = None,
    tier: Annotated[str | None, typer.Option(help="Of an ELAN file of --truth.")] = None,
    engine: EngineName = "auto",
) -> None:
    """Say what happens when in long videos. Exit code 1 where one of them could not be read."""
    from frameflow.errors import UsageError, VideoError, near_names
    from frameflow.inference.paths import expand_paths
    from frameflow.inference.predictor import load
    from frameflow.inference.timeline.files import timeline_dict
    from frameflow.inference.timeline.outputs import Outputs, Table, file_names
    from frameflow.inference.timeline.segments import SegmentRule
    from frameflow.inference.timeline.survey import Scored, by_seconds, probe_all, survey
    from frameflow.inference.timeline.truth import read_truth
    from frameflow.progress import progress

    paths = expand_paths(videos)
    for path, ending in ((vtt, ".vtt"), (srt, ".srt"), (elan, ".eaf")):
        if path is not None and path.suffix.lower() != ending:
            raise UsageError(f"{path} must end in {ending}.")
    files = tuple(path for path in (vtt, srt, elan) if path is not None)
    outputs = Outputs(csv, files, picture, video, out)
    outputs.check(paths)
    given = {"smooth": smooth, "enter": enter, "leave": leave, "shortest": min_length, "gap": gap}
    rule = SegmentRule(
        background=tuple(background or ()),
        **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
    )
    predictor = load(run, engine=engine)
    several = predictor.recognizer.recipe.multilabel
    known = read_truth(truth, paths, tier=tier, multilabel=several) if truth else None
    for label in rule.background:
        if label not in predictor.labels:
            near = near_names(label, predictor.labels)
            raise UsageError(f"--background {label!r} is none of the run's labels.{near}")
    scored, table, names = Scored(rule.background), Table(csv) if csv else None, file_names(paths)
    entries: list[dict[str, Any]] = []
    infos = probe_all(paths)
    length = sum(info.duration for info in infos if info) * (2 if video else 1)
    with progress("Looking", total=round(length), unit="seconds") as advance:
        found = survey(
            predictor, paths, infos=infos, window=window, stride=stride, grid=grid, rule=rule,
            progress=advance,
        )  # fmt: skip
        for one in found:
            if isinstance(one, VideoError):
                typer.echo(f"{one.path}: {one.reason}", err=True)
                entries.append({"video": one.path, "error": one.reason})
                continue
            true = known[one.place] if known else []
            written = outputs.write(
                one.timeline,
                one.segments,
                name=names[one.place],
                rule=rule,
                truth=true,
                progress=by_seconds(infos[one.place], advance),
            )
            for path in written:
                typer.echo(f"Wrote {path}.", err=True)
            if table is not None:
                table.add(one.timeline, one.segments)
            entries.append(timeline_dict(one.timeline, one.segments))
            if known:
                entries[-1]["scores"] = scored.add(one, true).to_dict()
            if not as_json:
                _print(one.timeline, one.segments, short=bool(outputs))
    if table is not None:
        table.write()
        typer.echo(f"Wrote {table.path}: {len(table)} segments.", err=True)
    total = scored.all()
    if as_json:
        scores = {} if total is None else {"scores": total.to_dict()}
        print_json({"videos": entries, **scores})
    elif total is not None:
        _print_scores(total)
    if any("error" in entry for entry in entries):
        raise typer.Exit(1)


def _print(timeline: "Timeline", segments: "list[Segment]", *, short: bool) -> None:
    """A row for each segment; where files hold them, one line says how many there are."""
    from frameflow.data.timestamps import print_time
    from frameflow.inference.timeline.picture import clock, counted

    if short or not segments:
        typer.echo(f"{timeline.video}: {counted(segments)} in {clock(timeline.duration)}.")
        return
    rows = [
        (print_time(one.start), print_time(one.end), one.label, one.probability) for one in segments
    ]
    print_table(("start", "end", "label", "probability"), rows, title=timeline.video)


def _print_scores(scores: "SegmentScores") -> None:
    rows: list[tuple[str, float]] = [
        (f"segment F1 at {100 * overlap:g} % overlap", score)
        for overlap, score in scores.f1.items()
    ]
    rows += [("frame accuracy", scores.frame_accuracy), ("edit score", scores.edit)]
    title = f"{scores.found} segment{'s' if scores.found != 1 else ''} found, {scores.true} true"
    print_table(("score", "value"), rows, title=title)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(timeline)
