"""A slot is never lost, whatever an attempt leaves: the next task runs in it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import lone
import pytest

from support import raised_by, until
from tasker import RequestError, Retry, RetryableError, Tasker, Wait

ONCE = Retry(max_attempts=1)


class Unreadable(Exception):
    """Its own text cannot be had."""

    def __str__(self) -> str:
        raise ValueError("no words")


UNREADABLE: dict[str, Callable[[], BaseException]] = {
    "text": Unreadable,
    "retry_after_text": lambda: RetryableError("later", retry_after="soon"),  # type: ignore[arg-type]
    "wait_text": lambda: Wait("soon"),  # type: ignore[arg-type]
    "wait_nan": lambda: Wait(float("nan")),
    "wait_inf": lambda: Wait(float("inf")),
    "wait_beyond_the_calendar": lambda: Wait(timedelta.max),
    "wait_beyond_time": lambda: Wait(1e300),
}


def raises(app: Tasker, name: str, error: Callable[[], BaseException]) -> None:
    bad = app.template(name, retry=ONCE)

    @bad.step
    def thread() -> None:
        raise error()

    @bad.step
    async def loop() -> None:
        raise error()


def test_an_unreadable_exception_is_a_failed_attempt(an_app: Callable[..., Tasker]) -> None:
    """What cannot be read of an exception fails its attempt, in a thread and in the loop, and the slot is free."""
    app = an_app(concurrency=1)
    for name, error in UNREADABLE.items():
        raises(app, name, error)
    fine = app.template("fine")
    fine.step(lambda: 1, name="one")
    with app.worker():
        tasks = [app.enqueue(name) for name in UNREADABLE]
        ended = {task.template.partition("/")[2].partition("@")[0]: task.wait(10) for task in tasks}
        assert fine.enqueue().result(timeout=10) == {"one": 1}
    codes = {name: [step.error["code"] for step in task.steps.values()] for name, task in ended.items()}
    assert codes == {key: ["exception", "exception"] for key in UNREADABLE}
    assert {step.error["type"] for step in ended["text"].steps.values()} == {"Unreadable"}


@pytest.mark.parametrize("until", ["soon", float("nan"), float("inf"), True, None])
def test_a_wait_without_a_moment_is_refused_where_it_is_written(until: Any) -> None:
    """`Wait` takes finite seconds, a timedelta or an aware datetime; anything else is refused with what to write."""
    assert "write seconds" in str(raised_by(lambda: Wait(until), RequestError))


def test_an_async_attempt_that_is_cancelled_before_it_began_frees_its_slot(app: Tasker) -> None:
    """Async steps whose timeout passes while another keeps the loop fail with `timeout`, and their slots come back."""
    begun, end = threading.Event(), threading.Event()
    blocker, quick = app.template("blocker"), app.template("quick", retry=ONCE)

    @blocker.step
    async def block() -> None:
        begun.set()
        end.wait(20)

    @quick.step(timeout=0.1)
    async def hurry() -> int:
        return 1

    worker = app.serving.make(concurrency=4)
    worker.start()
    try:
        blocker.enqueue()
        assert begun.wait(10)
        tasks = [quick.enqueue() for _ in range(3)]
        until(lambda: all(str(task.refresh().state) == "error" for task in tasks))
        busy = worker.heart.busy
        end.set()
        until(lambda: worker.heart.busy == 0)
        again = [quick.enqueue() for _ in range(4)]
        assert [task.result(timeout=10) for task in again] == [{"hurry": 1}] * 4
    finally:
        end.set()
    assert (busy, {task.steps["hurry"].error["code"] for task in tasks}) == (4, {"timeout"})


def test_a_child_that_was_killed_while_idle_fails_no_step(app: Tasker) -> None:
    """An idle child process that the system killed is replaced: the next step does not pay for it."""
    heavy = app.template("heavy", retry=ONCE)
    heavy.step(lone.in_a_process, name="work", run_in="process")
    worker = app.serving.make()
    worker.start()
    assert heavy.enqueue().result(timeout=20) == {"work": 1}
    children: Any = worker.hands._children
    idle = until(lambda: children._free)[0].process
    idle.kill()
    idle.join()
    assert heavy.enqueue().result(timeout=20) == {"work": 1}
