"""`frameflow predict` and `frameflow features`."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

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
from frameflow.errors import listing

if TYPE_CHECKING:
    from frameflow.inference.predictor import Prediction

NONE = "none of these"
MOST = 5  # labels of a set that are named


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
    from frameflow.inference.predictor import expand_paths, load
    from frameflow.inference.results import write_csv
    from frameflow.progress import progress

    paths = expand_paths(videos)
    predictor = load(run, engine=engine, views=views)
    results = []
    with progress("Predicting", total=len(paths), unit="videos") as advance:
        for result in predictor.stream(paths, topk=topk):
            if isinstance(result, VideoError):
                typer.echo(f"{result.path}: {result.reason}", err=True)
            results.append(result)
            advance()
    predicted = [result for result in results if not isinstance(result, VideoError)]
    failed = len(results) - len(predicted)
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
        typer.echo(f"Wrote {csv}: {len(predicted)} predicted, {failed} failed.", err=True)
    if not as_json and csv is None:
        _print(predicted)
    if failed:
        raise typer.Exit(1)


def _print(predicted: "list[Prediction]") -> None:
    """One video: a row for each label. Several: a row for each video."""
    if len(predicted) == 1:
        _print_one(predicted[0])
    elif predicted and predicted[0].multilabel:
        sets = [(each.video, _present(each), _shares(each.topk)) for each in predicted]
        print_table(("video", "present", "probabilities"), sets)
    elif predicted:
        header: tuple[str, ...] = ("video", "label", "probability", "or")
        rows: list[tuple[object, ...]] = [
            (each.video, _answer(each), each.probability, _shares(each.topk[1:]))
            for each in predicted
        ]
        if any(each.set is not None for each in predicted):
            header += ("set",)
            rows = [(*row, _set(each)) for row, each in zip(rows, predicted)]
        print_table(header, rows)


def _print_one(one: "Prediction") -> None:
    header: tuple[str, ...] = ("label", "probability")
    rows: list[tuple[object, ...]] = list(one.topk)
    if one.multilabel:
        present = set(one.present)
        header += ("present",)
        rows = [(label, share, "yes" if label in present else "no") for label, share in one.topk]
    elif one.set is not None:
        header += ("in the set",)
        rows = [(label, share, "yes" if label in one.set else "no") for label, share in one.topk]
    print_table(header, rows, title=one.video)
    if one.abstained:
        typer.echo(f"{NONE}: no label is likely enough to be answered.")


def _answer(prediction: "Prediction") -> str:
    return f"{NONE} ({prediction.label})" if prediction.abstained else prediction.label


def _set(prediction: "Prediction") -> str:
    labels = prediction.set or ()
    if len(labels) == len(prediction.labels) > MOST:
        return f"any of {len(labels)}"
    return listing(labels, most=MOST)


def _present(prediction: "Prediction") -> str:
    return ", ".join(prediction.present) or "none"


def _shares(ranked: list[tuple[str, float]]) -> str:
    return ", ".join(f"{label} {share:.3f}" for label, share in ranked)


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
    found = extract(samples, chosen, purpose="train", engine=engine)
    extract(samples.replace(found.samples), chosen, purpose="test", engine=engine)
    typer.echo(f"Stored {len(found.samples)} samples, {found.frames} x {found.dim} each.")
    if found.bad:
        check = f"frameflow data check {quote(str(manifest))}"
        typer.echo(f"Set aside {len(found.bad)}: `{check}` says why.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(predict)
    app.command()(features)
