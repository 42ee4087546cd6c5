"""What all tests share: a fresh database for each, on SQLite and on a real PostgreSQL.

A test that takes `database_url` runs twice, as `[sqlite]` and as `[postgresql]`. `sqlite_url` and `postgresql_url` are
for what only one of them does, `empty_database_url` for what makes the tables itself.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from postgres import Databases, Embedded

# A busy machine is no fault of the code: examples have no time limit of their own (tests have).
settings.register_profile("tasker", deadline=None)
settings.load_profile("tasker")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of the session's server; started when the first test asks for it."""
    named = os.environ.get("TASKER_TEST_POSTGRES_URL")
    if named:
        yield named
        return
    server = Embedded()
    yield server.url
    server.close()


@pytest.fixture(scope="session")
def postgresql_databases(postgresql_server: str) -> Iterator[Databases]:
    databases = Databases(postgresql_server)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_databases: Databases) -> Iterator[str]:
    """A database with all tables, to be copied and not to be used."""
    url = postgresql_databases.create()
    migrate(url)
    yield url
    postgresql_databases.drop(url)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all tables, to be copied and not to be used."""
    path = tmp_path_factory.mktemp("migrated") / "tasker.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_sqlite: Path) -> str:
    """A fresh SQLite file with all tables."""
    path = tmp_path / "tasker.db"
    shutil.copyfile(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_url(postgresql_databases: Databases, migrated_postgresql: str) -> Iterator[str]:
    """A fresh PostgreSQL database with all tables."""
    url = postgresql_databases.create(migrated_postgresql)
    yield url
    postgresql_databases.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database with all tables; each test runs on both kinds."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'tasker.db'}"


@pytest.fixture
def empty_postgresql_url(postgresql_databases: Databases) -> Iterator[str]:
    """A PostgreSQL database without tables."""
    url = postgresql_databases.create()
    yield url
    postgresql_databases.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """A database without tables; each test runs on both kinds."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url


def migrate(url: str) -> None:
    from tasker.store.connect import parse
    from tasker.store.migrate import upgrade
    from tasker.store.store import Store

    store = Store(parse(url))
    upgrade(store)
    store.close()
