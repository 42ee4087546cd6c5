"""Turn: the verbs of one transaction of the heart, or of a person's action; one statement each.

READ COMMITTED: a statement's snapshot is older than its locks, so rows are locked first and read by a later
statement. Lock order everywhere: worker row, systems by name, tasks by id, step rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from tasker.errors import OwnershipLost
from tasker.store import statements as s
from tasker.store.rows import (
    AnnotationRow,
    Answer,
    AttemptRow,
    Claimed,
    HistoryRow,
    LetGo,
    OpenAction,
    StepRow,
    StoredStep,
    TaskChange,
)
from tasker.store.sql import Rows, Sql
from tasker.store.wire import NONE, Later, Parameters, Wire

Known = Sequence[tuple[str, int]]
"""What a worker serves: (queue, template id)."""


class Turn:
    """One transaction: `with turn: … turn.commit()`. Leaving the block without a commit rolls back."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._lite = wire.dialect == "sqlite"
        self._open = False

    def __enter__(self) -> Turn:
        self._wire.begin()
        self._open = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if not self._open:
            return
        self._open = False
        try:
            self._wire.rollback()
        except Exception:
            if error is None:
                raise

    def commit(self) -> None:
        self._wire.commit()
        self._open = False

    # who may write

    def fence(self, me: str, epoch: int) -> None:
        """Hold the own worker row, and fail when it is not alive or of another epoch.

        In a pipeline a SELECT without rows would not stop the COMMIT behind it: so the server must fail.
        """
        rows = self._wire.run(s.FENCE, {"me": me, "epoch": epoch})
        if self._lite and not rows():
            raise OwnershipLost("this worker was declared dead: another may own its tasks now")

    def lock_systems(self, names: Sequence[str]) -> None:
        if names and not self._lite:
            self._wire.run(s.LOCK_SYSTEMS, {"names": list(names)})

    def lock_tasks(self, ids: Sequence[str]) -> None:
        if ids and not self._lite:
            self._wire.run(s.LOCK_TASKS, {"ids": list(ids)})

    # what happened

    def write_steps(self, rows: Sequence[StepRow]) -> None:
        """Upsert steps; never over a final row, a later attempt, or the same attempt's settled outcome."""
        if rows:
            self._wire.write(s.WRITE_STEPS, rows)

    def put_steps(self, rows: Sequence[StepRow]) -> None:
        """Write steps as a person's action changed them: unguarded, because the task row is locked."""
        if rows:
            self._wire.write(s.PUT_STEPS, rows)

    def write_attempts(self, rows: Sequence[AttemptRow]) -> None:
        if rows:
            self._wire.write(s.WRITE_ATTEMPTS, rows)

    def write_history(self, rows: Sequence[HistoryRow]) -> None:
        if rows:
            self._wire.write(s.WRITE_HISTORY, rows)

    def write_annotations(self, rows: Sequence[AnnotationRow]) -> None:
        if rows:
            self._wire.write(s.WRITE_ANNOTATIONS, rows)

    def put_task(self, change: TaskChange) -> None:
        self._wire.run(s.PUT_TASK, change._asdict())

    def calm(self, me: str, ids: Sequence[str]) -> None:
        """Suspects of which an attempt settled are suspects no more."""
        if ids:
            self._wire.run(s.CALM, {"me": me, **self._ids(ids)})

    def let_go(self, me: str, rows: Sequence[LetGo]) -> Later:
        """Give tasks up, each only when there is no news it has not read; the ids of those that went."""
        if not rows:
            return list
        if self._lite:
            went = [r for row in rows for r in self._wire.run(s.LET_GO, {"me": me, **row._asdict()})()]
            return lambda: went
        return self._wire.run(s.LET_GO, {"me": me, **_columns(LetGo, rows)})

    # what is new

    def claim(self, me: str, known: Known, room: int, now: float, crash_limit: int, alone: bool) -> list[Claimed]:
        """Take up to `room` due tasks of what this worker serves, highest priority first.

        `alone`: whether it may take one task on its last strike.
        """
        parameters = {
            "me": me,
            "now": now,
            "room": room,
            "limit": crash_limit,
            "alone": alone,
            **self._known(known),
        }
        if not self._lite:
            return [Claimed(*row) for row in self._wire.run(s.CLAIM, parameters)()]
        due = self._wire.run(s.ALONE, parameters)() if alone else []
        first = len(due)
        for queue, template, priority in self._wire.run(s.LEVELS, parameters)():
            level = {**parameters, "queue": queue, "template": template, "priority": priority}
            due += self._wire.run(s.DUE, level)()
        due[first:] = sorted(due[first:], key=lambda row: (-row[1], row[2]))
        return [
            Claimed(*row)
            for candidate in due[:room]
            for row in self._wire.run(s.TAKE, {**parameters, "id": candidate[0]})()
        ]

    def peek(self, known: Known) -> Later:
        """The earliest `wake_at` of the unowned tasks this worker serves: one row, one column."""
        return self._wire.run(s.PEEK, self._known(known))

    def news(self, me: str) -> Later:
        """Clear the bell of the owned tasks that have news, before the news is read; their ids."""
        return self._wire.run(s.NEWS, {"me": me})

    def held_systems(self, now: float) -> Later:
        """(name, until) of the systems that are held now."""
        return self._wire.run(s.HELD, {"now": now})

    def read_steps(self, task_ids: Sequence[str]) -> list[StoredStep]:
        return [StoredStep(*row) for row in self._wire.run(s.READ_STEPS, self._ids(task_ids))()]

    def open_actions(self, task_ids: Sequence[str]) -> list[OpenAction]:
        return [OpenAction(*row) for row in self._wire.run(s.OPEN_ACTIONS, self._ids(task_ids))()]

    def answer_actions(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            self._wire.run(s.ANSWER, answer._asdict())

    def read_payloads(self, task_id: str, names: Sequence[str]) -> dict[str, str | None]:
        """The results of some steps, however large."""
        return dict(self._wire.run(s.READ_RESULTS, {"task_id": task_id, **self._ids(names)})())

    def read_contexts(self, task_ids: Sequence[str]) -> dict[str, str]:
        return dict(self._wire.run(s.READ_CONTEXTS, self._ids(task_ids))())

    # after a lost connection

    def hold_worker(self, me: str) -> tuple[str, int] | None:
        """Wait for a backend that still holds the fence, then read (state, epoch) of the own row."""
        rows = self._wire.run(s.HOLD_WORKER, {"me": me})()
        return None if not rows else (rows[0][0], rows[0][1])

    def raise_epoch(self, me: str, epoch: int) -> None:
        self._wire.run(s.RAISE_EPOCH, {"me": me, "epoch": epoch})

    def owned(self, me: str) -> list[Claimed]:
        """Lock and read all tasks this worker owns, their bells cleared."""
        return [Claimed(*row) for row in self._wire.run(s.OWNED, {"me": me})()]

    # a person's action

    def lock_task(self, task_id: str) -> tuple[Any, ...] | None:
        """Lock a task row and read it: what `Claimed` has, up to its context, then owner and wake_at."""
        rows = self._wire.run(s.LOCK_TASK, {"id": task_id})()
        return rows[0] if rows else None

    def find_action(self, action_id: str) -> tuple[str, str | None] | None:
        rows = self._wire.run(s.FIND_ACTION, {"id": action_id})()
        return None if not rows else (rows[0][0], rows[0][1])

    def add_action(self, action: OpenAction, state: str, answer: str | None) -> None:
        self._wire.run(s.ADD_ACTION, {**action._asdict(), "state": state, "answer": answer})

    def poke(self, task_id: str, now: float) -> None:
        """Leave news on a task for its owner."""
        self._wire.run(s.POKE, {"id": task_id, "now": now})

    def run(self, sql: Sql, parameters: Parameters = NONE) -> list[tuple[Any, ...]]:
        """Run one of `tasker.store.statements` that is no verb of the heart's."""
        return self._wire.run(sql, parameters)()

    def write(self, rows: Rows, values: Sequence[Sequence[Any]]) -> None:
        """Write many rows at once."""
        self._wire.write(rows, values)

    def send(self, sql: Sql, parameters: Parameters = NONE) -> None:
        """Run one that returns no rows."""
        self._wire.run(sql, parameters)

    def _known(self, known: Known) -> dict[str, Any]:
        if self._lite:
            return {"known": json.dumps(list(known))}
        return {"queues": [queue for queue, _ in known], "templates": [template for _, template in known]}

    def _ids(self, ids: Sequence[str]) -> dict[str, Any]:
        return {"ids": json.dumps(list(ids)) if self._lite else list(ids)}


def _columns(kind: type[LetGo], rows: Sequence[LetGo]) -> dict[str, list[Any]]:
    return {name: list(values) for name, values in zip(kind._fields, zip(*rows, strict=True), strict=True)}


def glance(wire: Wire, known: Known) -> float | None:
    """Peek outside a transaction: the earliest `wake_at` of what this worker serves."""
    parameters = Turn(wire)._known(known)
    rows = wire.glance(s.PEEK, parameters)
    return rows[0][0] if rows else None
