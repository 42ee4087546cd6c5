"""Serving: workers in a process of their own or in the host's, and listening to what happens."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import timedelta
from typing import Any, assert_type

from define import app

from tasker import events


def workers() -> None:
    assert_type(app.migrate(), None)
    assert_type(app.start(), None)
    assert_type(app.stop(grace=timedelta(seconds=30)), None)
    assert_type(app.run(queues=["lab"], concurrency=8), None)
    block: AbstractContextManager[None] = app.worker(concurrency=20, queues=["lab"])
    with block:
        pass


async def hosted(host: object) -> None:
    life: AbstractAsyncContextManager[None] = app.lifespan(host)
    async with life:
        pass


# By class a subscriber has a typed argument; by name it takes any event.
@app.on(events.TaskFailed)
def tell(event: events.TaskFailed) -> None:
    assert_type(event.task_id, str)
    assert_type(event.steps, tuple[str, ...])


@app.on(events.TaskFailed, events.StepRetrying)
def tell_both(event: events.TaskFailed | events.StepRetrying) -> None:
    assert_type(event.template, str)


@app.on(events.StepRetrying)
async def tell_later(event: events.StepRetrying) -> None:
    assert_type(event.attempt, int)


@app.on("task.failed", "step.retrying")
def tell_any(event: events.Event) -> None:
    print(event.name)


# A subscriber is a function as before.
assert_type(tell_any(events.TaskCompleted(task_id="1", template="lab/develop@2.1.0")), None)


def count(event: events.WorkerLost) -> int:
    return len(event.worker)


assert_type(app.on(events.WorkerLost)(count)(events.WorkerLost(worker="w1")), Any)
