"""Retry and backoff: how long a pause is, and what is refused."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker.definition.retry import Backoff, Retry
from tasker.errors import DefinitionError

numbers = st.floats(min_value=0, max_value=0.999_999)


def middle() -> float:
    return 0.5


def test_the_defaults_are_those_of_the_documentation() -> None:
    """Three attempts; 1 s, twice as long each time, at most 300 s, ±10 %; a server may ask for one hour."""
    retry = Retry()
    assert (retry.max_attempts, retry.retryable, retry.permanent, retry.max_retry_after) == (3, True, (), 3600)
    assert [retry.pause(n, middle) for n in (1, 2, 3, 9, 10)] == [1, 2, 4, 256, 300]
    assert retry.pause(1, lambda: 0.0) == pytest.approx(0.9)
    assert retry.pause(1, lambda: 1.0) == pytest.approx(1.1)


@given(
    first=st.floats(min_value=0, max_value=100),
    factor=st.floats(min_value=1, max_value=10),
    more=st.floats(min_value=0, max_value=1e6),
    jitter=st.floats(min_value=0, max_value=1),
    attempt=st.integers(min_value=1, max_value=100_000),
    random=numbers,
)
def test_a_pause_is_the_formula_capped_and_jittered(
    first: float, factor: float, more: float, jitter: float, attempt: int, random: float
) -> None:
    """A pause never leaves the band of jitter around first · factor^(n-1), capped, however late the attempt."""
    backoff = Backoff(first=first, factor=factor, cap=first + more, jitter=jitter)
    steady = Backoff(first=first, factor=factor, cap=first + more, jitter=0)
    plain, pause = steady.pause(attempt, middle), backoff.pause(attempt, lambda: random)
    assert 0 <= plain <= first + more
    assert plain * (1 - jitter) <= pause * (1 + 1e-9)
    assert pause <= plain * (1 + jitter) * (1 + 1e-9)


@given(
    first=st.floats(min_value=0, max_value=100), factor=st.floats(min_value=1, max_value=10), attempt=st.integers(1, 50)
)
def test_without_jitter_no_pause_is_shorter_than_the_one_before(first: float, factor: float, attempt: int) -> None:
    """Pauses grow until the cap and stay there."""
    backoff = Backoff(first=first, factor=factor, jitter=0)
    assert backoff.pause(attempt, middle) <= backoff.pause(attempt + 1, middle)


def test_a_list_of_pauses_is_taken_as_written() -> None:
    """`Backoff.of` has no jitter, and its last pause goes on."""
    backoff = Backoff.of([1, 5, timedelta(seconds=30)])
    assert [backoff.pause(n, lambda: 0.0) for n in (1, 2, 3, 4, 99)] == [1, 5, 30, 30, 30]


def test_a_function_says_the_pause() -> None:
    """`Backoff.by` asks the function with the number of the used attempt."""
    assert Backoff.by(lambda n: timedelta(seconds=10 * n)).pause(3, lambda: 0.0) == 30


@pytest.mark.parametrize("bad", [-1, math.nan, "soon"])
def test_a_function_that_fails_later_gives_way_to_the_default(bad: Any) -> None:
    """Where a backoff function raises or returns nonsense at run time, the default pause takes its place."""

    def function(attempt: int) -> Any:
        return 1 if attempt == 1 else bad

    assert Backoff.by(function).pause(2, middle) == Backoff().pause(2, middle)


@given(st.floats(allow_nan=False), st.floats(min_value=0, max_value=1e6))
def test_the_servers_word_wins_up_to_its_limit(asked: float, limit: float) -> None:
    """`retry_after` replaces the backoff, is never negative and never more than `max_retry_after`."""
    pause = Retry(max_retry_after=limit).pause(1, middle, asked)
    assert pause == min(max(asked, 0), limit)


def test_durations_may_be_timedeltas() -> None:
    """Every duration of a retry policy may be written as a timedelta and is kept in seconds."""
    retry = Retry(backoff=Backoff(first=timedelta(minutes=1)), max_retry_after=timedelta(hours=2))
    assert (retry.backoff.first, retry.max_retry_after) == (60, 7200)


def test_equal_policies_are_equal() -> None:
    """Retry and Backoff are values."""
    assert Retry(5, Backoff.of([1])) == Retry(max_attempts=5, backoff=Backoff.of([1.0]))
    assert Backoff.of([1]) != Backoff.of([2])
    assert hash(Retry()) == hash(Retry())


@pytest.mark.parametrize(
    "given_",
    [
        {"first": -1},
        {"first": math.nan},
        {"first": math.inf},
        {"first": "1"},
        {"first": True},
        {"cap": -5},
        {"first": 10, "cap": 5},
        {"factor": 0.5},
        {"factor": math.nan},
        {"jitter": -0.1},
        {"jitter": 1.5},
        {"first": timedelta(seconds=-1)},
    ],
)
def test_a_backoff_that_makes_no_sense_is_refused(given_: dict[str, Any]) -> None:
    """A negative, infinite or missing number in a backoff is refused, named as it was written."""
    with pytest.raises(DefinitionError, match=next(reversed(given_))):
        Backoff(**given_)


@pytest.mark.parametrize("pauses", [[], "15", 5, [1, -1], [math.nan]])
def test_a_list_of_pauses_that_makes_no_sense_is_refused(pauses: Any) -> None:
    """An empty list, or a pause that is no duration, is refused."""
    with pytest.raises(DefinitionError, match=r"Backoff\.of"):
        Backoff.of(pauses)


@pytest.mark.parametrize("function", [5, lambda n: None, lambda n: -1, lambda: 1])
def test_a_backoff_function_is_tried_at_once(function: Any) -> None:
    """A backoff function that does not return seconds for the first attempt is refused where it is written."""
    with pytest.raises(DefinitionError, match=r"Backoff\.by"):
        Backoff.by(function)


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"max_attempts": 0}, "attempts include the first"),
        ({"max_attempts": -1}, "attempts include the first"),
        ({"max_attempts": True}, "max_attempts=True"),
        ({"max_attempts": 2.0}, "max_attempts=2.0"),
        ({"backoff": 5}, "write Backoff"),
        ({"retryable": 1}, "write True or False"),
        ({"permanent": "ValueError"}, "write exception classes"),
        ({"permanent": (ValueError("x"),)}, "write exception classes"),
        ({"permanent": int}, "write exception classes"),
        ({"max_retry_after": -1}, "max_retry_after"),
    ],
)
def test_a_retry_that_makes_no_sense_is_refused(given_: dict[str, Any], said: str) -> None:
    """Each option of a retry policy is checked where it is written, and the refusal says what to write."""
    with pytest.raises(DefinitionError, match=said):
        Retry(**given_)


def test_one_permanent_class_needs_no_tuple() -> None:
    """`permanent=ValueError` means `permanent=(ValueError,)`."""
    assert Retry(permanent=ValueError).permanent == (ValueError,)  # type: ignore[arg-type]
