"""How far a search is: never backwards, at its end exactly when the search is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoglm_bench.load.plan import Search
from autoglm_bench.load.search import Trial, bracket, most_left, next_rate, share

SEARCH = Search(1, 64, 30)


def held(rate, ok):
    return Trial(rate, ok, "")


def trials_of(search, limit):
    """Return the trials of a search where rates up to `limit` hold."""
    found = []
    while (rate := next_rate(search, found)) is not None:
        found.append(held(rate, rate <= limit))
    return found


rates = st.floats(0.1, 1000)


@given(rates, st.floats(1.0, 500.0), rates, st.floats(0.01, 0.5))
def test_progress_never_falls_and_ends_with_the_search(lowest, wide, limit, precision):
    search = Search(lowest, lowest * wide, 30, precision)
    found = trials_of(search, limit)
    shown = [
        share(search, found[:number], within)
        for number in range(len(found) + 1)
        for within in ((0.0, 0.5, 1.0) if number < len(found) else (0.0,))
    ]
    assert shown[0] == 0
    assert shown == sorted(shown)
    assert all(part < 1 for part in shown[:-2])
    assert shown[-1] == 1
    assert most_left(search, found) == 0


@given(rates, st.floats(1.0, 500.0), rates)
def test_what_is_left_is_never_less_than_what_comes(lowest, wide, limit):
    search = Search(lowest, lowest * wide, 30)
    found = trials_of(search, limit)
    for number in range(len(found)):
        assert most_left(search, found[:number]) >= len(found) - number


def test_a_search_that_finds_its_bracket_leaps():
    below = [held(1, True), held(2, True), held(4, True)]
    # Doubling may go on to 64, with four halvings behind it; from 4 to 8 only these are left.
    assert most_left(SEARCH, below) == 3 + 1 + 4
    assert most_left(SEARCH, [*below, held(8, False)]) == 4
    assert share(SEARCH, [*below, held(8, False)], 0.5) == pytest.approx(4.5 / 8)


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        ([], ""),
        ([held(1, False)], "limit below 1/s"),
        ([held(1, True), held(2, True)], "limit above 2/s"),
        ([held(2, True), held(4, False), held(2**1.5, True)], "limit between 2.828 and 4/s"),
    ],
)
def test_the_bracket_in_words(trials, words):
    assert bracket(trials) == words
