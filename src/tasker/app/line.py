"""Line: the connection an enqueue runs on: Tasker's own, or whatever the host brings.

The host's is never committed, rolled back or closed here. Recognised are SQLAlchemy's `Connection` and `Session`
(their async forms through `aenqueue`), a psycopg connection and one of `sqlite3`.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from tasker.engine.enqueue import Line
from tasker.errors import RequestError
from tasker.store.sql import Compiler, Rows, Sql
from tasker.store.store import Store
from tasker.store.turn import Turn
from tasker.store.wire import translated

_BUSY_SNAPSHOT = 517
_SAVEPOINT = (
    "savepoint tasker_enqueue",
    ("rollback to savepoint tasker_enqueue", "release savepoint tasker_enqueue"),
    "release savepoint tasker_enqueue",
)
_BLOCK = ("begin", ("rollback",), "commit")


class OwnLine:
    """A transaction of Tasker's own."""

    def __init__(self, turn: Turn, dialect: str) -> None:
        self._turn, self.dialect = turn, dialect

    def run(self, sql: Sql, parameters: Any) -> list[tuple[Any, ...]]:
        return self._turn.run(sql, parameters)

    def write(self, rows: Rows, values: Sequence[Sequence[Any]]) -> None:
        self._turn.write(rows, values)

    def savepoint(self, work: Callable[[], Any]) -> Any:
        return work()  # the transaction is ours: it is all or nothing already


class HostLine:
    """A connection of the host's, as a driver takes it."""

    def __init__(self, driver: Any, execute: Callable[[str, Any], list[Any]], many: Any, compiler: Compiler) -> None:
        self._driver, self._execute, self._many, self._compiler = driver, execute, many, compiler
        self.dialect = compiler.dialect

    def run(self, sql: Sql, parameters: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._guarded(lambda: self._execute(self._compiler(sql), parameters))]

    def write(self, rows: Rows, values: Sequence[Sequence[Any]]) -> None:
        text = self._compiler(rows.sql)
        if self.dialect == "sqlite":
            self._guarded(lambda: self._many(text, [tuple(row) for row in values]))
        else:
            self._guarded(lambda: self._execute(text, rows.arrays(values)))

    def savepoint(self, work: Callable[[], Any]) -> Any:
        begin, undo, end = _BLOCK if _in_no_transaction(self._driver) else _SAVEPOINT
        self._execute(begin, {})
        try:
            answer = work()
        except BaseException:
            for statement in undo:
                self._execute(statement, {})
            raise
        self._execute(end, {})
        return answer

    def _guarded(self, work: Callable[[], Any]) -> Any:
        try:
            with translated():
                return work()
        except Exception as error:
            cause = error.__cause__
            original = getattr(cause, "orig", cause)
            if (
                isinstance(original, sqlite3.OperationalError)
                and getattr(original, "sqlite_errorcode", 0) == _BUSY_SNAPSHOT
            ):
                raise RequestError(
                    "this transaction has read before it enqueued, and another process has written since;"
                    " SQLite cannot "
                    "let it write any more. Begin it with BEGIN IMMEDIATE, or enqueue first"
                ) from original
            raise


def line_of(connection: Any, store: Store) -> Line:
    """Recognise a host's connection.

    Raises:
        RequestError: it is none that Tasker knows, or of the other kind of database.
    """
    kind = type(connection)
    if isinstance(connection, sqlite3.Connection):
        _refuse_unless(store, "sqlite", "a sqlite3 connection")
        return HostLine(connection, _sqlite_execute(connection), connection.executemany, store.compiled)
    if any(base.__module__.startswith("psycopg") for base in kind.__mro__):
        _refuse_async(connection)
        _refuse_unless(store, "postgresql", "a psycopg connection")
        return HostLine(connection, _psycopg_execute(connection), None, store.compiled)
    if any(base.__module__.startswith("sqlalchemy") for base in kind.__mro__):
        return _sqlalchemy_line(connection, store)
    raise RequestError(
        f"connection={connection!r}: Tasker takes a SQLAlchemy Connection or Session, a psycopg connection or a "
        "sqlite3 connection"
    )


def _sqlalchemy_line(connection: Any, store: Store) -> Line:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session, scoped_session

    _refuse_async(connection)
    if isinstance(connection, scoped_session):
        connection = connection()
    if isinstance(connection, Session):
        connection = connection.connection()
    if not isinstance(connection, Connection):
        raise RequestError(f"connection={connection!r}: pass a Connection or Session of SQLAlchemy, not its engine")
    _refuse_unless(
        store,
        "sqlite" if connection.dialect.name == "sqlite" else "postgresql",
        f"a connection to {connection.dialect.name}",
    )
    driver = getattr(connection.connection, "driver_connection", None)
    if connection.dialect.name == "postgresql" and connection.dialect.driver not in ("psycopg", "psycopg_async"):
        raise RequestError(f"connection: Tasker speaks psycopg 3 on PostgreSQL, not {connection.dialect.driver}")
    if not isinstance(driver, sqlite3.Connection):
        return HostLine(driver, _core_execute(connection), None, store.compiled)
    many = lambda text, rows: connection.exec_driver_sql(text, rows)  # noqa: E731
    return HostLine(driver, _core_execute(connection), many, store.compiled)


def _core_execute(connection: Any) -> Callable[[str, Any], list[Any]]:
    def execute(text: str, parameters: Any) -> list[Any]:
        result = connection.exec_driver_sql(text, parameters)
        return list(result) if result.returns_rows else []

    return execute


def _sqlite_execute(connection: sqlite3.Connection) -> Callable[[str, Any], list[Any]]:
    def execute(text: str, parameters: Any) -> list[Any]:
        cursor = connection.cursor()
        cursor.row_factory = None  # the host's own would shape our rows
        return cursor.execute(text, parameters).fetchall()

    return execute


def _psycopg_execute(connection: Any) -> Callable[[str, Any], list[Any]]:
    from psycopg.rows import tuple_row

    def execute(text: str, parameters: Any) -> list[Any]:
        with connection.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(text, parameters)
            return list(cursor.fetchall()) if cursor.description else []

    return execute


def _in_no_transaction(driver: Any) -> bool:
    """Whether a psycopg connection is in autocommit and between transactions: there are no savepoints there."""
    info = getattr(driver, "info", None)
    return bool(info is not None and driver.autocommit and info.transaction_status == 0)


def _refuse_async(connection: Any) -> None:
    if "Async" in type(connection).__name__:
        raise RequestError(
            "connection: of async connections Tasker takes SQLAlchemy's, by  await template.aenqueue(…, connection=…)"
        )


def _refuse_unless(store: Store, dialect: str, what: str) -> None:
    if store.dialect != dialect:
        raise RequestError(
            f"connection: this app's tasks are in {store.name}, but {what} was passed: they would not commit together"
        )


class _Waiting:
    """What is to be done after the commit of one connection or session of the host's."""

    def __init__(self) -> None:
        self.told: list[Callable[[], None]] = []

    def committed(self, *_: Any) -> None:
        told, self.told = self.told, []
        for one in told:
            one()

    def rolled_back(self, *_: Any) -> None:
        """Of a savepoint too: what is told must be true, and what is not told is found by the next poll."""
        self.told = []


_waiting: weakref.WeakKeyDictionary[Any, _Waiting] = weakref.WeakKeyDictionary()
_JUST_AFTER = 0.02
"""Seconds: SQLAlchemy tells of a Connection's commit just before it happens."""


def on_commit(connection: Any, told: Callable[[], None], ring: Callable[[], None]) -> None:
    """Call `told` after the commit of a host's Session, where it can be known; of its Connection only `ring`.

    A rollback forgets both; without either the next poll finds the task.
    """
    if not any(base.__module__.startswith("sqlalchemy") for base in type(connection).__mro__):
        return
    from sqlalchemy import event
    from sqlalchemy.orm import Session, scoped_session

    if isinstance(connection, scoped_session):
        connection = connection()
    session = isinstance(connection, Session)
    waiting = _waiting.get(connection)
    if waiting is None:
        waiting = _waiting[connection] = _Waiting()
        event.listen(connection, "after_commit" if session else "commit", waiting.committed)
        event.listen(connection, "after_soft_rollback" if session else "rollback", waiting.rolled_back)
    waiting.told.append(told if session else lambda: threading.Timer(_JUST_AFTER, ring).start())
