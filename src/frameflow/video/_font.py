"""Text as masks of pixels, on any machine.

The font is the one inside Pillow, so that the same text is the same pixels everywhere. It has the
letters of English only: accents are drawn over them (``ü`` is a ``u`` with two dots), and for
other scripts a font of the system is looked for. What no font has is shown as ``?``.
"""

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

# Found by name in the system's folders of fonts, on Linux, macOS and Windows. The first that has
# all letters is taken.
_OTHERS = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf"),
    *("segoeui.ttf", "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc"),
    *("DroidSansFallbackFull.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc", "msyh.ttc"),
    *("msgothic.ttc", "malgun.ttf", "AppleSDGothicNeo.ttc", "Arial Unicode.ttf"),
)
_PLAIN = str.maketrans(
    {
        **{"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O"},
        **{"đ": "d", "Đ": "D", "ł": "l", "Ł": "L", "ı": "i", "ð": "d", "þ": "th", "Þ": "Th"},
        **{"–": "-", "—": "-", "‑": "-", "−": "-", "×": "x", "·": ".", "•": "*", "→": ">"},
        **{"‘": "'", "’": "'", "‚": ",", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"'},
    }
)
_ABOVE = "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c"
_BELOW = "\u0323\u0327\u0328"
_FINE = 4  # accents are drawn this much larger
_ABSENT = "\U0010fffe"  # a code point that is no character, so every font shows its empty box


@lru_cache(maxsize=512)
def text_mask(text: str, size: int) -> np.ndarray:
    """``(height, width)`` uint8, how much of each pixel is ink.

    The height is the same for every text of a size: that of a line. An empty text has width 0.

    Args:
        text: one line; what cannot be shown becomes ``?``, and breaks become blanks.
        size: of the letters, px.
    """
    from PIL import Image, ImageDraw

    shown, font = _prepare(text, size)
    bases, marks = _apart(shown) if font is _own(size) else (shown, [])
    height, width = line_height(size), int(np.ceil(font.getlength(bases)))
    if not bases or width <= 0:
        return np.zeros((height, 0), np.uint8)
    image = Image.new("L", (width + 1, height))
    draw = ImageDraw.Draw(image)
    ascent, descent = font.getmetrics()
    top = (height - ascent - descent) // 2
    draw.text((0, top), bases, fill=255, font=font)
    if marks:
        _draw_marks(image, font, bases, marks, top, size)
    return np.asarray(image)


def line_height(size: int) -> int:
    """Pixels from one line of text to the next."""
    return max(size + 2, round(1.35 * size))


def text_width(text: str, size: int) -> int:
    """Pixels that a text takes."""
    return int(text_mask(text, size).shape[1])


def shorten(text: str, size: int, width: int) -> str:
    """The text, or as much of its beginning as fits with ``…`` behind it."""
    if text_width(text, size) <= width:
        return text
    low, high = 0, len(text)
    while low < high:  # the most letters that fit
        middle = (low + high + 1) // 2
        if text_width(f"{text[:middle].rstrip()}…", size) <= width:
            low = middle
        else:
            high = middle - 1
    return f"{text[:low].rstrip()}…" if low else ""


def wrap(text: str, size: int, width: int, *, lines: int) -> list[str]:
    """The text in at most ``lines`` lines, broken at blanks or ``_`` where possible."""
    found: list[str] = []
    rest = text
    while len(found) < lines - 1 and text_width(rest, size) > width:
        fits = len(shorten(rest, size, width).removesuffix("…"))
        if fits < 1:
            break
        cut = max(rest.rfind(mark, 0, fits + 1) for mark in " _-/")
        cut = fits if cut < fits // 3 else cut + 1
        found.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*found, shorten(rest, size, width)]


def _prepare(text: str, size: int) -> "tuple[str, FreeTypeFont]":
    """What is drawn of a text, and with which font."""
    text = " ".join(text.split())
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cs", "Cn", "Co"))
    composed = unicodedata.normalize("NFC", text)
    own = _own(size)
    plain = composed.translate(_PLAIN)
    if all(_shows(own, c) for c in _apart(plain)[0]):
        return plain, own
    fonts = [font for name in _OTHERS if (font := _named(name, size))]
    for font in fonts:
        if all(_shows(font, c) for c in composed):
            return composed, font
    if fonts:  # the one that has most of it
        best = max(fonts, key=lambda font: sum(_shows(font, c) for c in composed))
        if any(_shows(best, c) and not c.isascii() for c in composed):
            return "".join(c if _shows(best, c) else "?" for c in composed), best
    bases, marks = _apart(plain)
    known = [c if _shows(own, c) else "?" for c in bases]
    for place, mark in reversed(marks):
        known.insert(place + 1, mark)
    return unicodedata.normalize("NFC", "".join(known)), own


def _apart(text: str) -> tuple[str, list[tuple[int, str]]]:
    """Letters without accents, and for each accent that can be drawn its letter's place.

    Letters of other scripts that are made of parts (Korean, accented Greek) stay whole.
    """
    bases, marks = "", []
    for letter in text:
        parts = unicodedata.normalize("NFD", letter)
        base, accents = parts[0], parts[1:]
        drawn = base.isascii() and all(mark in _ABOVE + _BELOW for mark in accents)
        if not drawn:
            bases += letter
            continue
        bases += base
        marks += [(len(bases) - 1, mark) for mark in accents]
    return bases, marks


def _draw_marks(
    image: "Image",
    font: "FreeTypeFont",
    text: str,
    marks: list[tuple[int, str]],
    top: int,
    size: int,
) -> None:
    """Draw accents over and under their letters, smooth even where they are of few pixels."""
    from PIL import Image, ImageChops, ImageDraw

    large = Image.new("L", (image.width * _FINE, image.height * _FINE))
    fine, plain = ImageDraw.Draw(large), ImageDraw.Draw(image)
    for place, mark in marks:
        letter = text[place]
        x0, y0, x1, y1 = font.getbbox(letter)
        middle = font.getlength(text[:place]) + (x0 + x1) / 2
        if letter in "ij" and mark in _ABOVE:  # the accent takes the place of the dot
            y0 += size * 0.14
            box = (middle - size * 0.12, 0, middle + size * 0.12, top + y0)
            plain.rectangle(box, fill=0)
        at = top + (y1 + size * 0.05 if mark in _BELOW else y0 - size * 0.15)
        _draw_mark(fine, mark, middle * _FINE, at * _FINE, size * _FINE)
    shrunk = large.resize(image.size, Image.Resampling.BOX)
    image.paste(ImageChops.lighter(image, shrunk))


def _draw_mark(draw: "ImageDraw", mark: str, x: float, y: float, size: int) -> None:
    """Draw one accent around a point, or below it."""
    pen, half, rise = max(1, round(size * 0.095)), size * 0.16, size * 0.06
    if mark == "\u0323":
        _dot(draw, x, y + pen, pen)
    elif mark in _BELOW:
        way = 1 if mark == "\u0328" else -1
        draw.line([(x, y), (x, y + pen), (x + way * half, y + 2 * pen)], fill=255, width=pen)
    elif mark == "\u0308":
        _dot(draw, x - half, y, pen)
        _dot(draw, x + half, y, pen)
    elif mark == "\u0307":
        _dot(draw, x, y, pen)
    elif mark == "\u030a":
        draw.ellipse((x - half, y - half, x + half, y + half), outline=255, width=pen)
    else:
        draw.line(_stroke(mark, x, y, half, rise), fill=255, width=pen, joint="curve")
        if mark == "\u030b":
            draw.line(_stroke("\u0301", x - half, y, half, rise), fill=255, width=pen)


def _stroke(mark: str, x: float, y: float, half: float, rise: float) -> list[tuple[float, float]]:
    """The line of an accent around a point."""
    wave = (x - half, x - half / 3, x + half / 3, x + half)
    return {
        "\u0300": [(x - half * 0.7, y - rise), (x + half * 0.5, y + rise)],
        "\u0301": [(x - half * 0.5, y + rise), (x + half * 0.7, y - rise)],
        "\u030b": [(x + half * 0.2, y + rise), (x + half * 1.2, y - rise)],
        "\u0302": [(x - half, y + rise), (x, y - rise), (x + half, y + rise)],
        "\u030c": [(x - half, y - rise), (x, y + rise), (x + half, y - rise)],
        "\u0306": list(zip(wave, (y - rise, y + rise, y + rise, y - rise))),
        "\u0303": list(zip(wave, (y + rise, y - rise, y + rise, y - rise))),
        "\u0304": [(x - half, y), (x + half, y)],
    }[mark]


def _dot(draw: "ImageDraw", x: float, y: float, pen: int) -> None:
    radius = 0.68 * pen
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)


@lru_cache(maxsize=16)
def _own(size: int) -> "FreeTypeFont":
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


@lru_cache(maxsize=128)
def _named(name: str, size: int) -> "FreeTypeFont | None":
    from PIL import ImageFont

    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _shows(font: "FreeTypeFont", letter: str) -> bool:
    """Whether the font has a letter, and not only its box for letters it has not."""
    if letter.isspace():
        return True
    found, absent = font.getmask(letter), font.getmask(_ABSENT)
    return found.size != absent.size or bytes(found) != bytes(absent)
