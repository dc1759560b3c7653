"""`frameflow recipes`: list them, or print one."""

from typing import Annotated

import typer


def recipes(
    name: Annotated[str | None, typer.Argument(help="The recipe to print.")] = None,
) -> None:
    """List the recipes, or print one."""
    from frameflow.config import load_recipe, recipe_names, recipe_text

    if name is not None:
        typer.echo(recipe_text(name), nl=False)
        return
    names = recipe_names()
    width = max(map(len, names))
    for each in names:
        typer.echo(f"{each:<{width}}  {load_recipe(each).description}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(recipes)
