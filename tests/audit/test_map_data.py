"""The data of the map cannot end its own element, and says what each clip is."""

import json

import pytest

from frameflow.audit._map_data import _name, as_script
from frameflow.data.manifest import Sample


def test_a_label_cannot_end_the_script() -> None:
    value = {"names": ["</script><b>", "a & b", "Rückhand"]}
    text = str(as_script(value))
    assert "<" not in text
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="Out of range"):
        as_script(float("nan"))


def test_a_clip_is_named_by_its_part_of_the_video() -> None:
    assert _name(Sample("a/b/c.mp4", "x")) == "b/c.mp4"
    assert _name(Sample("c.mp4", "x", start=1.5)) == "c.mp4, 1.5 s to end"
    assert _name(Sample("c.mp4", "x", end=4.0)) == "c.mp4, 0 s to 4 s"
    assert _name(Sample("v", "x", frame="07.jpg")) == "v, frame 07.jpg"
