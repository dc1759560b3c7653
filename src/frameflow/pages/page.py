"""From a template to one HTML file: the styles are inside, nothing is fetched."""

from importlib import resources
from typing import Any


def render_page(template: str, **values: Any) -> str:
    """A page as text.

    Args:
        template: a file of ``pages/templates``; it extends ``base.html.j2``, which brings the
            styles (light, dark, narrow, print) and the macros of ``strips.html.j2``.
        **values: what the template names; one that is missing is an error. Text is escaped; SVG
            from `frameflow.pages.plots` is passed as `markup`.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(_template),
    )
    return environment.get_template(template).render(style=markup(_template("page.css")), **values)


def markup(text: str) -> Any:
    """Text that is HTML already and is not to be escaped."""
    from markupsafe import Markup

    return Markup(text)


def _template(name: str) -> str:
    return (resources.files("frameflow.pages") / "templates" / name).read_text("utf-8")
