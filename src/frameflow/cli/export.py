"""`frameflow export`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from frameflow.cli._common import AsJson, RunFolder, print_json, print_table


def export(
    run: RunFolder,
    form: Annotated[
        Literal["onnx", "openvino"], typer.Option("--format", help="Of the files.")
    ] = "onnx",
    int8: Annotated[
        bool, typer.Option("--int8", help="Also in 8 bits, calibrated on training clips.")
    ] = False,
    opset: Annotated[int | None, typer.Option(help="Of ONNX, 14 to 20; default: 17")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A folder; default: RUN/exports/FORMAT"),
    ] = None,
    calibrate_with: Annotated[
        int | None, typer.Option(help="Training clips for --int8; default: 32")
    ] = None,
    min_agreement: Annotated[
        float, typer.Option(help="Least share of held-out clips where --int8 keeps the top-1.")
    ] = 0.9,
    as_json: AsJson = False,
) -> None:
    """Write a run as files that need no PyTorch, once they were seen to agree with it."""
    from frameflow.export.pipeline import export as run_export

    about = run_export(
        run,
        form=form,
        quantise=int8,
        opset=opset,
        out=out,
        calibrate_with=calibrate_with,
        min_agreement=min_agreement,
    )
    if as_json:
        print_json(about)
        return
    for line in _lines(about):
        typer.echo(line)
    rows = [(name, f"{size / 1e6:.1f}") for name, size in about["files"].items()]
    typer.echo(f"Wrote {about['folder']}:")
    print_table(("file", "MB"), rows)


def _lines(about: dict[str, Any]) -> list[str]:
    found = about["agreement"]
    kind = "real" if found["real"] else "generated"
    time = f"{about['frames']} frames" if about["fixed_frames"] else "any number of frames"
    lines = [
        f"Agrees with the model on {found['clips']} {kind} clips: probabilities at most "
        f"{found['max_difference']:.1e} apart (allowed {found['most_difference']:g}), "
        f"same top-1 on all.",
        f"Takes any number of clips, of {time}.",
    ]
    if small := about.get("int8"):
        held = small["held_out"]
        lines.append(
            f"8 bits: same top-1 on {held['agreement']:.1%} of {held['clips']} {held['which']} "
            f"(needed {small['min_agreement']:.0%}); calibrated on {small['calibrated_on']}."
        )
        if test := small["test"]:
            lines.append(
                f"8 bits on {test['clips']} test clips: same top-1 on {test['same']:.1%}, accuracy "
                f"{test['accuracy_int8']:.3f} (float32: {test['accuracy_float32']:.3f})."
            )
    return lines


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)
