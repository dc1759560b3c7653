import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameflow.data.timestamps import parse_time, print_time


@given(st.floats(0, 360_000))
def test_a_printed_time_reads_back(seconds: float) -> None:
    assert parse_time(print_time(seconds)) == pytest.approx(seconds, abs=0.0005001)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_every_form_says_the_same(hours: int, minutes: int, seconds: int, rest: int) -> None:
    expected = hours * 3600 + minutes * 60 + seconds + rest / 1000
    clock = f"{hours}:{minutes:02d}:{seconds:02d}"
    forms = [f"{clock}.{rest:03d}", f"{clock},{rest:03d}", f"{expected:.3f}", f"{expected:.3f} s"]
    if not hours:
        forms.append(f"{minutes}:{seconds:02d}.{rest:03d}")
    assert [parse_time(form) for form in forms] == pytest.approx([expected] * len(forms))


@pytest.mark.parametrize("text", ["", "x", "1:2:3:4", "-3", "1:75", "1:60:00", "nan", "1e3", "1:"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        parse_time(text)
