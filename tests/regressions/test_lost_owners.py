"""What an owner did before it died, lost its connection, or could not get at the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from lone import Lone, row

from support import until
from tasker import Tasker, Template
from tasker.errors import StoreUnavailable
from tasker.upkeep.operate import answer_of, operate
from tasker.upkeep.rescue import rescue
from tasker.worker import worker as worker_module

Workers = Callable[..., Lone]


@pytest.fixture
def two_steps(app: Tasker) -> Template[dict[str, int]]:
    template = app.template("two")
    template.step(lambda: 1, name="one")
    template.step(lambda: 2, name="two", after=["one"])
    return template


@pytest.mark.parametrize(("what", "state"), [("cancel", "cancelled"), ("pause", "paused")])
def test_an_action_outlives_its_owners_death(
    app: Tasker, two_steps: Template[dict[str, int]], a_worker: Workers, what: str, state: str
) -> None:
    """A cancel or pause that the owner has answered stays true when the owner dies before it lets the task go."""
    task, owner = two_steps.enqueue(), a_worker()
    owner.claim()
    asked = operate(app.store, app.reader.plan, task.id, what, {}, "me", "stop it")
    owner.heart.ring()
    owner.turn()
    assert (asked.state, answer_of(app.store, asked.id)[0]) == ("open", "applied")
    owner.die()
    after_death = row(app, task)[:2]
    other = a_worker()
    other.claim()
    other.hands.run()
    other.turn()
    assert (after_death, row(app, task)[:2]) == ((state, None), (state, None))
    assert [str(step.state) for step in task.refresh().steps.values() if str(step.state) == "complete"] == []


def test_a_busy_database_at_the_begin_is_tried_again(sqlite_url: str) -> None:
    """A host's transaction that holds SQLite longer than the busy timeout: the turn is done once it ends."""
    app = Tasker(sqlite_url, env="test")
    app.template("quick").step(lambda: 1, name="one")
    worker = app.serving.make()
    worker.start()
    tries = 0
    begin = worker.heart.wire.begin  # type: ignore[union-attr]

    def counted() -> None:
        nonlocal tries
        tries += 1
        begin()

    worker.heart.wire._connection.execute("pragma busy_timeout = 20")  # type: ignore[union-attr]
    worker.heart.wire.begin = counted  # type: ignore[method-assign, union-attr]
    task = app.enqueue("quick")
    host = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        until(lambda: str(task.refresh().state) == "complete")
        host.execute("begin immediate")
        host.execute("update tasker_tasks set wake_at = wake_at")
        before = tries
        worker.heart.rang = worker.heart.more = True
        worker.heart.ask = [task.id]
        worker.heart.ring()
        until(lambda: tries >= before + 3)
        host.execute("rollback")
        assert app.enqueue("quick").result(timeout=10) == {"one": 1}
        assert (worker.alive, worker.failed) == (True, None)
    finally:
        host.close()
        app.stop(0)
        app.store.close()


@pytest.mark.parametrize("why", ["declared dead", "a fault of ours"])
def test_the_heart_survives_a_failed_registration(
    app: Tasker, two_steps: Template[dict[str, int]], monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """A worker that must register anew while the database is away tries again until it can."""
    monkeypatch.setattr(worker_module, "PAUSE_AFTER_FAULT", 0.02)
    worker = app.serving.make()
    worker.start()
    heart, enlist, tries = worker.heart, worker.heart.enlist, 0

    def flaky() -> str:
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise StoreUnavailable("away again")
        return enlist()

    heart.enlist = flaky
    if why == "declared dead":
        me = heart.me  # its row may be locked this very moment: the next look finds it free
        until(lambda: rescue(app.store, me, gone=True, timeout=0.0) is not None)
    else:
        apply = heart._apply

        def bad(now: float) -> Any:
            heart._apply = apply  # type: ignore[method-assign]
            raise KeyError("a bug")

        heart._apply = bad  # type: ignore[method-assign]
    heart.ring()
    assert two_steps.enqueue().result(timeout=10) == {"two": 2}
    assert (tries, worker.alive, worker.failed) == (3, True, None)
