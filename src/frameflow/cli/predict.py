"""`frameflow predict` and `frameflow features`."""

from pathlib import Path
from typing import Annotated

import typer

from frameflow.cli._common import (
    AsJson,
    EngineName,
    ManifestFile,
    Overrides,
    RecipeName,
    RunFolder,
    print_json,
    print_table,
)


def predict(
    run: RunFolder,
    videos: Annotated[list[str], typer.Argument(help="Videos, folders or globs.")],
    topk: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 5,
    views: Annotated[int | None, typer.Option(min=1, help="Clips averaged per video.")] = None,
    engine: EngineName = "auto",
    as_json: AsJson = False,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write a table to this file.")] = None,
) -> None:
    """Say what happens in videos. Exit code 1 where one of them could not be read."""
    from frameflow.errors import VideoError
    from frameflow.inference.predictor import expand_paths, load, write_csv

    paths = expand_paths(videos)
    predictor = load(run, engine=engine, views=views)
    results = []
    failed = 0
    for path, result in zip(paths, predictor.stream(paths, topk=topk), strict=True):
        if isinstance(result, VideoError):
            failed += 1
            typer.echo(f"{path}: {result.reason}", err=True)
        elif not as_json and csv is None:
            rows = [(label, share) for label, share in result.topk]
            print_table(("label", "probability"), rows, title=str(path))
        results.append(result)
    if as_json:
        print_json(
            [
                {"video": result.path, "error": result.reason}
                if isinstance(result, VideoError)
                else result.to_dict()
                for result in results
            ]
        )
    if csv is not None:
        write_csv(csv, results)
        typer.echo(f"Wrote {csv}: {len(results) - failed} predicted, {failed} failed.", err=True)
    if failed:
        raise typer.Exit(1)


def features(
    manifest: ManifestFile,
    recipe: RecipeName = "default",
    backbone: Annotated[str | None, typer.Option(help="Instead of the recipe's.")] = None,
    overrides: Overrides = None,
    engine: EngineName = "auto",
) -> None:
    """Compute and store the features of a manifest, so that training starts at once."""
    from frameflow.config import load_recipe
    from frameflow.data.manifest import Manifest
    from frameflow.features.extract import extract

    changes = list(overrides or ())
    if backbone is not None:
        changes.append(f"streams.0.backbone={backbone}")
    chosen = load_recipe(recipe, changes)
    samples = Manifest.read(manifest, check_files=False)
    for purpose in ("train", "test"):
        found = extract(samples, chosen, purpose=purpose, engine=engine)
    for bad in found.bad:
        typer.echo(f"Set aside: {bad.video} (row {bad.row}): {bad.reason}", err=True)
    typer.echo(f"Stored {len(found.samples)} samples, {found.frames} x {found.dim} each.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(predict)
    app.command()(features)
