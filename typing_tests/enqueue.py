"""Enqueuing: a template wants its own context; a task comes back."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from define import Parcel, Roll, Sheet, app, develop
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from tasker import Task, Tasker, Template

roll = Roll(roll_id=17)
assert_type(develop.enqueue(roll), Task)
assert_type(
    develop.enqueue(
        roll,
        initiator="counter",
        source_system="shop",
        reason="left by a customer",
        tags=["colour", "eu"],
        priority=5,
        queue="lab",
        idempotency_key="roll-17",
        run_at=datetime(2030, 1, 1, tzinfo=UTC),
    ),
    Task,
)
assert_type(develop.enqueue(roll, delay=timedelta(minutes=5)), Task)
assert_type(develop.enqueue(roll, delay=1.5), Task)

sheet: Template[Sheet] = app.template("sheet", context=Sheet)
assert_type(sheet.enqueue(Sheet(frames=36)), Task)
send: Template[Parcel] = app.template("parcel", context=Parcel)
assert_type(send.enqueue({"address": "Lime Street"}), Task)

# Without a context any mapping will do, and none means {}.
free = app.template("free")
assert_type(free.enqueue(), Task)
assert_type(free.enqueue({"night": True}), Task)

# By name, with or without the version.
assert_type(app.enqueue("lab/develop@2.1.0", {"roll_id": 17}), Task)
assert_type(app.enqueue("free"), Task)

# All or none; the key is a function of the context.
assert_type(develop.enqueue_many([Roll(roll_id=n) for n in range(3)]), list[Task])
assert_type(
    develop.enqueue_many((Roll(roll_id=n) for n in range(3)), idempotency_key=lambda r: f"roll-{r.roll_id}"), list[Task]
)


def within(connection: Connection, session: Session, raw: sqlite3.Connection) -> None:
    """The task commits or rolls back with the host's own work."""
    develop.enqueue(roll, connection=connection)
    develop.enqueue(roll, connection=session)
    develop.enqueue(roll, connection=raw)


async def asynchronously() -> None:
    assert_type(await develop.aenqueue(roll, idempotency_key="roll-17"), Task)
    assert_type(await free.aenqueue(), Task)
    assert_type(await develop.aenqueue_many([roll], reason="in one go"), list[Task])


def any_template(template: Template[Any]) -> Task:
    return template.enqueue({"whatever": 1})


def two_databases() -> tuple[Tasker, Tasker]:
    return Tasker("sqlite:////tmp/a.db"), Tasker(env="test")
