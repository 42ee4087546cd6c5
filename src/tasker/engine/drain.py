"""Drain: a worker leaves in grades, and hands over what it holds.

1. Claim nothing, start nothing; tasks with nothing running are handed back at once.
2. Wait for what runs, up to the grace time; what ends is settled.
3. End async and process steps and hand their attempts back; tell threads.
4. In one last transaction hand back the rest, threads' steps too, and sign off.

Handed back counts neither as an attempt nor as a crash.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tasker.engine.changes import Changes
from tasker.engine.settle import write
from tasker.errors import StoreError
from tasker.handlers.outcome import Ended, Outcome
from tasker.store import workers
from tasker.store.turn import Turn

if TYPE_CHECKING:
    from tasker.engine.heart import Heart

_log = logging.getLogger("tasker.heart")

END_WITHIN = 2.0
"""Seconds that async and process steps get to end once they are told to."""


def drain(heart: Heart, grace: float) -> None:
    """Leave; `grace`: seconds to wait for running steps."""
    if heart.wire is None:
        return
    heart.draining = True
    deadline = heart.clock.monotonic() + grace
    heart.give_up_at = deadline + END_WITHIN
    if heart.runs:
        _say_so(heart)
    heart.touched.update(heart.runs)
    _run_until(heart, deadline)
    for attempt in list(heart.attempts.values()):
        attempt.handing_back = True
        attempt.over = True
        heart.hands.stop(attempt)
    if any(attempt.kind != "thread" for attempt in heart.attempts.values()):
        _run_until(heart, heart.clock.monotonic() + END_WITHIN, threads=False)
    try:
        _sign_off(heart)
    except StoreError as error:
        _log.warning("could not sign off, a neighbour will take over what is left: %s", error)
    if heart.wire is not None:
        heart.wire.close()


def _say_so(heart: Heart) -> None:
    """Others must not count on a worker that claims nothing any more."""
    assert heart.wire is not None
    try:
        with Turn(heart.wire) as turn:
            turn.send(workers.CHANGE_STATE, {"id": heart.me, "state": "draining"})
            turn.commit()
    except StoreError as error:
        heart.lost(error)


def _run_until(heart: Heart, deadline: float, *, threads: bool = True) -> None:
    """Turn until nothing is owned (or only threads run), or the deadline."""
    heart.run_once(0.0)
    while heart.runs and not (threads and heart.hurried) and (left := deadline - heart.clock.monotonic()) > 0:
        if not threads and all(attempt.kind == "thread" for attempt in heart.attempts.values()):
            return
        heart.run_once(min(left, 0.5))


def _sign_off(heart: Heart) -> None:
    heart.run_once(0.0)  # what ended in the last moment
    changes, now = Changes(heart.me, heart.new_id, heart.wanted), heart.clock.now()
    for attempt in heart.attempts.values():
        outcome = Outcome(Ended.HANDED_BACK, started_at=now, finished_at=now)
        attempt.run.apply(attempt.step.index, attempt.number, outcome, now, heart.random, changes)
    assert heart.wire is not None
    with Turn(heart.wire) as turn:
        turn.fence(heart.me, heart.epoch)
        turn.lock_tasks(sorted(heart.runs))
        write(turn, changes)
        turn.send(workers.HAND_BACK, {"me": heart.me, "now": now})
        turn.send(workers.CHANGE_STATE, {"id": heart.me, "state": "stopped"})
        turn.commit()
    heart.runs, heart.attempts = {}, {}
