"""Paths that clients name stay below one root, whatever they try."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frameflow.serving.limits import Refused
from frameflow.serving.sources import confined


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video in it, links within and out of it, and a secret beside it."""
    top = tmp_path_factory.mktemp("paths")
    (top / "root" / "deep").mkdir(parents=True)
    (top / "root" / "a.mp4").write_bytes(b"a")
    (top / "root" / "deep" / "ü b.mp4").write_bytes(b"b")
    (top / "secret.mp4").write_bytes(b"secret")
    (top / "rootless").mkdir()
    (top / "rootless" / "c.mp4").write_bytes(b"secret")
    (top / "root" / "inside.mp4").symlink_to(top / "root" / "a.mp4")
    (top / "root" / "out.mp4").symlink_to(top / "secret.mp4")
    (top / "root" / "out").symlink_to(top)
    (top / "root" / "loop.mp4").symlink_to(top / "root" / "loop.mp4")
    (top / "root" / "dangling.mp4").symlink_to(top / "nowhere.mp4")
    os.mkfifo(top / "root" / "pipe.mp4")
    return top / "root"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.mp4", "a.mp4"),
        ("./a.mp4", "a.mp4"),
        ("deep/ü b.mp4", "deep/ü b.mp4"),
        ("inside.mp4", "a.mp4"),
    ],
)
def test_what_lies_below_is_found(root: Path, text: str, found: str) -> None:
    assert confined(root, text) == (root / found).resolve()


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("../secret.mp4", 403),
        ("deep/../../secret.mp4", 403),
        ("deep/../a.mp4", 403),  # it would stay inside, but nobody needs it
        ("/etc/passwd", 403),
        ("TOP/secret.mp4", 403),
        ("out.mp4", 403),
        ("out/secret.mp4", 403),
        ("dangling.mp4", 403),
        ("..\\secret.mp4", 403),
        ("s3://bucket/a.mp4", 404),  # nothing is fetched for clients
        ("memory://bucket/a.mp4", 404),
        ("file:///etc/passwd", 404),
        ("http://127.0.0.1/a.mp4", 404),
        ("../rootless/c.mp4", 403),
        ("none.mp4", 404),
        ("deep", 404),
        (".", 404),
        ("pipe.mp4", 404),
        ("loop.mp4", 404),
        ("a.mp4\0.txt", 404),
        ("a" * 5000, 404),
        ("a" * 300, 404),
        ("a.mp4/b.mp4", 404),
    ],
)
def test_all_else_is_refused(root: Path, text: str, status: int) -> None:
    with pytest.raises(Refused) as refused:
        confined(root, text.replace("TOP", str(root.parent)))
    assert refused.value.status == status
    assert str(root.parent) not in str(refused.value), "it tells no paths"


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.one_of(
        st.text(max_size=30),
        st.lists(
            st.sampled_from(["..", ".", "out", "a.mp4", "deep", "secret.mp4", "", "~", "loop.mp4"]),
            max_size=6,
        ).map("/".join),
    )
)
def test_whatever_is_named_nothing_outside_is_opened(root: Path, text: str) -> None:
    try:
        found = confined(root, text)
    except Refused:
        return
    assert found.is_relative_to(root.resolve())
    assert found.read_bytes() in (b"a", b"b")


def test_paths_are_off_unless_opened() -> None:
    with pytest.raises(Refused) as refused:
        confined(None, "a.mp4")
    assert (refused.value.status, refused.value.code) == (403, "paths_off")
    assert "--allow-paths" in (refused.value.cure or "")


def test_a_server_that_allows_them_reads_them(
    make_server: Callable[..., Any], served: Path
) -> None:
    server = make_server(allow_paths=served / "clips")
    said = server.http.post("/v1/predict", data={"path": "sitzt/05.mp4"})
    assert (said.status_code, said.json()["video"]) == (200, "sitzt/05.mp4")
    for path, status in (("../run/model.json", 403), ("06.mp4", 404), ("sitzt", 404)):
        answer = server.http.post("/v1/predict", data={"path": path})
        assert answer.status_code == status
    assert (served / "clips" / "sitzt" / "05.mp4").exists()
    assert server.service.uploads.count == 0
