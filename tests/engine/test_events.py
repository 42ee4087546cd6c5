"""Events: after the commit, in order per task, once per fact."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from support import until
from tasker import Backoff, PermanentError, RequestError, Retry, Skip, Task, Tasker, Template, Wait, events
from tasker.testing import FakeClock, crash_at, run_until_idle

Run = Callable[..., Task]
Make = Callable[..., Template[Any]]


@pytest.fixture
def told(tasker: Tasker) -> list[Any]:
    """Every event of the app, in the order it was told."""
    found: list[Any] = []
    tasker.on(*events.CATALOG)(found.append)
    return found


def names(told: list[Any], task: Task, bus: Tasker) -> list[str]:
    bus.bus.flush(5)
    return [event.name for event in told if getattr(event, "task_id", None) == task.id]


def test_a_task_that_succeeds(tasker: Tasker, run: Run, a_template: Make, told: list[Any]) -> None:
    """Enqueued, started, each step started and completed, completed; between the worker's coming and going."""
    task = run(_two_steps(a_template))
    assert names(told, task, tasker) == [
        "task.enqueued",
        "task.started",
        "step.started",
        "step.completed",
        "step.started",
        "step.completed",
        "task.completed",
    ]
    assert [event.step for event in told if event.name == "step.completed"] == ["one", "two"]


def _two_steps(a_template: Make) -> Template[Any]:
    def one() -> int:
        return 1

    def two(one: int) -> int:
        return 2

    return a_template(one, two)


def test_failures_retries_waits_and_skips(tasker: Tasker, run: Run, a_template: Make, told: list[Any]) -> None:
    """Each retry, each wait, each skip and the final error is a fact of its own, with what there is to know."""
    template = a_template()
    endings: dict[str, list[Any]] = {
        "flaky": [ValueError("first"), None],
        "waiting": [Wait(60), None],
        "skipping": [Skip("no need")],
        "broken": [PermanentError("no", code="no_order")],
    }

    def work(step: Any) -> None:
        how = endings[step.name].pop(0)
        if how is not None:
            raise how

    for name in endings:
        template.step(work, name=name, retry=Retry(backoff=Backoff.of([30])))
    task = run(template)
    tasker.bus.flush(5)
    by_step = {
        name: [event.name for event in told if getattr(event, "step", "") == name and event.name != "step.started"]
        for name in endings
    }
    assert by_step == {
        "flaky": ["step.retrying", "step.completed"],
        "waiting": ["step.completed"],
        "skipping": ["step.skipped"],
        "broken": ["step.failed"],
    }
    retrying = next(event for event in told if event.name == "step.retrying")
    assert (retrying.attempt, retrying.error["message"]) == (1, "first")
    assert retrying.due_at == pytest.approx(task.created_at.timestamp() + 30, abs=0.1)
    assert next(event for event in told if event.name == "step.skipped").reason == "no need"
    failed = [event for event in told if event.name == "task.failed"]
    assert [(event.steps, event.error["code"]) for event in failed] == [(("broken",), "failed_steps")]
    waits = [event.until for event in told if event.name == "task.waiting"]
    assert len(waits) == 2
    assert waits == sorted(waits)


def test_what_people_do(tasker: Tasker, a_template: Make, told: list[Any]) -> None:
    """Pause, resume, cancel, skip, resolve are told once each, also when nobody owns the task."""

    def one() -> None:
        raise PermanentError("no")

    def two() -> None:
        raise PermanentError("no")

    template = a_template(one, two)
    task = template.enqueue(delay=60)
    task.pause()
    task.pause()
    task.resume()
    run_until_idle(tasker)
    task.resolve("one", reason="by hand")
    task.skip("two", reason="not needed")
    other = template.enqueue(delay=60)
    other.cancel(reason="duplicate")
    other.cancel(reason="duplicate")
    found = [name for name in names(told, task, tasker) if not name.startswith(("step.started", "step.failed"))]
    assert found == [
        "task.enqueued",
        "task.paused",
        "task.resumed",
        "task.started",
        "task.failed",
        "step.resolved",
        "step.skipped",
    ]
    assert names(told, other, tasker) == ["task.enqueued", "task.cancelled"]
    run_until_idle(tasker)
    assert names(told, task, tasker)[-1] == "task.completed"


def test_resolving_a_whole_task_is_told(tasker: Tasker, run: Run, a_template: Make, told: list[Any]) -> None:
    """`task.resolved`."""

    def one() -> None:
        raise PermanentError("no")

    task = run(a_template(one))
    task.resolve(reason="by hand")
    assert names(told, task, tasker)[-1] == "task.resolved"


def test_an_event_follows_its_commit(tasker: Tasker, run: Run, a_template: Make) -> None:
    """Whoever is told finds it in the database: another connection sees the step complete."""
    seen: list[str] = []

    @tasker.on("step.completed")
    def look(event: events.StepCompleted) -> None:
        seen.append(tasker.task(event.task_id).steps[event.step].state)

    run(_two_steps(a_template))
    tasker.bus.flush(5)
    assert seen == ["complete", "complete"]


def test_no_event_is_told_twice_after_a_crash(
    tasker: Tasker, run: Run, a_template: Make, told: list[Any], clock: FakeClock
) -> None:
    """A worker that dies between its work and its commit has told nothing of it; the next one tells it, once."""

    def one() -> None:
        clock.advance(1)

    def two(one: None) -> None: ...

    with crash_at("one", when="after"):
        task = run(a_template(one, two))
    found = names(told, task, tasker)
    assert found.count("step.completed") == 2
    assert found.count("task.started") == 1
    assert found.count("task.completed") == 1


def test_a_subscriber_that_fails(
    tasker: Tasker, run: Run, a_template: Make, told: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Its exception is logged and goes no further: the task and the other subscribers know nothing of it."""

    @tasker.on("step.completed")
    def broken(event: Any) -> None:
        raise ValueError("the subscriber is broken")

    after: list[str] = []
    tasker.on("step.completed")(lambda event: after.append(event.step))
    with caplog.at_level(logging.ERROR, "tasker.events"):
        task = run(_two_steps(a_template))
        tasker.bus.flush(5)
    assert task.state == "complete"
    assert after == ["one", "two"]
    assert "a subscriber of step.completed failed" in caplog.text


def test_an_async_subscriber(tasker: Tasker, run: Run, a_template: Make) -> None:
    """`async def` subscribers run in order, too, in a thread that is neither the worker's nor the caller's."""
    found: list[tuple[str, bool]] = []

    @tasker.on(events.StepCompleted)
    async def tell(event: events.StepCompleted) -> None:
        await asyncio.sleep(0)
        found.append((event.step, threading.current_thread() is not threading.main_thread()))

    run(_two_steps(a_template))
    tasker.bus.flush(5)
    assert found == [("one", True), ("two", True)]


def test_events_of_an_owned_tasks_actions(live: Tasker) -> None:
    """What a person does to a running task is told by the process whose worker applied it."""
    template, go_on, found = live.template("long"), threading.Event(), []
    live.on("task.paused", "task.resumed", "step.skipped", "step.resolved", "task.cancelled", "task.completed")(
        lambda event: found.append((event.name, getattr(event, "step", None)))
    )

    @template.step
    def long() -> None:
        go_on.wait(10)

    template.step(lambda: None, name="unneeded", after=[long])
    template.step(lambda: None, name="solved", after=[long])
    with live.worker():
        task = template.enqueue()
        until(lambda: task.refresh().steps["long"].state == "in_progress")
        task.pause()
        task.resume()
        task.skip("unneeded", reason="no")
        task.resolve("solved", reason="no")
        go_on.set()
        task.wait(10)
        live.bus.flush(5)
        assert found == [
            ("task.paused", None),
            ("task.resumed", None),
            ("step.skipped", "unneeded"),
            ("step.resolved", "solved"),
            ("task.completed", None),
        ]
        go_on.clear()
        other = template.enqueue()
        until(lambda: other.refresh().steps["long"].state == "in_progress")
        other.cancel(reason="no")
        until(lambda: ("task.cancelled", None) in found)
        go_on.set()
    live.bus.flush(5)
    assert found.count(("task.cancelled", None)) == 1


def test_events_of_a_worker(live: Tasker) -> None:
    """Started and stopped, with the worker's id."""
    found: list[Any] = []
    live.on("worker.started", "worker.stopped")(found.append)
    live.template("t").step(lambda: None, name="work")
    with live.worker():
        pass
    live.bus.flush(5)
    assert [event.name for event in found] == ["worker.started", "worker.stopped"]
    assert found[0].worker == found[1].worker


def test_an_unknown_event_is_refused(tasker: Tasker) -> None:
    """With the nearest name."""
    with pytest.raises(RequestError, match=r"no event 'task.finished'"):
        tasker.on("task.finished")
    with pytest.raises(RequestError, match=r"Did you mean 'step.retrying'"):
        tasker.on("step.retried")
    with pytest.raises(RequestError, match="name at least one event"):
        tasker.on()


def test_the_catalogue() -> None:
    """Every event of the semantics is in it, frozen, described, and named like its class."""
    listed = (
        "task.enqueued, task.started, task.waiting, task.completed, task.failed, task.cancelled, task.paused, "
        "task.resumed, task.resolved, step.started, step.completed, step.retrying, step.failed, step.skipped, "
        "step.resolved, worker.started, worker.stopped, worker.lost"
    )
    assert ", ".join(events.CATALOG) == listed
    for name, kind in events.CATALOG.items():
        assert kind.__doc__
        assert kind.__name__ == "".join(part.capitalize() for part in name.split("."))
        event: Any = kind(**{field.name: "x" for field in fields(kind)})
        with pytest.raises(FrozenInstanceError):
            setattr(event, fields(kind)[0].name, "y")
