"""An app on a fresh database of either kind, with a clock that tests move; factories build on each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from postgres import Databases
from tasker import Task, Tasker, Template
from tasker.store.schema import metadata
from tasker.testing import FakeClock, run_until_idle
from tasker.testing.clock import StoreClock


@pytest.fixture(scope="session")
def shared_postgresql(postgresql_databases: Databases, migrated_postgresql: str) -> Iterator[str]:
    """One database for many tests, emptied after each: ten times as fast as a new one."""
    url = postgresql_databases.create(migrated_postgresql)
    yield url
    postgresql_databases.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def emptied_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database without rows; each test runs on both kinds."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    url: str = request.getfixturevalue("shared_postgresql")
    yield url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("; ".join(f"delete from {table}" for table in metadata.tables).encode())


@pytest.fixture
def clock() -> FakeClock:
    """The time at the database: stands still until a test, or `run_until_idle`, moves it."""
    clock = FakeClock()
    clock.freeze()
    return clock


@pytest.fixture
def tasker(emptied_url: str, clock: FakeClock) -> Iterator[Tasker]:
    """An app without templates and without a worker."""
    app = Tasker(emptied_url, env="test", sqlite_synchronous="normal")
    with app.bound(clock=StoreClock(clock)):
        yield app


@pytest.fixture
def live(emptied_url: str) -> Iterator[Tasker]:
    """An app on the database's real clock, for real workers; settings are short."""
    app = Tasker(emptied_url, env="test", sqlite_synchronous="normal", concurrency=8, grace_seconds=5)
    yield app
    app.stop(0)
    app.store.close()


@pytest.fixture
def a_template(tasker: Tasker) -> Callable[..., Template[Any]]:
    """Makes a template of handlers, each a step; keywords are the template's."""
    count = 0

    def make(*handlers: Callable[..., Any], **options: Any) -> Template[Any]:
        nonlocal count
        count += 1
        template: Template[Any] = tasker.template(options.pop("name", f"template_{count}"), **options)
        for handler in handlers:
            template.step(handler)
        return template

    return make


@pytest.fixture
def run(tasker: Tasker) -> Callable[..., Task]:
    """Enqueues a task of a template and runs it until only a person could move it: `run(template, context)`."""

    def run(template: Template[Any], context: Any = None, **options: Any) -> Task:
        task = template.enqueue({} if context is None else context, **options)
        run_until_idle(tasker)
        return task.refresh()

    return run


@pytest.fixture
def run_step(a_template: Callable[..., Template[Any]], run: Callable[..., Task]) -> Callable[..., Task]:
    """Runs a task of one step, called `work`: `run_step(handler, context, retry=…)`; keywords are the step's."""

    def run_step(handler: Callable[..., Any], context: Any = None, **options: Any) -> Task:
        template = a_template()
        template.step(handler, name="work", **options)
        return run(template, context)

    return run_step
