"""Clock: one time for everything that is stored or compared, the database's.

Each process measures how far its monotonic clock is from the database's and carries that on, so that a
jump of a host's wall clock moves nothing. Moments inside Tasker are floats: Unix seconds, UTC. People get
aware datetimes.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from tasker.errors import RequestError

Seconds = float | timedelta
"""A duration: a number means seconds."""


class Clock(Protocol):
    """What the engine knows of time."""

    def now(self) -> float:
        """The database's time, Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump; comparable only within this process."""
        ...

    def set(self, now: float) -> None:
        """Take over a measurement: it is `now` at the database."""
        ...


class DatabaseClock:
    """The database's time, carried on by this process's monotonic clock between measurements."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return time.monotonic() + self._offset

    def monotonic(self) -> float:
        return time.monotonic()

    def set(self, now: float) -> None:
        self._offset = now - time.monotonic()


def seconds(duration: Seconds) -> float:
    """Turn a duration into seconds.

    Example:
        >>> from datetime import timedelta
        >>> seconds(timedelta(minutes=1)), seconds(2)
        (60.0, 2.0)
    """
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def moment(when: datetime, what: str) -> float:
    """Turn an aware datetime into Unix seconds; a naive one is refused, naming `what`."""
    if when.tzinfo is None:
        raise RequestError(f"{what}: a naive datetime has no zone; write datetime.now(timezone.utc) + …")
    return when.timestamp()


def as_datetime(at: float | None) -> datetime | None:
    """Give a stored moment back to people: aware, in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC)
