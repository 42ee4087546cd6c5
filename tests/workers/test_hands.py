"""Handlers of every kind beside each other in one worker, and what badly behaved ones cannot do to it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import workshop

from support import raised_by, until
from tasker import Backoff, Retry, StepContext, Tasker, TaskFailed

Apps = Callable[..., Tasker]

AT_ONCE = Retry(max_attempts=3, backoff=Backoff(first=0.01, jitter=0))
ONCE = Retry(max_attempts=1)


def test_no_more_attempts_at_once_than_slots(an_app: Apps) -> None:
    """`concurrency` bounds attempts of all kinds together, and is reached."""
    app = an_app(concurrency=4)
    now, most, reached = 0, 0, threading.Event()
    lock = threading.Lock()

    def come(by: int) -> None:
        nonlocal now, most
        with lock:
            now += by
            most = max(most, now)
            if now == 4:
                reached.set()

    busy = app.template("busy")
    for i in range(10):

        @busy.step(name=f"thread_{i}")
        def in_thread() -> None:
            come(1)
            reached.wait(20)
            come(-1)

        @busy.step(name=f"loop_{i}")
        async def in_loop() -> None:
            come(1)
            await asyncio.to_thread(reached.wait, 20)
            come(-1)

    with app.worker():
        busy.enqueue().wait(30)
        busy.enqueue().wait(30)
    assert (reached.is_set(), most) == (True, 4)


def test_all_kinds_run_in_one_task(an_app: Apps) -> None:
    """A thread step, an async step and a process step pass their results on; each runs where it should."""
    app = an_app()
    mixed = app.template("mixed", result="sums")

    @mixed.step
    def thread() -> int:
        return os.getpid()

    @mixed.step
    async def loop(thread: int) -> int:
        assert asyncio.get_running_loop()
        return os.getpid()

    mixed.step(workshop.in_a_process, name="process", after=[loop], run_in="process")

    @mixed.step
    def sums(thread: int, loop: int, process: int) -> list[int]:
        return [thread, loop, process]

    with app.worker():
        thread_pid, loop_pid, process_pid = mixed.enqueue().result(timeout=30)
    assert thread_pid == loop_pid == os.getpid() != process_pid


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()],
    ids=lambda e: type(e).__name__,
)
def test_no_exception_of_a_handler_ends_the_worker(an_app: Apps, error: BaseException) -> None:
    """Whatever a handler raises, in a thread or in the loop, is a failed attempt that is tried again; slots stay."""
    app = an_app(concurrency=2)
    wild = app.template("wild", retry=AT_ONCE)

    @wild.step
    def thread(step: StepContext) -> int:
        if step.attempt < 3:
            raise error
        return step.attempt

    @wild.step
    async def loop(step: StepContext) -> int:
        if step.attempt < 3:
            raise error
        return step.attempt

    with app.worker():
        for _ in range(3):
            assert wild.enqueue().result(timeout=10) == {"thread": 3, "loop": 3}


def test_a_handler_that_hangs_holds_its_slot_and_nothing_else(an_app: Apps) -> None:
    """A thread that ignores its timeout fails with code `timeout`, at once; it is told, its slot is busy until it
    ends, its late result is dropped, and other tasks run on."""
    app = an_app(concurrency=2)
    end, told, ended = threading.Event(), threading.Event(), threading.Event()
    deaf = app.template("deaf", retry=ONCE)

    @deaf.step(timeout=0.2)
    def hang(step: StepContext) -> str:
        end.wait(30)
        if step.cancelled:
            told.set()
        ended.set()
        return "late"

    fine = app.template("fine")
    fine.step(lambda: 1, name="one")
    try:
        with app.worker():
            begun = time.monotonic()
            task = deaf.enqueue()
            failed = raised_by(lambda: task.result(timeout=10), TaskFailed)
            took = time.monotonic() - begun
            assert [fine.enqueue().result(timeout=10) for _ in range(3)] == [{"one": 1}] * 3
            end.set()
            assert ended.wait(10)
            assert fine.enqueue().result(timeout=10) == {"one": 1}
            step = task.refresh().steps["hang"]
    finally:
        end.set()
    assert (failed.steps[0].error["code"], str(step.state), step.results) == ("timeout", "error", None)
    assert (took < 2, told.is_set()) == (True, True)


def test_when_every_slot_hangs_the_task_says_so(an_app: Apps) -> None:
    """With all slots taken by handlers that do not end, a waiting task names that, and runs when one ends."""
    app = an_app(concurrency=1)
    end = threading.Event()
    deaf = app.template("deaf")
    deaf.step(lambda: end.wait(30), name="hang")
    fine = app.template("fine")
    fine.step(lambda: 1, name="one")
    try:
        with app.worker():
            first = deaf.enqueue()
            until(lambda: str(first.refresh().steps["hang"].state) == "in_progress")
            task = fine.enqueue()
            codes = until(lambda: {reason.code for reason in task.why()} & {"queue_full", "slots_busy"})
            end.set()
            assert task.result(timeout=10) == {"one": 1}
    finally:
        end.set()
    assert codes


def test_an_async_handler_that_hangs_is_cancelled(an_app: Apps) -> None:
    """An async step beyond its timeout is cancelled, also when it takes its time to clean up."""
    app = an_app()
    cancelled = threading.Event()
    slow = app.template("slow", retry=ONCE)

    @slow.step(timeout=0.2)
    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    with app.worker():
        failed = raised_by(lambda: slow.enqueue().result(timeout=10), TaskFailed)
        assert cancelled.wait(5)
    assert failed.steps[0].error["code"] == "timeout"


def test_a_process_step_that_hangs_is_killed(an_app: Apps) -> None:
    """A process step beyond its timeout is killed; the worker and its other steps go on."""
    app = an_app()
    slow = app.template("slow", retry=ONCE)
    slow.step(workshop.hang_in_a_process, name="hang", run_in="process", timeout=0.3)
    slow.step(workshop.in_a_process, name="other", run_in="process")
    with app.worker():
        task = slow.enqueue()
        failed = raised_by(lambda: task.result(timeout=20), TaskFailed)
    assert [step.error["code"] for step in failed.steps] == ["timeout"]
    assert str(task.steps["other"].state) == "complete"


def test_a_process_step_that_ends_its_process_is_tried_again(an_app: Apps) -> None:
    """os._exit in a process step is a failed attempt of that step, not a crash of the worker."""
    app = an_app()
    frail = app.template("frail", retry=AT_ONCE)
    frail.step(workshop.end_the_process, name="die", run_in="process")
    with app.worker():
        task = frail.enqueue()
        assert task.result(timeout=20) == {"die": 2}
    assert task.steps["die"].attempts == 2


def test_a_cancelled_task_ends_at_once_and_its_thread_later(an_app: Apps) -> None:
    """Cancelling a task whose step runs: it is `cancelled` within a second, and the late result is dropped."""
    app = an_app(concurrency=2)
    end, running = threading.Event(), threading.Event()
    held = app.template("held")

    @held.step
    def hold(step: StepContext) -> Any:
        running.set()
        until(lambda: step.cancelled or end.is_set(), within=30)
        return "late"

    try:
        with app.worker():
            task = held.enqueue()
            assert running.wait(10)
            begun = time.monotonic()
            task.cancel(reason="not wanted")
            took = time.monotonic() - begun
            assert str(task.state) == "cancelled"
        assert (task.refresh().steps["hold"].results, took < 1.5) == (None, True)
    finally:
        end.set()
