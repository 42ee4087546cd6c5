"""A project with an app, a database of either kind, and the command line to be called in it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import Cli, Project


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return Cli(capsys, monkeypatch)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, and an environment that says nothing of Tasker."""
    for variable in [name for name in os.environ if name.startswith("TASKER_")]:
        monkeypatch.delenv(variable)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path, modules = list(sys.path), set(sys.modules)
    yield folder
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
            del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def project(database_url: str, bare: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The project on a fresh database, both named by the environment."""
    yield from _project(bare, database_url, monkeypatch)


@pytest.fixture
def lite_project(sqlite_url: str, bare: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The project on SQLite only, for what does not depend on the database."""
    yield from _project(bare, sqlite_url, monkeypatch)


def _project(folder: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("TASKER_DATABASE_URL", database)
    monkeypatch.setenv("TASKER_APP", "shop.tasks:app")
    monkeypatch.syspath_prepend(str(folder))
    made = Project(folder, database)
    yield made
    made.close()
