"""The documentation is true: its commands run, what it shows of their output is printed, its tables
are those of the code.

In a block marked ``console`` each line that begins with ``$ `` is run in a folder with small
clips, and each other line is part of what the commands above it print, with ``...`` for anything.
A comment ``# exit code 2`` says what the command ends with where that is not 0. Training is made
short by further options that are not shown.

``FRAMEFLOW_WRITE_DOCS=1 pytest tests/test_docs.py`` writes the tables of docs/recipes.md anew.
"""

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import frameflow as ff
from frameflow.config import Recipe

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
TRAINING = {"train", "crossval", "features", "ablate", "tune"}
FEW = ["--seeds", "1", "--folds", "2", "--set", "train.epochs=1"]  # for an ablation, a search
USING = {"ensemble", "evaluate", "live", "predict", "timeline"}
QUOTE = chr(34)
WORDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true`, `false`",
    "null": "`null`",
}
LIMITS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}

# Files that docs/data-tools.md names: timestamps of a clip, and labels of its frames.
TEXTS = {
    "new_clip.txt": "00:00:00 - 00:00:00.5 serve\n0:00.5 - 0:01 backhand\n",
    "wrong.txt": "new_clip.mp4\n0.8 - 0.4 serve\n0:05 - 0:06 serve\n",
    "gaps.csv": "video,frame,label\n"
    + "".join(f"new_clip.mp4,{frame},serve\n" for frame in (0, 1, 2, 2, 99)),
}


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a language; '' for those without one."""
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def table(path: Path, name: str) -> str:
    """What stands between ``<!-- name -->`` and ``<!-- /name -->``."""
    found = re.search(
        rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", path.read_text(encoding="utf-8"), re.DOTALL
    )
    assert found, f"{path.name} has no table {name}"
    return found[1]


def first_cells(rows: str) -> list[str]:
    """The names in backquotes in the first column."""
    lines = [line.split("|")[1] for line in rows.splitlines()[2:]]
    return [name for line in lines for name in re.findall(r"`(.*?)`", line)]


# Commands ------------------------------------------------------------------------------------


@pytest.fixture
def folder(small_clips: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small clips, and the other files that the pages name."""
    for number, path in enumerate(sorted((small_clips / "VIDEOS").glob("*/*.mp4"))):
        target = small_clips / "SPLIT_BY_CLIP" / ("test" if number % 2 else "train")
        (target / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target / path.parent.name)
    (small_clips / "manifest.csv").unlink()
    (small_clips / "faulty.csv").write_text(
        "video,label,split\nVIDEOS/serve/00.mp4,serve,train\nVIDEOS/serve/01.mp4,serve,trian\n"
    )
    for name, text in TEXTS.items():
        (small_clips / name).write_text(text)
    monkeypatch.chdir(small_clips)
    return small_clips


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_commands_run(page: Path, frameflow: Callable[..., Any], fast: list[str]) -> None:
    for block in blocks(page, "console"):
        printed = ""
        for line in block.splitlines():
            if not line.startswith("$ "):
                pattern = ".*".join(map(re.escape, line.split("...")))
                assert re.search(f"^{pattern}", printed, re.MULTILINE), f"{line!r} not in {printed}"
                continue
            words = shlex.split(line[2:], comments=True)
            assert words.pop(0) == "frameflow", line
            target = words.pop() if ">" in words else None
            if target:
                words.remove(">")
            if words[0] in TRAINING and "--resume" not in words:
                few = FEW if words[0] in ("ablate", "tune") else []
                words = [words[0], *fast, *few, *words[1:]]  # before, so that what is shown wins
            elif words[0] in USING:
                words += ["--engine", "torch"]
            said = frameflow(*words)
            code = re.search(r"# exit code (\d)", line)
            assert said.code == (int(code[1]) if code else 0), f"{line}\n{said.err}"
            if target:
                Path(target).write_text(said.out, encoding="utf-8")
            printed += said.out + said.err


def commands_of(text: str) -> Iterator[list[str]]:
    for line in text.replace("\\\n", " ").splitlines():  # a backslash goes on in the next line
        if line.startswith("frameflow "):
            yield shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS], ids=lambda page: page.stem
)
def test_every_command_named_exists_with_its_options(page: Path) -> None:
    from typer.main import get_command

    from frameflow.cli import build_app

    text = page.read_text(encoding="utf-8")
    lines = [words for block in blocks(page, "") for words in commands_of(block)]
    lines += [
        shlex.split(span)[1:]
        for span in re.findall(r"`(frameflow [^`]*)`", re.sub(r"(?s)^```.*?^```", "", text))
    ]
    if page.name == "README.md":
        assert len(lines) > 12, "the README shows commands"
    for words in lines:
        command: Any = get_command(build_app())
        while words and getattr(command, "commands", {}).get(words[0]):
            command, words = command.commands[words[0]], words[1:]
        assert not (getattr(command, "commands", None) and words[:1] not in ([], ["--help"])), words
        known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= known | {"--help"}, f"{page.name}: {used - known} of {command.name}"


def test_the_readme_names_every_command() -> None:
    from typer.main import get_command

    from frameflow.cli import build_app

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    top: Any = get_command(build_app())
    named = [name for name in top.commands if name not in ("data", "demo", "features")]
    named += [f"data {name}" for name in top.commands["data"].commands]
    missing = [name for name in named if f"frameflow {name}" not in text]
    assert not missing


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


# Python --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "page", [page for page in DOCS if blocks(page, "python")], ids=lambda page: page.stem
)
def test_python_runs(page: Path, run_python: Callable[[str], str]) -> None:
    for code in blocks(page, "python"):
        assert run_python(code), "it prints something"


def test_python_names_are_the_public_ones() -> None:
    rows = table(ROOT / "docs" / "python.md", "names")
    names = [row.split("`")[1] for row in rows.splitlines()[2:]]
    assert sorted(names) == sorted(ff.__all__)
    for row in rows.splitlines()[2:]:  # `Run`: `.metrics` and the like exist
        for attribute in re.findall(r"`\.(\w+)", row):
            owner = getattr(ff, row.split("`")[1])
            fields = {*dir(owner), *getattr(owner, "__annotations__", {})}
            assert attribute in fields or owner is ff.VideoError, (owner, attribute)


# Tables --------------------------------------------------------------------------------------


def test_the_files_of_a_run_are_those_it_has(small_run: Path) -> None:
    page = ROOT / "docs" / "run-folder.md"
    assert sorted(first_cells(table(page, "files"))) == sorted(
        path.name for path in small_run.iterdir()
    )


def test_the_columns_of_a_manifest_are_those_it_knows() -> None:
    from frameflow.data._parse import KNOWN

    page = ROOT / "docs" / "manifest.md"
    rows = table(page, "columns").splitlines()[2:]
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(names) == sorted(KNOWN)


def schema_rows(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, ...]]:
    """Key, values, default and description of every key, from the schema of a model."""
    definitions = Recipe.model_json_schema()["$defs"]
    for name, field in node["properties"].items():
        inner = field.get("items", field)
        if "$ref" in inner:
            place = f"{prefix}{name}." + ("N." if "items" in field else "")
            yield from schema_rows(definitions[inner["$ref"].rsplit("/", 1)[1]], place)
            continue
        default = field.get("default")
        shown = "" if default == "" else f"`{json.dumps(default).strip(QUOTE)}`"
        values = " or ".join(_values(kind) for kind in field.get("anyOf", [field]))
        said = field.get("description", "").replace("|", "\\|")  # else it ends the cell
        yield f"`{prefix}{name}`", values, shown, said


def _values(kind: dict[str, Any]) -> str:
    """What a key may be, in words."""
    if "enum" in kind:
        return ", ".join(f"`{value}`" for value in kind["enum"])
    if "$ref" in kind:  # a section within a key
        return f"as `{kind['$ref'].rpartition('/')[2].lower()}`"
    if kind["type"] == "array":
        pairs = "pairs of " if "prefixItems" in kind["items"] else ""
        return f"list of {pairs}{_values(kind['items'].get('prefixItems', [kind['items']])[0])}"
    said = WORDS[kind["type"]]
    limits = [f"{sign} {kind[key]:g}" for key, sign in LIMITS.items() if key in kind]
    return f"{said} {' and '.join(limits)}".strip()


def render(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def recipes_rows() -> list[tuple[str, ...]]:
    from frameflow.config import load_recipe, recipe_names

    recipes = [load_recipe(name) for name in recipe_names()]
    return [(f"`{recipe.name}`", recipe.way, recipe.description) for recipe in recipes]


def clips_rows() -> list[tuple[str, ...]]:
    from frameflow.models.clips import clip_model_names
    from frameflow.models.clips.backbone import _variant

    rows = []
    for name in clip_model_names():
        _, variant = _variant(name)
        pools = ", ".join(f"`{pool}`" for pool in variant.pools)
        rows.append((f"`{name}`", f"{variant.frames} x {variant.size} px", pools))
    return rows


def heads_rows() -> list[tuple[str, ...]]:
    from frameflow.models.heads import build_head, head_names, head_options

    rows = []
    for name in head_names():
        options = ", ".join(f"`{key}: {_yaml(value)}`" for key, value in head_options(name).items())
        head = type(build_head(name, dim=4, frames=4, classes=2))
        first = " ".join((head.__doc__ or "").split("\n\n")[0].split())
        rows.append((f"`{name}`", first.partition(" Options: ")[0], options, head.paper))
    return rows


def _yaml(value: object) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(list(value)) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "schema",
            lambda: render(
                ("key", "values", "default", "what it is"),
                [*schema_rows(Recipe.model_json_schema())],
            ),
        ),
        ("recipes", lambda: render(("recipe", "way", "what it is"), recipes_rows())),
        ("clips", lambda: render(("model", "published with", "pool"), clips_rows())),
        ("heads", lambda: render(("head", "what it does", "options", "paper"), heads_rows())),
    ],
)
def test_tables_of_recipes_are_those_of_the_code(name: str, expected: Callable[[], str]) -> None:
    page = ROOT / "docs" / "recipes.md"
    made = expected()
    if os.environ.get("FRAMEFLOW_WRITE_DOCS"):
        text = page.read_text(encoding="utf-8").replace(
            f"<!-- {name} -->\n{table(page, name)}", f"<!-- {name} -->\n{made}"
        )
        page.write_text(text, encoding="utf-8")
    assert table(page, name) == made, "FRAMEFLOW_WRITE_DOCS=1 pytest tests/test_docs.py writes it"


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_recipes_in_the_docs_are_recipes(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(page, "yaml")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text, encoding="utf-8")
        assert ff.load_recipe(path)
