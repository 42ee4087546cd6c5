"""Stopping a worker whose database is away, and starting after a start that failed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lone import WORKER, Lone, take_away

from support import raised_by, until
from tasker import Tasker
from tasker.engine import drain as drain_module
from tasker.engine.adopt import GaveUp
from tasker.engine.heart import Heart
from tasker.errors import StoreUnavailable


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Ends the handlers that hold; the worker's patience is short."""
    monkeypatch.setattr(drain_module, "END_WITHIN", 0.1)
    end = threading.Event()
    yield end
    end.set()


def a_holding_worker(app: Tasker, end: threading.Event) -> Any:
    """A worker, started, of which a step runs until `end`."""
    begun = threading.Event()

    def hold() -> None:
        begun.set()
        end.wait(30)

    app.template("slow").step(hold)
    worker = app.serving.make()
    worker.start()
    app.enqueue("slow")
    assert begun.wait(10)
    return worker


def stopping(worker: Any, grace: float) -> threading.Thread:
    """`stop` in another thread, begun and announced to the database."""
    thread = threading.Thread(target=worker.stop, args=(grace,), daemon=True)
    thread.start()
    until(lambda: worker._store.ask(WORKER, {"id": worker.heart.me}) == [("draining",)])
    return thread


def test_stop_returns_while_the_database_is_away(
    app: Tasker, end: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes away while a worker drains: `stop` returns soon after its grace time."""
    worker = a_holding_worker(app, end)
    thread = stopping(worker, 0.3)
    take_away(worker.heart, monkeypatch)
    end.set()
    thread.join(6)
    assert (thread.is_alive(), worker.alive) == (False, False)


def test_a_second_signal_ends_the_wait_for_the_database(
    app: Tasker, end: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`hurry` ends a drain that waits for a database that is away, whatever the grace time."""
    worker = a_holding_worker(app, end)
    thread = stopping(worker, 60)
    take_away(worker.heart, monkeypatch)
    end.set()
    worker.hurry()
    thread.join(6)
    assert not thread.is_alive()


def test_a_drain_that_begins_while_the_database_is_away_gives_up(
    app: Tasker, a_worker: Callable[..., Lone], end: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that owns tasks and cannot even say that it leaves gives up after its grace time."""
    app.template("quick").step(lambda: 1, name="one")
    app.enqueue("quick")
    worker = a_worker()
    worker.claim()
    take_away(worker.heart, monkeypatch)
    gave_up: list[Any] = []
    thread = threading.Thread(
        target=lambda: gave_up.append(raised_by(lambda: drain_module.drain(worker.heart, 0.1), GaveUp)), daemon=True
    )
    thread.start()
    thread.join(6)
    worker.heart.hurried = True
    assert (len(worker.heart.runs), len(gave_up)) == (1, 1)


def test_an_app_starts_after_a_start_that_failed(app: Tasker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that raised because the database was away leaves no worker behind: the next one makes it."""
    app.template("quick").step(lambda: 1, name="one")
    with monkeypatch.context() as patched:

        def away(heart: Heart) -> None:
            raise StoreUnavailable("away")

        patched.setattr(Heart, "connect", away)
        raised_by(app.start, StoreUnavailable)
    app.start()
    assert app.enqueue("quick").result(timeout=10) == {"one": 1}


def test_a_start_replaces_a_worker_whose_heart_has_ended(app: Tasker) -> None:
    """A worker whose heart ended is no worker: `start` makes another, and what was left of it ends."""
    app.template("quick").step(lambda: 1, name="one")
    app.start()
    (dead,) = app.serving._workers

    def fatal(now: float) -> Any:
        raise SystemExit

    dead.heart._apply = fatal  # type: ignore[method-assign]
    dead.heart.ring()
    until(lambda: not dead.alive)
    app.start()
    assert app.enqueue("quick").result(timeout=10) == {"one": 1}
    assert dead.heartbeat._thread is None


def test_a_worker_that_was_stopped_is_not_started_again(app: Tasker) -> None:
    """A stopped worker refuses to start, instead of registering and claiming nothing."""
    worker = app.serving.make()
    worker.start()
    worker.stop(0)
    raised_by(worker.start, RuntimeError)
