"""`frameflow features`."""

from contextlib import nullcontext
from shlex import quote
from typing import Annotated

import typer

from frameflow.cli._common import (
    Address,
    EngineName,
    ManifestFile,
    Overrides,
    RecipeName,
    RunnerName,
    Workers,
)


def features(
    manifest: ManifestFile,
    recipe: RecipeName = "default",
    backbone: Annotated[str | None, typer.Option(help="Instead of the recipe's.")] = None,
    overrides: Overrides = None,
    engine: EngineName = "auto",
    store: Annotated[
        str | None, typer.Option(help="A folder or a URL; default: FRAMEFLOW_STORE, or one's own.")
    ] = None,
    runner: RunnerName = "local",
    address: Address = None,
    workers: Workers = None,
) -> None:
    """Compute and store the features of a manifest, so that training starts at once."""
    from frameflow.cluster import cluster_of, connected
    from frameflow.config import load_recipe
    from frameflow.data.manifest import Manifest
    from frameflow.features.extract import extract

    cluster = cluster_of(runner, address, workers)
    changes = list(overrides or ())
    if backbone is not None:
        changes.append(f"streams.0.backbone={backbone}")
    chosen = load_recipe(recipe, changes)
    samples = Manifest.read(manifest, check_files=False)
    with connected(cluster) if cluster else nullcontext():
        found = extract(
            samples, chosen, purpose="train", engine=engine, store=store, cluster=cluster
        )
        readable = samples.replace(found.samples)
        extract(readable, chosen, purpose="test", engine=engine, store=store, cluster=cluster)
    typer.echo(f"Stored {len(found.samples)} samples, {found.frames} x {found.dim} each.")
    if found.bad:
        check = f"frameflow data check {quote(str(manifest))}"
        typer.echo(f"Set aside {len(found.bad)}: `{check}` says why.")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(features)
