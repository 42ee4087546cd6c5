"""Rows that a database refuses are one step's fault, not its neighbours'."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from lone import Lone

from support import until
from tasker import StepContext, Task, Tasker, Wait
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


def a_refused_turn(app: Tasker, a_worker: Callable[..., Lone]) -> tuple[list[Task], Task, list[Any]]:
    """Settle three good tasks and one whose rows no database takes, in one turn: (the good ones, the other, the
    worker's connection before and after)."""
    good, bad = app.template("good"), app.template("bad")
    good.step(lambda: 1, name="one")

    @bad.step
    def two() -> None:
        raise Wait(600, reason=LONE_SURROGATE)

    tasks, refused = [good.enqueue() for _ in range(3)], bad.enqueue()
    worker = a_worker()
    wires = [worker.heart.wire]
    worker.claim()
    worker.hands.run()
    for _ in range(5):
        worker.turn()
    return tasks, refused, [*wires, worker.heart.wire]


def test_events_of_other_tasks_are_told_when_one_is_refused(app: Tasker, a_worker: Callable[..., Lone]) -> None:
    """Of a turn in which one task's rows are refused, what the other tasks did is stored and told, once each."""
    told: list[tuple[str, str]] = []
    app.on(StepCompleted)(lambda event: told.append(("step", event.task_id)))
    app.on(TaskCompleted)(lambda event: told.append(("task", event.task_id)))
    tasks, refused, _ = a_refused_turn(app, a_worker)
    assert {str(task.refresh().state) for task in tasks} == {"complete"}
    assert "the database refuses" in refused.refresh().steps["two"].error["message"]
    app.bus.flush(5.0)
    assert sorted(told) == sorted((kind, task.id) for kind in ("step", "task") for task in tasks)


def test_after_a_refusal_the_old_connection_is_closed(app: Tasker, a_worker: Callable[..., Lone]) -> None:
    """A worker reads the rows anew on another connection; the one before is closed, not left to the server."""
    *_, wires = a_refused_turn(app, a_worker)
    assert wires[0] is not wires[1]
    with pytest.raises(Exception, match="closed"):
        wires[0]._connection.execute("select 1")
