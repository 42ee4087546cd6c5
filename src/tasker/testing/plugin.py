"""The pytest plugin: fixture `tasker` is your own app on a fresh database; `fake_clock` is its clock, frozen.

Your app is found by `[tool.tasker] app`, `TASKER_APP`, or a fixture `tasker_app` of yours that returns it.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tasker.app.tasker import Tasker
    from tasker.testing.clock import FakeClock


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("tasker").addoption(
        "--tasker-database-url",
        default=None,
        help="run the tests of tasker's fixtures on this database (PostgreSQL: in a schema of their own)"
        " instead of SQLite",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test that no other plugin claims."""
    claimed = any(pyfuncitem.get_closest_marker(name) for name in ("asyncio", "anyio", "trio"))
    if claimed or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


@pytest.fixture
def tasker_app() -> Any:
    """Your app; override this fixture, or set `[tool.tasker] app` in pyproject.toml."""
    from tasker import config

    name = config.read({"database_url": "sqlite:///unused.db"}).app
    if not name:
        raise pytest.UsageError(
            'tasker: which app? Add to pyproject.toml:  [tool.tasker] app = "shop.tasks:app"   or write a fixture '
            "tasker_app that returns it"
        )
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return getattr(importlib.import_module(module), attribute or "app")


@pytest.fixture
def tasker(
    tasker_app: Tasker, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tasker]:
    """Your app on a fresh database, without a worker; afterwards it is as it was."""
    from tasker.testing.clock import FakeClock, StoreClock

    url = request.config.getoption("--tasker-database-url")
    schema = f"tasker_test_{uuid.uuid4().hex[:12]}" if url and not url.startswith("sqlite") else ""
    url = url if schema else f"sqlite:///{tmp_path_factory.mktemp('tasker') / 'tasker.db'}"
    clock = FakeClock()
    with tasker_app.bound(database_url=url, schema=schema, env="test", clock=StoreClock(clock)):
        tasker_app.migrate()
        yield tasker_app
        tasker_app.stop(0)
        if schema:
            tasker_app.store.drop_schema()


@pytest.fixture
def fake_clock(tasker: Tasker) -> FakeClock:
    """The clock of `tasker`, frozen: `.now`, `.advance(seconds)`."""
    clock: FakeClock = tasker.store.clock.fake  # type: ignore[attr-defined]
    clock.freeze()
    return clock
