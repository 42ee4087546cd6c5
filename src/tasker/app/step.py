"""Step: one step of a task as it was read; all steps of a task, those that never ran too."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, overload

from tasker import payload
from tasker.clock import as_datetime
from tasker.definition.shape import Shape
from tasker.states import StepState

R = TypeVar("R")


@dataclass(frozen=True)
class Step(Generic[R]):
    """One step of a task: a snapshot.

    Attributes:
        attempts: what is used of the budget; compare with `max_attempts`.
        results: what the handler left; None while there is nothing.
        error: `{code, type, message, details, traceback, attempt}` of the last failed attempt.
        due_at: when it is tried again.
        note: the words of `Wait`, `Skip`, or the person who ended it.
        progress: `{fraction, text}` as the handler reported it.
    """

    name: str
    state: StepState
    attempts: int
    results: R | None
    error: Mapping[str, Any] | None
    due_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    number: int = 0
    generation: int = 0
    note: str | None = None
    progress: Mapping[str, Any] | None = None
    worker: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The REST form."""
        return {
            "name": self.name,
            "state": str(self.state),
            "attempts": self.attempts,
            "results": self.results,
            "error": self.error,
            "note": self.note,
            "progress": self.progress,
            "due_at": iso(self.due_at),
            "started_at": iso(self.started_at),
            "finished_at": iso(self.finished_at),
        }


class Steps(Mapping[str, Step[Any]]):
    """The steps of a task in definition order, by name or by function.

    By function, `results` are read back through its return annotation; by name they are as JSON made them.
    """

    def __init__(
        self,
        shape: Shape,
        rows: Mapping[str, Any],
        typed: Callable[[Callable[..., Any]], tuple[str, Callable[[str | None], Any]]],
    ) -> None:
        self._shape, self._rows, self._typed = shape, rows, typed

    @overload
    def __getitem__(self, key: str) -> Step[Any]: ...
    @overload
    def __getitem__(self, key: Callable[..., Coroutine[Any, Any, R]]) -> Step[R]: ...
    @overload
    def __getitem__(self, key: Callable[..., R]) -> Step[R]: ...
    def __getitem__(self, key: Any) -> Step[Any]:
        if isinstance(key, str):
            if key not in self._shape.graph.index:
                raise KeyError(f"no step {key!r}; steps: {', '.join(self._shape.graph.names)}")
            return _step(key, self._rows.get(key), _plain)
        name, read = self._typed(key)
        if name not in self._shape.graph.index:
            raise KeyError(f"no step {name!r} in this task's version; steps: {', '.join(self._shape.graph.names)}")
        return _step(name, self._rows.get(name), read)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shape.graph.names)

    def __len__(self) -> int:
        return len(self._shape.steps)

    def __repr__(self) -> str:
        return "Steps(" + ", ".join(f"{step.name}={step.state}" for step in self.values()) + ")"


def _plain(text: str | None) -> Any:
    return None if text is None else payload.decode(text)


def _step(name: str, row: Any, read: Callable[[str | None], Any]) -> Step[Any]:
    if row is None:
        return Step(name, StepState.PENDING, 0, None, None, None, None, None)
    return Step(
        name=name,
        state=StepState(row.state),
        attempts=row.attempt - row.budget_from - row.uncounted,
        results=None if row.results is None else read(row.results),
        error=None if row.error is None else json.loads(row.error),
        due_at=as_datetime(row.due_at),
        started_at=as_datetime(row.started_at),
        finished_at=as_datetime(row.finished_at),
        number=row.attempt,
        generation=row.generation,
        note=row.note,
        progress=None if row.progress is None else json.loads(row.progress),
        worker=row.worker,
    )


def iso(moment: datetime | None) -> str | None:
    """RFC 3339, UTC."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
