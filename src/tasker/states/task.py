"""The states of a task, and its moves."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class TaskState(StrEnum):
    """Where a task stands. `complete`, `error`, `cancelled` and `resolved_manually` are final."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"
    PAUSED = "paused"
    COMPLETE = "complete"
    ERROR = "error"
    CANCELLED = "cancelled"
    RESOLVED_MANUALLY = "resolved_manually"


_T = TaskState

TASK_FINAL = frozenset({_T.COMPLETE, _T.ERROR, _T.CANCELLED, _T.RESOLVED_MANUALLY})
"""A task that is here stays here until a person moves it."""

_ENDS = {_T.COMPLETE, _T.ERROR, _T.CANCELLED}

TASK_MOVES_BY_ENGINE: Mapping[TaskState, frozenset[TaskState]] = {
    _T.PENDING: frozenset({_T.IN_PROGRESS, *_ENDS}),
    _T.IN_PROGRESS: frozenset({_T.WAITING, *_ENDS}),
    _T.WAITING: frozenset({_T.IN_PROGRESS, *_ENDS}),
    _T.PAUSED: frozenset({*_ENDS}),
    _T.COMPLETE: frozenset(),
    _T.ERROR: frozenset(),
    _T.CANCELLED: frozenset(),
    _T.RESOLVED_MANUALLY: frozenset(),
}
"""What happens by itself."""

TASK_MOVES_BY_PERSON: Mapping[TaskState, frozenset[TaskState]] = {
    _T.PENDING: frozenset({_T.PAUSED, _T.CANCELLED}),
    _T.IN_PROGRESS: frozenset({_T.PAUSED, _T.CANCELLED}),
    _T.WAITING: frozenset({_T.PAUSED, _T.CANCELLED}),
    _T.PAUSED: frozenset({_T.WAITING, _T.CANCELLED}),
    _T.COMPLETE: frozenset({_T.PENDING}),
    _T.ERROR: frozenset({_T.PENDING, _T.RESOLVED_MANUALLY}),
    _T.CANCELLED: frozenset({_T.PENDING}),
    _T.RESOLVED_MANUALLY: frozenset({_T.PENDING}),
}
"""What a person may do: retry and rerun lead to `pending`, resume to `waiting`."""

TASK_MOVES: Mapping[TaskState, frozenset[TaskState]] = {
    state: TASK_MOVES_BY_ENGINE[state] | TASK_MOVES_BY_PERSON[state] for state in TaskState
}
