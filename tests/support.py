"""What tests of several folders share: waiting for a fact, and apps on a test's database."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def until(fact: Callable[[], T], within: float = 10.0, every: float = 0.01) -> T:
    """Wait until `fact()` is true and return what it was; fails after `within` seconds, naming what it was then."""
    deadline = time.monotonic() + within
    while True:
        found = fact()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {within:g} s; it was {found!r}")
        time.sleep(every)


def raised_by(work: Callable[[], Any], kind: type[BaseException]) -> Any:
    """Call `work` and give back what it raised, which must be a `kind`."""
    try:
        work()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")
