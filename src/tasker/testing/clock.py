"""FakeClock: the database's time, as a test wants it. Everything that is stored or compared goes by it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from tasker.clock import Seconds, seconds
from tasker.errors import RequestError


class FakeClock:
    """A clock that is moved by the test (`advance`) and by `run_until_idle`, which skips waits.

    It ticks with real time until it is frozen; the fixture `fake_clock` freezes it.

    Example:
        >>> clock = FakeClock()
        >>> clock.freeze()
        >>> before = clock.now
        >>> clock.advance(3600)
        >>> (clock.now - before).total_seconds()
        3600.0
    """

    def __init__(self) -> None:
        self._offset = 0.0
        self._frozen: float | None = None

    @property
    def now(self) -> datetime:
        """The time now, aware, in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def time(self) -> float:
        """The time now, Unix seconds."""
        return self._frozen if self._frozen is not None else time.time() + self._offset

    def advance(self, by: Seconds) -> None:
        """Move it on."""
        step = seconds(by)
        if step < 0:
            raise RequestError(f"advance({by!r}): time goes forward only")
        self._offset += step
        if self._frozen is not None:
            self._frozen += step

    def freeze(self) -> None:
        """Stop ticking: only `advance` and `run_until_idle` move it."""
        # Whole microseconds: what a database gives back is equal to what was stored.
        self._frozen = round(self.time(), 6)

    def move_to(self, moment: float) -> None:
        """Move on to a moment; never back."""
        self.advance(max(0.0, moment - self.time()))


class StoreClock:
    """The same clock as the store takes it (`tasker.clock.Clock`)."""

    def __init__(self, fake: FakeClock) -> None:
        self.fake = fake

    def now(self) -> float:
        return self.fake.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def set(self, now: float) -> None:
        """The test says what time it is, not the database."""
