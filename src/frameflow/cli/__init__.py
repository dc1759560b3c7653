"""The command line: each module parses, calls and prints, and holds no logic."""

import sys
from typing import Annotated

import typer

from frameflow import __version__
from frameflow.cli._common import forgive_encodings, run_app, show_steps

HELP = """Give it a folder of labelled clips: it trains, honestly evaluates, explains and serves an
action recognizer.

Start with `frameflow demo`, or with your own: `frameflow train VIDEOS/`, where VIDEOS holds one
folder of clips per class."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"frameflow {__version__}")
        raise typer.Exit


def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and details.")] = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    show_steps(debug=debug)


def build_app() -> typer.Typer:
    """The whole command tree."""
    from frameflow.cli import (
        bench,
        compare,
        data,
        ensemble,
        explain,
        export,
        features,
        live,
        predict,
        recipes,
        report,
        serve,
        timeline,
        train,
        tune,
    )

    app = typer.Typer(
        help=HELP,
        callback=_options,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    train.register(app)
    predict.register(app)
    features.register(app)
    timeline.register(app)
    live.register(app)
    explain.register(app)
    compare.register(app)
    ensemble.register(app)
    tune.register(app)
    report.register(app)
    recipes.register(app)
    export.register(app)
    bench.register(app)
    serve.register(app)
    app.add_typer(data.app, name="data")
    return app


def main() -> None:
    """The entry point ``frameflow``."""
    forgive_encodings()
    # Read here too: an error is reported after the parser has let go of the option.
    run_app(build_app(), debug="--debug" in sys.argv[1:])
