"""The names that clients give their files: shown again, and never used as paths."""

import re
import unicodedata

LONGEST = 80  # characters
_UNNAMED = "video"
# Categories of characters that show nothing, turn the text around, or are none.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean_name(name: str) -> str:
    """A client's file name for display: no folders, nothing invisible, not long.

    Example:
        >>> clean_name("../../etc/\\x00serve\\u202egpm.mp4")
        'servegpm.mp4'
        >>> clean_name("")
        'video'
    """
    name = re.split(r"[/\\]", name[-4096:])[-1]
    name = unicodedata.normalize("NFC", name)
    name = "".join(char for char in name if unicodedata.category(char) not in _INVISIBLE)
    name = " ".join(name.split())
    if name.strip(". ") == "":
        return _UNNAMED
    if len(name) > LONGEST:
        stem, dot, ending = name.rpartition(".")
        ending = dot + ending if stem and len(ending) <= 10 else ""
        name = name[: LONGEST - 1 - len(ending)].rstrip() + "…" + ending
    return name
