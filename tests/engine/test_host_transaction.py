"""A task that is enqueued on the host's own connection lives and dies with the host's transaction."""

from __future__ import annotations

import asyncio
import importlib.util
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from support import raised_by, until
from tasker import InvalidContext, NotFound, RequestError, Tasker, Template
from tasker.events import TaskEnqueued
from tasker.store.sql import Sql

KINDS = ("connection", "session", "driver")

needs_greenlet = pytest.mark.skipif(
    importlib.util.find_spec("greenlet") is None, reason="SQLAlchemy's async connections need greenlet"
)
needs_aiosqlite = pytest.mark.skipif(importlib.util.find_spec("aiosqlite") is None, reason="aiosqlite is not installed")


@dataclass
class Host:
    """The host's side: its connection as it would hold it, with a table of its own."""

    connection: Any
    execute: Callable[[str], Any]

    def commit(self) -> None:
        self.connection.commit()

    def rollback(self) -> None:
        self.connection.rollback()

    def close(self) -> None:
        self.connection.close()


def alchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def a_driver(url: str, **options: Any) -> Any:
    """A connection as the driver itself makes it."""
    if url.startswith("sqlite"):
        return sqlite3.connect(url.removeprefix("sqlite:///"), **options)
    return psycopg.connect(url, **options)


@pytest.fixture
def app(database_url: str) -> Iterator[Tasker]:
    """An app on the real clock, without a worker yet, beside a table `orders` of the host's."""
    host = a_driver(database_url)
    host.execute("create table orders (id integer primary key)")
    host.commit()
    host.close()
    app = Tasker(database_url, env="test", sqlite_synchronous="normal", concurrency=4)
    yield app
    app.stop(0)
    app.store.close()


@pytest.fixture
def ship(app: Tasker) -> Template[dict[str, int]]:
    """A template of one step that wants an `order` in its context."""
    template = app.template("ship", context_schema={"type": "object", "required": ["order"]}, result="label")

    @template.step
    def label(context: dict[str, int]) -> int:
        return context["order"]

    return template


@pytest.fixture
def a_host(database_url: str) -> Iterator[Callable[[str], Host]]:
    """Makes hosts: `a_host("session")`."""
    engine = create_engine(alchemy_url(database_url))
    made: list[Host] = []

    def make(kind: str) -> Host:
        if kind == "driver":
            driver = a_driver(database_url, **({"check_same_thread": False} if "sqlite" in database_url else {}))
            made.append(Host(driver, driver.execute))
        else:
            connection = engine.connect() if kind == "connection" else Session(engine)
            made.append(Host(connection, lambda sql: connection.execute(text(sql))))
        return made[-1]

    yield make
    for host in made:
        host.close()
    engine.dispose()


@pytest.fixture(params=KINDS)
def host(request: pytest.FixtureRequest, a_host: Callable[[str], Host]) -> Host:
    """Each kind of connection there is."""
    return a_host(request.param)


def count(app: Tasker, table: str) -> int:
    return int(app.store.ask(Sql(f"select count(*) from {table}"))[0][0])


# commit and rollback


def test_a_commit_brings_the_task_and_it_runs_within_two_seconds(
    app: Tasker, ship: Template[dict[str, int]], host: Host
) -> None:
    """The host's row and the task are there together after the commit, and a worker takes it within 2 s."""
    with app.worker():
        host.execute("insert into orders values (17)")
        task = ship.enqueue({"order": 17}, connection=host.connection)
        host.commit()
        assert task.result(timeout=2.5) == 17
    assert (task.created, count(app, "orders")) == (True, 1)


def test_a_commit_on_sqlalchemy_wakes_a_worker_at_once(
    app: Tasker, ship: Template[dict[str, int]], a_host: Callable[[str], Host]
) -> None:
    """Where the commit can be known it rings: an idle worker does not wait for its next poll."""
    with app.worker():
        ship.enqueue({"order": 0}).result(timeout=10)
        for kind in ("connection", "session"):
            host = a_host(kind)
            task = ship.enqueue({"order": 1}, connection=host.connection)
            host.commit()
            assert task.result(timeout=1) == 1


def test_until_the_commit_nobody_else_sees_the_task(app: Tasker, ship: Template[dict[str, int]], host: Host) -> None:
    """An uncommitted task has its id, and reading, waiting and the result of it are refused with NotFound."""
    task = ship.enqueue({"order": 1}, connection=host.connection)
    assert (task.id, task.created, str(task.state), task.context) == (task.id, True, "pending", {"order": 1})
    for look in (task.refresh, lambda: task.wait(1), lambda: task.result(1), lambda: app.task(task.id)):
        raised_by(look, NotFound)
    host.rollback()


def test_a_rollback_leaves_nothing(app: Tasker, ship: Template[dict[str, int]], host: Host) -> None:
    """Neither task nor identity nor the host's row outlives a rollback; the key is free again."""
    host.execute("insert into orders values (1)")
    gone = ship.enqueue({"order": 1}, idempotency_key="order-1", connection=host.connection)
    host.rollback()
    left = [count(app, table) for table in ("{tasks}", "{identities}", "orders")]
    again = ship.enqueue({"order": 2}, idempotency_key="order-1", connection=host.connection)
    host.commit()
    raised_by(gone.refresh, NotFound)
    with app.worker():
        assert again.result(timeout=10) == 2
    assert (left, again.created, again.id != gone.id) == ([0, 0, 0], True, True)


def test_on_sqlite_the_templates_row_goes_with_the_rollback_too(sqlite_url: str) -> None:
    """The first enqueue of a process writes the template's row in the host's transaction; after a rollback it is
    written again, not remembered."""
    app = Tasker(sqlite_url, env="test")
    once = app.template("once")
    once.step(lambda: 1, name="one")
    host = a_driver(sqlite_url)
    once.enqueue(connection=host)
    host.rollback()
    rows = count(app, "{templates}")
    task = once.enqueue(connection=host)
    host.commit()
    host.close()
    with app.worker():
        assert task.result(timeout=10) == {"one": 1}
    app.store.close()
    assert rows == 0


def test_a_host_that_goes_away_leaves_nothing(app: Tasker, ship: Template[dict[str, int]], host: Host) -> None:
    """A connection that is closed without a commit takes its task along."""
    task = ship.enqueue({"order": 1}, idempotency_key="x", connection=host.connection)
    host.close()
    raised_by(task.refresh, NotFound)
    assert [count(app, "{tasks}"), count(app, "{identities}")] == [0, 0]


def test_tasker_never_ends_the_hosts_transaction(
    ship: Template[dict[str, int]], a_host: Callable[[str], Host], database_url: str
) -> None:
    """After an enqueue the host's transaction is open as before, also after one that found another's task."""
    host = a_host("driver")
    for _ in range(2):
        ship.enqueue({"order": 1}, idempotency_key="one", connection=host.connection)
        if database_url.startswith("sqlite"):
            assert host.connection.in_transaction
        else:
            assert host.connection.info.transaction_status is TransactionStatus.INTRANS
    host.rollback()


def test_a_savepoint_of_the_host_takes_its_task_along(app: Tasker, ship: Template[dict[str, int]], host: Host) -> None:
    """What was enqueued within a savepoint that is rolled back never was; the rest commits."""
    host.execute("insert into orders values (1)")
    kept = ship.enqueue({"order": 1}, idempotency_key="kept", connection=host.connection)
    host.execute("savepoint mine")
    gone = ship.enqueue({"order": 2}, idempotency_key="gone", connection=host.connection)
    host.execute("rollback to savepoint mine")
    host.commit()
    kept.refresh()
    raised_by(gone.refresh, NotFound)
    assert [count(app, table) for table in ("{tasks}", "{identities}")] == [1, 1]


def test_a_refused_context_leaves_the_transaction_usable(
    app: Tasker, ship: Template[dict[str, int]], host: Host
) -> None:
    """A context that does not fit is refused before anything is written; the host goes on and commits."""
    host.execute("insert into orders values (1)")
    raised_by(lambda: ship.enqueue({}, connection=host.connection), InvalidContext)
    task = ship.enqueue({"order": 1}, connection=host.connection)
    host.commit()
    assert (task.refresh().context, count(app, "{tasks}"), count(app, "orders")) == ({"order": 1}, 1, 1)


# identity


def test_a_key_finds_the_first_task_of_the_same_transaction(
    app: Tasker, ship: Template[dict[str, int]], host: Host
) -> None:
    """A second enqueue with a key gives back the first, before and after the commit."""
    first = ship.enqueue({"order": 1}, idempotency_key="one", connection=host.connection)
    second = ship.enqueue({"order": 1}, idempotency_key="one", connection=host.connection)
    host.commit()
    third = ship.enqueue({"order": 1}, idempotency_key="one", connection=host.connection)
    host.rollback()
    assert [task.id for task in (second, third)] == [first.id] * 2
    assert [task.created for task in (first, second, third)] == [True, False, False]
    assert count(app, "{tasks}") == 1


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_two_transactions_with_one_key_make_one_task(postgresql_url: str, end: str) -> None:
    """The second waits for the first to end: after its commit it finds that task, after its rollback it makes one."""
    app = Tasker(postgresql_url, env="test")
    ship = app.template("ship")
    ship.step(lambda: 1, name="one")
    found: list[Any] = []
    with a_driver(postgresql_url) as one, a_driver(postgresql_url) as two:
        first = ship.enqueue(idempotency_key="k", connection=one)
        other = threading.Thread(target=lambda: found.append(ship.enqueue(idempotency_key="k", connection=two)))
        other.start()
        waits = Sql("select count(*) from pg_locks where not granted")
        until(lambda: app.store.ask(waits)[0][0])
        getattr(one, end)()
        other.join(10)
        two.commit()
        assert count(app, "{tasks}") == 1
        app.store.close()
    second = found[0]
    assert (second.created, second.id == first.id) == ((False, True) if end == "commit" else (True, False))


# many


def test_many_are_committed_together(app: Tasker, ship: Template[dict[str, int]], host: Host) -> None:
    """enqueue_many on the host's connection: all are there after its commit and run; none is there before."""
    tasks = ship.enqueue_many([{"order": i} for i in range(50)], connection=host.connection)
    raised_by(tasks[0].refresh, NotFound)
    host.commit()
    with app.worker():
        assert [task.result(timeout=20) for task in tasks] == list(range(50))


def test_many_are_rolled_back_together(app: Tasker, ship: Template[dict[str, int]], host: Host) -> None:
    """After a rollback none of many is there, nor one of their keys."""
    contexts = [{"order": i} for i in range(20)]
    ship.enqueue_many(contexts, idempotency_key=lambda c: f"order-{c['order']}", connection=host.connection)
    host.rollback()
    assert [count(app, "{tasks}"), count(app, "{identities}")] == [0, 0]


def test_one_bad_context_refuses_all(app: Tasker, ship: Template[dict[str, int]], host: Host) -> None:
    """enqueue_many stores nothing when one context does not fit, and the host's own work is untouched."""
    host.execute("insert into orders values (1)")
    raised_by(lambda: ship.enqueue_many([{"order": 1}, {}], connection=host.connection), InvalidContext)
    host.commit()
    assert [count(app, "{tasks}"), count(app, "orders")] == [0, 1]


def test_many_that_fail_in_the_database_leave_the_hosts_work(
    app: Tasker, ship: Template[dict[str, int]], host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in the midst of many takes back those already written, and not the host's own rows."""
    from tasker.app import enqueuer

    host.execute("insert into orders values (1)")
    ship.enqueue({"order": 0}, connection=host.connection)
    calls = 0
    real = enqueuer.new_id

    def same_id_twice() -> Any:
        nonlocal calls, last
        calls += 1
        last = last if calls == 3 else real()
        return last

    last: Any = None
    monkeypatch.setattr(enqueuer, "new_id", same_id_twice)
    contexts = [{"order": i} for i in range(3)]
    raised_by(
        lambda: ship.enqueue_many(contexts, idempotency_key=lambda c: str(c["order"]), connection=host.connection),
        Exception,
    )
    host.commit()
    assert [count(app, "{tasks}"), count(app, "{identities}"), count(app, "orders")] == [1, 0, 1]


# how hosts set their connections up


@pytest.mark.parametrize("options", [{"row_factory": dict_row}, {"autocommit": True}], ids=["dict_row", "autocommit"])
def test_psycopg_as_hosts_use_it(postgresql_url: str, options: dict[str, Any]) -> None:
    """A row factory of the host's does not disturb; in autocommit the task is there at once."""
    app = Tasker(postgresql_url, env="test")
    ship = app.template("ship")
    ship.step(lambda: 1, name="one")
    with a_driver(postgresql_url, **options) as host:
        first = ship.enqueue(idempotency_key="k", connection=host)
        again = ship.enqueue(idempotency_key="k", connection=host)
        ship.enqueue_many([{}, {}], connection=host)
        if not options.get("autocommit"):
            host.commit()
        assert (again.id, again.created, first.refresh().id, count(app, "{tasks}")) == (first.id, False, first.id, 3)
    app.store.close()


def test_sqlalchemy_in_autocommit_stores_many_all_or_none(postgresql_url: str) -> None:
    """On a Connection in AUTOCOMMIT, which has no savepoints, many tasks are there at once."""
    app = Tasker(postgresql_url, env="test")
    ship = app.template("ship")
    ship.step(lambda: 1, name="one")
    engine = create_engine(alchemy_url(postgresql_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as host:
        ship.enqueue_many([{}, {}], connection=host)
        assert count(app, "{tasks}") == 2
    engine.dispose()
    app.store.close()


@pytest.mark.parametrize("isolation", ["", None, "IMMEDIATE"])
def test_sqlite3_as_hosts_use_it(sqlite_url: str, isolation: str | None) -> None:
    """sqlite3.Row and every isolation_level are fine; with None (autocommit) the task is there at once."""
    app = Tasker(sqlite_url, env="test")
    ship = app.template("ship")
    ship.step(lambda: 1, name="one")
    host = a_driver(sqlite_url, isolation_level=isolation)
    host.row_factory = sqlite3.Row
    first = ship.enqueue(idempotency_key="k", connection=host)
    again = ship.enqueue(idempotency_key="k", connection=host)
    ship.enqueue_many([{}, {}], connection=host)
    host.commit()
    assert (again.id, again.created, first.refresh().id, count(app, "{tasks}")) == (first.id, False, first.id, 3)
    host.close()
    app.store.close()


def test_a_transaction_that_has_read_before_is_told_to_begin_immediate(sqlite_url: str) -> None:
    """On SQLite a transaction that read before another process wrote cannot write: the error says what to do."""
    app = Tasker(sqlite_url, env="test")
    ship = app.template("ship")
    ship.step(lambda: 1, name="one")
    host = a_driver(sqlite_url, isolation_level=None)
    host.execute("begin")
    host.execute("select count(*) from sqlite_master").fetchall()
    ship.enqueue()
    refused = raised_by(lambda: ship.enqueue(connection=host), RequestError)
    host.execute("rollback")
    assert "Begin it with BEGIN IMMEDIATE, or enqueue first" in str(refused)
    host.execute("begin immediate")
    host.execute("select count(*) from sqlite_master").fetchall()
    task = ship.enqueue(connection=host)
    host.execute("commit")
    task.refresh()
    host.close()
    app.store.close()


# events


def test_enqueued_is_told_after_a_sessions_commit_only(
    app: Tasker, ship: Template[dict[str, int]], a_host: Callable[[str], Host]
) -> None:
    """`task.enqueued` follows the commit of a Session, once; a rollback, of a savepoint too, tells nothing."""
    told: list[str] = []
    app.on(TaskEnqueued)(lambda event: told.append(event.task_id))
    host = a_host("session")
    ship.enqueue({"order": 1}, connection=host.connection)
    host.rollback()
    task = ship.enqueue({"order": 2}, connection=host.connection)
    before = list(told)
    host.commit()
    nested = host.connection.begin_nested()
    ship.enqueue({"order": 3}, connection=host.connection)
    nested.rollback()
    host.execute("insert into orders values (1)")
    host.commit()
    later = ship.enqueue({"order": 4})
    until(lambda: later.id in told)
    assert (before, told) == ([], [task.id, later.id])


# what is refused


def test_what_is_no_connection_is_refused(app: Tasker, ship: Template[dict[str, int]], database_url: str) -> None:
    """An engine, a path or the other kind of database is refused with what to pass instead; nothing is stored."""
    engine = create_engine(alchemy_url(database_url))
    other = sqlite3.connect(":memory:") if "postgresql" in database_url else create_engine("postgresql+psycopg://x/y")
    assert "not its engine" in str(raised_by(lambda: ship.enqueue({"order": 1}, connection=engine), RequestError))
    assert "SQLAlchemy" in str(raised_by(lambda: ship.enqueue({"order": 1}, connection="x.db"), RequestError))
    raised_by(lambda: ship.enqueue({"order": 1}, connection=other), RequestError)
    other.close() if isinstance(other, sqlite3.Connection) else other.dispose()
    engine.dispose()
    assert count(app, "{tasks}") == 0


def test_a_sqlite_connection_to_an_app_on_postgresql_is_refused(postgresql_url: str) -> None:
    """A connection to another kind of database cannot commit together with the app's tasks, and is told so."""
    app = Tasker(postgresql_url, env="test")
    ship = app.template("ship")
    ship.step(lambda: 1, name="one")
    other = sqlite3.connect(":memory:")
    assert "would not commit together" in str(raised_by(lambda: ship.enqueue(connection=other), RequestError))
    other.close()
    app.store.close()


# async


@needs_greenlet
@pytest.mark.parametrize("kind", ["connection", "session"])
def test_async_sqlalchemy_commits_and_rolls_back(postgresql_url: str, kind: str) -> None:
    """`aenqueue` on an AsyncConnection or AsyncSession: with the commit the task is there, after a rollback not."""
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    app = Tasker(postgresql_url, env="test")
    ship = app.template("ship")
    ship.step(lambda: 1, name="one")

    async def host() -> tuple[str, list[str]]:
        engine = create_async_engine(alchemy_url(postgresql_url))
        async with engine.connect() if kind == "connection" else AsyncSession(engine) as connection:
            gone = await ship.aenqueue(idempotency_key="k", connection=connection)
            await connection.rollback()
            kept = await ship.aenqueue(idempotency_key="k", connection=connection)
            many = await ship.aenqueue_many([{}, {}], connection=connection)
            await connection.commit()
        await engine.dispose()
        return gone.id, [task.id for task in (kept, *many)]

    gone, kept = asyncio.run(host())
    raised_by(lambda: app.task(gone), NotFound)
    with app.worker():
        assert [app.task(one).result(timeout=10) for one in kept] == [{"one": 1}] * 3
    app.store.close()


@needs_greenlet
@needs_aiosqlite
def test_async_sqlalchemy_on_sqlite(sqlite_url: str) -> None:
    """`aenqueue` on an AsyncConnection of aiosqlite commits with it."""
    from sqlalchemy.ext.asyncio import create_async_engine

    app = Tasker(sqlite_url, env="test")
    ship = app.template("ship")
    ship.step(lambda: 1, name="one")

    async def host() -> str:
        engine = create_async_engine(sqlite_url.replace("sqlite:", "sqlite+aiosqlite:"))
        async with engine.begin() as connection:
            task = await ship.aenqueue(connection=connection)
        await engine.dispose()
        return task.id

    assert str(app.task(asyncio.run(host())).state) == "pending"
    app.store.close()


def test_an_async_connection_wants_aenqueue(postgresql_url: str) -> None:
    """An async connection given to `enqueue` is refused, and the message names `aenqueue`."""
    app = Tasker(postgresql_url, env="test")
    ship = app.template("ship")
    ship.step(lambda: 1, name="one")

    async def host() -> RequestError:
        async with await psycopg.AsyncConnection.connect(postgresql_url) as connection:
            return raised_by(lambda: ship.enqueue(connection=connection), RequestError)  # type: ignore[no-any-return]

    assert "takes SQLAlchemy's, by  await template.aenqueue" in str(asyncio.run(host()))
    app.store.close()
