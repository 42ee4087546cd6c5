"""What a person does to a task that starts later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from lone import Lone

from support import raised_by
from tasker import RequestError, Task, Tasker


@pytest.mark.parametrize("what", ["skip", "resolve"])
def test_an_action_on_a_step_keeps_the_start_of_its_task(app: Tasker, a_worker: Callable[..., Lone], what: str) -> None:
    """A step of a task that starts in an hour is skipped or resolved: the task still starts in an hour."""
    later = app.template("later")
    later.step(lambda: None, name="a")
    later.step(lambda: None, name="b", after=["a"])
    task: Task = later.enqueue(delay=3600)
    getattr(task, what)("b", reason="not needed")
    worker = a_worker()
    worker.claim()
    assert (str(task.refresh().state), worker.heart.runs) == ("pending", {})


@pytest.mark.parametrize("delay", [timedelta.max, 1e300, float("nan")])
def test_a_delay_beyond_the_calendar_is_refused(app: Tasker, delay: Any) -> None:
    """A task that could never be shown, because no calendar has its start, is not stored."""
    later = app.template("later")
    later.step(lambda: None, name="a")
    raised_by(lambda: later.enqueue(delay=delay), RequestError)
    assert list(app.tasks()) == []
