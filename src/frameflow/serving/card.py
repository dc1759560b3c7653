"""A run's model card as a page: Markdown without any HTML of its own."""

import re
from html import escape
from typing import Any

CARD_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
# The report has its script and styles inside. The sandbox gives it an origin of its own: it
# reaches neither the page's token nor the API.
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; img-src data:; media-src data:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 52rem; margin: 1.5rem auto;
  padding: 0 1rem; overflow-wrap: break-word; }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1rem 0; }
th, td { border: 1px solid color-mix(in srgb, currentColor 25%, transparent);
  padding: .3rem .6rem; text-align: left; vertical-align: top; }
pre, code { font-family: ui-monospace, monospace; font-size: .92em; }
pre { overflow-x: auto; padding: .75rem;
  background: color-mix(in srgb, currentColor 7%, transparent); }
h1, h2, h3 { line-height: 1.25; }
"""


def card_page(markdown: str, title: str) -> str:
    """A whole HTML page of a model card.

    HTML in the text is shown as text, links to anything but web pages and pictures from anywhere
    are left as text too: the card may come from someone else's run.

    Args:
        markdown: the card, with or without front matter.
        title: of the page.
    """
    body = _renderer().render(_FRONT.sub("", markdown))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>"
    )


def _renderer() -> Any:
    from markdown_it import MarkdownIt

    renderer = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    renderer.validateLink = _is_web  # type: ignore[method-assign]
    return renderer


def _is_web(url: str) -> bool:
    return re.match(r"(https?://|#)", url) is not None
