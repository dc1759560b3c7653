"""Markdown that keeps its shape whatever the labels and names hold."""

import re
from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; cells are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", text)  # it ends the cell even inside code


def bullets(lines: Sequence[str]) -> str:
    """A list, one line each."""
    return "\n".join(f"- {line}" for line in lines)


def plain(text: str) -> str:
    """Text that Markdown and the HTML inside it leave alone; what stands between ` stays code."""
    parts = " ".join(text.split()).split("`")
    if len(parts) % 2 == 0:
        return _escaped("`".join(parts))
    return "`".join(part if place % 2 else _escaped(part) for place, part in enumerate(parts))


def _escaped(text: str) -> str:
    # An underscore inside a word, as in a file name, is no emphasis.
    return re.sub(r"[\\`*\[\]<>|#]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text)


def code(label: str) -> str:
    """A label as code, whatever it holds; a line's end is shown as a space."""
    text = " ".join(label.splitlines())
    fence = "`"
    while fence in text:
        fence += "`"
    return f"{fence}{text}{fence}" if fence == "`" else f"{fence} {text} {fence}"
