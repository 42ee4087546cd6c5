"""An app on a fresh database of either kind, with a clock that tests move; factories build on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tasker import Tasker, Template
from tasker.testing import FakeClock
from tasker.testing.clock import StoreClock


@pytest.fixture
def clock() -> FakeClock:
    """The time at the database: stands still until a test, or `run_until_idle`, moves it."""
    clock = FakeClock()
    clock.freeze()
    return clock


@pytest.fixture
def tasker(database_url: str, clock: FakeClock) -> Iterator[Tasker]:
    """An app without templates and without a worker."""
    app = Tasker(database_url, env="test", sqlite_synchronous="normal")
    with app.bound(clock=StoreClock(clock)):
        yield app


@pytest.fixture
def a_template(tasker: Tasker) -> Callable[..., Template[Any]]:
    """Makes a template; a keyword `steps` gives its handlers, each after the one before."""
    count = 0

    def make(*handlers: Callable[..., Any], **options: Any) -> Template[Any]:
        nonlocal count
        count += 1
        template: Template[Any] = tasker.template(options.pop("name", f"template_{count}"), **options)
        for handler in handlers:
            template.step(handler)
        return template

    return make
