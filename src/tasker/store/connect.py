"""Connect: an SQLAlchemy engine for a database URL, and what each database needs to behave.

SQLite is made for several processes: WAL, every write transaction begun IMMEDIATE behind a `flock` ticket (fair:
with busy waiting alone the unlucky one of eight processes waits ten times as long).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tasker.errors import ConfigError

OLDEST_SQLITE = (3, 35, 0)


def parse(url: str, base: Path | None = None) -> URL:
    """Read a database URL; refuse what Tasker cannot keep a promise on.

    Raises:
        ConfigError: not a URL, another database, or SQLite in memory.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError(
            f"database_url {url!r} is not a URL. Write sqlite:////absolute/path/tasker.db "
            "or postgresql://user:password@host/database"
        ) from None
    kind = parsed.drivername.split("+")[0]
    if kind in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise ConfigError(f"database_url: {kind!r} is not supported; Tasker runs on sqlite:// and postgresql://")
    if parsed.database in (None, "", ":memory:") or "mode=memory" in url:
        raise ConfigError(
            "database_url: SQLite in memory is one connection's own and ends with it, so no worker would see a task. "
            "Use a file: sqlite:////absolute/path/tasker.db"
        )
    return parsed.set(database=str((base or Path.cwd()) / str(parsed.database)))


def open_engine(url: URL, *, synchronous: str, application_name: str, timeout: float) -> Engine:
    """Make the engine. `timeout` (seconds, the worker timeout) bounds statements and idle transactions."""
    if url.get_backend_name() == "sqlite":
        return _open_sqlite(url, synchronous)
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise ConfigError("PostgreSQL needs its driver:  pip install 'tasker-engine[postgres]'") from None
    options = (
        f"-c statement_timeout={int(timeout * 1000)} -c lock_timeout=2000 "
        f"-c idle_in_transaction_session_timeout={int(timeout * 500)}"
    )
    return create_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        connect_args={
            "application_name": application_name,
            "options": options,
            "connect_timeout": 5,
            "tcp_user_timeout": int(timeout * 1000),
        },
    )


def _open_sqlite(url: URL, synchronous: str) -> Engine:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise ConfigError(f"SQLite {sqlite3.sqlite_version} is too old: Tasker needs 3.35 or later")
    engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.execute(f"pragma synchronous={synchronous}")
        connection.execute("pragma busy_timeout=30000")

    return engine


class Ticket:
    """The turn of one thread to write to a SQLite file, fairly among processes.

    The lock is the kernel's and ends with the process that holds it.
    """

    def __init__(self, database: str) -> None:
        self._path = f"{database}-turn"

    @contextmanager
    def __call__(self) -> Iterator[None]:
        import fcntl

        # A descriptor per turn: flock belongs to the open file, so that threads of one process queue up too.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough: a forked child shares the lock
            os.close(descriptor)


@contextmanager
def no_ticket() -> Iterator[None]:
    """Where the database queues its writers itself."""
    yield
