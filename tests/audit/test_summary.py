"""The audit of the splits, in numbers and a sentence."""

import pytest

from frameflow.audit.summary import split_audit
from frameflow.data.manifest import Manifest, Sample

APART = [Sample("1", "a", "train", "g1"), Sample("2", "b", "test", "g2")]
ACROSS = [
    Sample("1", "a", "train", "g1"), Sample("2", "b", "test", "g1"),
    Sample("3", "a", "val", "g2"), Sample("4", "b", "test", "g2"),
]  # fmt: skip
WITHOUT = [Sample("1", "a", "train"), Sample("2", "b", "test")]
ONE_VIDEO = [Sample("1", "a", "train", start=0, end=1), Sample("1", "b", "test", start=1, end=2)]


@pytest.mark.parametrize(
    ("samples", "groups", "pairs", "found"),
    [
        (APART, "given", None, (False, 0, None)),
        (APART, "found", None, (True, 0, 0)),
        (ACROSS, "given", None, (False, 2, None)),
        (ACROSS, "found", None, (True, 2, None)),
        (WITHOUT, "none", 0, (True, 0, 0)),
        (WITHOUT, "none", 3, (True, 0, 3)),
        (ONE_VIDEO, "none", None, (False, 1, None)),
    ],
)
def test_says_what_was_looked_at(samples, groups, pairs, found) -> None:  # type: ignore[no-untyped-def]
    audit = split_audit(Manifest(samples, "."), groups=groups, scene_pairs=pairs)
    assert (audit["checked"], audit["groups_across"], audit["scene_pairs_across"]) == found
    sentence = audit["sentence"]
    assert ("data check" in sentence) == (not found[0] and not (groups == "given" and found[1]))
    assert ("No group stands" in sentence) == (groups != "none" and not found[1])
    for number in (found[1], found[2]):
        assert not number or f"{number} " in sentence
