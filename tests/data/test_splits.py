import logging
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.data.manifest import Manifest, Sample
from frameflow.data.splits import (
    add_folds,
    check_leaks,
    cut_validation,
    random_clip_folds,
    refuse_leaks,
    split_manifest,
    use_fold,
)
from frameflow.errors import LeakError, UsageError

UNEVEN = {
    "serve": [30, 9, 6, 3, 2, 1, 1, 1],
    "smash": [13, 13, 9, 7, 4, 2, 2, 2, 1],
    "volley": [5] * 10,
    "slice": [20, 20, 1, 1, 1, 1, 1, 1, 1, 1, 2],
}


def parts_of_groups(manifest: Manifest, attribute: str) -> dict[str, set[object]]:
    parts = defaultdict(set)
    for sample in manifest:
        if sample.label:
            parts[sample.group or sample.video].add(getattr(sample, attribute))
    return parts


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Samples with groups, videos of several spans, and unlabelled ones, in any combination."""
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from(["", "a", "b", "c"]), st.integers(0, 9), st.integers(0, 12)),
            min_size=1,
            max_size=60,
        )
    )
    return Manifest(
        [
            Sample(f"{video}.mp4", label, group=f"g{group}" if group else "", start=float(place))
            for place, (label, group, video) in enumerate(rows)
        ],
        "/videos",
    )


def components(manifest: Manifest) -> list[set[str]]:
    """The labelled samples joined by shared groups or videos, the slow and plain way."""
    joined: list[set[str]] = []
    for sample in manifest:
        if sample.label:
            names = {sample.video, sample.group} - {""}
            touching = [names, *(part for part in joined if part & names)]
            joined = [part for part in joined if not part & names] + [set().union(*touching)]
    return joined


@settings(deadline=None, max_examples=60)
@given(manifest=manifests(), seed=st.integers(0, 3), val=st.sampled_from([0, 0.15, 0.3]))
def test_laws_of_splits(manifest: Manifest, seed: int, val: float) -> None:
    try:
        parts = split_manifest(manifest, val=val, test=0.2, seed=seed)
    except UsageError:
        assert len(components(manifest)) < 2
        return
    assert [replace(s, split="") for s in parts] == list(manifest)  # a partition of the same rows
    assert all(bool(sample.split) == bool(sample.label) for sample in parts)
    assert check_leaks(parts) == []
    used = {sample.split for sample in parts if sample.split}
    assert used <= {"train", "val", "test"} - (set() if val else {"val"})
    assert "train" in used
    # The same seed gives the same, whatever the order of the rows.
    backwards = manifest.replace(reversed(manifest.samples))
    again = split_manifest(backwards, val=val, test=0.2, seed=seed)
    assert list(reversed(again.samples)) == parts.samples


@settings(deadline=None, max_examples=20)
@given(
    sizes=st.lists(st.lists(st.integers(1, 4), min_size=12, max_size=20), min_size=1, max_size=4),
    seed=st.integers(0, 3),
)
def test_shares_are_kept_where_groups_are_small(sizes: list[list[int]], seed: int) -> None:
    manifest = Manifest(
        [
            Sample(f"{label}_{group}_{clip}", str(label), group=f"{label}_{group}")
            for label, groups in enumerate(sizes)
            for group, clips in enumerate(groups)
            for clip in range(clips)
        ],
        "/videos",
    )
    for counts in split_manifest(manifest, val=0.15, test=0.2, seed=seed).summary().values():
        total = sum(counts.values())
        # Half a group of the largest size, and one clip for the balance over all labels.
        assert abs(counts["test"] - 0.2 * total) <= 3
        assert abs(counts["val"] - 0.15 * total) <= 3


def test_shares_with_very_uneven_groups(grouped) -> None:
    manifest = grouped(UNEVEN)
    parts = split_manifest(manifest, val=0.15, test=0.2)
    assert check_leaks(parts) == []
    # What is in reach: slice has 40 of its 50 clips in two groups.
    reach = {"serve": 0.02, "smash": 0.02, "volley": 0.05, "slice": 0.09}
    for label, counts in parts.summary().items():
        total = sum(counts.values())
        assert abs(counts["test"] / total - 0.2) < reach[label], label
        assert abs(counts["val"] / total - 0.15) < reach[label] + 1e-9, label


def test_groups_of_several_labels(grouped) -> None:
    samples = list(grouped(UNEVEN))
    # Courts: each holds clips of two strokes.
    samples = [replace(sample, group=sample.group[-1]) for sample in samples]
    parts = split_manifest(Manifest(samples, "/videos"), val=0.15, test=0.2)
    assert check_leaks(parts) == []
    counts = Counter(sample.split for sample in parts)
    assert abs(counts["test"] / len(parts) - 0.2) < 0.06


def test_another_seed_is_another_split(grouped) -> None:
    manifest = grouped(UNEVEN)
    assert split_manifest(manifest, seed=0).samples == split_manifest(manifest, seed=0).samples
    assert split_manifest(manifest, seed=0).samples != split_manifest(manifest, seed=1).samples


def test_every_class_stands_in_every_split_if_it_has_three_groups(grouped) -> None:
    parts = split_manifest(grouped({"big": [9] * 12, "rare": [20, 1, 1], "pair": [1, 1]}))
    summary = parts.summary()
    assert all(summary["rare"].values())
    assert summary["pair"] == {"train": 1, "val": 0, "test": 1}


def test_a_class_of_one_group_goes_to_train_and_is_told(grouped, caplog) -> None:
    parts = split_manifest(grouped({"big": [2] * 12, "only": [7], "single": [1]}))
    assert parts.summary()["only"] == {"train": 7, "val": 0, "test": 0}
    assert "2 classes stand in one group only, so in train and not in val and test" in caplog.text
    assert "only, single" in caplog.text


def test_without_groups_the_risk_is_told(caplog) -> None:
    manifest = Manifest([Sample(f"{i}.mp4", "ab"[i % 2]) for i in range(40)], "/videos")
    parts = split_manifest(manifest, val=0.1, test=0.2)
    assert Counter(s.split for s in parts) == {"train": 28, "val": 4, "test": 8}
    assert "There are no groups, so the split is by clip." in caplog.text
    assert "frameflow data groups MANIFEST -o MANIFEST" in caplog.text


def test_spans_of_one_video_stay_together_without_groups() -> None:
    samples = [
        Sample(f"{'/videos/' if part % 2 else ''}{video}.mp4", "ab"[part % 2], start=float(part))
        for video in range(12)
        for part in range(4)
    ]
    parts = split_manifest(Manifest(samples, "/videos"))
    by_video = defaultdict(set)
    for sample in parts:
        by_video[sample.video.removeprefix("/videos/")].add(sample.split)
    assert all(len(splits) == 1 for splits in by_video.values())


def test_unlabelled_samples_get_no_split(grouped) -> None:
    manifest = grouped({"a": [1] * 5, "b": [1] * 5})
    extra = Sample("x.mp4", "", "test", group="a_0")
    parts = split_manifest(manifest.replace([*manifest, extra]))
    assert parts[-1].split == ""


def test_what_cannot_be_split(grouped) -> None:
    with pytest.raises(UsageError, match="9 labelled samples in 1 group cannot be parted"):
        split_manifest(grouped({"a": [9]}))
    with pytest.raises(UsageError, match="write labels first"):
        split_manifest(Manifest([Sample("a.mp4")], "."))
    with pytest.raises(UsageError, match=r"val \(0\.5\) \+ test \(0\.5\) must be < 1"):
        split_manifest(grouped({"a": [1, 1]}), val=0.5, test=0.5)
    with pytest.raises(UsageError, match=r"test \(20\) must be a share"):
        split_manifest(grouped({"a": [1, 1]}), test=20)
    with pytest.raises(UsageError, match=r"folds \(1\) must be at least 2"):
        add_folds(grouped({"a": [1, 1]}), 1)
    with pytest.raises(UsageError, match="2 labelled samples in 2 groups cannot be parted into 3"):
        add_folds(grouped({"a": [1, 1]}), 3)


def test_folds_are_even_and_keep_groups_together(grouped) -> None:
    manifest = add_folds(grouped(UNEVEN | {"serve": [9, 9, 6, 3, 2, 1, 1, 1, 9, 4]}), 5)
    assert all(len(folds) == 1 for folds in parts_of_groups(manifest, "fold").values())
    counts = Counter((sample.label, sample.fold) for sample in manifest)
    assert {counts["volley", fold] for fold in range(5)} == {10}
    assert all(6 <= counts["serve", fold] <= 12 for fold in range(5))
    assert add_folds(manifest, 5, seed=1).samples != manifest.samples


def test_rare_classes_in_folds_are_told(grouped, caplog) -> None:
    add_folds(grouped({"big": [2] * 12, "rare": [1, 1]}), 3)
    assert "1 class stands in fewer groups than there are folds" in caplog.text


def test_clip_folds_ignore_groups_and_are_even(grouped) -> None:
    manifest = random_clip_folds(grouped(UNEVEN), 5, seed=0)
    counts = Counter((sample.label, sample.fold) for sample in manifest)
    for label in UNEVEN:
        per_fold = [counts[label, fold] for fold in range(5)]
        assert max(per_fold) - min(per_fold) <= 1
    sizes = Counter(sample.fold for sample in manifest)
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert any(len(folds) > 1 for folds in parts_of_groups(manifest, "fold").values())
    assert random_clip_folds(manifest, 5, seed=1).samples != manifest.samples
    with pytest.raises(UsageError, match="2 labelled samples cannot be parted into 3 folds"):
        random_clip_folds(grouped({"a": [2]}), 3)


def test_use_fold(grouped) -> None:
    manifest = add_folds(grouped({label: [3] * 20 for label in "abc"}), 5)
    parts = use_fold(manifest, 2, val=0.15)
    assert all((s.split == "test") == (s.fold == 2) for s in parts)
    assert check_leaks(parts) == []
    assert Counter(s.split for s in parts) == {"train": 117, "test": 36, "val": 27}
    assert use_fold(manifest, 2, val=0).summary()["a"] == {"train": 48, "test": 12}


def test_use_fold_needs_the_fold(grouped, caplog) -> None:
    with pytest.raises(UsageError, match=r"has no folds, so there is no fold 0\..*--folds 5"):
        use_fold(grouped({"a": [1, 1]}), 0)
    manifest = add_folds(grouped({"a": [1] * 9}), 3)
    with pytest.raises(UsageError, match="There is no fold 3: the manifest has 0, 1, 2"):
        use_fold(manifest, 3)
    part = use_fold(manifest.replace([*manifest, Sample("x.mp4", "a")]), 0)
    assert part[-1].split == ""
    assert "1 labelled samples have no fold and are left out." in caplog.text


def test_cut_validation_touches_train_only(grouped) -> None:
    manifest = split_manifest(grouped({label: [3] * 20 for label in "abc"}), val=0)
    parts = cut_validation(manifest, val=0.2, seed=1)
    assert [s.video for s in parts.split("test")] == [s.video for s in manifest.split("test")]
    assert check_leaks(parts) == []
    assert abs(len(parts.split("val")) / len(manifest.split("train")) - 0.2) < 0.02
    with pytest.raises(UsageError, match="has a val split already"):
        cut_validation(parts, val=0.2)


def leaky() -> Manifest:
    return Manifest(
        [
            Sample("1.mp4", "a", "train", "s1", fold=0),
            Sample("2.mp4", "a", "train", "s1", fold=0),
            Sample("3.mp4", "a", "test", "s1", fold=1),
            Sample("4.mp4", "a", "val", "s2", fold=0),
            Sample("5.mp4", "a", "train", start=0, fold=1),
            Sample("5.mp4", "a", "test", start=9, fold=1),
            Sample("6.mp4", "a", "", "s2"),
        ],
        ".",
    )


def test_leaks_are_found_by_group_and_by_video() -> None:
    leaks = {leak.group: dict(leak.splits) for leak in check_leaks(leaky())}
    assert leaks == {"s1": {"train": 2, "test": 1}, "5.mp4": {"train": 1, "test": 1}}


def test_one_video_under_two_groups_leaks() -> None:
    samples = [Sample("1.mp4", "a", "train", "x", 0.0), Sample("./1.mp4", "a", "val", "y", 5.0)]
    assert [leak.group for leak in check_leaks(Manifest(samples, "."))] == ["1.mp4"]


def test_a_leak_is_refused_with_counts_and_the_cure() -> None:
    with pytest.raises(LeakError) as caught:
        refuse_leaks(leaky().where(lambda sample: sample.group == "s1").replace(
            [replace(sample, fold=None) for sample in leaky()]
        ))  # fmt: skip
    assert str(caught.value) == (
        "LEAKY SPLIT: 2 groups stand in more than one split, with 5 of 7 samples "
        "(s1: 2 train, 1 test; 5.mp4: 1 train, 1 test).\n"
        "Mend it with `frameflow data split MANIFEST -o MANIFEST`, "
        "or go on with --allow-leak: every report will then say LEAKY SPLIT."
    )


def test_the_cure_names_the_file_and_mends_the_folds_that_leak(tmp_path) -> None:
    path = tmp_path / "my manifest.csv"
    leaky().write(path)
    manifest = Manifest.read(path, check_files=False)
    with pytest.raises(LeakError) as caught:
        refuse_leaks(use_fold(manifest, 1, val=0))
    assert f"`frameflow data split '{path}' --folds 2 -o '{path}'`" in str(caught.value)
    # Splits of its own beside folds: other folds would not mend these.
    with pytest.raises(LeakError) as caught:
        refuse_leaks(manifest)
    assert f"`frameflow data split '{path}' -o '{path}'`" in str(caught.value)


def test_the_cure_of_a_folder_makes_a_manifest_first() -> None:
    with pytest.raises(LeakError) as caught:
        refuse_leaks(leaky(), folder="my videos")
    assert (
        "`frameflow data scan 'my videos' -o manifest.csv && frameflow data groups manifest.csv "
        "&& frameflow data split manifest.csv`" in str(caught.value)
    )


def test_a_leak_can_be_allowed(grouped, caplog) -> None:
    with caplog.at_level(logging.WARNING, "frameflow"):
        assert refuse_leaks(leaky(), allow=True) is True
    assert "LEAKY SPLIT" in caplog.text
    assert refuse_leaks(split_manifest(grouped(UNEVEN))) is False


# Several labels a sample


def several(samples: int = 300, groups: int = 60, seed: int = 0) -> Manifest:
    """Samples with one to three of five labels, two of them rare, some labelled none."""
    rng = Random(seed)
    chances = {"walk": 0.7, "talk": 0.5, "sit": 0.3, "wave": 0.08, "fall": 0.05}
    rows = []
    for number in range(samples):
        names = [name for name, chance in chances.items() if rng.random() < chance]
        cell, group = "|".join(names) or "none", f"g{number % groups}"
        rows.append(Sample(f"{number}.mp4", cell, group=group))
    return Manifest(rows, "/videos")


def shares_of(manifest: Manifest, part: str, value: object) -> dict[str, float]:
    """The share of each label that stands in a part."""
    every = Counter(name for sample in manifest for name in sample.strata(multilabel=True))
    there = Counter(
        name
        for sample in manifest
        if getattr(sample, part) == value
        for name in sample.strata(multilabel=True)
    )
    return {name: there[name] / count for name, count in every.items()}


@pytest.mark.parametrize("seed", range(3))
def test_each_of_several_labels_finds_its_share(seed: int) -> None:
    manifest = split_manifest(several(), val=0.15, test=0.25, seed=seed, multilabel=True)
    assert not check_leaks(manifest)
    for part, share in (("train", 0.6), ("val", 0.15), ("test", 0.25)):
        assert len(manifest.split(part)) / len(manifest) == pytest.approx(share, abs=0.02)
        for label, found in shares_of(manifest, "split", part).items():
            assert found == pytest.approx(share, abs=0.09), (part, label)


def test_folds_over_groups_of_several_labels() -> None:
    manifest = add_folds(several(), 5, multilabel=True)
    groups = defaultdict(set)
    for sample in manifest:
        groups[sample.group].add(sample.fold)
    assert all(len(folds) == 1 for folds in groups.values())
    for fold in range(5):
        for label, found in shares_of(manifest, "fold", fold).items():
            assert found == pytest.approx(0.2, abs=0.09), (fold, label)
    parts = use_fold(manifest, 1, val=0.2, multilabel=True)
    for label, found in shares_of(parts, "split", "val").items():
        assert found == pytest.approx(0.2, abs=0.09), label


def test_random_folds_deal_out_the_rarest_label() -> None:
    manifest = random_clip_folds(several(), 5, multilabel=True)
    every = Counter(name for sample in manifest for name in sample.labels)
    rarest = min(every, key=every.__getitem__)
    counts = Counter(sample.fold for sample in manifest if rarest in sample.labels)
    assert max(counts.values()) - min(counts[fold] for fold in range(5)) <= 1
    sizes = Counter(sample.fold for sample in manifest)
    assert max(sizes.values()) - min(sizes.values()) <= 1


def test_single_labels_split_as_if_they_were_sets_of_one(grouped: Callable[..., Manifest]) -> None:
    manifest = grouped(UNEVEN)
    assert list(split_manifest(manifest, multilabel=True)) == list(split_manifest(manifest))
    assert list(add_folds(manifest, 4, multilabel=True)) == list(add_folds(manifest, 4))
    ours, theirs = (random_clip_folds(manifest, 4, multilabel=each) for each in (True, False))
    assert list(ours) == list(theirs)


def test_labels_left_out_are_named_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    rows = [Sample(f"{n}.mp4", "walk" if n else "walk|fall", group=f"g{n}") for n in range(20)]
    rows += [Sample("none.mp4", "none", group="h")]
    split_manifest(Manifest(rows, "/videos"), multilabel=True)
    assert "1 class stands in one group only, so in train and not in val and test: fall" in (
        caplog.text
    )
    assert "none" not in caplog.text
