"""`frameflow data ...`: manifests made, split and checked."""

from pathlib import Path
from typing import Annotated

import typer

from frameflow._places import shown
from frameflow.cli import (
    data_exports,
    data_extract,
    data_frames,
    data_imports,
    data_labels,
    explore,
)
from frameflow.cli._common import (
    Address,
    AsJson,
    ManifestFile,
    OutManifest,
    RunnerName,
    print_counts,
    print_json,
    print_table,
)

Several = Annotated[
    bool, typer.Option("--multilabel", help="A label cell holds several, joined by |.")
]

app = typer.Typer(help="Make, split and check manifests.", no_args_is_help=True)
data_frames.register(data_imports.imports)
app.add_typer(data_imports.imports, name="import")
app.add_typer(data_imports.fetches, name="fetch")


@app.command()
def scan(
    folder: Annotated[Path, typer.Argument(help="A folder of class folders.")],
    out: OutManifest = Path("manifest.csv"),
) -> None:
    """Write a manifest of a folder of class folders; what is no video is listed and left out."""
    from frameflow.data.scan import LEFT_OUT_TOLD, scan_folder

    found = scan_folder(folder)
    found.manifest.write(out)
    for path, reason in found.left_out[LEFT_OUT_TOLD:]:
        typer.echo(f"Left out: {path} ({reason})", err=True)
    typer.echo(f"Wrote {shown(out)}: {found.manifest.describe()}")


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
    typer.echo(f"Wrote {shown(target)}: {done.describe(multilabel=multilabel)}")


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
    typer.echo(f"Wrote {shown(target)}: {done.describe()}")


@app.command()
def check(
    manifest: ManifestFile,
    workers: Annotated[
        int | None, typer.Option(help="Videos checked at once; with --runner ray: processes.")
    ] = None,
    content: Annotated[
        bool, typer.Option(help="Look for clips of one scene on both sides of a split.")
    ] = True,
    multilabel: Several = False,
    labels: Annotated[
        bool, typer.Option("--labels", help="Only: do labels and frames belong together?")
    ] = False,
    as_json: AsJson = False,
    runner: RunnerName = "local",
    address: Address = None,
) -> None:
    """Open every video, count labels, find leaks. Exit code 1 where something is wrong."""
    from frameflow.audit.frame_labels import FrameLabelReport, check_labels
    from frameflow.audit.health import HealthReport
    from frameflow.audit.health import check as run_check
    from frameflow.cluster import cluster_of
    from frameflow.data.manifest import Manifest
    from frameflow.errors import UsageError

    report: HealthReport | FrameLabelReport
    cluster = cluster_of(runner, address, workers if runner == "ray" else None)
    if labels and cluster is not None:
        raise UsageError("--labels looks in this process: leave --runner ray away.")
    if labels:
        report = check_labels(manifest)
    else:
        samples = Manifest.read(manifest, check_files=False)
        threads = workers if cluster is None else None
        report = run_check(
            samples, workers=threads, content=content, multilabel=multilabel, cluster=cluster
        )
    if as_json:
        print_json(report.to_dict())
    else:
        for title, header, rows in report.tables():
            print_table(header, rows, title=title)
        for line in report.lines():
            typer.echo(line)
    if not report.ok:
        raise typer.Exit(1)


data_extract.register(app)
data_exports.register(app)
data_labels.register(app)
explore.register(app)
