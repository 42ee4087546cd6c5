"""A PostgreSQL that cuts its connections, or restarts: workers come back by themselves and lose nothing."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import workshop

from postgres import Embedded
from support import until
from tasker import StepContext, StoreUnavailable, Tasker, Template
from tasker.store.sql import Sql

CUTS = 12
BATCH = 300

CUT = (
    "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database()"
    " and pid <> pg_backend_pid() and backend_type = 'client backend'"
)


class Load:
    """A template of three steps that counts its calls, and tasks of it."""

    def __init__(self, url: str) -> None:
        self.app = Tasker(url, **{**workshop.SETTINGS, "concurrency": 20})
        self.template: Template[Any] = self.app.template("load")
        self.calls: Counter[tuple[str, str]] = Counter()
        self.ids: list[str] = []
        self._lock = threading.Lock()
        for name, after in (("a", []), ("b", ["a"]), ("c", ["b"])):
            self.template.step(self._call, name=name, after=after)

    def _call(self, step: StepContext) -> int:
        with self._lock:
            self.calls[step.task_id, step.name] += 1
        return step.attempt

    def enqueue(self) -> None:
        """Add a batch by its own keys: an answer that is lost with the connection is simply asked for again."""
        contexts = [{"n": len(self.ids) + i} for i in range(BATCH)]
        many = lambda: self.template.enqueue_many(contexts, idempotency_key=lambda c: str(c["n"]))  # noqa: E731
        self.ids += [task.id for task in until(lambda: patient(many), within=30)]

    def unfinished(self) -> int:
        found = patient(lambda: self.app.store.ask(Sql("select count(*) from {tasks} where state <> 'complete'")))
        return -1 if found is None else int(found[0][0])

    def check(self) -> None:
        """Every task complete, each step recorded once, none called more often than connections were cut."""
        steps = self.app.store.ask(Sql("select cast(task_id as text), name, state from {steps}"))
        assert len(set(self.ids)) == len(self.ids)
        assert sorted((task, name) for task, name, _ in steps) == sorted((t, n) for t in self.ids for n in "abc")
        assert {state for _, _, state in steps} == {"complete"}
        assert set(self.calls) == {(task, name) for task, name, _ in steps}


def patient(work: Callable[[], Any]) -> Any:
    """What `work` gives; None while the database is away."""
    try:
        return work()
    except StoreUnavailable:
        return None


@pytest.fixture
def load(postgresql_url: str) -> Iterator[Load]:
    load = Load(postgresql_url)
    yield load
    load.app.stop(0)
    load.app.store.close()


def test_cut_connections_lose_nothing(load: Load, postgresql_url: str) -> None:
    """All backends are ended again and again under load: every task completes, each step is recorded once, and nothing
    that was recorded runs again."""
    with psycopg.connect(postgresql_url, autocommit=True) as admin, load.app.worker():
        for _ in range(CUTS):
            if load.unfinished() < BATCH:
                load.enqueue()
            before = sum(load.calls.values())
            until(lambda before=before: sum(load.calls.values()) > before or load.unfinished() == 0, within=30)
            admin.execute(CUT)
        until(lambda: load.unfinished() == 0, within=30)
    load.check()
    assert set(load.calls.values()) == {1}, "the process lived: what it had called it remembers"


def test_a_restarted_server_loses_nothing() -> None:
    """The server stops and starts again under load: the worker says that it is away, comes back and finishes."""
    from tasker.store.connect import parse
    from tasker.store.migrate import upgrade
    from tasker.store.store import Store

    server = Embedded()
    try:
        store = Store(parse(server.url))
        upgrade(store)
        store.close()
        load = Load(server.url)
        with load.app.worker():
            load.enqueue()
            until(lambda: sum(load.calls.values()) > 20)
            server.stop()
            with pytest.raises(StoreUnavailable):
                load.template.enqueue({"n": -1})
            server.start()
            load.enqueue()
            until(lambda: load.unfinished() == 0, within=30)
        load.check()
        load.app.store.close()
    finally:
        server.close()


def test_a_worker_stops_while_the_database_is_away() -> None:
    """`stop` returns though nothing can be written: what was owned is left to a neighbour, or to the next start."""
    from tasker.store.connect import parse
    from tasker.store.migrate import upgrade
    from tasker.store.store import Store

    server = Embedded()
    try:
        store = Store(parse(server.url))
        upgrade(store)
        store.close()
        app = Tasker(server.url, **workshop.SETTINGS)
        held, entered, end = app.template("held"), threading.Event(), threading.Event()

        @held.step
        def hold() -> int:
            entered.set()
            end.wait(30)
            return 1

        app.start()
        task = held.enqueue()
        assert entered.wait(10)
        server.stop()
        stopping = threading.Thread(target=lambda: app.stop(0.2))
        stopping.start()
        stopping.join(20)
        assert not stopping.is_alive()
        end.set()
        server.start()
        app.start()
        assert task.result(timeout=20) == {"hold": 1}
        app.stop()
        app.store.close()
    finally:
        end.set()
        server.close()
