"""Labels drawn on frames: what is seen, on frames of every size and with every letter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.errors import UsageError
from frameflow.video._font import line_height, shorten, text_mask, text_width, wrap
from frameflow.video.draw import LabelOverlay, caption, draw_labels, percent, text_size

LINES = [("Rückhand", 0.75), ("serve", 0.25)]
SIZES = [(160, 120), (160, 90), (320, 142), (108, 192), (640, 160), (120, 480), (1920, 1080)]


def grey(width: int, height: int, level: int = 128) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def luminance(colour: np.ndarray) -> float:
    """Relative luminance of WCAG 2."""
    share = np.asarray(colour, float) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("level", [0, 255])
def test_text_is_legible_and_leaves_most_of_the_picture(
    width: int, height: int, level: int
) -> None:
    frame = grey(width, height, level)
    drawn = draw_labels(frame, LINES)
    assert drawn.shape == frame.shape
    assert (frame == level).all(), "the frame that was given stays as it is"
    changed = np.flatnonzero((drawn != frame).any(axis=(1, 2)))
    assert changed[0] >= height // 2, "the upper half is left"
    assert changed[-1] == height - 1
    band = drawn[changed[0] :].reshape(-1, 3)
    ink, paper = band[band.sum(axis=1).argmax()], np.median(band, axis=0)
    contrast = (luminance(ink) + 0.05) / (luminance(paper) + 0.05)
    assert contrast >= 4.5, "as WCAG 2 asks of text"
    assert text_size(width, height) >= 11
    rows = (len(changed) - 2) // line_height(text_size(width, height))
    assert rows >= 1


def test_text_grows_with_the_frame() -> None:
    sizes = [text_size(side * 16 // 9, side) for side in (90, 480, 1080, 2160)]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("size", [(64, 48), (16, 16), (3, 2), (1, 1)])
def test_frames_too_small_for_text_stay_frames(size: tuple[int, int]) -> None:
    assert draw_labels(grey(*size), LINES, corner="0:01", progress=0.5).shape == (*size[::-1], 3)


def test_a_bar_is_as_long_as_its_probability() -> None:
    for share in (0.1, 0.5, 0.9):
        with_bar = draw_labels(grey(400, 300), [("a", share)])
        without = draw_labels(grey(400, 300), [("a", share)], bars=False)
        columns = np.flatnonzero((with_bar != without).any(axis=(0, 2)))
        assert columns[-1] + 1 == pytest.approx(400 * share, abs=1)


def test_what_is_answered_has_another_colour() -> None:
    answered = draw_labels(grey(400, 300), [("a", 0.5)], strong=1)
    withheld = draw_labels(grey(400, 300), [("a", 0.5)], strong=0)
    assert (answered != withheld).any()


def test_the_line_at_the_bottom_goes_as_far_as_the_video() -> None:
    drawn = draw_labels(grey(200, 100), [], progress=0.25)
    last = drawn[-1].astype(int)
    assert np.flatnonzero((last == last[0]).all(axis=1)).tolist() == list(range(50))


def test_a_corner_takes_no_more_than_its_text() -> None:
    frame = grey(400, 300)
    drawn = draw_labels(frame, [], corner="0:07")
    rows, columns = np.nonzero((drawn != frame).any(axis=-1))
    assert rows.max() < 60
    assert columns.max() < 100


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["a", "läuft", "x y"]), st.floats(0, 1)), max_size=6),
        min_size=2,
        max_size=4,
    )
)
def test_what_was_kept_is_drawn_as_if_it_were_new(frames: list[list[tuple[str, float]]]) -> None:
    overlay = LabelOverlay(120, 90)
    for lines in [*frames, *frames]:
        expected = LabelOverlay(120, 90).draw(grey(120, 90), lines)
        np.testing.assert_array_equal(overlay.draw(grey(120, 90), lines), expected)


def test_a_caption_holds_all_lines() -> None:
    lines = [(f"label {n}", n / 10) for n in range(8)]
    assert caption(300, lines, size=14).shape == (8 * line_height(14) + 8, 300, 3)


def test_no_frame() -> None:
    with pytest.raises(UsageError, match="must be uint8 of the shape"):
        draw_labels(np.zeros((4, 4), np.uint8), LINES)


# Letters


@pytest.mark.parametrize("size", [11, 24, 86])
@pytest.mark.parametrize(("accented", "plain"), [("ü", "u"), ("Ä", "A"), ("é", "e"), ("ñ", "n")])
def test_accents_stand_over_their_letters(accented: str, plain: str, size: int) -> None:
    mark = text_mask(accented, size).astype(int) - text_mask(plain, size)
    assert mark.min() >= 0, "the letter itself is the same"
    rows, columns = np.nonzero(mark > 60)
    letter_rows, letter_columns = np.nonzero(text_mask(plain, size) > 60)
    assert rows.max() <= letter_rows.min() + 1
    assert columns.mean() == pytest.approx(letter_columns.mean(), abs=max(1.0, size / 12))


def test_two_dots_are_two() -> None:
    dots = (text_mask("ü", 24).astype(int) - text_mask("u", 24)) > 60
    inked = np.flatnonzero(dots.any(axis=0))
    assert (np.diff(inked) > 1).sum() == 1


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=12))
def test_no_text_is_too_strange(text: str) -> None:
    mask = text_mask(text, 14)
    assert mask.shape[0] == line_height(14)
    assert mask.dtype == np.uint8


@pytest.mark.parametrize("text", ["", " ", "\x00\n\t", "\ud800"])
def test_a_text_without_letters_takes_no_room(text: str) -> None:
    assert text_width(text, 14) == 0


@settings(deadline=None, max_examples=60)
@given(st.text("abc _äW", max_size=40), st.integers(0, 200))
def test_shortened_text_fits(text: str, width: int) -> None:
    short = shorten(text, 12, width)
    assert text_width(short, 12) <= width
    assert short == text or not short or text.startswith(short.removesuffix("…"))


@settings(deadline=None, max_examples=60)
@given(st.text("abc _", max_size=60), st.integers(30, 200))
def test_wrapped_text_fits_and_loses_only_its_end(text: str, width: int) -> None:
    parts = wrap(text, 12, width, lines=3)
    assert len(parts) <= 3
    assert all(text_width(part, 12) <= width for part in parts)
    kept = "".join("".join(parts).removesuffix("…").split())
    assert "".join(text.split()).startswith(kept)


@given(st.floats(0, 1))
def test_a_share_in_words_is_never_surer_than_it_is(share: float) -> None:
    words = percent(share)
    if words == "100 %":
        assert share >= 0.9995
    elif words == "<1 %":
        assert 0 < share < 0.01
    else:
        assert abs(float(words.removesuffix(" %")) - 100 * share) <= 1
