"""What a person does to a task that starts later."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lone import Lone

from tasker import Task, Tasker


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
