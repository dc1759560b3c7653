"""The script of docs/export.md runs without PyTorch, and says what `predict` says."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from frameflow.export.pipeline import export
from frameflow.inference.predictor import load
from frameflow.models.recognizer import Recognizer

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
# Only what the page names may be imported.
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "timm", "torchvision", "frameflow", "openvino"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
"""
KINDS = {
    "squash": ["streams.0.fit=squash"],
    "crop, views, dense": [
        "streams.0.fit=crop", "views.test=3", "sampling.strategy=dense", "sampling.stride=2",
    ],
    "two streams": [
        "streams=[{backbone: resnet10t, weights: none, size: 32, fit: squash}, "
        "{kind: difference, gap: 2, gain: 1.5, backbone: resnet10t, weights: none, size: 32}]",
    ],
    "several labels": ["multilabel=true", "head.name=average"],
}  # fmt: skip


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("kind", KINDS)
def test_the_script_says_what_predict_says(
    kind: str,
    recognizer: Callable[..., Recognizer],
    make_run: Callable[..., Path],
    tmp_path: Path,
) -> None:
    (script,) = re.findall(r"^```py\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    run = make_run(recognizer(*KINDS[kind]))
    export(run)
    clip = run.parent / "clips" / "13.mp4"
    (tmp_path / "script.py").write_text(BLOCKED + script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", run / "exports" / "onnx" / "model.onnx", clip],
        capture_output=True, text=True, encoding="utf-8", timeout=60,
        env={"PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = {label: float(share) for share, label in (line.split(" ", 1) for line in
                                                      done.stdout.splitlines())}  # fmt: skip
    expected = load(run, engine="torch").predict(str(clip))
    assert next(iter(said)) == expected.label
    found = np.array([said[label] for label in expected.labels])
    np.testing.assert_allclose(found, expected.probabilities, atol=2e-3)
