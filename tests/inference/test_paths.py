"""Files, folders and globs to videos."""

from pathlib import Path

import pytest

from frameflow.errors import UsageError
from frameflow.inference.paths import expand_paths


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Names only: what a file holds does not matter here."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "b/2.mp4", "b/1.AVI", "b/notes.txt", "b/.hidden.mp4", "b/deep/er/3.webm",
        "[a].mp4", "top.mkv", "frames/clip/0001.jpg", "frames/clip/0002.jpg", "texts/x.txt",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "none").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["top.mkv"], ["top.mkv"]),
        ("top.mkv", ["top.mkv"]),  # a single name
        (["missing.mp4"], ["missing.mp4"]),  # its own reason is told when it is read
        (["b/notes.txt"], ["b/notes.txt"]),  # named outright, so it is tried
        (["b"], ["b/1.AVI", "b/2.mp4", "b/deep/er/3.webm"]),
        (["b/*"], ["b/1.AVI", "b/2.mp4", "b/deep/er/3.webm"]),
        (["b/*.mp4"], ["b/2.mp4"]),
        (["**/*.webm"], ["b/deep/er/3.webm"]),
        (["b/?.???"], ["b/1.AVI", "b/2.mp4"]),
        (["[a].mp4"], ["[a].mp4"]),  # a name that only looks like a glob
        (["frames"], ["frames/clip"]),  # a folder of numbered frames is one video
        (["frames/clip"], ["frames/clip"]),
        (["frames/*"], ["frames/clip"]),
        (["top.mkv", "b/2.mp4", "b"], ["top.mkv", "b/2.mp4", "b/1.AVI", "b/deep/er/3.webm"]),
    ],
)
@pytest.mark.usefixtures("tree")
def test_what_names_stand_for(given: list[str], expected: list[str]) -> None:
    assert [str(path) for path in expand_paths(given)] == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "No video is named"),
        (["none"], "folder none holds no video"),
        (["texts"], "folder texts holds no video"),
        (["x/*.mp4"], r"'x/\*\.mp4' matches nothing"),
        (["b/*.txt"], r"matches b/notes\.txt, but no video"),
        (["top.mkv", "none"], "folder none holds no video"),
    ],
)
@pytest.mark.usefixtures("tree")
def test_what_stands_for_nothing_is_an_error(given: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        expand_paths(given)


def test_a_folder_that_links_back_to_itself_ends(tree: Path) -> None:
    (tree / "b" / "again").symlink_to(tree / "b", target_is_directory=True)
    assert len(expand_paths(["b"])) == 3
