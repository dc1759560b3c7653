"""`frameflow bench`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from frameflow.cli._common import AsJson, RunFolder, print_json, print_table


def bench(
    run: RunFolder,
    video: Annotated[
        Path | None, typer.Option(help="What is decoded and computed; default: a generated clip.")
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="How often a clip is computed.")] = 20,
    exported: Annotated[
        Path | None, typer.Option("--export", help="An export; default: those of RUN/exports.")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Export in 8 bits too, where no export has them.")
    ] = False,
    accuracy: Annotated[bool, typer.Option(help="Score the test split, where it is here.")] = True,
    clips: Annotated[int | None, typer.Option(min=1, help="At most so many test clips.")] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option("--engine", help="onnxruntime or openvino: only this, beside torch."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare engines and precisions on this machine: speed, memory, size and accuracy."""
    from frameflow.export.bench import bench as run_bench

    found = run_bench(
        run,
        video=video,
        repeat=repeat,
        exported=exported,
        int8=int8,
        accuracy=accuracy,
        clips=clips,
        engines=engine or (),
    )
    if as_json:
        print_json(found)
        return
    header = ["engine", "precision", "median ms", "95th ms", "clips/s", "peak MB", "file MB"]
    if found["test_clips"]:
        header += ["accuracy", "as torch"]
    machine = f"{found['machine']}, {found['cores']} cores"
    rows = [_cells(row, scored=bool(found["test_clips"])) for row in found["rows"]]
    print_table(header, rows, title=machine)
    for line in _notes(found):
        typer.echo(line)


def _cells(row: dict[str, Any], *, scored: bool) -> list[str]:
    cells = [row["engine"], row["precision"]]
    if row["error"]:
        return [*cells, *["-"] * (7 if scored else 5)]
    cells += [f"{1000 * row[name]:.1f}" for name in ("median_seconds", "p95_seconds")]
    cells += [f"{row['clips_per_second']:.2f}", f"{row['peak_bytes'] / 1e6:.0f}"]
    cells.append(f"{row['file_bytes'] / 1e6:.1f}")
    if scored:
        cells += [f"{row['accuracy']:.3f}", f"{row['agreement']:.1%}"]
    return cells


def _notes(found: dict[str, Any]) -> list[str]:
    lines = [f"Latency: {found['clip']}, one clip from frames to probabilities, without decoding."]
    if found["decode_seconds"]:
        seconds = sorted(found["decode_seconds"])[len(found["decode_seconds"]) // 2]
        lines.append(f"Decoding it takes {1000 * seconds:.1f} ms besides (median).")
    if found["test_clips"]:
        lines.append(
            f"Accuracy and share of torch's own top-1: {found['test_clips']} clips of the test "
            f"split."
        )
    lines += [f"{row['engine']} {row['precision']}: {row['error']}" for row in found["rows"]
              if row["error"]]  # fmt: skip
    return lines + [f"Note: {note}." for note in found["notes"]]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)
