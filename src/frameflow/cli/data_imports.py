"""`frameflow data import ...` and `data fetch ...`: manifests of known data sets."""

from pathlib import Path
from typing import Annotated

import typer

from frameflow.cli._common import OutManifest, print_counts

imports = typer.Typer(help="Manifests of known data sets.", no_args_is_help=True)
fetches = typer.Typer(help="Download known data sets.", no_args_is_help=True)


@imports.command("ucf101")
def import_ucf101(
    videos: Annotated[Path, typer.Argument(help="The folder UCF-101.")],
    annotations: Annotated[Path, typer.Option(help="The folder ucfTrainTestlist.")],
    fold: Annotated[int, typer.Option(min=1, max=3, help="Which official split.")] = 1,
    out: OutManifest = Path("ucf101.csv"),
    val: Annotated[float, typer.Option(help="The share of train cut for validation.")] = 0.15,
    seed: int = 0,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Go on with the videos that are there.")
    ] = False,
) -> None:
    """Write the manifest of an official split of UCF101."""
    from frameflow.data.ucf101 import import_ucf101 as run_import

    manifest = run_import(
        videos, annotations, fold=fold, val_share=val, seed=seed, allow_missing=allow_missing
    )
    manifest.write(out)
    print_counts(manifest, by="split", labels=False)
    typer.echo(f"Wrote {out}: {manifest.describe()}")


@fetches.command("ucf101")
def fetch_ucf101(
    into: Annotated[Path, typer.Option("--into", help="Where to unpack.")] = Path("ucf101"),
    check_certificate: Annotated[
        bool, typer.Option(help="Refuse a server whose certificate cannot be verified.")
    ] = True,
) -> None:
    """Download UCF101 (videos 6.5 GB, lists) from its authors' site; goes on where it stopped."""
    from frameflow.data.fetch import fetch

    videos, annotations = fetch("ucf101", into, verify_certificate=check_certificate)
    typer.echo(f"Now: frameflow data import ucf101 {videos} --annotations {annotations}")
