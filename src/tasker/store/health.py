"""Health: what the database says about itself: size, modes, connections. Reads only; `tasker doctor` judges."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from tasker.store.schema import metadata
from tasker.store.sql import Sql
from tasker.store.store import Store


class SqliteFacts(NamedTuple):
    """A SQLite file.

    Attributes:
        library: version of the SQLite library.
        synchronous: as pragma synchronous has it: 1 is normal, 2 is full.
        wal_bytes: of the `-wal` file.
        file_system: its type as the kernel calls it; empty where that is not known.
    """

    library: str
    journal_mode: str
    synchronous: int
    wal_bytes: int
    file_system: str


class PostgresFacts(NamedTuple):
    """A PostgreSQL server as this connection sees it.

    Attributes:
        used: connections open now, of all its clients.
        ours: those of Tasker.
        read_only: nothing can be written: a standby, or so configured.
    """

    version: str
    max_connections: int
    used: int
    ours: int
    read_only: bool


_POSTGRES = Sql(
    "select current_setting('server_version'), current_setting('max_connections')::int,"
    " (select count(*) from pg_stat_activity where backend_type = 'client backend')::int,"
    " (select count(*) from pg_stat_activity where application_name like 'tasker%')::int,"
    " pg_is_in_recovery() or current_setting('transaction_read_only') = 'on'"
)
_POSTGRES_SIZE = Sql(
    "select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class c join pg_namespace n"
    " on n.oid = c.relnamespace where c.relkind = 'r' and c.relname = any(:tables)"
    " and n.nspname = coalesce(cast(:schema as text), current_schema())"
)


def sqlite_facts(store: Store) -> SqliteFacts:
    """What a SQLite file says; it must exist."""
    assert store.path is not None
    with store.connection() as connection:
        mode = connection.exec_driver_sql("pragma journal_mode").scalar_one()
        synchronous = connection.exec_driver_sql("pragma synchronous").scalar_one()
    wal = store.path.with_name(f"{store.path.name}-wal")
    size = wal.stat().st_size if wal.exists() else 0
    return SqliteFacts(sqlite3.sqlite_version, str(mode), int(synchronous), size, file_system(str(store.path)))


def postgres_facts(store: Store) -> PostgresFacts:
    """What a PostgreSQL server says."""
    return PostgresFacts(*store.ask(_POSTGRES)[0])


def size(store: Store) -> int:
    """Bytes of Tasker's tables, or of the SQLite file with its `-wal`."""
    if store.path is not None:
        files = (store.path, store.path.with_name(f"{store.path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())
    tables = [*metadata.tables, "tasker_version"]
    return int(store.ask(_POSTGRES_SIZE, {"tables": tables, "schema": store.schema})[0][0])


def try_to_write(store: Store) -> None:
    """Begin a write and take it back.

    Raises:
        StoreError: it cannot be written.
    """
    with store.turn():
        pass


def file_system(path: str, mounts: str = "/proc/mounts") -> str:
    """The type of the file system a path is on: of the longest mount point above it."""
    try:
        with open(mounts, encoding="utf-8", errors="replace") as lines:
            found = [line.split()[1:3] for line in lines]
    except OSError:
        return ""
    above = [(point, kind) for point, kind in found if path == point or path.startswith(point.rstrip("/") + "/")]
    return max(above, key=lambda one: len(one[0]))[1] if above else ""
