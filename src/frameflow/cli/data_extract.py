"""`frameflow data frames`: videos to folders of frame images."""

from pathlib import Path
from typing import Annotated, Literal

import typer

_TOLD = 10


def register(app: typer.Typer) -> None:
    """Add the command to `frameflow data`."""
    app.command("frames")(frames)


def frames(
    source: Annotated[
        Path, typer.Argument(help="A folder of videos, a manifest or a video.", metavar="VIDEOS")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    every: Annotated[int | None, typer.Option(help="One of so many frames.")] = None,
    per_second: Annotated[float | None, typer.Option(help="So many frames a second.")] = None,
    sampler: Annotated[
        Literal["uniform"] | None, typer.Option(help="The sampler's choice: needs --count.")
    ] = None,
    count: Annotated[int | None, typer.Option(help="Frames a video, with --sampler.")] = None,
    image: Annotated[Literal["jpeg", "png"], typer.Option("--format")] = "jpeg",
    quality: Annotated[int, typer.Option(help="Of JPEG, 1 to 100.")] = 92,
    size: Annotated[int | None, typer.Option(help="Pixels of the shorter side.")] = None,
    workers: Annotated[int | None, typer.Option(help="Videos read at once.")] = None,
) -> None:
    """Write frames as images, with a table of their times; goes on where it stopped."""
    from frameflow.video.extract_frames import FrameChoice, extract_frames
    from frameflow.video.frame_sources import MANIFEST, frame_sources, frames_manifest

    if sampler and count is None:
        count = 16
    choice = FrameChoice(every, per_second, count, image, quality, size)
    sources = frame_sources(source, out)
    done = extract_frames(sources.videos, out, choice, named=sources.named, workers=workers)
    for path, reason in done.set_aside[:_TOLD]:
        typer.echo(f"Set aside: {path} ({reason})", err=True)
    if len(done.set_aside) > _TOLD:
        typer.echo(f"Set aside: {len(done.set_aside) - _TOLD} more.", err=True)
    typer.echo(
        f"Wrote {done.images:,} images of {len(done.done) - done.found:,} videos to {out}"
        + (f"; {done.found:,} were there." if done.found else ".")
    )
    manifest, left_out = frames_manifest(sources, out, done.done)
    if manifest is not None:
        manifest.write(out / MANIFEST)
        lost = f" Left out {left_out:,} samples." if left_out else ""
        typer.echo(f"Wrote {out / MANIFEST}: {manifest.describe()}{lost}")
