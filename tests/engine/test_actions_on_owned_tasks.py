"""People act on tasks that a worker in another process owns, while steps of three seconds run there."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import another_process
import pytest

from postgres import Databases
from support import until
from tasker import Task, Tasker, TransitionRefused

ANSWER = 1.0
"""Seconds within which a live owner answers."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def worked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tasker]:
    """An app whose tasks are run by another process; this one only looks on and acts."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('owned') / 'tasker.db'}"
    else:
        databases: Databases = request.getfixturevalue("postgresql_databases")
        url = databases.create(request.getfixturevalue("migrated_postgresql"))
    app = another_process.make(url)
    app.migrate()
    process = subprocess.Popen([sys.executable, another_process.__file__, url])
    yield app
    process.terminate()
    process.wait(20)
    app.stop(0)
    app.store.close()


@pytest.fixture
def running(worked: Tasker) -> Callable[[], Task]:
    """A task whose steps run there: `thread` and `loop` for three seconds; `flaky` has failed once."""

    def start() -> Task:
        task = worked.enqueue("test/long")
        until(lambda: _runs(task), within=20)
        return task

    return start


def _runs(task: Task) -> bool:
    steps = task.refresh().steps
    return steps["thread"].state == steps["loop"].state == "in_progress" and steps["flaky"].state == "waiting_for_retry"


@contextmanager
def at_once() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < ANSWER


def states(task: Task) -> dict[str, str]:
    return {name: str(step.state) for name, step in task.refresh().steps.items()}


def test_cancel(running: Callable[[], Task]) -> None:
    """Cancelled at once: async steps are cancelled, threads told, descendants never start; late results are dropped."""
    task = running()
    with at_once():
        task.cancel(reason="duplicate", actor="ann")
    assert task.state == "cancelled"
    assert states(task) == dict.fromkeys(("thread", "loop", "flaky", "last"), "cancelled")
    finished = task.finished_at
    other = running()  # by then the told thread has ended
    assert (task.refresh().state, task.finished_at, task.annotations()) == ("cancelled", finished, [])
    assert states(task)["thread"] == "cancelled"
    other.cancel(reason="over")


def test_pause_and_resume(running: Callable[[], Task]) -> None:
    """What runs ends and is recorded, nothing new starts; resumed it goes on."""
    task = running()
    with at_once():
        task.pause(reason="stocktaking", actor="ann")
    assert task.state == "paused"
    until(lambda: states(task)["thread"] == states(task)["loop"] == "complete")
    assert states(task)["last"] == "pending"
    assert "by ann" in task.why()[0].text
    task.retry("flaky")
    with at_once():
        task.resume(actor="bob")
    assert task.wait(10).result(timeout=0) == {"flaky": 2, "last": "last"}
    assert [(entry["what"], entry["actor"]) for entry in task.history() if entry["what"] in ("pause", "resume")] == [
        ("pause", "ann"),
        ("resume", "bob"),
    ]


def test_resume_before_what_runs_has_ended(running: Callable[[], Task]) -> None:
    """Paused and resumed while its steps run, a task goes on as if nothing had been said."""
    task = running()
    with at_once():
        task.pause()
        task.resume()
    assert task.state == "in_progress"
    task.retry("flaky")
    assert task.wait(10).result(timeout=0) == {"flaky": 2, "last": "last"}


def test_retry_makes_a_waiting_step_due(running: Callable[[], Task]) -> None:
    """A retry that was due in an hour runs now, beside the running steps; its attempts are kept."""
    task = running()
    with at_once():
        task.retry("flaky", reason="now")
    until(lambda: states(task)["flaky"] == "complete", within=ANSWER)
    assert task.steps["flaky"].attempts == 2
    assert states(task)["thread"] == "in_progress"
    task.cancel(reason="over")


def test_resolve_a_running_step(running: Callable[[], Task]) -> None:
    """Its results are the person's; the attempt is given up, and what it returns later is dropped."""
    task = running()
    with at_once():
        task.resolve("thread", "by hand", reason="seen with my own eyes")
        task.resolve("loop", "by hand", reason="seen with my own eyes")
        task.retry("flaky")
    assert states(task)["thread"] == "resolved_manually"
    assert task.wait(2).result(timeout=0) == {"flaky": 2, "last": "last"}
    assert task.steps["thread"].results == "by hand"


def test_skip_a_running_and_a_pending_step(running: Callable[[], Task]) -> None:
    """Skipped steps are satisfied at once, whether they run, wait or never started."""
    task = running()
    with at_once():
        task.skip("thread", reason="not needed")
        task.skip("flaky", reason="not needed")
        task.skip("last", reason="not needed")
    assert {name: state for name, state in states(task).items() if name != "loop"} == dict.fromkeys(
        ("thread", "flaky", "last"), "skipped"
    )
    assert task.wait(10).state == "complete"


def test_rerun_while_it_runs(running: Callable[[], Task]) -> None:
    """A step that is over begins a new generation beside the running ones."""
    task = running()
    task.retry("flaky")
    until(lambda: states(task)["flaky"] == "complete")
    with at_once():
        task.rerun("flaky", reason="again")
    until(lambda: states(task)["flaky"] == "complete" and task.steps["flaky"].generation == 1)
    assert task.steps["flaky"].number == 3
    task.cancel(reason="over")


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda task: task.resume(), "only a paused task can be resumed"),
        (
            lambda task: task.retry("thread"),
            "step 'thread' of .* is in_progress; from in_progress one may: resolve, skip",
        ),
        (lambda task: task.rerun("thread", reason="x"), "there is nothing to run again yet"),
        (lambda task: task.resolve(reason="x"), "only a task in error can be resolved as a whole"),
    ],
)
def test_what_makes_no_sense_is_refused(running: Callable[[], Task], act: Any, words: str) -> None:
    """The owner refuses it with the same words, as quickly; the task goes on."""
    task = running()
    with at_once(), pytest.raises(TransitionRefused, match=words):
        act(task)
    assert states(task)["thread"] == "in_progress"
    assert task.history()[-1]["answer"].startswith("refused: ")
    task.cancel(reason="over")


def test_why_names_worker_and_step(running: Callable[[], Task]) -> None:
    """`why()` of an owned task says what runs where, for how long, and which retry is due when."""
    task = running()
    found = {(reason.code, reason.step): reason.text for reason in task.why()}
    assert ("running", "thread") in found
    assert ("running", "loop") in found
    assert "step 'flaky' failed (attempt 1 of 2: the first time)" in found["retry_due", "flaky"]
    assert [reason.code for reason in task.why("last")] == ["parent", "parent"]
    task.cancel(reason="over")
