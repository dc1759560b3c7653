"""Labels drawn on frames: legible from 160 px to 4K, whatever the shape of the picture.

The text grows with the frame. Below the picture's middle lies a dark band that lets the picture
through; each label has a row with a bar as long as its probability. Labels that are too long are
wrapped or shortened, and rows that do not fit are left out, the last ones first.
"""

from collections.abc import Callable, Sequence

import numpy as np

from frameflow.errors import UsageError
from frameflow.video._font import line_height, shorten, text_mask, text_width, wrap

Line = tuple[str, float | None]

_SHARE, _LEAST = 0.04, 11  # size of the text as a share of the shorter side, and its least, px
_MOST = 0.36  # of the height that the band may take
_KEPT = 400  # rendered overlays: a video says the same thing for many frames
_PAPER, _OPACITY = (14, 16, 20), 0.74
_INK = (255, 255, 255)
_BAR, _REST = (18, 92, 170), (84, 92, 104)  # of what is answered, and of the other labels
_BAR_OPACITY = 0.9
_LINE, _TRACK = (255, 190, 60), (70, 74, 82)  # how far the video is


def text_size(width: int, height: int) -> int:
    """How large letters are in a frame of this size, px."""
    return max(_LEAST, round(_SHARE * min(width, height)))


def draw_labels(
    frame: np.ndarray,
    lines: Sequence[Line],
    *,
    corner: str = "",
    strong: int = 1,
    bars: bool = True,
    progress: float | None = None,
) -> np.ndarray:
    """Draw labels and their probabilities on one frame.

    Args:
        frame: (H, W, 3) uint8 RGB; it stays as it is.
        lines: labels with their probabilities from 0 to 1, likeliest first; where a probability is
            None, the text stands alone.
        corner: a short text at the top left, such as a time.
        strong: how many of the first lines are what is answered, and have a coloured bar.
        bars: draw the probabilities as bars as well.
        progress: from 0 to 1, how far the video is: a line at the bottom.

    Returns:
        (H, W, 3) uint8, a new frame.

    Raises:
        UsageError: a wrong shape or type.

    Example:
        >>> import numpy as np
        >>> draw_labels(np.zeros((120, 160, 3), np.uint8), [("serve", 0.91)]).shape
        (120, 160, 3)
    """
    _check(frame)
    overlay = LabelOverlay(frame.shape[1], frame.shape[0], strong=strong, bars=bars)
    return overlay.draw(frame, lines, corner=corner, progress=progress)


def caption(width: int, lines: Sequence[Line], *, size: int, strong: int = 1) -> np.ndarray:
    """Labels as a picture of their own, to stand above or below others.

    Args:
        width: px.
        lines: as in `draw_labels`.
        size: of the letters, px.
        strong: as in `draw_labels`.

    Returns:
        (height, width, 3) uint8, as high as the lines need.
    """
    overlay = LabelOverlay(width, 10_000, strong=strong, size=size)
    picture = np.zeros((overlay.height_of(lines), width, 3), np.uint8)
    return overlay.draw(picture, lines)


class LabelOverlay:
    """Draws labels on the frames of one video; what was rendered is kept until it changes.

    Args:
        width: of the frames, px.
        height: px.
        strong: see `draw_labels`.
        bars: see `draw_labels`.
        size: of the letters, px; `text_size` where None.
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        strong: int = 1,
        bars: bool = True,
        size: int | None = None,
    ) -> None:
        self.width, self.height = width, height
        self.strong, self.bars = strong, bars
        self.size = size or text_size(width, height)
        self._pad = max(2, self.size // 3)
        self._row = line_height(self.size)
        self._rendered: dict[object, tuple[np.ndarray, np.ndarray]] = {}

    def draw(
        self,
        frame: np.ndarray,
        lines: Sequence[Line],
        *,
        corner: str = "",
        progress: float | None = None,
        strong: int | None = None,
    ) -> np.ndarray:
        """One frame with the labels; see `draw_labels` for all but ``strong``.

        Args:
            frame: (H, W, 3) uint8 RGB, of the overlay's width.
            lines: as in `draw_labels`.
            corner: as in `draw_labels`.
            progress: as in `draw_labels`.
            strong: for this frame, instead of the overlay's.

        Returns:
            (H, W, 3) uint8, a new frame.
        """
        _check(frame)
        out = np.array(frame)
        strong = self.strong if strong is None else strong
        if lines:
            rows = self._rows(lines, strong)
            band = self._kept(("band", tuple(rows)), lambda: self._band(rows))
            _blend(out[max(0, len(out) - len(band[0])) :], *band)
        if corner:
            text = shorten(corner, self.size, self.width - 2 * self._pad)
            box = self._kept(("corner", text), lambda: self._box(text))
            _blend(out[: len(box[0]), : box[0].shape[1]], *box)
        if progress is not None:
            self._progress(out, min(max(progress, 0.0), 1.0))
        return out

    def height_of(self, lines: Sequence[Line]) -> int:
        """Pixels that the band of these lines takes."""
        return len(self._rows(lines, self.strong)) * self._row + 2 * self._pad

    def _rows(self, lines: Sequence[Line], strong: int) -> list[tuple[str, str, int, bool]]:
        """What is drawn: text, share in words, length of the bar in px, whether it is strong."""
        room = max(1, int((_MOST * self.height - 2 * self._pad) // self._row))
        rows: list[tuple[str, str, int, bool]] = []
        for place, (label, share) in enumerate(lines):
            if len(rows) >= room:
                break
            words = "" if share is None else percent(share)
            taken = text_width(words, self.size) + 2 * self._pad if words else 0
            width = max(1, self.width - 2 * self._pad - taken)
            # The first may take a second line, where no other goes without its own for that.
            spare = 2 if place == 0 and room > 1 else 1
            bar = 0 if share is None else round(min(max(share, 0.0), 1.0) * self.width)
            first, *more = wrap(label, self.size, width, lines=spare)
            rows.append((first, words, bar, place < strong))
            rows += [(text, "", bar, place < strong) for text in more]
        return rows[:room]

    def _band(self, rows: Sequence[tuple[str, str, int, bool]]) -> tuple[np.ndarray, np.ndarray]:
        height = len(rows) * self._row + 2 * self._pad
        colour, keep = _paper(height, self.width)
        for place, (text, words, bar, strong) in enumerate(rows):
            top = self._pad + place * self._row
            if self.bars and bar:
                part = slice(top, top + self._row - max(1, self.size // 12)), slice(0, bar)
                colour[part] = _BAR if strong else _REST
                keep[part] = 1 - _BAR_OPACITY
            _ink(colour, keep, text, self.size, top, self._pad)
            left = self.width - self._pad - text_width(words, self.size)
            _ink(colour, keep, words, self.size, top, left)
        return _ready(colour, keep)

    def _box(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        wide = min(self.width, text_width(text, self.size) + 2 * self._pad)
        colour, keep = _paper(min(self.height, self._row + self._pad), wide)
        _ink(colour, keep, text, self.size, self._pad // 2, self._pad)
        return _ready(colour, keep)

    def _progress(self, frame: np.ndarray, share: float) -> None:
        thick = max(2, self.size // 5)
        at = round(share * self.width)
        frame[-thick:, :at] = _LINE
        frame[-thick:, at:] = _TRACK

    def _kept(self, key: object, make: Callable[[], tuple[np.ndarray, np.ndarray]]) -> (
        tuple[np.ndarray, np.ndarray]
    ):  # fmt: skip
        if key not in self._rendered:
            if len(self._rendered) >= _KEPT:
                self._rendered.clear()
            self._rendered[key] = make()
        return self._rendered[key]


def percent(share: float) -> str:
    """A probability in words that are never surer than it is: 100 % is for 1 alone."""
    whole = round(100 * share)
    if whole >= 100 and share < 0.9995:
        whole = 99
    return "<1 %" if whole < 1 and share > 0 else f"{whole} %"


def _paper(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Colour (height, width, 3) and what is kept of the picture (height, width), float32."""
    colour = np.empty((height, width, 3), np.float32)
    colour[:] = _PAPER
    return colour, np.full((height, width), 1 - _OPACITY, np.float32)


def _ink(colour: np.ndarray, keep: np.ndarray, text: str, size: int, top: int, left: int) -> None:
    mask = text_mask(text, size)
    left = max(0, left)
    mask = mask[: len(colour) - top, : colour.shape[1] - left]
    if not mask.size:
        return
    ink = mask.astype(np.float32)[..., None] / 255
    part = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
    # Colours weigh by how much of the picture they hide.
    hides = (1 - keep[part])[..., None]
    total = ink + (1 - ink) * hides
    colour[part] = (ink * np.array(_INK, np.float32) + (1 - ink) * hides * colour[part]) / total
    keep[part] = 1 - total[..., 0]


def _ready(colour: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is kept of the picture and what is added to it, in 256ths: (h, w, 1), (h, w, 3)."""
    kept = np.rint(keep * 256).astype(np.uint16)[..., None]
    return kept, np.rint(colour * (256 - kept)).astype(np.uint16)


def _blend(part: np.ndarray, keep: np.ndarray, add: np.ndarray) -> None:
    """Put an overlay over a part of a frame, in place; it is cut where it is larger."""
    keep, add = keep[-len(part) :], add[-len(part) :]
    mixed = part.astype(np.uint16)
    mixed *= keep
    mixed += add
    mixed >>= 8
    part[:] = mixed


def _check(frame: np.ndarray) -> None:
    if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8 or not frame.size:
        raise UsageError(
            f"frame {frame.shape} of {frame.dtype} must be uint8 of the shape (height, width, 3)"
        )
