"""Tasks as a host holds them: snapshots, waiting, results, their async forms, and what is refused."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from support import until
from tasker import (
    Backoff,
    NotFound,
    PermanentError,
    RequestError,
    Retry,
    Task,
    Tasker,
    TaskFailed,
    TaskTimeout,
    Template,
    UnknownOption,
)
from tasker.testing import run_until_idle

Make = Callable[..., Template[Any]]


def one() -> int:
    return 1


def test_a_task_is_a_snapshot(tasker: Tasker, a_template: Make) -> None:
    """It stays as it was read until it is refreshed; `refresh` returns itself."""
    task = a_template(one).enqueue(
        {"a": 1}, initiator="web", source_system="shop", reason="paid", tags=["eu", "eu", "b2b"]
    )
    run_until_idle(tasker)
    assert task.state == "pending"
    assert task.refresh() is task
    assert task.state == "complete"
    assert (task.initiator, task.source_system, task.reason, task.tags) == ("web", "shop", "paid", ("eu", "b2b"))
    assert (task.context, task.error, task.created, task.is_final) == ({"a": 1}, None, True, True)
    assert tasker.task(task.id).created is False
    assert task == tasker.task(task.id)
    assert repr(task) == f"<Task …{task.id[-9:]} default/template_1@0.1.0 complete>"


def test_as_dict_is_the_rest_form(tasker: Tasker, a_template: Make) -> None:
    """JSON values only, moments in RFC 3339 and UTC, all steps with it."""
    import json

    task = a_template(one).enqueue({"a": 1}, tags=["eu"])
    run_until_idle(tasker)
    found = task.refresh().as_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["state"] == "complete"
    assert found["created_at"].endswith("Z")
    assert [(step["name"], step["state"], step["results"]) for step in found["steps"]] == [("one", "complete", 1)]


def test_history_tells_the_moves(tasker: Tasker, a_template: Make) -> None:
    """Oldest first, each with its time, who did it and why."""
    task = a_template(one).enqueue(initiator="web", reason="paid")
    run_until_idle(tasker)
    history = task.history()
    assert [entry["what"] for entry in history] == ["enqueued", "started", "complete"]
    assert (history[0]["actor"], history[0]["reason"]) == ("web", "paid")
    assert [entry["at"] for entry in history] == sorted(entry["at"] for entry in history)


def test_wait_and_result(live: Tasker) -> None:
    """`wait` gives the finished task itself; `result` its results; both return as soon as it is settled."""
    template = live.template("t")
    template.step(one)
    with live.worker():
        task = template.enqueue()
        assert task.wait(10) is task
        assert task.state == "complete"
        began = time.monotonic()
        assert template.enqueue().result(timeout=timedelta(seconds=10)) == {"one": 1}
        assert time.monotonic() - began < 1


def test_a_timeout_says_why(tasker: Tasker, a_template: Make) -> None:
    """`TaskTimeout` is a `TimeoutError`; its message and its reasons are those of `why()`."""
    task = a_template(one).enqueue()
    with pytest.raises(
        TimeoutError, match=r"is still pending after 0 s: no live worker serves queue 'default'"
    ) as caught:
        task.wait(timeout=0)
    assert isinstance(caught.value, TaskTimeout)
    assert caught.value.task is task
    assert [reason.code for reason in caught.value.reasons] == ["queue_unserved"]
    assert "Start one in another terminal:  tasker worker" in str(caught.value)


def test_a_long_wait_says_why_once(tasker: Tasker, a_template: Make, caplog: pytest.LogCaptureFixture) -> None:
    """After five seconds the reasons are logged, once: a missing worker or a wrong database shows itself."""
    from tasker.app import waiting

    task = a_template(one).enqueue()
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING, "tasker"):
        patch.setattr(waiting, "TELL_AFTER", 0.05)
        with pytest.raises(TaskTimeout):
            task.wait(0.3)
    told = [record for record in caplog.records if "still waiting for" in record.message]
    assert len(told) == 1
    assert "no live worker serves queue 'default'" in told[0].message


def test_a_cancelled_task_failed(tasker: Tasker, a_template: Make) -> None:
    """`result()` of a cancelled task is `TaskFailed`; its task tells which it was."""
    task = a_template(one).enqueue()
    task.cancel(reason="duplicate")
    with pytest.raises(TaskFailed, match="was cancelled") as caught:
        task.result(timeout=0)
    assert (caught.value.task.state, caught.value.steps) == ("cancelled", [])


def test_many_failed_steps(tasker: Tasker, a_template: Make) -> None:
    """The message names three of them, the exception all, in definition order."""

    def broken() -> None:
        raise PermanentError("no")

    template = a_template()
    for i in range(5):
        template.step(broken, name=f"s{i}")
    task = template.enqueue()
    run_until_idle(tasker)
    with pytest.raises(TaskFailed, match="step 's0': no; step 's1': no; step 's2': no and 2 more") as caught:
        task.result(timeout=0)
    assert [step.name for step in caught.value.steps] == ["s0", "s1", "s2", "s3", "s4"]


async def test_async_forms(live: Tasker) -> None:
    """`aenqueue`, `aenqueue_many`, `await task`, `aresult`, `atask`, `atasks`, `arefresh`; the loop goes on meanwhile."""
    template, ticks = live.template("t"), 0
    template.step(one)

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with live.worker():
        task = await template.aenqueue({"a": 1}, tags=["eu"])
        assert await task is task
        assert task.state == "complete"
        assert await task.aresult(timeout=10) == {"one": 1}
        many = await template.aenqueue_many([{"i": i} for i in range(3)], tags=["many"])
        for each in many:
            await each
        assert len(await live.atasks(tag="many")) == 3
        assert await live.atask(task.id) == task
        assert (await task.arefresh()).state == "complete"
        late = await template.aenqueue(delay=60)
        with pytest.raises(TaskTimeout, match="it starts at"):
            await late.aresult(timeout=0.05)
    ticking.cancel()
    assert ticks > 0


async def test_waiting_in_a_loop_is_refused(tasker: Tasker, a_template: Make) -> None:
    """`wait` and `result` would stop the loop of this thread; the message says what to write."""
    task = a_template(one).enqueue()
    for wait in (task.wait, task.result):
        with pytest.raises(RequestError, match="task = await task"):
            wait(1)


def test_waiting_in_a_handler_warns(live: Tasker) -> None:
    """It holds a slot: allowed, but said."""
    inner, outer = live.template("inner"), live.template("outer")
    inner.step(one)
    told: list[str] = []

    @outer.step
    def wait() -> Any:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = inner.enqueue().result(timeout=10)
        told.extend(str(warning.message) for warning in caught)
        return found

    with live.worker():
        assert outer.enqueue().result(timeout=20) == {"wait": {"one": 1}}
    assert len(told) == 1
    assert "waiting for a task inside a handler holds a slot" in told[0]


def test_a_wait_ends_in_another_process(live: Tasker, emptied_url: str) -> None:
    """Who waits need not be who works: another app on the same database sees the end within half a second."""
    template = live.template("t")
    template.step(one)
    other = Tasker(emptied_url, env="test")
    mirror = other.template("t")
    mirror.step(one)
    with live.worker():
        task = mirror.enqueue()
        began = time.monotonic()
        assert task.result(timeout=10) == {"one": 1}
        assert time.monotonic() - began < 3
    other.store.close()


def test_an_unknown_option_of_enqueue(a_template: Make) -> None:
    """Every option acts or is refused, with the nearest name."""
    template = a_template(one)
    with pytest.raises(UnknownOption, match=r"no option 'prioriti'. Did you mean 'priority'"):
        template.enqueue(prioriti=3)  # type: ignore[call-overload]
    with pytest.raises(UnknownOption):
        template.enqueue(unique=True)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tags": "eu"}, 'write a list of words, e.g. tags=\\["eu"\\]'),
        ({"tags": [3]}, "write a list of words"),
        ({"queue": ""}, "queue='': it must be a name"),
        ({"queue": "a,b"}, "it must be a name"),
        ({"initiator": 3}, "initiator=3: it must be text"),
        ({"reason": "a\x00"}, "it must be text"),
    ],
)
def test_options_that_make_no_sense(a_template: Make, tasker: Tasker, options: dict[str, Any], words: str) -> None:
    """Refused with the option's name; nothing is stored."""
    with pytest.raises(RequestError, match=words):
        a_template(one).enqueue(**options)
    assert tasker.tasks() == []


def test_a_short_retry_starts_on_time(live: Tasker) -> None:
    """A retry starts within 50 ms of its due time when a slot is free (here: with room for a busy machine)."""
    template, starts = live.template("t"), []

    @template.step(retry=Retry(max_attempts=4, backoff=Backoff.of([0.2])))
    def flaky() -> None:
        starts.append(time.monotonic())
        if len(starts) < 4:
            raise ValueError("again")

    with live.worker():
        template.enqueue().wait(20)
    pauses = sorted(b - a - 0.2 for a, b in itertools.pairwise(starts))
    assert pauses[0] >= -0.01
    assert pauses[0] < 0.05


def test_steps_in_parallel(live: Tasker) -> None:
    """Independent steps of one task run at the same time."""
    template, both = live.template("t"), threading.Barrier(2, timeout=10)
    for name in ("left", "right"):
        template.step(lambda: both.wait() >= 0, name=name)
    with live.worker():
        assert template.enqueue().result(timeout=20) == {"left": True, "right": True}


def test_a_worker_finds_a_task_at_once(live: Tasker) -> None:
    """An idle worker of this process starts a new task without waiting for its poll."""
    template = live.template("t")
    template.step(one)
    with live.worker():
        template.enqueue().wait(10)
        times = []
        for _ in range(5):
            began = time.monotonic()
            template.enqueue().wait(10)
            times.append(time.monotonic() - began)
    assert min(times) < 0.2


def test_start_and_stop(live: Tasker) -> None:
    """For a host's hooks: both may be called twice, and again after each other."""
    template = live.template("t")
    template.step(one)
    for _ in range(2):
        live.start()
        live.start()
        assert template.enqueue().result(timeout=10) == {"one": 1}
        live.stop(grace=5)
        live.stop()
    task = template.enqueue()
    assert task.refresh().state == "pending"


def test_a_process_that_only_enqueues(emptied_url: str) -> None:
    """`concurrency=0`: `start` runs nothing here."""
    app = Tasker(emptied_url, env="test", concurrency=0)
    template = app.template("t")
    template.step(one)
    app.start()
    task: Task = template.enqueue()
    assert not app.serving.busy
    assert task.refresh().state == "pending"
    app.stop()
    app.store.close()


def test_not_found_before_the_commit(a_template: Make, tasker: Tasker) -> None:
    """Until the host's commit a task is not there for anybody; what to do is said."""
    with tasker.store.engine.connect() as connection:
        if tasker.store.dialect == "sqlite":
            connection.exec_driver_sql("begin immediate")
        task = a_template(one).enqueue(connection=connection)
        assert (task.created, task.state) == (True, "pending")
        for look in (task.refresh, lambda: task.wait(1), lambda: task.result(timeout=1)):
            with pytest.raises(NotFound, match="has not committed, or was rolled back: wait after the commit"):
                look()
        connection.exec_driver_sql("commit")
    until(lambda: task.refresh().state == "pending")
