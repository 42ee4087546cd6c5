"""An app and lone workers on a fresh database of either kind; factories build on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lone import Lone

from tasker import Tasker


@pytest.fixture
def an_app(database_url: str) -> Iterator[Callable[..., Tasker]]:
    """Makes apps on the test's database: `an_app(concurrency=1)`."""
    apps: list[Tasker] = []

    def make(**settings: Any) -> Tasker:
        apps.append(
            Tasker(database_url, **{"env": "test", "sqlite_synchronous": "normal", "concurrency": 4, **settings})
        )
        return apps[-1]

    yield make
    for app in apps:
        app.stop(0)
        app.store.close()


@pytest.fixture
def app(an_app: Callable[..., Tasker]) -> Tasker:
    """An app of four slots, without templates and without a worker."""
    return an_app()


@pytest.fixture
def a_worker(app: Tasker) -> Iterator[Callable[..., Lone]]:
    """Makes lone workers of `app`, or of another one: `a_worker()`."""
    made: list[Lone] = []

    def make(of: Tasker | None = None, **options: Any) -> Lone:
        made.append(Lone(of or app, **options))
        return made[-1]

    yield make
    for worker in made:
        worker.close()
