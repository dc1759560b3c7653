"""`frameflow data spans`: timestamps to labels."""

from pathlib import Path
from typing import Annotated

import typer

from frameflow._places import shown
from frameflow.cli._common import OutManifest

_TOLD = 10


def register(app: typer.Typer) -> None:
    """Add the command to `frameflow data`."""
    app.command("spans")(spans)


def spans(
    files: Annotated[list[Path], typer.Argument(help="Text, CSV, ELAN, VIA 3 or BORIS.")],
    videos: Annotated[
        Path | None, typer.Option(help="Their folder. Default: that of the first file.")
    ] = None,
    out: OutManifest = Path("manifest.csv"),
    tier: Annotated[
        str | None, typer.Option(help="The tier (ELAN) or attribute (VIA) of the labels.")
    ] = None,
    frames: Annotated[bool, typer.Option("--frames", help="Label frames, not spans.")] = False,
    every: Annotated[int | None, typer.Option(help="With --frames: one of so many.")] = None,
    per_second: Annotated[
        float | None, typer.Option(help="With --frames: so many a second.")
    ] = None,
    background: Annotated[str, typer.Option(help="The label of what lies between spans.")] = "",
    multilabel: Annotated[
        bool, typer.Option("--multilabel", help="Spans of different labels may overlap.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out what is wrong, and go on.")
    ] = False,
) -> None:
    """Write a manifest of timestamps; what is wrong is named by file and line."""
    from frameflow.audit.span_labels import labels_of_spans
    from frameflow.errors import UsageError
    from frameflow.video.extract_frames import FrameChoice

    choice = FrameChoice(every=every, per_second=per_second)
    choice.check()
    if choice != FrameChoice() and not frames:
        raise UsageError("--every and --per-second choose frames: add --frames.")
    done = labels_of_spans(
        files,
        videos=videos,
        tier=tier,
        frames=choice if frames else None,
        background=background,
        multilabel=multilabel,
        skip_bad=skip_bad,
    )
    for fault in done.left_out[:_TOLD]:
        typer.echo(f"Left out: {fault.place}: {fault.message}", err=True)
    if len(done.left_out) > _TOLD:
        typer.echo(f"Left out: {len(done.left_out) - _TOLD} more.", err=True)
    done.manifest.write(out)
    described = done.manifest.describe(multilabel=multilabel)
    counted = f"{done.spans:,} span{'s' if done.spans != 1 else ''}"
    typer.echo(f"Wrote {shown(out)}: {counted}, {described}")
