"""Rows that a database refuses are one step's fault, not its neighbours'."""

from __future__ import annotations

import threading
from collections.abc import Callable

from lone import Lone

from support import until
from tasker import StepContext, Tasker, Wait
from tasker.events import StepCompleted, TaskCompleted

LONE_SURROGATE = "\udcff"
"""As in the name of a file that is not UTF-8; no database takes it."""


def test_progress_may_name_a_file_that_is_not_utf8(app: Tasker) -> None:
    """A lone surrogate in the text of progress is shown escaped, and the step goes on."""
    end = threading.Event()
    copy = app.template("copy")

    @copy.step
    def files(step: StepContext) -> int:
        step.progress(0.5, f"file {LONE_SURROGATE}")
        end.wait(20)
        return 1

    try:
        with app.worker():
            task = copy.enqueue()
            shown = until(lambda: task.refresh().steps["files"].progress, within=5)
            end.set()
            assert task.result(timeout=10) == {"files": 1}
    finally:
        end.set()
    assert shown == {"fraction": 0.5, "text": "file \\udcff"}


def test_events_of_other_tasks_are_told_when_one_is_refused(app: Tasker, a_worker: Callable[..., Lone]) -> None:
    """Of a turn in which one task's rows are refused, what the other tasks did is stored and told, once each."""
    told: list[tuple[str, str]] = []
    app.on(StepCompleted)(lambda event: told.append(("step", event.task_id)))
    app.on(TaskCompleted)(lambda event: told.append(("task", event.task_id)))
    good, bad = app.template("good"), app.template("bad")
    good.step(lambda: 1, name="one")

    @bad.step
    def two() -> None:
        raise Wait(600, reason=LONE_SURROGATE)

    tasks, refused = [good.enqueue() for _ in range(3)], bad.enqueue()
    worker = a_worker()
    worker.claim()
    worker.hands.run()
    for _ in range(5):
        worker.turn()
    assert {str(task.refresh().state) for task in tasks} == {"complete"}
    assert "the database refuses" in refused.refresh().steps["two"].error["message"]
    app.bus.flush(5.0)
    assert sorted(told) == sorted((kind, task.id) for kind in ("step", "task") for task in tasks)
