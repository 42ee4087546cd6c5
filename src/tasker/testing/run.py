"""Run: drive the heart and the store of production in the calling thread, and move the clock over waits."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tasker.app.task import Task
from tasker.app.tasker import Tasker
from tasker.clock import moment
from tasker.engine.drain import drain
from tasker.errors import RequestError
from tasker.store.turn import glance
from tasker.testing.clock import FakeClock, StoreClock
from tasker.testing.hands import InlineHands
from tasker.testing.stubs import Crash
from tasker.upkeep.rescue import rescue
from tasker.worker.worker import Worker

MOST_TURNS = 1_000_000
"""A task that never comes to rest is an error of the test, not a reason to hang."""


def run_until_idle(tasker: Tasker, *, until: datetime | None = None) -> list[Task]:
    """Run everything that is due, skip every wait, until nothing is left that time alone would bring.

    Handlers run in this thread, one after the other; their own sleep stays real. A month of retries takes
    milliseconds when the app is on the fixture `tasker`, whose clock is moved; elsewhere waits are not skipped and
    this returns when nothing more is due.

    Args:
        until: do not move the clock beyond this moment.

    Returns:
        The tasks that were touched, as they are now, in the order of their ids.
    """
    return _Run(tasker, None if until is None else moment(until, "until")).go()


class _Run:
    def __init__(self, tasker: Tasker, until: float | None) -> None:
        if tasker.serving.busy:
            raise RequestError("run_until_idle: a worker of this app runs already; use one or the other")
        self._tasker, self._until = tasker, until
        self._hands = tasker.test_hands = InlineHands()
        self._touched: set[str] = set()
        self._worker = self._new_worker()

    def _new_worker(self) -> Worker:
        hands = InlineHands()
        hands.runs = self._hands.runs
        self._hands = hands
        return self._tasker.serving.make(hands=hands)

    def go(self) -> list[Task]:
        try:
            for _ in range(MOST_TURNS):
                if not self._turn() and not self._skip_wait():
                    break
            else:
                raise AssertionError(f"run_until_idle: not idle after {MOST_TURNS:,} turns")
        finally:
            heart = self._worker.heart
            if heart.wire is not None:
                drain(heart, 0.0)
            self._tasker.serving.end(self._worker)
        self._tasker.bus.flush(5.0)
        return [self._tasker.task(task_id) for task_id in sorted(self._touched)]

    def _turn(self) -> bool:
        """One turn of the heart, then one handler; whether there was anything to do."""
        heart = self._worker.heart
        heart.run_once(0.0)
        self._touched.update(heart.runs)
        try:
            return self._hands.run_next() or not heart.idle
        except Crash:
            self._die()
            return True

    def _die(self) -> None:
        """What a neighbour does with a worker whose process is gone."""
        heart = self._worker.heart
        assert heart.wire is not None
        heart.wire.close()
        heart.wire = None
        rescue(self._tasker.store, heart.me, gone=True, timeout=0.0)
        self._tasker.serving.end(self._worker)
        self._worker = self._new_worker()

    def _skip_wait(self) -> bool:
        """Move the clock to the next moment that something is due; whether there is one."""
        heart, clock = self._worker.heart, self._tasker.store.clock
        moments = [at for at, _, run, _ in heart.timers if heart.runs.get(run.id) is run]
        assert heart.wire is not None
        known = [(queue, template) for queue in heart.limits.queues for template in heart.plans.known]
        wake = glance(heart.wire, known)
        moments += [] if wake is None else [wake]
        if not moments:
            return False
        following = min(moments)
        if self._until is not None and following > self._until:
            self._move(clock, self._until)
            return False
        if following <= clock.now():
            heart.ring()
            return True
        if not self._move(clock, following):
            return False
        heart.ring()
        return True

    def _move(self, clock: Any, to: float) -> bool:
        fake = getattr(clock, "fake", None)
        if not isinstance(clock, StoreClock) or not isinstance(fake, FakeClock):
            return False
        fake.move_to(to)
        return True
