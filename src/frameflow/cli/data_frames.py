"""`frameflow data import frames`: labels of single frames."""

from pathlib import Path
from typing import Annotated

import typer

from frameflow._places import shown
from frameflow.cli._common import OutManifest, print_counts


def import_frames(
    labels: Annotated[Path, typer.Argument(help="A table with the columns video,frame,label.")],
    out: OutManifest = Path("manifest.csv"),
    videos: Annotated[
        Path | None, typer.Option(help="The folder of the videos; default: that of the table.")
    ] = None,
) -> None:
    """Write the manifest of frames that are labelled one by one."""
    from frameflow.data.frame_labels import import_frame_labels

    manifest = import_frame_labels(labels, videos=videos)
    manifest.write(out)
    print_counts(manifest, by="split")
    typer.echo(f"Wrote {shown(out)}: {manifest.describe()}")


def register(imports: typer.Typer) -> None:
    """Add the command to those of `data import`."""
    imports.command("frames")(import_frames)
