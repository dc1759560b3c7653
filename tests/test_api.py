"""The flat API: every name resolves, and the README's example is true."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import frameflow as ff

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("name", ff.__all__)
def test_every_name_resolves(name: str) -> None:
    found = getattr(ff, name)
    assert callable(found)
    assert found.__doc__, "a public name says what it is"
    assert found.__module__.startswith("frameflow.")


def test_names_are_listed() -> None:
    assert sorted(ff.__all__) == list(ff.__all__)
    assert set(ff.__all__) <= set(dir(ff))
    with pytest.raises(AttributeError, match="has no attribute 'predct'"):
        _ = ff.predct


def test_the_import_loads_nothing_heavy() -> None:
    script = (
        "import sys, frameflow; print([m for m in ('torch', 'numpy', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_the_readme_s_example(
    small_clips: Path, run_python: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert code
    monkeypatch.chdir(small_clips)
    top1, prediction = run_python(code[1]).splitlines()
    assert 0 <= float(top1) <= 1
    assert re.fullmatch(
        r"Prediction\('new_clip\.mp4': (serve|backhand) [\d.]+, (serve|backhand) [\d.]+\)",
        prediction,
    )


def test_predict_takes_files_folders_and_globs(
    small_clips: Path, small_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_clips)
    (small_clips / "zero.mp4").write_bytes(b"")
    found = ff.predict(
        small_run, ["new_clip.mp4", "VIDEOS/serve", "z*.mp4"], topk=1, engine="torch"
    )
    assert len(found) == 1 + 12 + 1
    assert isinstance(found[0], ff.Prediction)
    assert len(found[0].topk) == 1
    assert isinstance(found[-1], ff.VideoError)
    with pytest.raises(ff.UsageError, match="matches nothing"):
        ff.predict(small_run, "*.nope", engine="torch")


def test_errors_are_of_one_family() -> None:
    assert issubclass(ff.LeakError, ff.UsageError)
    assert issubclass(ff.UsageError, ff.FrameFlowError)
    assert issubclass(ff.VideoError, ff.FrameFlowError)
    error = ff.VideoError("a.mp4", "is empty (0 bytes)")
    assert (error.path, error.reason, str(error)) == (
        "a.mp4",
        "is empty (0 bytes)",
        "a.mp4: is empty (0 bytes)",
    )
