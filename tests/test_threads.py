"""Work in threads, a few hundred items at a time."""

import threading
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow._threads import in_threads


@given(st.integers(0, 1500), st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_the_results_of_all_items_come_in_their_order(items: int, workers: int) -> None:
    found = list(in_threads(lambda n: n * n, range(items), workers=workers, name="square"))
    assert found == [n * n for n in range(items)]


def test_no_more_items_are_taken_than_a_few_hundred_beyond_those_done() -> None:
    taken: list[int] = []

    def without_end() -> Iterator[int]:
        for number in count():
            taken.append(number)
            yield number

    results = in_threads(str, without_end(), workers=2, name="text")
    for done in range(700):
        assert next(results) == str(done)
        assert len(taken) <= done + 300


def test_an_error_ends_it_and_its_threads() -> None:
    def work(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        return number

    with pytest.raises(ValueError, match="five"):
        list(in_threads(work, range(10), workers=2, name="ends-with-five"))
    assert not [t for t in threading.enumerate() if t.name.startswith("ends-with-five")]
