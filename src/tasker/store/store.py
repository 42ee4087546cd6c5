"""Store: one database. Opens it, hands out turns (write transactions) and reads; knows SQL and no rules."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.engine import URL

from tasker.clock import Clock, DatabaseClock
from tasker.store import workers as w
from tasker.store.connect import Ticket, no_ticket, open_engine
from tasker.store.faults import Again
from tasker.store.sql import Compiler, Sql
from tasker.store.turn import Turn
from tasker.store.wire import PostgresWire, SqliteWire, Wire, translated


class Store:
    """The way to one database.

    Args:
        url: from `tasker.store.connect.parse`.
        schema: the PostgreSQL schema of the tables; None is the connection's own.
        synchronous: SQLite's, `full` or `normal`.
        timeout: the worker timeout, seconds; bounds statements and idle transactions.
    """

    def __init__(
        self,
        url: URL,
        *,
        schema: str | None = None,
        synchronous: str = "full",
        timeout: float = 20.0,
        clock: Clock | None = None,
    ) -> None:
        self.url = url
        self.dialect = "sqlite" if url.get_backend_name() == "sqlite" else "postgresql"
        self.schema = schema if self.dialect == "postgresql" else None
        self.synchronous, self.timeout = synchronous, timeout
        self.clock: Clock = clock or DatabaseClock()
        self.compiled = Compiler(self.dialect, self.schema)
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self.ticket = Ticket(str(url.database)) if self.dialect == "sqlite" else no_ticket

    @property
    def name(self) -> str:
        """The database in words, without its password."""
        if self.dialect == "sqlite":
            return str(self.url.database)
        return f"database {self.url.database!r} on {self.url.host or 'the local socket'}"

    @property
    def path(self) -> Path | None:
        """The SQLite file; None on PostgreSQL."""
        return Path(str(self.url.database)) if self.dialect == "sqlite" else None

    @property
    def engine(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = open_engine(
                    self.url, synchronous=self.synchronous, application_name="tasker", timeout=self.timeout
                )
                if self.schema:
                    self._engine = self._engine.execution_options(schema_translate_map={None: self.schema})
                # An app that nobody holds any more leaves no connection open.
                self._finalizer = weakref.finalize(self, self._engine.dispose)
            return self._engine

    def wire(self, application: str = "") -> Wire:
        """Open a connection for one thread to keep; `application` names it to the server."""
        with translated():
            pooled = self.engine.raw_connection()
            driver: Any = pooled.driver_connection
            pooled.detach()  # the pool counts it no more

            def close() -> None:
                driver.close()
                pooled.invalidate()  # else the pool would first roll back on a connection that may be broken

            if self.dialect == "sqlite":
                return SqliteWire(driver, self.compiled, self.ticket, close)
            if application:
                driver.execute("select set_config('application_name', %s, false)", [f"tasker:{application}"])
                driver.commit()
            return PostgresWire(driver, self.compiled, close)

    def listening(self, channel: str | None) -> Any:
        """A driver connection of PostgreSQL in autocommit, listening to `channel` if one is given."""
        with translated():
            pooled = self.engine.raw_connection()
            driver: Any = pooled.driver_connection
            pooled.detach()
            driver.autocommit = True
            if channel is not None:
                driver.execute(f'listen "{channel}"')
            driver._tasker_keeps = pooled  # the pool closes what nobody refers to
            return driver

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """One write transaction on a connection of the pool: `with store.turn() as turn: …; turn.commit()`."""
        with translated():
            pooled = self.engine.raw_connection()
        driver: Any = pooled.driver_connection
        wire: Wire = (
            SqliteWire(driver, self.compiled, self.ticket)
            if self.dialect == "sqlite"
            else PostgresWire(driver, self.compiled)
        )
        try:
            with Turn(wire) as turn:
                yield turn
        finally:
            pooled.close()

    def retrying(self, work: Any, tries: int = 10) -> Any:
        """Run `work(turn)` in a transaction and commit; deadlocks and lock timeouts are tried again."""
        for attempt in range(tries):
            try:
                with self.turn() as turn:
                    answer = work(turn)
                    turn.commit()
                    return answer
            except Again:
                if attempt == tries - 1:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection of the pool for Core reads."""
        with translated(), self.engine.connect() as connection:
            yield connection

    def read(self, statement: Executable, parameters: Any = None) -> list[Any]:
        """Run one Core SELECT."""
        with self.connection() as connection:
            return list(connection.execute(statement, parameters or {}))

    def ask(self, sql: Sql, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Run one reading statement of text outside any turn."""
        with self.connection() as connection:
            result = connection.exec_driver_sql(self.compiled(sql), parameters or {})
            return [tuple(row) for row in result]

    def measure_clock(self) -> None:
        """Set the clock to the database's; half the round trip is the error.

        SQLite has no clock of its own: the host's is the database's.
        """
        if self.dialect == "postgresql":
            before = self.clock.monotonic()
            now = float(self.ask(w.NOW)[0][0])
            self.clock.set(now + (self.clock.monotonic() - before) / 2)

    def drop_schema(self) -> None:
        """Drop the PostgreSQL schema with all its tables: for tests."""
        if self.schema:
            with self.connection() as connection:
                connection.exec_driver_sql(f'drop schema "{self.schema}" cascade')
                connection.commit()

    def forget(self) -> None:
        """After a fork: leave the parent's connections alone and open new ones."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            self._finalizer.detach()
            engine.dispose(close=False)

    def close(self) -> None:
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            self._finalizer.detach()
            engine.dispose()
