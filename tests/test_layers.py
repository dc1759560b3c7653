"""Imports point one way, and `--help` loads nothing heavy."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import frameflow

SOURCE = Path(frameflow.__file__).parent
LAYERS = (
    {"_places"},
    {"errors"},
    {"_overrides", "_sections"},
    {"progress", "config", "recipes", "_files", "_threads"},
    {"remote"},
    {"cluster"},
    {"data"},
    {"video"},
    {"models"},
    {"features"},
    {"pages"},
    {"evaluation", "audit"},
    {"inference"},
    {"training"},
    {"serving", "export", "tuning"},
    {"cli"},
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
HEAVY = ("torch", "torchvision", "timm", "matplotlib", "sklearn", "openvino", "onnxruntime", "ray")


def imported_layers(file: Path) -> Iterator[tuple[int, str]]:
    """(line, layer) for every import of our own, at the top or inside a function."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "frameflow":
            modules = [f"frameflow.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module]
        for module in modules:
            head, _, rest = module.partition(".")
            if head == "frameflow" and rest:
                yield node.lineno, rest.split(".")[0]


@pytest.mark.parametrize(
    "file",
    sorted(p for p in SOURCE.rglob("*.py") if p.parent != SOURCE or p.stem in LEVEL),
    ids=lambda p: str(p.relative_to(SOURCE)),
)
def test_imports_point_down(file: Path) -> None:
    own = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    assert own in LEVEL, f"{own} is not in the layout"
    for line, layer in imported_layers(file):
        if layer.startswith("__"):
            continue
        same = layer == own
        assert same or LEVEL[layer] < LEVEL[own], f"{file.name}:{line}: {own} imports {layer}"


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["recipes"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from frameflow.cli import main\n"
        f"sys.argv = ['frameflow', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "HEAVY []", result.stdout + result.stderr
