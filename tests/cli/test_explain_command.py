"""`frameflow explain`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_a_gif_is_written(frameflow: Callable[..., Any], small_run: Path, tmp_path: Path) -> None:
    clip = small_run.parent / "new_clip.mp4"
    out = tmp_path / "why.gif"
    said = frameflow("explain", small_run, clip, "--label", "serve", "-o", out)
    assert said.code == 0, said
    assert f"Wrote {out}: 4 frames." in said.out
    assert "serve 0." in said.out
    assert out.read_bytes().startswith(b"GIF8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new_clip.mp4", "--label", "servee"], "Did you mean 'serve'?"),
        (["new_clip.mp4", "-o", "why.txt"], "why.txt must end in one of .gif"),
        (["manifest.csv"], "manifest.csv"),
        (["gone.mp4"], "gone.mp4"),
    ],
)
def test_what_goes_wrong_is_said(
    frameflow: Callable[..., Any], small_run: Path, arguments: list[str], message: str
) -> None:
    clip, *options = arguments
    said = frameflow("explain", small_run, small_run.parent / clip, *options)
    assert said.code in (1, 2)
    assert message in said.error
