"""Migrate: create or upgrade the tables, with Alembic; and say plainly when they do not fit.

On SQLite creation, the switch to WAL and migrations happen under a lock file: eight processes that open a fresh file
at once must not trip over each other.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from tasker.errors import SchemaOutOfDate, StoreUnavailable
from tasker.store.store import Store
from tasker.store.wire import translated

_LOCK = 0x7461736B6572
"""The advisory lock that one migrating process holds on PostgreSQL (the letters of the name)."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def head() -> str:
    """The version this package speaks."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def known() -> set[str]:
    """All versions this package knows."""
    return {revision.revision for revision in ScriptDirectory.from_config(_config()).walk_revisions()}


def current(store: Store) -> str | None:
    """The version of the database; None without tables."""
    if store.path is not None and not store.path.exists():
        return None
    with store.connection() as connection:
        return _current(store, connection)


def _current(store: Store, connection: Connection) -> str | None:
    options = {"version_table": "tasker_version", "version_table_schema": store.schema}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def upgrade(store: Store) -> str | None:
    """Create or upgrade the tables; the version there was before.

    Raises:
        SchemaOutOfDate: the database is newer than this package.
        StoreUnavailable: it cannot be reached or written.
    """
    with translated(), _alone(store), store.engine.connect() as connection:
        if store.schema:
            connection.execute(text(f'create schema if not exists "{store.schema}"'))
            connection.commit()
        before = _current(store, connection)
        connection.rollback()
        if before is not None and before not in known():
            raise newer(store, before)
        if before != head():
            config = _config()
            config.attributes["connection"] = connection
            config.attributes["schema"] = store.schema
            command.upgrade(config, "head")
            connection.commit()
        return before


def check(store: Store, app: str = "") -> None:
    """Refuse a database whose tables are missing, older or newer than this package."""
    version = current(store)
    if version == head():
        return
    if version is not None and version not in known():
        raise newer(store, version)
    state = (
        "has no Tasker tables. Create them"
        if version is None
        else f"has tables of version {version}, this package needs {head()}. Upgrade them"
    )
    option = f" --app {app}" if app else ""
    raise SchemaOutOfDate(f"{store.name} {state}:  tasker db upgrade{option}   (in code: app.migrate())")


def newer(store: Store, version: str) -> SchemaOutOfDate:
    return SchemaOutOfDate(
        f"{store.name} has tables of version {version}, which this package (up to {head()}) does not know: "
        "a newer Tasker has upgraded them. Upgrade here too:  pip install -U tasker-engine"
    )


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    if store.path is None:
        with store.engine.connect() as connection:
            # A session lock on a connection of its own: released when it closes, whatever happens.
            connection.execute(text("set statement_timeout = 0; set lock_timeout = 0"))
            connection.commit()
            connection.execute(text("select pg_advisory_lock(:key)"), {"key": _LOCK})
            connection.commit()
            try:
                yield
            finally:
                connection.execute(text("select pg_advisory_unlock(:key)"), {"key": _LOCK})
                connection.commit()
                connection.invalidate()
        return
    try:
        descriptor = os.open(f"{store.path}-setup", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise StoreUnavailable(
            f"{store.path} cannot be created: {error.strerror}. Choose a folder that exists and is writable"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with store.engine.connect() as connection:
            connection.exec_driver_sql("pragma journal_mode=wal")
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
