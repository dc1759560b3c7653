from pathlib import Path

import pytest

from frameflow.data.containers import VIDEO_SUFFIXES, frame_names, is_frame_folder, is_video_name


@pytest.mark.parametrize("name", ["a.mp4", "a.MOV", "x/y.webm", "a.b.avi", "a.m2ts", "a.gif"])
def test_videos_by_name(name: str) -> None:
    assert is_video_name(name)


@pytest.mark.parametrize("name", ["a.txt", "mp4", "a.mp3", "a.jpg", "a.mp4.part", ".avi"])
def test_not_videos_by_name(name: str) -> None:
    assert not is_video_name(name)


def test_every_picture_container_that_pyav_names_is_known() -> None:
    """Of the suffixes FFmpeg's own muxers write video under, none is missing."""
    import av

    missing = set()
    for name in av.formats_available:
        try:
            container = av.format.ContainerFormat(name, "w")
        except ValueError:
            continue
        if str(container.name) in {"mp4", "mov", "matroska", "webm", "avi", "flv", "mpegts", "3gp"}:
            missing |= {f".{suffix}" for suffix in container.extensions} - VIDEO_SUFFIXES
    assert missing <= {".mka", ".mks", ".m4a", ".m4b", ".ism", ".isma"}  # sound, text, lists


# names in a folder -> the frames in order; an empty list means no frame folder
FRAMES = {
    "by number, not by letter": (["f10.jpg", "f9.jpg", "f1.jpg"], ["f1.jpg", "f9.jpg", "f10.jpg"]),
    "one frame": (["0001.png"], ["0001.png"]),
    "a text beside them": (["1.jpg", "2.jpg", "readme.txt"], ["1.jpg", "2.jpg"]),
    "hidden files": (["1.jpg", ".DS_Store", "._1.mp4"], ["1.jpg"]),
    "numbers inside the name": (["s28-20-00002.jpeg"], ["s28-20-00002.jpeg"]),
    "photos without numbers": (["cat.jpg", "dog.jpg"], []),
    "two series": (["flow_x_1.jpg", "flow_y_1.jpg"], []),
    "a video among them": (["1.jpg", "2.jpg", "a.mp4"], []),
    "a folder among them": (["1.jpg", "sub/1.jpg"], []),
    "nothing": ([], []),
}


@pytest.mark.parametrize("case", FRAMES)
def test_frame_folders(case: str, touch) -> None:
    names, expected = FRAMES[case]
    folder = touch(*names)
    assert frame_names(folder) == expected
    assert is_frame_folder(folder) == bool(expected)


def test_files_and_missing_paths_are_no_frame_folders(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    assert not is_frame_folder(tmp_path / "1.jpg")
    assert not is_frame_folder(tmp_path / "nowhere")
