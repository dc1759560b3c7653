"""The recipe: read, overridden and checked; nothing that is written in it is ignored."""

from pathlib import Path

import pytest

from frameflow.config import Recipe, dump_recipe, load_recipe, recipe_names
from frameflow.errors import UsageError


@pytest.mark.parametrize("name", recipe_names())
def test_a_dumped_recipe_reads_as_itself(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(path) == recipe
    assert recipe.name == name
    assert recipe.description


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("train.epochs=3", lambda r: r.train.epochs == 3),
        ("train.lr=1e-4", lambda r: r.train.lr == 1e-4),  # YAML alone reads this as text
        ("train.patience=null", lambda r: r.train.patience is None),
        ("train.cache=off", lambda r: r.train.cache == "off"),  # YAML reads this as false
        ("train.cache=on", lambda r: r.train.cache == "on"),
        ("head={name: mean}", lambda r: r.head.name == "mean" and not r.head.options),
        ("head.hidden=64", lambda r: r.head.options["hidden"] == 64),
        ("streams.0.size=64", lambda r: r.streams[0].size == 64),
        (
            "streams=[{kind: rgb}, {kind: difference, gap: 2}]",
            lambda r: [s.kind for s in r.streams] == ["rgb", "difference"],
        ),
        ("sampling.spacing=0.2", lambda r: r.sampling.spacing == 0.2),
    ],
)
def test_overrides(override: str, found) -> None:
    assert found(load_recipe("frozen-gru", [override]))


def test_an_override_finds_what_the_file_leaves_to_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text("name: short\n", encoding="utf-8")
    recipe = load_recipe(path, ["streams.0.size=64", "train.epochs=2"])
    assert recipe.streams[0].size == 64
    assert recipe.train.epochs == 2
    assert load_recipe(path) == Recipe(name="short")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("trian: {}", "unknown key 'trian'. Did you mean 'train'"),
        ("train: {epoch: 3}", "unknown key 'train.epoch'. Did you mean 'epochs'"),
        ("streams: [{kind: sound}]", "streams.0.kind ('sound')"),
        ("streams: []", "streams"),
        ("train: {epochs: 0}", "train.epochs (0)"),
        ("split: {val: 0.5, test: 0.5}", "split.val (0.5) + split.test (0.5) must be < 1"),
        ("- a", "must hold `key: value` lines, not a list"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_faults_name_the_file_and_the_key(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_recipe(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.epochs", "must read key=value"),
        ("=3", "must read key=value"),
        ("train.epoch=3", "Did you mean 'epochs'"),
        ("streams.4.size=64", "the recipe has no place 'streams.4.size'"),
        ("streams.first.size=64", "the recipe has no place"),
        ("name.x=1", "the recipe has no place"),
        ("train.lr=fast", "train.lr ('fast')"),
    ],
)
def test_overrides_that_fit_nowhere(override: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("default", [override])
    assert says in str(caught.value)


def test_another_head_starts_from_its_own_options() -> None:
    recipe = load_recipe("default", ["head.hidden=32", "head.name=gru"])
    assert (recipe.head.name, recipe.head.options) == ("gru", {"hidden": 32})
    same = load_recipe("default", ["head.name=statistics"])
    assert same.head == load_recipe("default").head
