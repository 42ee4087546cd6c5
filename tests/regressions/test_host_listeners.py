"""What an enqueue leaves on a host's SQLAlchemy connection, and what it tells after a rollback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from support import until
from tasker import Tasker, Template
from tasker.events import TaskEnqueued


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    yield engine
    engine.dispose()


@pytest.fixture
def ship(app: Tasker) -> Template[dict[str, int]]:
    template = app.template("ship")
    template.step(lambda: 1, name="one")
    return template


def test_a_connection_gets_one_pair_of_listeners(ship: Template[dict[str, int]], engine: Engine) -> None:
    """However many tasks a host enqueues on a Connection, it has one listener for the commit and one for the rollback."""
    with engine.connect() as host:
        for _ in range(10):
            ship.enqueue(connection=host)
            host.commit()
            ship.enqueue(connection=host)
            host.rollback()
        assert (len(list(host.dispatch.commit)), len(list(host.dispatch.rollback))) == (1, 1)


def test_a_session_gets_one_pair_of_listeners(ship: Template[dict[str, int]], engine: Engine) -> None:
    """However many tasks a host enqueues on a Session, it has one listener for each end of a transaction."""
    with Session(engine) as host:
        before = len(list(host.dispatch.after_commit)), len(list(host.dispatch.after_soft_rollback))
        for _ in range(10):
            ship.enqueue(connection=host)
            host.commit()
            ship.enqueue(connection=host)
            host.rollback()
        after = len(list(host.dispatch.after_commit)), len(list(host.dispatch.after_soft_rollback))
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)


def test_a_savepoint_that_is_rolled_back_announces_nothing(
    app: Tasker, ship: Template[dict[str, int]], engine: Engine
) -> None:
    """A task that was enqueued within a savepoint of a Session and rolled back with it is not announced."""
    told: list[str] = []
    app.on(TaskEnqueued)(lambda event: told.append(event.task_id))
    with Session(engine) as host:
        nested = host.begin_nested()
        ship.enqueue(connection=host)
        nested.rollback()
        host.commit()
        kept = ship.enqueue(connection=host)
        host.commit()
    until(lambda: kept.id in told)
    assert told == [kept.id]
