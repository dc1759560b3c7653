"""Moments of a video as people write them: ``01:20:05``, ``3:07.5``, ``187,5``, ``12 s``."""

import re

# Hours and minutes may be missing; a comma is the decimal mark of many countries.
TIME = r"(?:(?:\d+:)?\d{1,2}:\d{1,2}(?:[.,]\d+)?|\d+(?:[.,]\d+)?(?:\s?s(?:ec)?\b)?)"
_CLOCK = re.compile(r"(?:(?P<h>\d+):)?(?P<m>\d{1,2}):(?P<s>\d{1,2}(?:[.,]\d+)?)")
_SECONDS = re.compile(r"(?P<s>\d+(?:[.,]\d+)?)(?:\s?s(?:ec)?)?")


def parse_time(text: str) -> float:
    """Seconds from the start of the video.

    Args:
        text: ``hh:mm:ss``, ``mm:ss`` or seconds, each with a fraction after a point or a comma.

    Raises:
        ValueError: it is none of these; the message says what it is instead.

    Example:
        >>> parse_time("01:20:05.5"), parse_time("3:07"), parse_time("187,25")
        (4805.5, 187.0, 187.25)
    """
    text = text.strip()
    clock = _CLOCK.fullmatch(text)
    if clock is None:
        seconds = _SECONDS.fullmatch(text)
        if seconds is None:
            raise ValueError(f"{text!r} is no time: write hh:mm:ss, mm:ss or seconds")
        return float(seconds["s"].replace(",", "."))
    hours, minutes, rest = clock["h"], int(clock["m"]), float(clock["s"].replace(",", "."))
    if rest >= 60 or (hours is not None and minutes >= 60):
        raise ValueError(f"{text!r} is no time: minutes and seconds are below 60")
    return int(hours or 0) * 3600 + minutes * 60 + rest


def print_time(seconds: float) -> str:
    """The moment as ``hh:mm:ss.mmm``, to the millisecond.

    Example:
        >>> print_time(4805.5)
        '01:20:05.500'
    """
    total = round(seconds * 1000)
    minutes, thousandths = divmod(total, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{thousandths // 1000:02d}.{thousandths % 1000:03d}"
