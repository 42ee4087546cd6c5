"""A database that is absent, read-only, of another version, or none that Tasker can keep a promise on: said at once."""

from __future__ import annotations

import os
import pwd
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support import raised_by
from tasker import ConfigError, SchemaOutOfDate, StoreUnavailable, Tasker


@contextmanager
def an_app(url: str) -> Iterator[Tasker]:
    app = Tasker(url, env="test", worker_timeout_seconds=2)
    app.template("one").step(lambda: 1, name="a")
    try:
        yield app
    finally:
        if app._store is not None:
            app._store.close()


def said(url: str, kind: type[BaseException]) -> set[str]:
    """What a host is told, however it meets its database: it enqueues, it starts a worker, it looks."""
    with an_app(url) as app:
        return {str(raised_by(use, kind)) for use in (lambda: app.enqueue("one"), app.start, app.tasks)}


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_sqlite_in_memory_is_refused(url: str) -> None:
    """A database in memory is one connection's own: refused, naming a file instead."""
    (text,) = said(url, ConfigError)
    assert "Use a file: sqlite:////absolute/path/tasker.db" in text


@pytest.mark.parametrize("url", ["mysql://root@localhost/shop", "shop.db"])
def test_what_is_no_database_of_tasker_is_refused(url: str) -> None:
    """Another kind of database, or a path, is refused, and the message shows both kinds of URL."""
    (text,) = said(url, ConfigError)
    assert "sqlite:" in text
    assert "postgresql:" in text


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """A SQLite file cannot be created where there is no folder; nothing is created."""
    (text,) = said(f"sqlite:///{tmp_path}/nowhere/tasker.db", StoreUnavailable)
    assert f"{tmp_path}/nowhere/tasker.db cannot be created" in text
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_read_only_is_refused(sqlite_url: str, a_public_folder: Path, what: str) -> None:
    """A file that may be read and not written, or one that cannot be created in its folder, is StoreUnavailable."""
    path = a_public_folder / "tasker.db"
    with an_app(sqlite_url) as app:
        app.enqueue("one")  # what is imported late is imported as root
    if what == "file":
        shutil.copyfile(sqlite_url.removeprefix("sqlite:///"), path)
        path.chmod(0o444)
    a_public_folder.chmod(0o555)
    with as_nobody():
        texts = said(f"sqlite:///{path}", StoreUnavailable)
    assert all(str(path) in text or "readonly" in text for text in texts)


@pytest.fixture
def a_public_folder() -> Iterator[Path]:
    """A folder that every user can enter, unlike `tmp_path`."""
    folder = Path(tempfile.mkdtemp(prefix="tasker-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write everywhere: be somebody else for the block."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file of something else is StoreUnavailable, and is left as it was."""
    path = tmp_path / "tasker.db"
    path.write_text("something else, long enough to have no header of a database " * 20)
    before = path.read_bytes()
    assert all("not a database" in text for text in said(f"sqlite:///{path}", StoreUnavailable))
    assert path.read_bytes() == before


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Without a server every use is StoreUnavailable, not a driver's error."""
    assert said(f"postgresql://nobody@/shop?host={tmp_path}", StoreUnavailable)


def test_a_postgresql_that_cannot_write_is_said(postgresql_url: str) -> None:
    """A standby, or a server set read-only: an enqueue and a worker's start are StoreUnavailable; looking works."""
    with psycopg.connect(postgresql_url, autocommit=True) as admin:
        admin.execute(f'alter database "{admin.info.dbname}" set default_transaction_read_only = on')
    with an_app(postgresql_url) as app:
        assert "read-only" in str(raised_by(lambda: app.enqueue("one"), StoreUnavailable))
        assert "read-only" in str(raised_by(app.start, StoreUnavailable))
        assert app.tasks() == []


def test_a_postgresql_without_tables_names_the_command(empty_postgresql_url: str) -> None:
    """On PostgreSQL nothing is created by itself: the message names the command."""
    (text,) = said(empty_postgresql_url, SchemaOutOfDate)
    assert "has no Tasker tables" in text
    assert "tasker db upgrade" in text


def test_a_newer_schema_is_refused(database_url: str) -> None:
    """Tables of a newer Tasker are never touched: upgrade here too."""
    version(database_url, "9999_future")
    (text,) = said(database_url, SchemaOutOfDate)
    assert "9999_future" in text
    assert "pip install -U" in text


def test_an_older_schema_names_the_command(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of an older Tasker on PostgreSQL are not upgraded by whoever comes first: the command is named."""
    from tasker.store import migrate

    known = {*migrate.known(), "0002_next"}
    monkeypatch.setattr(migrate, "head", lambda: "0002_next")
    monkeypatch.setattr(migrate, "known", lambda: known)
    (text,) = said(postgresql_url, SchemaOutOfDate)
    assert "this package needs 0002_next. Upgrade them:  tasker db upgrade" in text


def version(url: str, number: str) -> None:
    """Say that the tables are of that version."""
    connection: Any = (
        sqlite3.connect(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else psycopg.connect(url)
    )
    connection.execute(f"update tasker_version set version_num = '{number}'")
    connection.commit()
    connection.close()
