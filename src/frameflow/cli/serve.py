"""`frameflow serve`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from frameflow.cli._common import EngineName
from frameflow.errors import UsageError
from frameflow.serving.limits import MIB, Limits

_LIMITS = Limits()


def serve(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of runs; the first is the default.")
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="NAME=RUN: serve a run under a name of its own. Repeatable."),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="FRAMEFLOW_TOKEN", show_envvar=True, help="What clients must send as a bearer."
        ),
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Let whoever reaches the address in.")
    ] = False,
    allow_paths: Annotated[
        Path | None,
        typer.Option("--allow-paths", help="Let clients name videos below this folder by path."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="Another name it is reached under. Repeatable."),
    ] = None,
    samples: Annotated[
        Path | None, typer.Option("--samples", help="Videos that the page offers.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that decode.")] = 3,
    queue: Annotated[int, typer.Option(min=1, help="Requests in hand at once.")] = 32,
    jobs: Annotated[int, typer.Option(min=1, help="Timelines that wait.")] = 8,
    ttl: Annotated[
        float, typer.Option(min=1, help="Seconds that uploads and results are kept unused.")
    ] = 900.0,
    views: Annotated[int | None, typer.Option(min=1, help="Clips averaged per video.")] = None,
    engine: EngineName = "auto",
    batch: Annotated[
        int, typer.Option(min=1, help="Requests computed together at most; 1: each by itself.")
    ] = 8,
    max_mb: Annotated[int, typer.Option(min=1, help="MB of an upload.")] = _LIMITS.bytes // MIB,
    max_seconds: Annotated[
        float, typer.Option(min=1, help="Seconds of a video.")
    ] = _LIMITS.seconds_of_video,
    max_frames: Annotated[int, typer.Option(min=1, help="Frames of a video.")] = _LIMITS.frames,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Width times height of a frame.")
    ] = _LIMITS.pixels_of_frame,
    decode_seconds: Annotated[
        float, typer.Option(min=1, help="Seconds that reading one clip may take.")
    ] = _LIMITS.decode_seconds,
    worker_mb: Annotated[
        int, typer.Option(min=1, help="MB that a decoding process may take beyond its start.")
    ] = _LIMITS.memory_bytes // MIB,
    disk_mb: Annotated[
        int, typer.Option(min=1, help="MB of all uploads and previews together.")
    ] = _LIMITS.quota_bytes // MIB,
) -> None:
    """Serve runs: an HTTP API and a page to try them.

    Without --host only this machine reaches it. At any other address clients need a token.
    """
    from frameflow.serving.server import serve as run_server
    from frameflow.serving.settings import Settings

    limits = Limits(
        bytes=max_mb * MIB,
        seconds_of_video=max_seconds,
        frames=max_frames,
        pixels_of_frame=max_pixels,
        decode_seconds=decode_seconds,
        memory_bytes=worker_mb * MIB,
        quota_bytes=disk_mb * MIB,
    )
    settings = Settings(
        host=host,
        port=port,
        token=None if no_token else token or None,
        allow_paths=allow_paths,
        samples=samples,
        hosts=tuple(allow_host or ()),
        workers=workers,
        queue=queue,
        jobs=jobs,
        ttl=ttl,
        views=views,
        engine=engine,
        batch=batch,
        limits=limits,
    )
    if settings.token is None and not settings.local and not no_token:
        raise UsageError(
            f"Others can reach {host}, so clients need a token: set FRAMEFLOW_TOKEN, or say "
            "--no-token to let everyone in."
        )
    os.environ.pop("FRAMEFLOW_TOKEN", None)  # nothing that is started from here needs it
    named = [_named(text) for text in name or ()]
    folders = [(None, run) for run in runs or () if run not in {path for _, path in named}]
    run_server([*folders, *named], settings, started=_say)


def _named(text: str) -> tuple[str, Path]:
    """``NAME=RUN``."""
    name, equals, folder = text.partition("=")
    if not (equals and name.strip() and folder):
        raise UsageError(f"--name {text!r} must be NAME=RUN, the folder of a run and its name.")
    return name.strip(), Path(folder)


def _say(address: str) -> None:
    typer.echo(f"Serving at {address} (Ctrl-C stops).", err=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)
