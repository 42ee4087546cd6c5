"""Claim: how many due tasks to take, and when to look for them.

The statement itself is `Turn.claim`; it runs in the transaction that settles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasker.engine.settle import Wish
from tasker.errors import StoreUnavailable
from tasker.store.faults import Again
from tasker.store.turn import glance

if TYPE_CHECKING:
    from tasker.engine.heart import Heart

POLL_FIRST, POLL_MOST = 0.25, 2.0
"""Seconds between polls: a lost wake-up costs at most the second."""
NEWS_EVERY, HELD_EVERY = 1.0, 0.5
"""Seconds between looks for news of owned tasks, and for held systems, when nothing rings."""
AGAIN_FIRST = 0.02
"""Seconds until the second look for what is due but could not be claimed."""
AHEAD = 0.1
"""Seconds: as many steps are fetched ahead as ended in this time."""


def room(heart: Heart) -> int:
    """How many tasks to claim: quick steps are fetched ahead, slow ones are not hoarded."""
    if heart.draining:
        return 0
    horizon = heart.clock.monotonic() - AHEAD
    while heart.ended and heart.ended[0] < horizon:
        heart.ended.popleft()
    return min(1_000, max(heart.free, len(heart.ended)) - len(heart.backlog))


def wish_of(heart: Heart, now: float) -> Wish:
    """What the coming turn should ask the database for."""
    mono = heart.clock.monotonic()
    heart.more = heart.more or heart.rang
    due = heart.more or now >= heart.poll_at or (heart.next_wake is not None and heart.next_wake <= now)
    known, last = heart.plans.known, heart.limits.crash_limit - 1
    if due and not known:
        heart.more = False
        schedule(heart, None, now)
    most = max(0, room(heart)) if due and known else 0
    systems = any(plan.systems for plan in known.values())
    return Wish(
        now=now,
        known=[(name, template) for name in heart.limits.queues for template in known] if most else (),
        room=most,
        crash_limit=heart.limits.crash_limit,
        alone=most > 0 and not any(run.crashes and run.crashes >= last for run in heart.runs.values()),
        news=bool(heart.runs) and (heart.rang or mono - heart.news_at >= NEWS_EVERY),
        held=systems and bool(heart.runs or most) and mono - heart.held_at >= HELD_EVERY,
        ask=heart.ask,
    )


def look_first(heart: Heart, wish: Wish, now: float) -> None:
    """An idle poll is one SELECT without a transaction; only what is due opens one."""
    assert heart.wire is not None
    try:
        next_wake = glance(heart.wire, wish.known)
    except (StoreUnavailable, Again) as error:
        wish.room = 0
        heart.lost(error)
        return
    if next_wake is None or next_wake > now:
        wish.room = 0
        schedule(heart, next_wake, now)


def schedule(heart: Heart, next_wake: float | None, now: float) -> None:
    """Remember when something is due next, and when to look anyway."""
    heart.next_wake = next_wake
    heart.poll_gap = min(POLL_MOST, heart.poll_gap * 2)
    heart.poll_at = now + heart.poll_gap
    if next_wake is not None and next_wake <= now:
        # Due but not for us (locked by somebody, or a suspect that must run alone): look again ever more rarely.
        heart.next_wake = now + heart.again_gap
        heart.again_gap = min(POLL_MOST, heart.again_gap * 2)
    else:
        heart.again_gap = AGAIN_FIRST
