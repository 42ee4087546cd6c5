"""How an attempt ends: each row of the semantics' table, through the public names, on the engine of production."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import handlers_elsewhere
import pytest

from support import until
from tasker import Backoff, PermanentError, Retry, RetryableError, Skip, StepContext, Task, Tasker, TaskFailed, Wait
from tasker.testing import FakeClock, crash_at, run_until_idle

RunStep = Callable[..., Task]
Make = Callable[..., Any]


def raising(error: BaseException | type[BaseException], times: int = 1_000) -> Callable[..., Any]:
    """A handler that raises so many times, and then gives "done"."""
    left = times

    def work() -> str:
        nonlocal left
        left -= 1
        if left >= 0:
            raise error if isinstance(error, type) else error.with_traceback(None)
        return "done"

    return work


def returning(value: Any) -> Callable[..., Any]:
    return lambda: value


def error_of(task: Task) -> Any:
    found = task.steps["work"].error
    assert found is not None
    return found


# a value


def test_a_value_is_the_steps_results(run_step: RunStep) -> None:
    """What a handler returns is its step's results, and as the only leaf the task's, by name."""
    task = run_step(returning({"sum": 3}))
    assert task.state == "complete"
    assert task.result(timeout=0) == {"work": {"sum": 3}}
    step = task.steps["work"]
    assert (step.state, step.results, step.attempts, step.error, step.due_at) == ("complete", {"sum": 3}, 1, None, None)
    assert step.started_at is not None
    assert step.finished_at is not None


def test_none_is_no_results(run_step: RunStep) -> None:
    """A handler that returns nothing leaves none, and is complete."""
    task = run_step(returning(None))
    assert (task.state, task.steps["work"].results, task.result(timeout=0)) == ("complete", None, {"work": None})


async def test_an_async_handler(run_step: RunStep) -> None:
    """`async def` handlers end like plain ones, also when the test itself runs a loop."""

    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    task = await asyncio.to_thread(run_step, work)
    assert task.steps["work"].results == 7


def test_a_handler_in_a_process_of_its_own(run_step: RunStep) -> None:
    """Its arguments and results travel; its context knows the attempt, its annotations arrive."""
    task = run_step(handlers_elsewhere.add, {"a": 1, "b": 2}, run_in="process")
    assert task.steps["work"].results == 3
    task = run_step(handlers_elsewhere.who, run_in="process", config={"carrier": "dhl"})
    assert task.steps["work"].results == {
        "name": "work",
        "attempt": 1,
        "key": f"{task.id}:work:0",
        "config": {"carrier": "dhl"},
    }
    assert [kind for kind, _ in task.annotations()] == ["pid"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (object(), "step 'work' returned"),
        ({"at": {1, object()}}, "at"),
        (float("nan"), "NaN"),
        ("a\x00b", "U+0000"),
        ((n for n in range(3)), "generator"),
        ({1: {2j: 1}}, "step 'work' returned"),
    ],
    ids=["object", "nested", "nan", "nul", "iterator", "complex key"],
)
def test_what_is_not_json_is_an_invalid_result(run_step: RunStep, value: Any, words: str) -> None:
    """A value that JSON cannot hold ends the step with `invalid_result`, once: the call itself succeeded."""
    task = run_step(returning(value))
    error = error_of(task)
    assert (task.state, error["code"], task.steps["work"].attempts) == ("error", "invalid_result", 1)
    assert words in error["message"]
    assert error["message"].endswith("Not retried: the call itself succeeded.") or "max_payload" in error["message"]


def test_a_value_of_another_type_than_declared_is_an_invalid_result(run_step: RunStep) -> None:
    """What a handler returns must fit its annotation; the message names both."""

    def work() -> int:
        return "three"  # type: ignore[return-value]

    error = error_of(run_step(work))
    assert error["code"] == "invalid_result"
    assert "a str that does not fit its annotation int" in error["message"]

    def nothing() -> None:
        return 3  # type: ignore[return-value]

    error = error_of(run_step(nothing))
    assert error["code"] == "invalid_result"
    assert "annotated -> None" in error["message"]


def test_results_that_are_too_large_are_an_invalid_result(run_step: RunStep) -> None:
    """Ten megabytes are refused with their size, the limit and what to do instead; not retried."""
    error = error_of(run_step(returning("x" * 10_000_000)))
    assert error["code"] == "invalid_result"
    assert "returned 10,000,002 bytes; the limit is 1,048,576 (max_payload_bytes)" in error["message"]
    assert "Store it elsewhere and return a reference" in error["message"]


# a failure


def test_any_exception_is_retried(run_step: RunStep) -> None:
    """Fail once, then succeed: complete, unattended, with two attempts."""
    task = run_step(raising(ValueError("broken"), times=1))
    assert (task.state, task.steps["work"].results, task.steps["work"].attempts) == ("complete", "done", 2)
    assert task.steps["work"].error is None


def test_attempts_are_used_up(run_step: RunStep) -> None:
    """Failing always ends in error with attempts = max_attempts; the error is the last one."""
    task = run_step(raising(ValueError("broken")), retry=Retry(max_attempts=4))
    step = task.steps["work"]
    assert (task.state, step.state, step.attempts, step.due_at) == ("error", "error", 4, None)
    assert (error_of(task)["attempt"], error_of(task)["code"], error_of(task)["type"]) == (4, "exception", "ValueError")
    assert error_of(task)["message"] == "broken"
    assert "ValueError: broken" in error_of(task)["traceback"]
    assert "tasker/engine" not in error_of(task)["traceback"]
    assert task.error == {"code": "failed_steps", "message": "step 'work' failed: broken", "steps": ["work"]}


def test_a_task_in_error_stays_there(run_step: RunStep, tasker: Tasker, clock: FakeClock) -> None:
    """The engine never opens it again by itself."""
    task = run_step(raising(PermanentError("no")))
    clock.advance(timedelta(days=30))
    assert run_until_idle(tasker) == []
    assert task.refresh().state == "error"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("odd")])
def test_base_exceptions_are_exceptions_too(run_step: RunStep, error: BaseException) -> None:
    """What usually ends a process is here a failed attempt like any other: the worker goes on."""
    task = run_step(raising(error, times=1))
    assert (task.state, task.steps["work"].attempts) == ("complete", 2)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_base_exceptions_of_async_handlers(run_step: RunStep, error: BaseException) -> None:
    """The loop of all async handlers survives them."""
    left = [error]

    async def work() -> str:
        if left:
            raise left.pop()
        return "done"

    task = run_step(work)
    assert (task.state, task.steps["work"].attempts) == ("complete", 2)


def test_not_retryable(run_step: RunStep) -> None:
    """With `retryable=False` the first failure is final; the first attempt is always allowed."""
    task = run_step(raising(ValueError("broken")), retry=Retry(retryable=False))
    assert (task.state, task.steps["work"].attempts) == ("error", 1)
    assert run_step(returning(1), retry=Retry(retryable=False)).state == "complete"


def test_permanent_error(run_step: RunStep) -> None:
    """`PermanentError` ends the step at once, with its own code and details."""
    task = run_step(raising(PermanentError("no such order", code="no_order", details={"order_id": 17})))
    assert (task.state, task.steps["work"].attempts) == ("error", 1)
    assert error_of(task)["code"] == "no_order"
    assert error_of(task)["message"] == "no such order"
    assert error_of(task)["details"] == {"order_id": 17}


class NoStock(LookupError):
    pass


@pytest.mark.parametrize("how", ["def", "async", "process"])
def test_permanent_classes(run_step: RunStep, how: str) -> None:
    """An exception of the step's `permanent` classes ends it at once; others are retried."""

    async def missing() -> None:
        raise NoStock("none left")

    retry = Retry(max_attempts=3, permanent=(LookupError, ValueError))
    if how == "process":
        task = run_step(handlers_elsewhere.end, {"how": "value"}, run_in="process", retry=retry)
    else:
        task = run_step(missing if how == "async" else raising(NoStock("none left")), retry=retry)
    assert (task.state, task.steps["work"].attempts) == ("error", 1)
    assert run_step(raising(TypeError("x"), times=1), retry=retry).steps["work"].attempts == 2


def test_retryable_error_says_when(run_step: RunStep, tasker: Tasker, a_template: Make, clock: FakeClock) -> None:
    """`retry_after` replaces the back-off; the moment is computed once and stored; code and details are kept."""
    template = a_template()
    template.step(
        raising(RetryableError("busy", retry_after=timedelta(minutes=2), code="busy", details={"q": 7}), times=1),
        name="work",
    )
    task = template.enqueue()
    began = clock.now
    run_until_idle(tasker, until=began + timedelta(minutes=1))
    step = task.refresh().steps["work"]
    assert (task.state, step.state) == ("waiting", "waiting_for_retry")
    assert step.due_at == began + timedelta(minutes=2)
    assert (error_of(task)["code"], error_of(task)["details"]) == ("busy", {"q": 7})
    run_until_idle(tasker)
    assert task.refresh().state == "complete"
    assert task.steps["work"].started_at == began + timedelta(minutes=2)


def test_retry_after_is_capped(run_step: RunStep, clock: FakeClock) -> None:
    """No server keeps a task waiting longer than `max_retry_after`."""
    began = clock.now
    run_step(raising(RetryableError("busy", retry_after=1e9), times=1), retry=Retry(max_retry_after=60))
    assert clock.now - began == timedelta(seconds=60)


@pytest.mark.parametrize("retry_after", [-5.0, 0, float("nan"), float("inf")])
def test_an_odd_retry_after_is_survived(run_step: RunStep, retry_after: float) -> None:
    """Whatever a handler says, the step is tried again."""
    assert run_step(raising(RetryableError("busy", retry_after=retry_after), times=1)).state == "complete"


def test_backoff(run_step: RunStep, clock: FakeClock) -> None:
    """Pauses grow by the factor up to the cap, with jitter; attempts start exactly at their moments."""
    starts: list[datetime] = []

    def work() -> None:
        starts.append(clock.now)
        raise ValueError("broken")

    backoff = Backoff(first=10, factor=2, cap=30, jitter=0.1)
    run_step(work, retry=Retry(max_attempts=5, backoff=backoff))
    pauses = [(b - a).total_seconds() for a, b in itertools.pairwise(starts)]
    assert [9 <= pauses[0] <= 11, 18 <= pauses[1] <= 22, 27 <= pauses[2] <= 33, 27 <= pauses[3] <= 33] == [True] * 4
    assert len(set(pauses)) == 4


# skip


def test_skip_satisfies(run: Callable[..., Task], a_template: Make) -> None:
    """A skipped step has no results, its reason is kept, and its child runs with None."""

    def ask() -> int:
        raise Skip("no carrier here")

    def choose(ask: int | None) -> str:
        return f"got {ask}"

    task = run(a_template(ask, choose))
    assert task.state == "complete"
    assert (task.steps["ask"].state, task.steps["ask"].results, task.steps["ask"].note) == (
        "skipped",
        None,
        "no carrier here",
    )
    assert task.result(timeout=0) == {"choose": "got None"}


def test_skip_where_a_child_does_not_allow_none(run: Callable[..., Task], a_template: Make) -> None:
    """It is `invalid_result`, names the child, and is not retried."""

    def ask() -> int:
        raise Skip("no carrier here")

    def choose(ask: int) -> int:
        return ask

    task = run(a_template(ask, choose))
    step = task.steps["ask"]
    assert (task.state, step.state, step.attempts) == ("error", "error", 1)
    assert step.error is not None
    assert step.error["code"] == "invalid_result"
    assert "step 'choose' needs its results (it does not allow None)" in step.error["message"]


# wait


def test_wait_burns_no_attempt(run_step: RunStep, clock: FakeClock) -> None:
    """`Wait` parks the step, uses no attempt, and does so as often as it likes."""
    left = 10

    def work(step: StepContext) -> list[int]:
        nonlocal left
        left -= 1
        if left >= 0:
            raise Wait(60, reason="the bank is closed")
        return [step.attempt, step.max_attempts]

    began = clock.now
    task = run_step(work, retry=Retry(max_attempts=1))
    assert task.state == "complete"
    assert clock.now - began == timedelta(minutes=10)
    assert task.steps["work"].attempts == 1
    assert task.steps["work"].results == [11, 1]  # attempts bear their number for life


@pytest.mark.parametrize("form", ["seconds", "timedelta", "datetime"])
def test_wait_until_when(tasker: Tasker, a_template: Make, clock: FakeClock, form: str) -> None:
    """Seconds, a timedelta or an aware moment; why() says it with the handler's own words."""
    began = clock.now
    moment: dict[str, Any] = {
        "seconds": 90,
        "timedelta": timedelta(seconds=90),
        "datetime": (began + timedelta(seconds=90)).astimezone(),
    }
    template = a_template()
    template.step(raising(Wait(moment[form], reason="the bank is closed"), times=1), name="work")
    task = template.enqueue()
    run_until_idle(tasker, until=began + timedelta(seconds=89))
    step = task.refresh().steps["work"]
    assert (step.state, step.due_at, step.attempts, step.note) == (
        "waiting_for_retry",
        began + timedelta(seconds=90),
        0,
        "the bank is closed",
    )
    reasons = [reason for reason in task.why() if reason.code == "retry_due"]
    assert "the bank is closed" in reasons[0].text
    run_until_idle(tasker)
    assert task.refresh().state == "complete"


def test_max_wait(run_step: RunStep, clock: FakeClock) -> None:
    """Counted from the first `Wait`: longer than `max_wait` is error `max_wait`; the last wait is shortened to it."""
    began = clock.now
    task = run_step(raising(Wait(40, reason="the bank is closed")), max_wait=100)
    assert (task.state, error_of(task)["code"]) == ("error", "max_wait")
    assert clock.now - began == timedelta(seconds=100)
    assert "waited longer than max_wait (100 s): the bank is closed" in error_of(task)["message"]


def test_max_wait_counts_from_the_first_wait_in_a_row(run_step: RunStep) -> None:
    """A failure between two waits begins the count anew."""
    endings: list[BaseException] = [Wait(80), ValueError("x"), Wait(80)]

    def work() -> str:
        if endings:
            raise endings.pop()
        return "done"

    assert run_step(work, max_wait=100).state == "complete"


def test_wait_in_the_past_is_now(run_step: RunStep) -> None:
    """A moment that is over means at once."""
    assert run_step(raising(Wait(datetime(2020, 1, 1, tzinfo=UTC)), times=1)).state == "complete"


def test_a_wait_that_is_no_wait_is_a_failure(run_step: RunStep) -> None:
    """A `Wait` that says nothing readable fails its attempt; it neither hangs nor kills the worker."""
    left: list[Any] = ["soon", float("nan")]

    def work() -> str:
        if left:
            raise Wait(left.pop())
        return "done"

    task = run_step(work)
    assert (task.state, task.steps["work"].attempts) == ("complete", 3)


def test_a_naive_moment_is_a_failure(run_step: RunStep) -> None:
    """A moment without a zone is nobody's: the attempt fails, saying what to write."""

    def work() -> None:
        raise Wait(datetime(2030, 1, 1))

    error = error_of(run_step(work, retry=Retry(max_attempts=1)))
    assert "a naive datetime has no zone; write datetime.now(timezone.utc)" in error["message"]


# inputs


def test_inputs_that_do_not_fit(run_step: RunStep) -> None:
    """`invalid_input` before the handler is called, not retried; the message names parameter and type."""
    called = []

    def work(context: dict[str, int]) -> None:
        called.append(context)

    task = run_step(work, {"order_id": "seventeen"})
    assert (task.state, error_of(task)["code"], task.steps["work"].attempts, called) == (
        "error",
        "invalid_input",
        1,
        [],
    )
    assert "step 'work': parameter 'context' (the context) does not fit dict[str, int]" in error_of(task)["message"]


def test_results_that_do_not_fit_the_next_step(run: Callable[..., Task], a_template: Make) -> None:
    """A parent's results that the child's annotation refuses are the child's `invalid_input`."""

    def fetch() -> Any:
        return {"total": "much"}

    def charge(fetch: dict[str, int]) -> None: ...

    task = run(a_template(fetch, charge))
    error = task.steps["charge"].error
    assert error is not None
    assert error["code"] == "invalid_input"
    assert "parameter 'fetch' (results of step 'fetch') does not fit dict[str, int]: total" in error["message"]
    assert task.steps["fetch"].state == "complete"


# a timeout (their time is real, and short)


@pytest.mark.parametrize("how", ["def", "async", "process"])
def test_a_timeout_is_retried(live: Tasker, how: str) -> None:
    """A step that exceeds its timeout fails with code `timeout` and is tried again; the worker does not wait for it."""
    template = live.template("slow")
    seen: list[bool] = []

    def work(step: StepContext) -> str:
        while step.attempt == 1 and not step.cancelled:
            time.sleep(0.005)
        seen.append(step.cancelled)
        return "done"

    async def awork(step: StepContext) -> str:
        if step.attempt == 1:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append(True)
                raise
        return "done"

    retry = Retry(max_attempts=2, backoff=Backoff.of([0]))
    if how == "process":
        template.step(
            handlers_elsewhere.sleep_long, name="work", timeout=0.5, run_in="process", retry=Retry(max_attempts=1)
        )
    else:
        template.step(work if how == "def" else awork, name="work", timeout=0.1, retry=retry)
    with live.worker():
        began = time.monotonic()
        task = template.enqueue().wait(20)
        assert time.monotonic() - began < 5
    if how == "process":
        assert (task.state, error_of(task)["code"]) == ("error", "timeout")
        assert "step 'work' did not end within its timeout of 0.5 s" in error_of(task)["message"]
        return
    assert (task.state, task.steps["work"].attempts) == ("complete", 2)
    until(lambda: True in seen)


def test_a_late_result_is_dropped(live: Tasker) -> None:
    """A thread that ends after its timeout is ignored: its value is neither stored nor merged."""
    template = live.template("late")

    def work(step: StepContext) -> int:
        while step.attempt == 1 and not step.cancelled:
            time.sleep(0.005)
        return step.attempt

    template.step(work, name="work", timeout=0.1, retry=Retry(max_attempts=2, backoff=Backoff.of([0.05])))
    with live.worker(concurrency=1):  # its one slot is free again only when the thread has ended
        task = template.enqueue().wait(20)
    assert task.steps["work"].results == 2


def test_remaining_counts_down_to_the_timeout(run_step: RunStep) -> None:
    """A handler knows how many seconds it has; None without a timeout."""
    assert run_step(lambda step: step.remaining, timeout=30).steps["work"].results == pytest.approx(30, abs=5)
    assert run_step(lambda step: step.remaining).steps["work"].results is None


# a process that ends


def test_a_process_step_that_ends_its_process(run_step: RunStep) -> None:
    """`os._exit` in a process of its own is a failed attempt: worker and neighbours go on."""
    task = run_step(handlers_elsewhere.end_process, run_in="process", retry=Retry(max_attempts=1))
    assert task.state == "error"
    assert "ended by itself (exit status 7)" in error_of(task)["message"]


@pytest.mark.parametrize("how", ["retryable", "wait", "exit", "value"])
def test_how_a_process_step_may_end(run_step: RunStep, how: str) -> None:
    """What a handler raises in a process of its own means what it means elsewhere."""
    task = run_step(handlers_elsewhere.end, {"how": how}, run_in="process")
    assert task.steps["work"].results == "at last"
    assert task.steps["work"].attempts == (1 if how == "wait" else 2)


def test_a_lost_attempt_does_not_use_up_the_budget(run_step: RunStep) -> None:
    """A worker that dies in the middle costs no attempt, also with `retryable=False`."""
    with crash_at("work", when="after"):
        task = run_step(returning("done"), retry=Retry(max_attempts=1, retryable=False))
    assert (task.state, task.steps["work"].attempts) == ("complete", 1)


def test_a_step_that_ran_only_once_has_one_key(run_step: RunStep) -> None:
    """The idempotency key names task, step and generation; a retry has the same."""
    keys = []

    def work(step: StepContext) -> str:
        keys.append(step.idempotency_key)
        if step.attempt < 3:
            raise ValueError("again")
        return step.idempotency_key

    task = run_step(work)
    assert keys == [f"{task.id}:work:0"] * 3


def test_task_failed_says_what_failed(run_step: RunStep) -> None:
    """`result()` of a failed task raises `TaskFailed` with the task, its failed steps and their messages."""
    task = run_step(raising(PermanentError("no such order")))
    with pytest.raises(TaskFailed, match="ended in error: step 'work': no such order") as caught:
        task.result(timeout=0)
    assert caught.value.task == task
    assert [step.name for step in caught.value.steps] == ["work"]
