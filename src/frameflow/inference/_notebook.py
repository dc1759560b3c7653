"""A prediction as HTML for a notebook, in the colours of whatever page it is on."""

import base64
import logging
from html import escape
from pathlib import Path

from frameflow.errors import FrameFlowError
from frameflow.inference.prediction import Prediction
from frameflow.inference.show import lines_of, small_gif
from frameflow.video.draw import percent

log = logging.getLogger(__name__)

_SIZES = ((240, 24), (200, 16), (160, 10), (120, 6))  # px of the longer side, frames
_BYTES = 400_000  # of the animation: a notebook keeps it in its file

_BOX = "display:flex;flex-wrap:wrap;gap:14px;align-items:flex-start;font:14px/1.4 sans-serif"
_ROW = "position:relative;margin:3px 0;padding:2px 8px;display:flex;gap:12px;z-index:0"
# Half-transparent colours are seen on white and on black, and leave the text its contrast.
_BAR = "position:absolute;left:0;top:0;bottom:0;z-index:-1;border-radius:3px;"
_STRONG, _REST = "background:rgba(60,130,220,.45)", "background:rgba(128,128,128,.3)"


def notebook_html(prediction: Prediction) -> str:
    """The clip as a small animation where it can be read, and the top labels with bars."""
    lines, strong = lines_of(prediction)
    rows = [_row(text, share, number < strong) for number, (text, share) in enumerate(lines)]
    set_ = "" if prediction.set is None or prediction.multilabel else _set(prediction)
    name = f'<div style="opacity:.75;overflow-wrap:anywhere">{escape(prediction.video)}</div>'
    said = f'<div style="min-width:240px;flex:1 1 240px;max-width:480px">{name}'
    return f'<div style="{_BOX}">{_picture(prediction)}{said}{"".join(rows)}{set_}</div></div>'


def _row(text: str, share: float | None, strong: bool) -> str:
    width = 0 if share is None else 100 * min(max(share, 0.0), 1.0)
    bar = f'<span style="{_BAR}width:{width:.1f}%;{_STRONG if strong else _REST}"></span>'
    label = f'<span style="flex:1;overflow-wrap:anywhere">{escape(text)}</span>'
    words = "" if share is None else f"<span>{escape(percent(share))}</span>"
    weight = "font-weight:600;" if strong else ""
    return f'<div style="{_ROW};{weight}isolation:isolate">{bar}{label}{words}</div>'


def _set(prediction: Prediction) -> str:
    labels = prediction.set or ()
    return f'<div style="opacity:.75">set: {escape(", ".join(labels))}</div>'


def _picture(prediction: Prediction) -> str:
    try:
        for side, frames in _SIZES:
            data, width, height = small_gif(prediction, side=side, frames=frames)
            if len(data) <= _BYTES:
                break
    except (FrameFlowError, OSError, ValueError) as error:
        log.debug("No picture of %s: %s", prediction.video, error)
        return '<div style="opacity:.75">(the video cannot be read any more)</div>'
    text = base64.b64encode(data).decode("ascii")
    name = escape(Path(prediction.video).name, quote=True)
    size = f'width="{width}" height="{height}"'
    return f'<img src="data:image/gif;base64,{text}" {size} alt="{name}" style="border-radius:4px">'
