"""The testing kit: a user's tests, typed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from define import Negatives, Roll, bathe, develop, scan

from tasker import StepContext, Task, Tasker
from tasker.testing import FakeClock, assert_step_ran, crash_at, fail_times, run_until_idle, step_context, stub


def test_story(tasker: Tasker, fake_clock: FakeClock) -> None:
    """A user's test."""
    started = fake_clock.now
    assert_type(started, datetime)
    fake: AbstractContextManager[None] = stub(develop, scan=fail_times(2, ConnectionError("gone"), then=[]))
    with fake:
        task = develop.enqueue(Roll(roll_id=1))
        assert_type(run_until_idle(tasker), list[Task])
    with crash_at(scan, attempt=1, when="after"):
        run_until_idle(tasker, until=datetime(2030, 1, 1, tzinfo=UTC))
    fake_clock.advance(timedelta(hours=2))
    fake_clock.advance(30)
    assert_step_ran(task, scan, times=3)
    assert_step_ran(task, "scan")


async def test_handler() -> None:
    """A handler is called by hand."""
    step = step_context(scan, attempt=2, config={"paper": "matt"})
    assert_type(step, StepContext)
    assert_type(bathe(Roll(roll_id=1)), Negatives)
    await scan(Negatives(frames=[]), step)


fails: Any = fail_times(1, TimeoutError)
