"""`frameflow data import ...` and `data fetch ...`: manifests of known data sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frameflow._places import shown
from frameflow.cli._common import OutManifest, print_counts

if TYPE_CHECKING:
    from frameflow.data.manifest import Manifest

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
    typer.echo(f"Wrote {shown(out)}: {manifest.describe()}")


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


VideosFolder = Annotated[Path, typer.Argument(help="The folder of the videos.")]
Labels = Annotated[Path | None, typer.Option("--labels", help="The names of label numbers.")]
Missing = Annotated[
    bool, typer.Option("--allow-missing", help="Go on with the videos that are there.")
]


@imports.command("hmdb51")
def import_hmdb51(
    videos: VideosFolder,
    annotations: Annotated[Path, typer.Option(help="The folder of the official lists.")],
    fold: Annotated[int, typer.Option(min=1, max=3, help="Which official split.")] = 1,
    out: OutManifest = Path("hmdb51.csv"),
    val: Annotated[float, typer.Option(help="The share of train cut for validation.")] = 0.15,
    seed: int = 0,
    allow_missing: Missing = False,
) -> None:
    """Write the manifest of an official split of HMDB51."""
    from frameflow.data.importers.hmdb51 import import_hmdb51 as run_import

    manifest = run_import(
        videos, annotations, fold=fold, val_share=val, seed=seed, allow_missing=allow_missing
    )
    _write(manifest, out)


@imports.command("kinetics")
def import_kinetics(
    videos: VideosFolder,
    tables: Annotated[list[Path], typer.Argument(help="train.csv, validate.csv and so on.")],
    out: OutManifest = Path("kinetics.csv"),
    untrimmed: Annotated[
        bool, typer.Option("--untrimmed", help="Files named by their ID alone are whole videos.")
    ] = False,
    allow_missing: Missing = False,
) -> None:
    """Write the manifest of Kinetics 400, 600 or 700, whose videos are often gone."""
    from frameflow.data.importers.kinetics import import_kinetics as run_import

    _write(run_import(videos, tables, untrimmed=untrimmed, allow_missing=allow_missing), out)


@imports.command("something-something")
def import_something_something(
    videos: VideosFolder,
    lists: Annotated[list[Path], typer.Argument(help="train.json, validation.json, test.json.")],
    labels: Annotated[Path | None, typer.Option(help="labels.json, to hold them against.")] = None,
    answers: Annotated[Path | None, typer.Option(help="test-answers.csv.")] = None,
    out: OutManifest = Path("something.csv"),
    allow_missing: Missing = False,
) -> None:
    """Write the manifest of Something-Something V2; the label is the template."""
    from frameflow.data.importers.something_something import (
        import_something_something as run_import,
    )

    manifest = run_import(
        videos, lists, labels=labels, answers=answers, allow_missing=allow_missing
    )
    _write(manifest, out)


@imports.command("mmaction2")
def import_mmaction2(
    videos: VideosFolder,
    lists: Annotated[list[Path], typer.Argument(help="train_list.txt, val_list.txt and so on.")],
    labels: Labels = None,
    out: OutManifest = Path("manifest.csv"),
    multilabel: Annotated[
        bool, typer.Option("--multilabel", help="All numbers of a line are labels.")
    ] = False,
    allow_missing: Missing = False,
) -> None:
    """Write the manifest of MMAction2's lists, of videos or of folders of frames."""
    from frameflow.data.importers.lists import import_lists

    manifest = import_lists(
        videos, lists, labels=labels, multilabel=multilabel, allow_missing=allow_missing
    )
    _write(manifest, out)


@imports.command("pytorchvideo")
def import_pytorchvideo(
    videos: VideosFolder,
    lists: Annotated[list[Path], typer.Argument(help="train.csv, val.csv: `path label` a line.")],
    labels: Labels = None,
    out: OutManifest = Path("manifest.csv"),
    allow_missing: Missing = False,
) -> None:
    """Write the manifest of PyTorchVideo's lists."""
    from frameflow.data.importers.lists import import_lists

    manifest = import_lists(
        videos, lists, labels=labels, raw_frames=False, allow_missing=allow_missing
    )
    _write(manifest, out)


@imports.command("table")
def import_table(
    videos: VideosFolder,
    table: Annotated[Path, typer.Argument(help="A CSV with a header; other names will do.")],
    labels: Labels = None,
    out: OutManifest = Path("manifest.csv"),
    allow_missing: Missing = False,
) -> None:
    """Write the manifest of a table of videos or folders of frames."""
    from frameflow.data.importers.tables import import_table as run_import

    _write(run_import(videos, table, labels=labels, allow_missing=allow_missing), out)


def _write(manifest: "Manifest", out: Path) -> None:
    manifest.write(out)
    if manifest.has_splits:
        print_counts(manifest, by="split", labels=False)
    typer.echo(f"Wrote {shown(out)}: {manifest.describe()}")
