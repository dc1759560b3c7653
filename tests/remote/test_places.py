"""URLs and the places of their copies."""

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameflow._places import below, join, mirror_root, path_of, place_of, shown, url_in, url_of
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import VideoError

names = st.text(st.characters(exclude_characters="/", exclude_categories=("Cs",)), max_size=120)
urls = st.builds(
    lambda scheme, parts: f"{scheme}://{'/'.join(parts)}",
    st.sampled_from(["s3", "gs", "memory", "https", "abfs"]),
    st.lists(
        names | st.sampled_from([".", "..", "", ".hidden", "%2E", "a.", "x" * 300]), min_size=1
    ),
)


@given(urls)
def test_a_place_gives_its_url_back(url: str) -> None:
    assert url_of(place_of(url)) == url


@given(urls)
def test_a_place_lies_in_the_mirror_and_hides_nothing(url: str) -> None:
    place = place_of(url)
    parts = place.relative_to(mirror_root()).parts
    assert ".." not in parts
    assert not any(part.startswith(".") for part in parts)  # such names are unfinished files
    assert all(len(part.encode()) <= 255 for part in parts)


@given(urls, urls)
def test_two_urls_have_two_places(one: str, other: str) -> None:
    assert (place_of(one) == place_of(other)) == (one == other)


@given(st.text(max_size=40))
def test_a_relative_path_never_leaves_its_bucket(name: str) -> None:
    assert join("s3://bucket/a/b", name).startswith("s3://bucket/")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("s3://bucket/a.mp4", "s3://bucket/a.mp4"),
        (Path("s3://bucket/a.mp4"), "s3://bucket/a.mp4"),  # a path loses a slash
        ("GS://bucket/a.mp4", "gs://bucket/a.mp4"),
        ("clips/a.mp4", None),
        ("/clips/a.mp4", None),
        ("C:/clips/a.mp4", None),  # a drive
        ("C:\\clips\\a.mp4", None),
        ("file:///clips/a.mp4", None),
        ("12:30/a.mp4", None),
    ],
)
def test_what_is_a_url(name: str | Path, url: str | None) -> None:
    assert url_in(name) == url


def test_file_urls_are_paths_of_this_machine() -> None:
    assert path_of("file:///clips/a b.mp4") == path_of(Path("file:///clips/a b.mp4"))
    assert path_of("file:///clips/a b.mp4") == Path("/clips/a b.mp4")


@pytest.mark.parametrize(
    ("root", "name", "found"),
    [
        ("s3://b/tables", "1.mp4", "s3://b/tables/1.mp4"),
        ("s3://b/tables/", "../clips/1.mp4", "s3://b/clips/1.mp4"),
        ("s3://b", "clips//1.mp4", "s3://b/clips//1.mp4"),
        ("s3://b/tables", "gs://c/1.mp4", "gs://c/1.mp4"),
        ("/data", "s3://b/1.mp4", "s3://b/1.mp4"),
        ("/data", "clips/1.mp4", "/data/clips/1.mp4"),
        ("s3://b/tables", "/data/1.mp4", "/data/1.mp4"),
    ],
)
def test_names_are_relative_to_their_table(root: str, name: str, found: str) -> None:
    assert shown(below(path_of(root), name)) == found


def test_errors_and_manifests_name_urls_not_copies() -> None:
    error = VideoError(place_of("s3://b/1.mp4"), "is empty")
    assert str(error) == "s3://b/1.mp4: is empty"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert "root='s3://b/x'" in repr(Manifest([Sample("1.mp4")], "s3://b/x"))


def test_a_manifest_reaches_a_machine_with_another_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAMEFLOW_HOME", str(tmp_path / "one"))
    sent = pickle.dumps(Manifest([Sample("1.mp4")], "s3://b/x"))
    monkeypatch.setenv("FRAMEFLOW_HOME", str(tmp_path / "other"))
    found = pickle.loads(sent)
    assert found.path(found[0]) == place_of("s3://b/x/1.mp4")
    assert found.path(found[0]).is_relative_to(tmp_path / "other")
