"""Every recipe that comes with the package describes a head that can be built."""

import pytest

from frameflow.config import load_recipe, recipe_names
from frameflow.models.heads import build_head


@pytest.mark.parametrize("name", recipe_names())
def test_recipe_names_itself_and_builds_its_head(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    build_head(
        recipe.head.name, dim=8, frames=recipe.sampling.frames, classes=3, **recipe.head.options
    )
