"""Worker processes that are killed, stopped, drained and poisoned: nothing is lost, nothing written twice."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
import warnings
from collections import Counter
from pathlib import Path

import pytest
from crew import Crew

from support import until
from tasker.store.sql import Sql


def test_workers_share_one_database(crew: Crew) -> None:
    """Two worker processes on one database, a SQLite file too: every task completes and each step runs once."""
    crew.worker(), crew.worker()
    tasks = [crew.enqueue("quick") for _ in range(100)]
    assert [task.result(timeout=30) for task in tasks] == [3] * 100
    assert set(Counter((task_id, step) for _, task_id, step, _ in crew.ledger()).values()) == {1}
    assert len(crew.ledger()) == 300


@pytest.mark.parametrize("reaped", [True, False], ids=["gone", "zombie"])
def test_a_killed_workers_task_goes_on_at_its_neighbours(crew: Crew, reaped: bool) -> None:
    """kill -9 in the midst of a step: a neighbour on this host starts it anew within a second, long before the
    worker timeout, also while the dead process is a zombie still; no attempt is used."""
    victim = crew.worker(worker_timeout_seconds=30)
    task = crew.enqueue("gated")
    until(lambda: crew.runs(task, "hold"))
    heir = crew.worker(worker_timeout_seconds=30)
    killed = time.monotonic()
    victim.kill()
    if reaped:
        victim.wait()
    until(lambda: len(crew.runs(task, "hold")) == 2)
    took = time.monotonic() - killed
    crew.open()
    assert task.result(timeout=10) == heir.pid
    assert crew.runs(task, "hold") == [victim.pid, heir.pid]
    assert (task.steps["hold"].attempts, task.steps["hold"].number) == (1, 2)
    assert took < 2, "0.5 s to look, and a busy machine"
    assert "rescued" in [move["what"] for move in task.history()]


def test_a_task_survives_its_only_worker(crew: Crew) -> None:
    """A worker that is killed while nobody else runs: the next one to start finishes its task, soon."""
    victim = crew.worker(worker_timeout_seconds=30)
    task = crew.enqueue("gated")
    until(lambda: crew.runs(task, "hold"))
    victim.kill()
    victim.wait()
    crew.open()
    heir = crew.worker(worker_timeout_seconds=30)
    assert task.result(timeout=10) == heir.pid


def test_a_poison_is_stopped_at_the_crash_limit(crew: Crew) -> None:
    """A step that ends its process is stopped with `worker_lost` at the third death; the neighbours' tasks complete."""
    poisoned = crew.enqueue("poison")
    others = [crew.enqueue("quick") for _ in range(20)]
    deaths, deadline = 0, time.monotonic() + 40
    worker = crew.start()
    while not poisoned.refresh().is_final and time.monotonic() < deadline:
        if worker.poll() is not None:
            deaths += 1
            worker = crew.start()
        time.sleep(0.01)
    assert [other.result(timeout=20) for other in others] == [3] * 20
    step = poisoned.steps["drink"]
    assert (str(poisoned.state), str(step.state), (step.error or {}).get("code")) == ("error", "error", "worker_lost")
    assert (deaths, len(crew.runs(poisoned, "drink"))) == (3, 3)
    assert worker.poll() is None, "the worker that stopped the poison lives"


def test_a_stopped_worker_that_was_replaced_cannot_write(crew: Crew) -> None:
    """SIGSTOP beyond the timeout: a neighbour takes over; after SIGCONT the late outcome is dropped, and the
    worker registers anew and works on."""
    sleeper = crew.worker()
    task = crew.enqueue("gated")
    until(lambda: crew.runs(task, "hold"))
    old = crew.ids_of(sleeper)
    heir = crew.worker()
    stop_between_writes(sleeper, crew)
    until(lambda: crew.runs(task, "hold")[1:] == [heir.pid])
    crew.open()
    assert task.result(timeout=10) == heir.pid
    sleeper.send_signal(signal.SIGCONT)
    new = until(lambda: [one for one in crew.ids_of(sleeper) if one not in old])
    heir.kill()
    heir.wait()
    assert crew.enqueue("quick").result(timeout=10) == 3
    assert (task.refresh().steps["hold"].results, len(new)) == (heir.pid, 1)
    unfinished = crew.app.store.ask(Sql("select attempt, ended from {attempts} where step = 'hold'"))
    assert unfinished == [(1, "lost")], "the late outcome left no trace"


def stop_between_writes(process: subprocess.Popen[bytes], crew: Crew) -> None:
    """SIGSTOP, but not while it holds a SQLite file's only write lock: then everybody would wait for it, rightly."""
    while True:
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        if not crew.database.startswith("sqlite"):
            return
        with Path(f"{crew.database.removeprefix('sqlite:///')}-turn").open("rb") as turn:
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                process.send_signal(signal.SIGCONT)


def test_sigterm_drains(crew: Crew) -> None:
    """SIGTERM: an async step that does not end in the grace time is handed back, which costs no attempt and is no
    crash; the process exits with 0, and the next worker runs the step again."""
    worker = crew.worker(grace_seconds=0.3)
    task = crew.enqueue("patient")
    until(lambda: crew.runs(task, "listen"))
    worker.send_signal(signal.SIGTERM)
    code = worker.wait(15)
    task.refresh()
    crashes = crew.app.store.ask(Sql("select crashes from {tasks}"))[0][0]
    assert (code, str(task.state), str(task.steps["listen"].state)) == (0, "waiting", "pending")
    assert (task.steps["listen"].attempts, crashes) == (0, 0)
    crew.open()
    crew.worker()
    assert task.result(timeout=10) == 2, "the number of an attempt is used once in the life of a step"
    assert (task.steps["listen"].attempts, len(crew.runs(task, "listen"))) == (1, 2)


def test_sigterm_lets_what_runs_end(crew: Crew) -> None:
    """What ends within the grace time is settled; nothing after it is started, and the task is handed on."""
    worker = crew.worker(grace_seconds=10)
    task = crew.enqueue("gated")
    until(lambda: crew.runs(task, "hold"))
    worker.send_signal(signal.SIGTERM)
    until(lambda: crew.app.store.ask(Sql("select 1 from {workers} where state = 'draining'")))
    late = crew.enqueue("quick")
    assert [reason.code for reason in late.why()] == ["queue_unserved"]
    crew.open()
    assert worker.wait(15) == 0
    task.refresh(), late.refresh()
    assert (str(task.state), str(task.steps["hold"].state)) == ("waiting", "complete")
    assert (task.steps["hold"].results, crew.runs(task, "after"), str(late.state)) == (worker.pid, [], "pending")
    crew.worker()
    assert (task.result(timeout=10), late.result(timeout=10)) == (worker.pid, 3)


def test_a_second_signal_does_not_wait(crew: Crew) -> None:
    """A second SIGTERM gives up on a thread that runs: it is handed back, the process ends with 0 long before the
    grace time, and the next worker runs the step again."""
    worker = crew.worker(grace_seconds=60)
    task = crew.enqueue("gated")
    until(lambda: crew.runs(task, "hold"))
    worker.send_signal(signal.SIGTERM)
    until(lambda: crew.app.store.ask(Sql("select 1 from {workers} where state = 'draining'")))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0
    assert (str(task.refresh().state), task.steps["hold"].attempts) == ("waiting", 0)
    crew.open()
    heir = crew.worker()
    assert task.result(timeout=10) == heir.pid


def test_a_forked_child_starts_clean(crew: Crew) -> None:
    """After a fork the child has no worker and no connection of its parent's: it enqueues and runs by itself, and the
    parent's worker goes on."""
    app = crew.app
    with app.worker():
        assert crew.enqueue("quick").result(timeout=10) == 3
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
            child = os.fork()
        if child == 0:
            code = 1
            try:
                busy = app.serving.busy
                app.start()
                done = crew.enqueue("quick").result(timeout=10) == 3
                app.stop()
                code = 0 if done and not busy else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert crew.enqueue("quick").result(timeout=10) == 3
