"""Suspects: tasks whose workers died. The last strike is run alone, and nobody else pays for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from lone import Lone, row, suspect

from support import until
from tasker import Task, Tasker, Template


def minutes_ago(minutes: int) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def complete(*tasks: Task) -> bool:
    return all(str(task.refresh().state) == "complete" for task in tasks)


def a_quick(app: Tasker) -> Template[dict[str, int]]:
    template = app.template("quick")
    template.step(lambda: 1, name="one")
    return template


def test_a_suspect_holds_up_no_healthy_task(an_app: Callable[..., Tasker]) -> None:
    """With one slot, two tasks on their last strike and four healthy ones all end, whichever was due first."""
    app = an_app(concurrency=1)
    quick = a_quick(app)
    suspects = [quick.enqueue(run_at=minutes_ago(1)), quick.enqueue(run_at=minutes_ago(2))]
    healthy = [quick.enqueue() for _ in range(4)]
    suspect(app, *suspects)
    with app.worker():
        until(lambda: complete(*suspects, *healthy), within=6)


def test_a_suspect_that_nobody_serves_holds_up_no_other(app: Tasker) -> None:
    """The oldest suspect is in a queue that no worker serves: the one in a served queue runs all the same."""
    quick = a_quick(app)
    unserved, served = quick.enqueue(queue="other"), quick.enqueue()
    suspect(app, unserved, served)
    with app.worker():
        until(lambda: complete(served), within=6)
    assert str(unserved.refresh().state) == "pending"


def test_while_a_suspect_runs_the_others_wait_and_healthy_tasks_run(an_app: Callable[..., Tasker]) -> None:
    """More suspects than slots are due first: one of them runs at a time, and a healthy task goes past them."""
    app = an_app(concurrency=2)
    end = threading.Event()
    slow = app.template("slow")
    slow.step(lambda: end.wait(20), name="hold")
    suspects = [slow.enqueue(run_at=minutes_ago(9)) for _ in range(4)]
    healthy = a_quick(app).enqueue()
    suspect(app, *suspects)
    try:
        with app.worker():
            until(lambda: complete(healthy), within=6)
            owned = [task for task in suspects if row(app, task)[1] is not None]
            end.set()
            until(lambda: complete(*suspects), within=10)
    finally:
        end.set()
    assert len(owned) <= 1


def test_with_a_crash_limit_of_one_new_tasks_run(an_app: Callable[..., Tasker]) -> None:
    """`crash_limit=1` forgives no death; a task whose worker never died is no suspect: it runs, and beside a suspect."""
    app, end = an_app(crash_limit=1), threading.Event()
    slow, quick = app.template("slow"), a_quick(app)
    slow.step(lambda: end.wait(20), name="hold")
    try:
        with app.worker():
            holding = slow.enqueue()
            until(lambda: row(app, holding)[1])
            blamed = quick.enqueue(delay=0.3)
            suspect(app, blamed, crashes=1)
            healthy = quick.enqueue()
            until(lambda: complete(blamed, healthy), within=6)
            end.set()
            until(lambda: complete(holding), within=6)
    finally:
        end.set()


def test_a_settled_attempt_clears_the_suspicion(app: Tasker, a_worker: Callable[..., Lone]) -> None:
    """Three workers die, each in another step, with progress between: that is no poison, and the task completes."""
    chain = app.template("chain")
    chain.step(lambda: 1, name="a")
    chain.step(lambda: 1, name="b", after=["a"])
    chain.step(lambda: 1, name="c", after=["b"])
    task = chain.enqueue()
    crashes = []
    for i, step in enumerate("abc"):
        worker = a_worker()
        worker.claim()
        if i:
            worker.turn()
            worker.hands.run()
            worker.turn()
        worker.show_running(task, step)
        worker.die()
        crashes.append(row(app, task)[2])
    with app.worker():
        until(lambda: complete(task), within=6)
    assert (crashes, row(app, task)[2]) == ([1, 1, 1], 0)


def test_a_persons_retry_clears_the_suspicion(an_app: Callable[..., Tasker], a_worker: Callable[..., Lone]) -> None:
    """A task that was stopped as poison has, after a person's retry, as many deaths before it as any new one."""
    app = an_app(crash_limit=2)
    poison = app.template("poison")
    poison.step(lambda: 1, name="drink")
    task = poison.enqueue()
    for _ in range(2):
        worker = a_worker(app)
        worker.claim()
        worker.show_running(task, "drink")
        worker.die()
    a_worker(app).claim()
    stopped = row(app, task), task.refresh().steps["drink"].error["code"]
    task.retry("drink", reason="the host has more memory now")
    assert (stopped[0][0], stopped[1], row(app, task)) == ("error", "worker_lost", ("pending", None, 0))
