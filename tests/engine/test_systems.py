"""Systems that people hold: no step of one starts, `why()` says so, a release lets it go on at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from support import until
from tasker import RequestError, StepContext, Task, Tasker, Template, Wait
from tasker.testing import FakeClock, run_until_idle

Make = Callable[..., Template[Any]]


@pytest.fixture
def ran() -> list[str]:
    return []


@pytest.fixture
def note(ran: list[str]) -> Callable[..., Any]:
    def work(step: StepContext) -> None:
        ran.append(step.name)

    return work


@pytest.fixture
def taxed(a_template: Make, note: Any) -> Template[Any]:
    """fetch, then tax which needs the tax office; mail beside it."""
    template = a_template()
    template.step(note, name="fetch")
    template.step(note, name="tax", after=["fetch"], system="tax_office")
    template.step(note, name="mail", after=["fetch"])
    return template


def test_a_held_system(tasker: Tasker, taxed: Template[Any], ran: list[str]) -> None:
    """What does not need it goes on; its steps wait, and say for what, by whom and why."""
    tasker.hold_system("tax_office", reason="outage", actor="ann")
    task = taxed.enqueue()
    run_until_idle(tasker)
    assert (task.refresh().state, ran) == ("waiting", ["fetch", "mail"])
    assert task.steps["tax"].state == "pending"
    reason = next(reason for reason in task.why() if reason.code == "system_held")
    assert reason.step == "tax"
    assert "system 'tax_office' is held by ann: outage" in reason.text
    tasker.release_system("tax_office", actor="bob")
    run_until_idle(tasker)
    assert task.refresh().state == "complete"
    assert ran[-1] == "tax"


def test_a_hold_until(tasker: Tasker, taxed: Template[Any], clock: FakeClock) -> None:
    """At its end the steps go on by themselves, not a moment before."""
    end = clock.now + timedelta(hours=2)
    tasker.hold_system("tax_office", until=end)
    task = taxed.enqueue()
    run_until_idle(tasker, until=end - timedelta(seconds=1))
    assert task.refresh().state == "waiting"
    held = next(reason for reason in task.why() if reason.code == "system_held")
    assert held.until == end
    run_until_idle(tasker)
    assert task.refresh().state == "complete"
    assert task.steps["tax"].started_at == end


@pytest.mark.parametrize("later", [True, False])
def test_a_hold_that_is_changed(tasker: Tasker, taxed: Template[Any], clock: FakeClock, later: bool) -> None:
    """Held until another moment, earlier or later, the waiting tasks go by that one."""
    began = clock.now
    tasker.hold_system("tax_office", until=began + timedelta(hours=2))
    task = taxed.enqueue()
    run_until_idle(tasker, until=began + timedelta(minutes=1))
    end = began + timedelta(hours=3 if later else 1)
    tasker.hold_system("tax_office", until=end)
    run_until_idle(tasker)
    assert task.refresh().state == "complete"
    assert task.steps["tax"].started_at == end


def test_two_held_systems(tasker: Tasker, a_template: Make, note: Any, ran: list[str]) -> None:
    """The release of one lets its step go on, whichever it is."""
    template = a_template()
    for system in ("bank", "shop"):
        template.step(note, name=f"ask_{system}", system=system)
        tasker.hold_system(system)
    task = template.enqueue()
    run_until_idle(tasker)
    assert ran == []
    tasker.release_system("shop")
    run_until_idle(tasker)
    assert (ran, task.refresh().is_final) == (["ask_shop"], False)
    tasker.release_system("bank")
    run_until_idle(tasker)
    assert task.refresh().state == "complete"


def test_a_retry_into_a_held_system(tasker: Tasker, a_template: Make, ran: list[str], clock: FakeClock) -> None:
    """A step that becomes due while its system is held waits for it, and says so."""
    template = a_template()

    @template.step(system="bank")
    def charge(step: StepContext) -> None:
        ran.append(step.name)
        if step.attempt == 1:
            raise Wait(60)

    task = template.enqueue()
    run_until_idle(tasker, until=clock.now + timedelta(seconds=30))
    tasker.hold_system("bank", reason="it is down")
    run_until_idle(tasker)
    assert ran == ["charge"]
    assert "system_held" in [reason.code for reason in task.refresh().why()]
    tasker.release_system("bank")
    run_until_idle(tasker)
    assert task.refresh().state == "complete"


def test_a_hold_with_a_deadline(tasker: Tasker, a_template: Make, note: Any, clock: FakeClock) -> None:
    """A task that waits for a system still ends at its deadline."""
    template = a_template(deadline=100)
    template.step(note, name="tax", system="tax_office")
    tasker.hold_system("tax_office")
    task = template.enqueue()
    began = clock.now
    run_until_idle(tasker)
    assert (task.refresh().state, task.error and task.error["code"]) == ("error", "deadline")
    assert clock.now - began == timedelta(seconds=100)


def test_a_hold_is_obeyed_while_a_worker_runs(live: Tasker, ran: list[str]) -> None:
    """No step of the system starts later than a second after the hold returned; a release starts them within a second."""
    template, starts = live.template("t"), list[float]()
    enough = threading.Event()

    @template.step(system="bank")
    def charge() -> None:
        starts.append(time.monotonic())

    with live.worker():
        feeding = threading.Thread(target=lambda: [template.enqueue() for _ in iter(lambda: enough.wait(0.01), True)])
        feeding.start()
        until(lambda: len(starts) > 5)
        live.hold_system("bank")
        held_at = time.monotonic()
        until(lambda: time.monotonic() > held_at + 1.5)
        enough.set()
        feeding.join()
        assert max(starts) < held_at + 1.0
        before = len(starts)
        live.release_system("bank")
        released_at = time.monotonic()
        until(lambda: len(starts) > before)
        assert starts[before] < released_at + 1.0
        until(lambda: not live.tasks(state=["pending", "in_progress", "waiting"]))


def test_who_held_it_is_in_the_history(tasker: Tasker) -> None:
    """Holds and releases are part of the audit trail."""
    tasker.hold_system("bank", reason="outage", actor="ann")
    tasker.release_system("bank", reason="back", actor="bob")
    with tasker.store.connection() as connection:
        rows = connection.exec_driver_sql("select what, actor, reason from tasker_history order by at, id").fetchall()
    assert [tuple(row) for row in rows] == [
        ("hold", "ann", "system bank: outage"),
        ("release", "bob", "system bank: back"),
    ]


@pytest.mark.parametrize("name", ["", None, 3])
def test_a_name_that_is_none(tasker: Tasker, name: Any) -> None:
    """A system is called by its name."""
    with pytest.raises(RequestError, match="a system is called by its name"):
        tasker.hold_system(name)


def test_a_naive_moment(tasker: Tasker) -> None:
    """`until` is an aware moment."""
    with pytest.raises(RequestError, match="until: a naive datetime has no zone"):
        tasker.hold_system("bank", until=datetime(2030, 1, 1))


def test_a_task_parked_for_a_system_can_be_acted_on(tasker: Tasker, taxed: Template[Any]) -> None:
    """Skipped by hand, what waits for the system waits no more."""
    tasker.hold_system("tax_office")
    task: Task = taxed.enqueue()
    run_until_idle(tasker)
    task.refresh().skip("tax", reason="no tax")
    run_until_idle(tasker)
    assert task.refresh().state == "complete"
