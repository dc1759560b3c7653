"""`frameflow data export`: manifests in the forms of other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from frameflow._places import shown
from frameflow.cli._common import ManifestFile

if TYPE_CHECKING:
    from frameflow.data.exporters._shared import VideoFacts

Form = Literal["csv", "fiftyone", "kinetics", "labelstudio", "mmaction2", "pytorchvideo"]


def register(app: typer.Typer) -> None:
    """Add the command to `frameflow data`."""
    app.command("export")(export)


def export(
    manifest: ManifestFile,
    form: Annotated[Form, typer.Option("--format", help="For which program.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file or folder to write.")],
    url: Annotated[
        str, typer.Option(help="labelstudio: what stands before a video's path.")
    ] = "/data/local-files/?d=",
    suggest: Annotated[
        bool, typer.Option("--suggest", help="labelstudio: labels are suggestions to be accepted.")
    ] = False,
    multilabel: Annotated[
        bool, typer.Option("--multilabel", help="A label cell holds several, joined by |.")
    ] = False,
) -> None:
    """Write a manifest for another program: CSV, FiftyOne, Label Studio, Kinetics and others."""
    from frameflow.data.exporters.fiftyone import export_fiftyone
    from frameflow.data.exporters.kinetics import export_kinetics
    from frameflow.data.exporters.label_studio import export_label_studio
    from frameflow.data.exporters.lists import export_lists
    from frameflow.data.manifest import Manifest

    samples = Manifest.read(manifest)
    typer.echo(f"Read {shown(manifest)}: {samples.describe(multilabel=multilabel)}", err=True)
    if form == "csv":
        samples.write(out)
        typer.echo(f"Wrote {out}.")
    elif form == "fiftyone":
        lines = export_fiftyone(samples, out, _facts)
        typer.echo(f"Wrote {out}. In Python, after `import fiftyone as fo`:")
        for line in lines:
            typer.echo(line)
    elif form == "kinetics":
        typer.echo(f"Wrote {export_kinetics(samples, out, _facts)}.")
    elif form == "labelstudio":
        written = export_label_studio(
            samples, out, _facts, url=url, predictions=suggest, multilabel=multilabel
        )
        typer.echo(f"Wrote {written[0]} and, the labelling interface, {written[1]}.")
    else:
        named = {"mmaction2": "MMAction2", "pytorchvideo": "PyTorchVideo"}[form]
        for path in export_lists(samples, out, form=named, multilabel=multilabel):
            typer.echo(f"Wrote {path}.")


def _facts(path: Path) -> "VideoFacts":
    from frameflow.data.exporters._shared import VideoFacts
    from frameflow.video.probe import probe

    info = probe(path)
    return VideoFacts(info.duration, info.rate)
