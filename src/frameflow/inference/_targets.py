"""Where the pictures of videos go: one file, or one each in a folder."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from frameflow.errors import UsageError
from frameflow.inference._rows import check_target
from frameflow.inference.show import ENDINGS, Form

_LONGEST = 80  # letters of a file's name
_RESERVED = {"con", "prn", "aux", "nul", *(f"{p}{n}" for p in ("com", "lpt") for n in range(10))}


class Targets:
    """The file of each video.

    Args:
        option: as the user names it, ``--gif`` and the like.
        path: a file for one video, a folder for any number.
        form: what is written.
        videos: all of them; their files do not depend on which of them are written.

    Raises:
        UsageError: a file where there are several videos, a wrong ending, or no such folder.
    """

    def __init__(self, option: str, path: Path, form: Form, videos: Sequence[Path]) -> None:
        endings = ENDINGS[form]
        suffix = path.suffix.lower()
        self.form, self._file = form, None
        if suffix in endings and not path.is_dir():
            if len(videos) > 1:
                raise UsageError(
                    f"{option} {path} is one file, and there are {len(videos)} videos: name a "
                    f"folder, such as {option} {path.with_suffix('')}/."
                )
            check_target(path)
            self._file = path
            return
        if suffix and not path.is_dir() and re.fullmatch(r"\.[a-z][a-z0-9]{1,4}", suffix):
            raise UsageError(f"{option} {path} must end in {' or '.join(endings)}, or be a folder.")
        if path.exists() and not path.is_dir():
            raise UsageError(f"{option} {path} is no folder: name another one.")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{option} {path} cannot be made: {error.strerror}.") from None
        check_target(path / "x")
        names = unique_names(videos)
        self._files = {video: path / (name + endings[0]) for video, name in names.items()}

    def file(self, video: Path) -> Path:
        """Where the picture of a video goes."""
        return self._file or self._files[video]


def unique_names(videos: Sequence[Path]) -> dict[Path, str]:
    """A file's name without ending for each video: safe on every system, and no two alike.

    Videos of the same name get their folder's in front, and a number where that is not enough.

    Example:
        >>> list(unique_names([Path("a/1.mp4"), Path("b/1.mp4"), Path("b/2?.mp4")]).values())
        ['a-1', 'b-1', '2_']
    """
    plain = {video: _safe(video.stem if video.suffix else video.name) for video in videos}
    counts: dict[str, int] = {}
    for name in plain.values():
        counts[name.casefold()] = counts.get(name.casefold(), 0) + 1
    found: dict[Path, str] = {}
    used: set[str] = set()
    for video, name in plain.items():
        if counts[name.casefold()] > 1 and video.absolute().parent.name:
            name = _safe(f"{video.absolute().parent.name}-{name}")
        numbered, number = name, 2
        while numbered.casefold() in used or (numbered != name and numbered.casefold() in counts):
            numbered, number = f"{name}-{number}", number + 1
        used.add(numbered.casefold())
        found[video] = numbered
    return found


def _safe(name: str) -> str:
    """Letters, digits and ``-_.()`` of a name, and blanks inside."""
    text = unicodedata.normalize("NFC", name)
    text = re.sub(r"[^\w.() -]", "_", text.encode("utf-8", "replace").decode("utf-8"))
    text = text[:_LONGEST].strip(" .") or "video"
    return f"{text}_" if text.casefold().partition(".")[0] in _RESERVED else text
