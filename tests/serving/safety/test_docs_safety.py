"""docs/serve-safety.md says what the code does."""

import inspect
import os
import re
from dataclasses import fields
from pathlib import Path

import pytest

from frameflow.serving.limits import MIB, Limits

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "serve-safety.md"
TABLE = re.compile(r"(?<=<!-- limits -->\n).*?(?=<!-- /limits -->)", re.DOTALL)


def shown(name: str, value: float) -> str:
    if name in ("bytes_per_second", "field_bytes"):
        return f"{value:,} bytes"
    if "bytes" in name:
        return f"{value // MIB:,} MB"
    return f"{value:,g} s" if "seconds" in name else f"{value:,}"


def made() -> str:
    """The table of all limits, with the words of their own documentation."""
    text = inspect.getdoc(Limits) or ""
    attributes = text.split("Attributes:\n")[1].split("\n\n")[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", attributes, re.MULTILINE)
    said = {name: " ".join(words.split()).rstrip(".") for name, words in entries}
    values = {field.name: getattr(Limits(), field.name) for field in fields(Limits)}
    rows = [f"| `{name}` | {said[name]} | {shown(name, values[name])} |\n" for name in values]
    return "| limit | of what | default |\n|---|---|---|\n" + "".join(rows)


def test_the_table_is_that_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    if os.environ.get("FRAMEFLOW_WRITE_DOCS"):
        PAGE.write_text(TABLE.sub(made(), text), encoding="utf-8")
        text = PAGE.read_text(encoding="utf-8")
    found = TABLE.search(text)
    assert found is not None
    assert found[0] == made(), "FRAMEFLOW_WRITE_DOCS=1 pytest tests/serving/safety writes it"


def test_every_code_of_the_page_is_one() -> None:
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "src/frameflow/serving").glob("*.py")
    )
    rows = re.findall(r"^\| (\d{3}) \| (.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    codes = [(status, code) for status, row in rows for code in re.findall(r"`(\w+)`", row)]
    assert len(codes) > 12
    for status, code in codes:
        assert re.search(rf'{status},\s*"{code}"', source), (status, code)


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_every_limit_must_be_positive(name: str) -> None:
    with pytest.raises(Exception, match=f"{name} .0. must be > 0"):
        Limits(**{name: 0})
