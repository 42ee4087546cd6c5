"""Changes: what one turn wants written, gathered by the pure rules and written by settle."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tasker.events import Event
from tasker.handlers.outcome import Outcome
from tasker.store.rows import AnnotationRow, Answer, AttemptRow, HistoryRow, LetGo, StepRow, TaskChange

Key = tuple[str, str]


class Changes:
    """One turn's rows and events. The last word about a step wins.

    Args:
        worker: who writes.
        new_id: makes ids of history rows and annotations.
        wanted: whether anybody listens to a class of event.
    """

    __slots__ = (
        "_wanted",
        "annotations",
        "answers",
        "attempts",
        "calmed",
        "events",
        "forced",
        "history",
        "let_go",
        "new_id",
        "steps",
        "tasks",
        "worker",
    )

    def __init__(
        self,
        worker: str | None,
        new_id: Callable[[], Any],
        wanted: Callable[[type[Event]], bool] = lambda kind: False,
    ) -> None:
        self.worker, self.new_id, self._wanted = worker, new_id, wanted
        self.steps: dict[Key, StepRow] = {}
        self.forced: dict[Key, StepRow] = {}
        self.attempts: list[AttemptRow] = []
        self.history: list[HistoryRow] = []
        self.annotations: list[AnnotationRow] = []
        self.tasks: dict[str, TaskChange] = {}
        self.let_go: dict[str, LetGo] = {}
        self.answers: list[Answer] = []
        self.calmed: set[str] = set()
        self.events: list[Event] = []

    def __bool__(self) -> bool:
        return bool(
            self.steps
            or self.forced
            or self.attempts
            or self.history
            or self.annotations
            or self.tasks
            or self.let_go
            or self.answers
        )

    def only(self, task_id: str) -> Changes:
        """The part of these changes that is about one task."""
        part = Changes(self.worker, self.new_id, self._wanted)
        part.steps = {key: row for key, row in self.steps.items() if key[0] == task_id}
        part.forced = {key: row for key, row in self.forced.items() if key[0] == task_id}
        part.attempts = [row for row in self.attempts if row.task_id == task_id]
        part.history = [row for row in self.history if row.task_id == task_id]
        part.annotations = [row for row in self.annotations if row.task_id == task_id]
        part.tasks = {key: row for key, row in self.tasks.items() if key == task_id}
        part.calmed = {one for one in self.calmed if one == task_id}
        part.events = [event for event in self.events if getattr(event, "task_id", None) == task_id]
        part.let_go = {key: row for key, row in self.let_go.items() if key == task_id}
        return part

    def step(self, row: StepRow, *, by_hand: bool = False) -> None:
        """Write a step. Rows of a person's action are not guarded: their task is locked."""
        key = (row.task_id, row.name)
        if by_hand or key in self.forced:
            self.steps.pop(key, None)
            self.forced[key] = row
        else:
            self.steps[key] = row

    def annotate(self, task_id: str, step: str, outcome: Outcome) -> None:
        for kind, value in outcome.annotations:
            self.annotations.append(AnnotationRow(str(self.new_id()), task_id, step, kind, value, outcome.finished_at))

    def record(
        self,
        task_id: str,
        at: float,
        what: str,
        *,
        step: str | None = None,
        moved: tuple[str | None, str | None] = (None, None),
        actor: str = "",
        reason: str = "",
    ) -> None:
        """Add a row to the audit trail."""
        self.history.append(HistoryRow(str(self.new_id()), task_id, at, what, step, *moved, actor, reason))

    def event(self, kind: type[Event], **facts: Any) -> None:
        """Publish after the commit, if anybody listens."""
        if self._wanted(kind):
            self.events.append(kind(**facts))


def as_json(value: Any) -> str | None:
    """Encode an error, or another value of our own making."""
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)
