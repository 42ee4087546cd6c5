"""Enqueue: one row says that the host asked; nothing else happens here.

Runs on a connection of Tasker's own, or on the host's, so that it commits or rolls back with the host's work.
Identity and task are written together: in one statement on PostgreSQL, in one savepoint on SQLite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tasker.store import tasks as s
from tasker.store.faults import Again
from tasker.store.sql import Rows, Sql
from tasker.store.tasks import Identity, NewTask

CHUNK = 5_000
"""Rows per statement of a bulk enqueue."""


class Line(Protocol):
    """A connection that runs statements, ours or the host's; never committed here."""

    dialect: str

    def run(self, sql: Sql, parameters: Any) -> list[tuple[Any, ...]]: ...
    def write(self, rows: Rows, values: Sequence[Sequence[Any]]) -> None: ...
    def savepoint(self, work: Callable[[], Any]) -> Any: ...


def enqueue(line: Line, task: NewTask, identity: Identity | None, now: float) -> tuple[str, bool]:
    """Insert a task, or find the one that has its identity: (id, whether it was created)."""
    if identity is None:
        line.run(s.INSERT, task._asdict())
        return task.id, True
    parameters = {**task._asdict(), **_key(identity), "now": now}
    if line.dialect == "postgresql":
        if line.run(s.INSERT_WITH_KEY, parameters):
            return task.id, True
    elif line.savepoint(lambda: _claim_and_insert(line, parameters)):
        return task.id, True
    return _holder(line, parameters), False


def enqueue_many(
    line: Line, tasks: Sequence[NewTask], identities: Sequence[Identity | None] | None, now: float
) -> list[tuple[str, bool]]:
    """Insert many tasks, all or none (in the caller's transaction); per task (id, whether it was created)."""
    if identities is None:
        for start in range(0, len(tasks), CHUNK):
            line.write(s.INSERT_MANY, tasks[start : start + CHUNK])
        return [(task.id, True) for task in tasks]
    return [enqueue(line, task, identity, now) for task, identity in zip(tasks, identities, strict=True)]


def _claim_and_insert(line: Line, parameters: dict[str, Any]) -> bool:
    if not line.run(s.CLAIM_KEY, parameters):
        return False
    line.run(s.INSERT, parameters)
    return True


def _holder(line: Line, parameters: dict[str, Any]) -> str:
    rows = line.run(s.TASK_OF_KEY, parameters)
    if not rows:
        raise Again(f"the task with key {parameters['key']!r} went away this very moment; enqueue again")
    return str(rows[0][0])


def _key(identity: Identity) -> dict[str, Any]:
    return {
        "namespace": identity.namespace,
        "template_name": identity.template,
        "key": identity.key,
        "until": identity.until,
    }
