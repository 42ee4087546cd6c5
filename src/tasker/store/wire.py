"""Wire: one driver connection in one transaction at a time, for the verbs of `tasker.store.turn`.

On PostgreSQL all statements of a transaction travel in one pipeline; a result is asked for only where it is read.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

from tasker.store.faults import fault
from tasker.store.sql import Compiler, Rows, Sql

Row = tuple[Any, ...]
Later = Callable[[], list[Row]]
"""A statement's rows, read when they are needed: reading earlier costs a round trip."""

Parameters = Mapping[str, Any]
NONE: Parameters = {}


class Wire(Protocol):
    """A connection of one thread."""

    dialect: str

    def begin(self) -> None: ...
    def run(self, sql: Sql, parameters: Parameters = NONE) -> Later: ...
    def write(self, rows: Rows, values: Sequence[Sequence[Any]]) -> None: ...
    def glance(self, sql: Sql, parameters: Parameters) -> list[Row]: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...


@contextmanager
def translated() -> Iterator[None]:
    """Raise the store's faults instead of the driver's errors, these as their cause."""
    try:
        yield
    except Exception as error:
        meant = fault(error)
        if meant is error:
            raise
        raise meant from error


def _nothing() -> None:
    """A connection of the pool goes back to it by itself."""


class PostgresWire:
    """psycopg in pipeline mode: nothing waits for an answer before it must."""

    dialect = "postgresql"

    def __init__(self, connection: Any, compiler: Compiler, close: Callable[[], None] = _nothing) -> None:
        self._connection, self._compiler, self._close = connection, compiler, close
        self._pipeline = ExitStack()

    def begin(self) -> None:
        with translated():
            self._pipeline.enter_context(self._connection.pipeline())

    def run(self, sql: Sql, parameters: Parameters = NONE) -> Later:
        with translated():
            cursor = self._connection.execute(self._compiler(sql), parameters)

        def later() -> list[Row]:
            with translated():
                rows: list[Row] = cursor.fetchall()
                return rows

        return later

    def write(self, rows: Rows, values: Sequence[Sequence[Any]]) -> None:
        with translated():
            self._connection.execute(self._compiler(rows.sql), rows.arrays(values))

    def glance(self, sql: Sql, parameters: Parameters) -> list[Row]:
        """Read outside any transaction of ours."""
        with translated():
            rows: list[Row] = self._connection.execute(self._compiler(sql), parameters).fetchall()
            self._connection.rollback()
            return rows

    def commit(self) -> None:
        with translated():
            # A statement, not `connection.commit()`: that waits for an answer before all that is queued was sent,
            # which never comes once the turn is larger than the socket's buffer. Leaving the pipeline flushes first.
            self._connection.execute("commit")
            self._pipeline.close()

    def rollback(self) -> None:
        with contextlib.suppress(Exception):  # the pipeline repeats the error that led here
            self._pipeline.close()
        with translated():
            self._connection.rollback()

    def close(self) -> None:
        self._close()


class SqliteWire:
    """sqlite3; a write transaction is begun IMMEDIATE, behind the ticket."""

    dialect = "sqlite"

    def __init__(
        self,
        connection: sqlite3.Connection,
        compiler: Compiler,
        ticket: Callable[[], AbstractContextManager[None]],
        close: Callable[[], None] = _nothing,
    ) -> None:
        self._connection, self._compiler, self._ticket, self._close = connection, compiler, ticket, close
        self._turn = ExitStack()

    def begin(self) -> None:
        with translated():
            self._turn.enter_context(self._ticket())
            try:
                self._connection.execute("begin immediate")
            except BaseException:
                self._turn.close()
                raise

    def run(self, sql: Sql, parameters: Parameters = NONE) -> Later:
        with translated():
            rows = self._connection.execute(self._compiler(sql), parameters).fetchall()
        return lambda: rows

    def write(self, rows: Rows, values: Sequence[Sequence[Any]]) -> None:
        with translated():
            self._connection.executemany(self._compiler(rows.sql), values)

    def glance(self, sql: Sql, parameters: Parameters) -> list[Row]:
        return self.run(sql, parameters)()

    def commit(self) -> None:
        with translated():
            self._connection.execute("commit")
        self._turn.close()

    def rollback(self) -> None:
        with translated():
            try:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
            finally:
                self._turn.close()

    def close(self) -> None:
        self._turn.close()
        self._close()
