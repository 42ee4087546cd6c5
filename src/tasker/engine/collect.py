"""Collect: wait for the first thing that arrives, or the next moment that needs a turn, then take what is there."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

from tasker.engine.claim import NEWS_EVERY, room
from tasker.engine.execute import Attempt

if TYPE_CHECKING:
    from tasker.engine.heart import Heart

MARK_AFTER = 0.1
"""Seconds: a step that runs longer gets a row `in_progress`; one that is over sooner is written once."""
MOST_ROWS, MOST_BYTES = 1_000, 8 * 1024 * 1024
"""What one turn writes at most."""


def collect(heart: Heart, wait: float | None) -> None:
    """Wait for the first arrival or moment, then take what is there."""
    pause = 0.0 if hurry(heart) else _pause(heart)
    if wait is not None:
        pause = min(pause, wait)
    limit = heart.clock.monotonic() + pause
    while True:
        left = limit - heart.clock.monotonic()
        gap = heart.doorbell.slice
        try:
            item = (
                heart.inbox.get_nowait()
                if left <= 0
                else heart.inbox.get(timeout=left if gap is None else min(left, gap))
            )
        except queue.Empty:
            if heart.doorbell.rang():
                heart.poll_at = heart.news_at = 0.0  # look; unlike a ring it may have been our own heartbeat
                return
            if left <= 0:
                return
            continue
        _take(heart, item)
        break
    size = 0
    while len(heart.arrived) < MOST_ROWS and size < MOST_BYTES:
        try:
            item = heart.inbox.get_nowait()
        except queue.Empty:
            return
        _take(heart, item)
        if item.__class__ is tuple:
            size += len(item[1].results or "")


def _take(heart: Heart, item: Any) -> None:
    if item.__class__ is tuple:
        heart.busy -= 1
        heart.arrived.append(item)
    elif item is None:
        heart.rang = True
    elif isinstance(item, Attempt) and heart.attempts.get(item.key) is item:
        heart.unmarked.appendleft(item)


def hurry(heart: Heart) -> bool:
    """Whether there is something to do without waiting."""
    return bool(
        heart.arrived
        or heart.touched
        or heart.rang
        or heart.ask
        or heart.again
        or heart.marked
        or (heart.suspects and heart.free)
        or (heart.more and room(heart) > 0)
    )


def _pause(heart: Heart) -> float:
    """Seconds until the next moment that needs a turn."""
    now, mono = heart.clock.now(), heart.clock.monotonic()
    moments = [60.0]
    if room(heart) > 0:
        moments.append((heart.poll_at if heart.next_wake is None else min(heart.poll_at, heart.next_wake)) - now)
    if heart.timers:
        moments.append(heart.timers[0][0] - now)
    if heart.timeouts:
        moments.append(heart.timeouts[0][0] - mono)
    if heart.unmarked:
        moments.append(heart.unmarked[0].started + MARK_AFTER - mono)
    if heart.runs:
        moments.append(heart.news_at + NEWS_EVERY - mono)
    return max(0.0, min(moments))
