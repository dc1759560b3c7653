"""Labels written into the table of what to label next go back, and none is written over."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameflow.data.fill import fill_labels
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError

LABELS = st.sampled_from(["", "run", "walk"])


def test_labels_go_to_the_samples_they_were_written_for(tmp_path: Path) -> None:
    samples = [
        Sample("clips/a.mp4", "run", group="g1"),
        Sample("clips/b.mp4", group="g2"),
        Sample("clips/c.mp4", start=0.0, end=2.0),
        Sample("clips/c.mp4", start=2.0, end=4.0),
    ]
    manifest = Manifest(samples, tmp_path)
    rows = [
        Sample("../clips/c.mp4", "jump", start=2.0, end=4.0, extra={"rank": "1"}),
        Sample("../clips/b.mp4"),
    ]
    (tmp_path / "todo").mkdir()
    done, count = fill_labels(manifest, Manifest(rows, tmp_path / "todo"))
    assert count == 1
    assert [sample.label for sample in done] == ["run", "", "", "jump"]
    assert done[1].group == "g2"
    assert "rank" not in done[3].extra


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([Sample("b.mp4", "run")], "b.mp4 is not in the manifest"),
        ([Sample("a.mp4", "walk")], "a.mp4 is 'run' already, not 'walk'"),
        ([Sample("c.mp4", "run"), Sample("c.mp4", "walk")], "c.mp4 is 'run' and 'walk'"),
    ],
)
def test_what_does_not_fit_is_named(rows: list[Sample], says: str) -> None:
    manifest = Manifest([Sample("a.mp4", "run"), Sample("c.mp4")], ".")
    with pytest.raises(UsageError, match=says):
        fill_labels(manifest, Manifest(rows, "."))


@given(st.lists(st.tuples(LABELS, LABELS), max_size=8))
def test_known_labels_stay_and_others_are_filled(pairs: list[tuple[str, str]]) -> None:
    pairs = [(old, old or new) for old, new in pairs]
    manifest = Manifest([Sample(f"{i}.mp4", old) for i, (old, _) in enumerate(pairs)], ".")
    filled = Manifest([Sample(f"{i}.mp4", new) for i, (_, new) in enumerate(pairs)], ".")
    done, count = fill_labels(manifest, filled)
    assert [sample.label for sample in done] == [new for _, new in pairs]
    assert count == sum(bool(new) and not old for old, new in pairs)
