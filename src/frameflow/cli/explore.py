"""`frameflow data explore`, `next` and `label`: look at a data set, and mend it."""

from pathlib import Path
from typing import Annotated

import typer

from frameflow._places import shown
from frameflow.cli._common import EngineName, ManifestFile, Overrides, RecipeName


def register(app: typer.Typer) -> None:
    """Add the commands to ``frameflow data``."""
    app.command()(explore)
    app.command()(next)
    app.command()(label)


def explore(
    manifest: ManifestFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page.")] = Path("explore.html"),
    recipe: RecipeName = "default",
    overrides: Overrides = None,
    features: Annotated[
        bool, typer.Option(help="Compute features, for the map and the likely label errors.")
    ] = True,
    content: Annotated[bool, typer.Option(help="Look for clips that show one scene.")] = True,
    multilabel: Annotated[
        bool, typer.Option("--multilabel", help="A label cell holds several, joined by |.")
    ] = False,
    engine: EngineName = "auto",
) -> None:
    """Write a page of a data set (map, likely label errors, leaks) and DATASHEET.md beside it."""
    from frameflow.audit.explore import explore as run_explore
    from frameflow.config import load_recipe
    from frameflow.data.manifest import Manifest

    samples = Manifest.read(manifest, check_files=False)
    chosen = load_recipe(recipe, overrides or []) if features else None
    done = run_explore(samples, chosen, out, engine=engine, content=content, multilabel=multilabel)
    for line in done.lines():
        typer.echo(line)


def next(
    manifest: ManifestFile,
    count: Annotated[int, typer.Option(help="How many clips.")] = 20,
    run: Annotated[Path | None, typer.Option(help="A run that says what it is unsure of.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The manifest to write.")] = Path(
        "next.csv"
    ),
    html: Annotated[Path | None, typer.Option(help="A page with the clips.")] = None,
    recipe: RecipeName = "default",
    overrides: Overrides = None,
    engine: EngineName = "auto",
) -> None:
    """Say which clips without a label to label next: uncertain, and unlike each other."""
    from frameflow.audit.next import write_next
    from frameflow.data.manifest import Manifest

    samples = Manifest.read(manifest, check_files=False)
    done = write_next(
        samples, out, count=count, run=run, page=html, recipe=recipe, overrides=overrides or [],
        engine=engine,
    )  # fmt: skip
    for line in done.lines():
        typer.echo(line)


def label(
    manifest: ManifestFile,
    filled: Annotated[Path, typer.Argument(help="What `data next` wrote, with labels filled in.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Default: the manifest.")] = None,
) -> None:
    """Give unlabelled clips of a manifest the labels that another table has for them."""
    from frameflow.data.fill import fill_labels
    from frameflow.data.manifest import Manifest

    samples = Manifest.read(manifest, check_files=False)
    done, count = fill_labels(samples, Manifest.read(filled, check_files=False))
    target = out or manifest
    done.write(target)
    typer.echo(f"Wrote {shown(target)}: {count} more labels, {done.describe()}")
