"""`frameflow data ...`: manifests made, split and checked."""

from pathlib import Path
from typing import Annotated

import typer

from frameflow.cli._common import AsJson, ManifestFile, print_json, print_table

Several = Annotated[
    bool, typer.Option("--multilabel", help="A label cell holds several, joined by |.")
]

app = typer.Typer(help="Make, split and check manifests.", no_args_is_help=True)
imports = typer.Typer(help="Manifests of known data sets.", no_args_is_help=True)
fetches = typer.Typer(help="Download known data sets.", no_args_is_help=True)
app.add_typer(imports, name="import")
app.add_typer(fetches, name="fetch")

Out = Annotated[Path, typer.Option("--out", "-o", help="The manifest to write.")]


@app.command()
def scan(
    folder: Annotated[Path, typer.Argument(help="A folder of class folders.")],
    out: Out = Path("manifest.csv"),
) -> None:
    """Write a manifest of a folder of class folders; what is no video is listed and left out."""
    from frameflow.data.scan import LEFT_OUT_TOLD, scan_folder

    found = scan_folder(folder)
    found.manifest.write(out)
    for path, reason in found.left_out[LEFT_OUT_TOLD:]:
        typer.echo(f"Left out: {path} ({reason})", err=True)
    typer.echo(f"Wrote {out}: {found.manifest.describe()}")


@app.command()
def split(
    manifest: ManifestFile,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Default: the manifest.")] = None,
    val: Annotated[float, typer.Option(help="The share of validation.")] = 0.15,
    test: Annotated[float, typer.Option(help="The share of test.")] = 0.2,
    folds: Annotated[int | None, typer.Option(help="Add a `fold` column instead.")] = None,
    seed: int = 0,
    multilabel: Several = False,
) -> None:
    """Split by group, stratified by label: no scene, actor or source stands on both sides."""
    from frameflow.data.labels import check_label_sets
    from frameflow.data.manifest import Manifest
    from frameflow.data.splits import add_folds, split_manifest

    samples = Manifest.read(manifest)
    if multilabel:
        check_label_sets(samples)
    if folds is None:
        done = split_manifest(samples, val=val, test=test, seed=seed, multilabel=multilabel)
    else:
        done = add_folds(samples, folds, seed=seed, multilabel=multilabel)
    target = out or manifest
    done.write(target)
    print_counts(done, by="split" if folds is None else "fold", multilabel=multilabel)
    typer.echo(f"Wrote {target}: {done.describe(multilabel=multilabel)}")


@app.command()
def groups(
    manifest: ManifestFile,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Default: the manifest.")] = None,
) -> None:
    """Write a `group` column found from what the clips show; known groups are kept whole."""
    from frameflow.audit.groups import find_groups
    from frameflow.data.manifest import Manifest

    done = find_groups(Manifest.read(manifest))
    target = out or manifest
    done.write(target)
    typer.echo(f"Wrote {target}: {done.describe()}")


@app.command()
def check(
    manifest: ManifestFile,
    workers: Annotated[int | None, typer.Option(help="Videos checked at once.")] = None,
    content: Annotated[
        bool, typer.Option(help="Look for clips of one scene on both sides of a split.")
    ] = True,
    multilabel: Several = False,
    as_json: AsJson = False,
) -> None:
    """Open every video, count labels, find leaks. Exit code 1 where something is wrong."""
    from frameflow.audit.health import check as run_check
    from frameflow.data.manifest import Manifest

    samples = Manifest.read(manifest, check_files=False)
    report = run_check(samples, workers=workers, content=content, multilabel=multilabel)
    if as_json:
        print_json(report.to_dict())
    else:
        for title, header, rows in report.tables():
            print_table(header, rows, title=title)
        for line in report.lines():
            typer.echo(line)
    if not report.ok:
        raise typer.Exit(1)


@imports.command("ucf101")
def import_ucf101(
    videos: Annotated[Path, typer.Argument(help="The folder UCF-101.")],
    annotations: Annotated[Path, typer.Option(help="The folder ucfTrainTestlist.")],
    fold: Annotated[int, typer.Option(min=1, max=3, help="Which official split.")] = 1,
    out: Out = Path("ucf101.csv"),
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


def print_counts(  # type: ignore[no-untyped-def]
    manifest, *, by: str, labels: bool = True, multilabel: bool = False
) -> None:
    """A table of clips per label and split or fold."""
    header, rows = manifest.counts(by, multilabel=multilabel)
    print_table(header, rows if labels else rows[-1:])
