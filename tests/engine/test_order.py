"""What runs when: priorities, the critical path, later starts, deadlines, branches that go on or stop."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from tasker import Backoff, PermanentError, RequestError, Retry, StepContext, Task, Tasker, Template, Wait
from tasker.testing import FakeClock, run_until_idle

Run = Callable[..., Task]
Make = Callable[..., Template[Any]]


@pytest.fixture
def order() -> list[str]:
    """What ran, in order; filled by `noted`."""
    return []


@pytest.fixture
def noted(order: list[str]) -> Callable[..., Any]:
    """A handler that notes its step's name."""

    def work(step: StepContext) -> str:
        order.append(step.name)
        return step.name

    return work


def test_the_order_of_viable_steps(run: Run, a_template: Make, tasker: Tasker, order: list[str], noted: Any) -> None:
    """With one slot: the step's priority first, then the longest remaining path, then definition order."""
    template = a_template()
    for name in ("plain", "short", "long"):
        template.step(noted, name=name)
    template.step(noted, name="urgent", priority=10)
    template.step(noted, name="late", priority=-1)
    template.step(noted, name="after_short", after=["short"])
    template.step(noted, name="after_long", after=["long"])
    template.step(noted, name="end", after=["after_long"])
    with tasker.bound(concurrency=1, clock=tasker.store.clock):
        run(template)
    assert order == ["urgent", "long", "short", "after_long", "plain", "after_short", "end", "late"]


def test_tasks_of_higher_priority_go_first(tasker: Tasker, a_template: Make) -> None:
    """Among tasks the higher priority goes first; an enqueue's own word replaces the template's."""
    ran: list[str] = []
    normal, urgent = a_template(name="normal"), a_template(name="urgent", priority=50)
    for template in (normal, urgent):

        @template.step
        def work(context: dict[str, str]) -> None:
            ran.append(context["name"])

    normal.enqueue({"name": "normal"})
    normal.enqueue({"name": "low"}, priority=-100)
    urgent.enqueue({"name": "urgent"})
    normal.enqueue({"name": "highest"}, priority=100)
    run_until_idle(tasker)
    assert ran == ["highest", "urgent", "normal", "low"]


@pytest.mark.parametrize("priority", [101, -101, 1.5, True, "high"])
def test_a_priority_out_of_range_is_refused(a_template: Make, noted: Any, priority: Any) -> None:
    """From -100 to 100, whole."""
    with pytest.raises(RequestError, match="a whole number from -100 to 100"):
        a_template(noted).enqueue(priority=priority)


@pytest.mark.parametrize("form", ["run_at", "delay", "timedelta"])
def test_a_task_for_later(tasker: Tasker, a_template: Make, clock: FakeClock, noted: Any, form: str) -> None:
    """`run_at` a moment, or `delay` from now: not a moment before; why() names it."""
    began = clock.now
    moment = began + timedelta(hours=3)
    said: dict[str, Any] = {
        "run_at": {"run_at": moment.astimezone()},
        "delay": {"delay": 3 * 3_600},
        "timedelta": {"delay": timedelta(hours=3)},
    }[form]
    task = a_template(noted).enqueue(**said)
    run_until_idle(tasker, until=moment - timedelta(seconds=1))
    assert task.refresh().state == "pending"
    assert next((reason.code, reason.until) for reason in task.why()) == ("starts_at", moment)
    run_until_idle(tasker)
    assert task.refresh().started_at == moment


def test_a_later_start_that_makes_no_sense_is_refused(a_template: Make, noted: Any, clock: FakeClock) -> None:
    """Naive moments, negative delays, both at once: refused, with what to write."""
    template = a_template(noted)
    with pytest.raises(RequestError, match="run_at: a naive datetime has no zone"):
        template.enqueue(run_at=datetime(2030, 1, 1))
    with pytest.raises(RequestError, match="run_at and delay say the same twice"):
        template.enqueue(run_at=clock.now, delay=3)
    with pytest.raises(RequestError, match="delay=-1: it must be a number of seconds"):
        template.enqueue(delay=-1)


def test_a_retry_waits_for_its_moment_while_others_run(run: Run, a_template: Make, clock: FakeClock) -> None:
    """A task wakes at its earliest due step: an early branch is never delayed by a late one."""
    began, template = clock.now, a_template()
    starts: dict[str, list[float]] = {"early": [], "late": []}

    def work(step: StepContext) -> None:
        starts[step.name].append((clock.now - began).total_seconds())
        if len(starts[step.name]) < 3:
            raise Wait(60 if step.name == "early" else 100)

    template.step(work, name="early")
    template.step(work, name="late")
    run(template)
    assert starts == {"early": [0, 60, 120], "late": [0, 100, 200]}


def test_a_deadline(run: Run, a_template: Make, clock: FakeClock) -> None:
    """Counted from `created_at`: what is left is cancelled, the task is in error `deadline`, not a moment later."""
    began, template = clock.now, a_template(deadline=100)

    @template.step
    def patient() -> None:
        raise Wait(30)

    @template.step(after=[patient])
    def never() -> None: ...

    task = run(template)
    assert (task.state, task.error and task.error["code"]) == ("error", "deadline")
    assert clock.now - began == timedelta(seconds=100)
    assert {step.name: step.state for step in task.steps.values()} == {"patient": "cancelled", "never": "cancelled"}
    assert "deadline" in [entry["what"] for entry in task.history()]


def test_a_deadline_before_the_start(run: Run, a_template: Make, noted: Any, order: list[str]) -> None:
    """A task that would start after its deadline ends at it, without having run."""
    task = run(a_template(noted, deadline=10), delay=60)
    assert (task.state, task.error and task.error["code"], order) == ("error", "deadline", [])


def test_a_deadline_while_paused(tasker: Tasker, a_template: Make, noted: Any, clock: FakeClock) -> None:
    """The one claim a paused task knows is its deadline."""
    task = a_template(noted, deadline=100).enqueue(delay=50)
    task.pause()
    run_until_idle(tasker)
    assert (task.refresh().state, task.error and task.error["code"]) == ("error", "deadline")


def test_an_independent_branch_goes_on(run: Run, a_template: Make, order: list[str], noted: Any) -> None:
    """A failed step stops only its descendants."""
    template = a_template()

    @template.step
    def broken() -> None:
        raise PermanentError("no")

    template.step(noted, name="after_broken", after=[broken])
    template.step(noted, name="other")
    template.step(noted, name="after_other", after=["other"])
    task = run(template)
    assert order == ["other", "after_other"]
    assert (task.state, task.error and task.error["steps"]) == ("error", ["broken"])
    assert task.steps["after_broken"].state == "pending"


def test_on_failure_stop(run: Run, a_template: Make, noted: Any, order: list[str]) -> None:
    """With `on_failure="stop"` nothing starts any more: what never started, and what waits to be tried again, is cancelled."""
    template = a_template(on_failure="stop")

    @template.step(priority=2, retry=Retry(backoff=Backoff.of([60])))
    def waits() -> None:
        raise ValueError("later")

    @template.step(priority=1)
    def broken() -> None:
        raise PermanentError("no")

    template.step(noted, name="other", after=[waits])
    template.step(noted, name="free", priority=-1)
    task = run(template)
    assert (task.state, order in ([], ["free"])) == ("error", True)
    states = {step.name: step.state for step in task.steps.values()}
    assert (states["waits"], states["broken"], states["other"]) == ("cancelled", "error", "cancelled")
    assert task.steps["waits"].due_at is None


def test_a_stopped_task_can_be_retried(
    run: Run, a_template: Make, tasker: Tasker, noted: Any, order: list[str]
) -> None:
    """A person's retry opens what was stopped along with it, and the task comes to its end."""
    broken_times = [PermanentError("no")]
    template = a_template(on_failure="stop")

    @template.step
    def broken() -> None:
        if broken_times:
            raise broken_times.pop()

    template.step(noted, name="after_broken", after=[broken])
    task = run(template)
    assert task.steps["after_broken"].state == "cancelled"
    task.retry(reason="mended")
    run_until_idle(tasker)
    assert task.refresh().state == "complete"
    assert order == ["after_broken"]


def test_a_task_is_claimed_by_its_queue(tasker: Tasker, a_template: Make, noted: Any) -> None:
    """A worker takes only from its queues; the template's, or the enqueue's own word; why() says so."""
    template = a_template(noted, queue="slow")
    task, other = template.enqueue(), template.enqueue(queue="default")
    run_until_idle(tasker)
    assert (task.refresh().state, other.refresh().state) == ("pending", "complete")
    assert [reason.code for reason in task.why()] == ["queue_unserved"]
    with tasker.bound(queues=["slow"], clock=tasker.store.clock):
        run_until_idle(tasker)
        assert tasker.task(task.id).state == "complete"
