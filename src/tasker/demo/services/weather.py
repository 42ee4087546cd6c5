"""Weather: how a system fails today. Seeded, so that every run of the demo has the same bad day.

Only the first two requests for the same thing can fail: troubles pass, and no step uses up its attempts.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

HANG_SECONDS = 4.0
"""Longer than any client of the demo waits."""
TROUBLED_REQUESTS = 2


class Trouble(Enum):
    """What can go wrong with a request."""

    DOWN = "times 503"
    BUSY = "times 429, Retry-After"
    HANG_BEFORE = "hung before doing it"
    HANG_AFTER = "hung after doing it"
    DROP_AFTER = "hung up after doing it"

    @property
    def after(self) -> bool:
        """Whether the work is done and only the answer is lost."""
        return self in (Trouble.HANG_AFTER, Trouble.DROP_AFTER)


@dataclass(frozen=True)
class Weather:
    """A system's own way to fail.

    Attributes:
        chances: how likely each trouble is, for a request that can fail.
        seed: makes it the same every time.
    """

    chances: Mapping[Trouble, float]
    seed: str = ""

    def of(self, operation: str, order_id: int, nth: int) -> Trouble | None:
        """Decide what happens to the nth request for this operation of this order, from 1."""
        if nth > TROUBLED_REQUESTS:
            return None
        dice = random.Random(f"{self.seed}/{operation}/{order_id}/{nth}").random()
        for trouble, chance in self.chances.items():
            dice -= chance
            if dice < 0:
                return trouble
        return None
