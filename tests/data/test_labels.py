"""Choosing labels, and cells that hold several."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameflow.data.labels import check_label_sets, join_labels, label_matrix, select_classes
from frameflow.data.manifest import Manifest, ManifestError, Sample
from frameflow.errors import UsageError

NAMES = st.text("abc /-", min_size=1, max_size=5).map(str.strip).filter(bool)

SELECTIONS = {
    "1": ["a"],
    "2": ["a", "b, c"],
    "7": ["7"],
    "d,a": ["a", "d"],
    "b, c": ["b, c"],
    '"b, c", d': ["b, c", "d"],
}


@pytest.mark.parametrize("spec", SELECTIONS)
def test_select_classes(spec: str) -> None:
    labels = ["d", "a", "b, c", ""] + (["7"] if spec == "7" else [])
    manifest = Manifest([Sample(f"{label}.mp4", label) for label in labels], ".")
    assert select_classes(manifest, spec).labels == SELECTIONS[spec]


def test_select_classes_refuses() -> None:
    manifest = Manifest([Sample("1.mp4", "jump"), Sample("2.mp4", "wave")], ".")
    with pytest.raises(UsageError, match=r"No sample is labelled 'wve'\. Did you mean 'wave'\?"):
        select_classes(manifest, "jump,wve")
    for spec in ("0", "3", "-1"):
        with pytest.raises(UsageError, match=rf"classes \({spec}\) must be from 1 to 2"):
            select_classes(manifest, spec)
    with pytest.raises(UsageError, match="must be a number, or labels joined by commas"):
        select_classes(manifest, " ")


# Several labels in a cell


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("run", ("run",)),
        ("wave|run", ("wave", "run")),
        (" wave | run fast ", ("wave", "run fast")),
        ("none", ()),
        ("", ()),
        ("None", ("None",)),  # only as it is written
    ],
)
def test_a_cell_is_read(cell: str, labels: tuple[str, ...]) -> None:
    assert Sample("a.mp4", cell).labels == labels
    assert Sample("a.mp4", cell).label_names() == ((cell,) if cell else ())


@given(st.lists(NAMES.filter(lambda name: name != "none"), unique=True, max_size=5))
def test_what_is_joined_comes_back(names: list[str]) -> None:
    sample = Sample("a.mp4", join_labels(names))
    assert list(sample.labels) == names
    check_label_sets(Manifest([sample], "."))
    every = sorted({*names, "other"})
    matrix = label_matrix([sample], every)
    assert {label for label, there in zip(every, matrix[0]) if there} == set(names)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("run||wave", r"row 7: the labels 'run\|\|wave' hold an empty one"),
        ("run|", "an empty one: join labels by single bars, and write 'none'"),
        ("run|wave|run", "hold 'run' twice: delete one"),
        ("run|none", "hold 'none' beside others"),
        ("none|none", "hold 'none' twice"),
    ],
)
def test_a_faulty_cell_is_told_with_its_row(cell: str, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        check_label_sets(Manifest([Sample("a.mp4", cell, row=7), Sample("b.mp4", "run")], "."))


def test_matrix() -> None:
    samples = [Sample("a.mp4", "wave|run"), Sample("b.mp4", "none"), Sample("c.mp4", "run")]
    found = label_matrix(samples, ["jump", "run", "wave"])
    assert found.dtype == bool
    np.testing.assert_array_equal(found, [[0, 1, 1], [0, 0, 0], [0, 1, 0]])
    with pytest.raises(UsageError, match=r"a.mp4 is labelled 'wave'\. Did you mean 'wve'\?"):
        label_matrix(samples, ["run", "wve"])


def test_selected_labels_are_what_stays_of_a_cell() -> None:
    cells = ["run|wave", "jump", "none", "wave|jump", ""]
    manifest = Manifest([Sample(f"{n}.mp4", cell) for n, cell in enumerate(cells)], ".")
    found = select_classes(manifest, "wave,run", multilabel=True)
    assert [sample.label for sample in found] == ["run|wave", "none", "wave"]
    assert select_classes(manifest, "1", multilabel=True).label_names(multilabel=True) == ["jump"]
    with pytest.raises(UsageError, match=r"No sample is labelled 'run\|wave'"):
        select_classes(manifest, "run|wave", multilabel=True)


def test_tables_count_a_sample_for_each_of_its_labels() -> None:
    rows = [("run|wave", "train"), ("run", "train"), ("none", "test"), ("", "")]
    manifest = Manifest([Sample(f"{n}.mp4", *row) for n, row in enumerate(rows)], ".")
    assert manifest.summary(multilabel=True) == {
        "run": {"train": 2, "test": 0, "": 0},
        "wave": {"train": 1, "test": 0, "": 0},
        "none": {"train": 0, "test": 1, "": 0},
        "": {"train": 0, "test": 0, "": 1},
    }
    header, table = manifest.counts(multilabel=True)
    assert header == ["label", "train", "test", "none", "all"]
    assert table[0] == ["run", 2, 0, 0, 2]
    assert table[-1] == ["all", 2, 1, 1, 4]
