"""The migrations in the package: they lead to the tables that the code declares, from anywhere, whoever runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, text

from tasker.errors import SchemaOutOfDate
from tasker.store import migrate
from tasker.store.connect import parse
from tasker.store.schema import metadata
from tasker.store.store import Store


@pytest.fixture
def open_store() -> Iterator[Callable[..., Store]]:
    opened: list[Store] = []

    def open_store(url: str, **options: str) -> Store:
        opened.append(Store(parse(url), **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


def catalog(connection: Connection) -> set[tuple[object, ...]]:
    """What the database itself says of its columns and indexes; of all but Alembic's own table."""
    if connection.dialect.name == "sqlite":
        columns = connection.execute(
            text(
                "select t.name, c.name, upper(c.type), c.[notnull], c.dflt_value, c.pk from sqlite_schema t "
                "join pragma_table_info(t.name) c where t.type = 'table' and t.name <> 'tasker_version'"
            )
        )
        indexes = connection.execute(
            text("select name, tbl_name, sql from sqlite_schema where type = 'index' and sql <> ''")
        )
    else:
        columns = connection.execute(
            text(
                "select table_name, column_name, data_type, is_nullable, column_default "
                "from information_schema.columns where table_schema = 'public' and table_name <> 'tasker_version'"
            )
        )
        indexes = connection.execute(
            text(
                "select indexname, tablename, indexdef from pg_indexes "
                "where schemaname = 'public' and tablename <> 'tasker_version'"
            )
        )
    return {tuple(row) for row in columns} | {(*row[:2], re.sub(r"\s+", " ", row[2])) for row in indexes}


def test_migrations_make_the_declared_tables(empty_database_url: str, open_store: Callable[..., Store]) -> None:
    """The migrations lead to exactly the tables, columns and indexes that `tasker.store.schema` declares."""
    store = open_store(empty_database_url)
    migrate.upgrade(store)
    with store.connection() as connection:
        migrated = catalog(connection)
        metadata.drop_all(connection)
        metadata.create_all(connection)
        connection.commit()
        declared = catalog(connection)

    assert len(declared) > 100
    assert migrated - declared == set()
    assert declared - migrated == set()


def test_upgrade_again_changes_nothing(empty_database_url: str, open_store: Callable[..., Store]) -> None:
    """The first upgrade starts from nothing, the second finds the newest version and leaves it."""
    store = open_store(empty_database_url)
    assert migrate.current(store) is None

    assert migrate.upgrade(store) is None
    assert migrate.upgrade(store) == migrate.head()
    assert migrate.current(store) == migrate.head()
    migrate.check(store)


def test_a_schema_holds_the_tables(empty_postgresql_url: str, open_store: Callable[..., Store]) -> None:
    """With a schema all tables, and the version, are in that schema, which is made when it is missing."""
    store = open_store(empty_postgresql_url, schema="House of Tasks")
    migrate.upgrade(store)
    migrate.upgrade(store)

    with store.connection() as connection:
        where = connection.execute(
            text("select distinct schemaname from pg_tables where tablename like 'tasker%'")
        ).scalars()
        assert set(where) == {"House of Tasks"}
        count = connection.execute(
            text("select count(*) from pg_tables where schemaname = 'House of Tasks'")
        ).scalar_one()
        assert count == len(metadata.tables) + 1


def test_missing_tables_are_said_with_the_command_that_makes_them(
    empty_database_url: str, open_store: Callable[..., Store]
) -> None:
    """A database without tables is refused with the command to run."""
    with pytest.raises(SchemaOutOfDate, match=r"has no Tasker tables.*tasker db upgrade --app shop:app"):
        migrate.check(open_store(empty_database_url), app="shop:app")


def test_an_older_version_is_refused(database_url: str, open_store: Callable[..., Store]) -> None:
    """Tables of an older version are refused with both versions and the command to run."""
    store = open_store(database_url)
    set_version(store, "0000")
    known = migrate.known() | {"0000"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate, "known", lambda: known)
        with pytest.raises(SchemaOutOfDate, match=rf"version 0000, this package needs {migrate.head()}.*db upgrade"):
            migrate.check(store)


def test_a_newer_version_is_refused(database_url: str, open_store: Callable[..., Store]) -> None:
    """Tables that a newer Tasker has upgraded are refused, and not touched."""
    store = open_store(database_url)
    set_version(store, "9999")

    for refused in (migrate.check, migrate.upgrade):
        with pytest.raises(SchemaOutOfDate, match=r"version 9999.*a newer Tasker.*pip install -U tasker-engine"):
            refused(store)
    assert migrate.current(store) == "9999"


def test_eight_processes_may_create_one_file(empty_sqlite_url: str) -> None:
    """Eight processes that open a fresh SQLite file at once all succeed."""
    create_at_once(empty_sqlite_url)


def test_eight_processes_may_create_one_schema(empty_postgresql_url: str) -> None:
    """Eight processes that upgrade a fresh PostgreSQL database at once all succeed."""
    create_at_once(empty_postgresql_url)


CREATE = """
import sys
from tasker.store import migrate
from tasker.store.connect import parse
from tasker.store.store import Store
store = Store(parse(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
migrate.upgrade(store)
migrate.check(store)
store.close()
"""


def create_at_once(url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CREATE, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, "\n".join(errors)


def set_version(store: Store, version: str) -> None:
    with store.connection() as connection:
        connection.execute(text("update tasker_version set version_num = :version"), {"version": version})
        connection.commit()
