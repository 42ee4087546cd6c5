"""Worker processes, and apps, on a fresh database of either kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import workshop
from crew import Crew

from tasker import Tasker


@pytest.fixture
def crew(database_url: str, tmp_path: Path) -> Iterator[Crew]:
    crew = Crew(database_url, tmp_path)
    yield crew
    crew.close()


@pytest.fixture
def an_app(database_url: str) -> Iterator[Callable[..., Tasker]]:
    """Makes apps on the test's database: `an_app(concurrency=4)`."""
    apps: list[Tasker] = []

    def make(**settings: Any) -> Tasker:
        apps.append(Tasker(database_url, **{**workshop.SETTINGS, **settings}))
        return apps[-1]

    yield make
    for app in apps:
        app.stop(0)
        app.store.close()
