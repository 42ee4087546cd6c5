"""The states of a step, and its moves."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class StepState(StrEnum):
    """Where a step of a task stands. A step without a row is `pending`."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    WAITING_FOR_RETRY = "waiting_for_retry"
    COMPLETE = "complete"
    ERROR = "error"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    RESOLVED_MANUALLY = "resolved_manually"


_S = StepState

STEP_SATISFIED = frozenset({_S.COMPLETE, _S.SKIPPED, _S.RESOLVED_MANUALLY})
"""A parent that is here lets its children start."""

STEP_FINAL = STEP_SATISFIED | {_S.ERROR, _S.CANCELLED}
"""A step that is here stays here until a person moves it."""

STEP_MOVES_BY_ENGINE: Mapping[StepState, frozenset[StepState]] = {
    # A step may be written once, when it is over: `pending` therefore leads to every end of an attempt.
    _S.PENDING: frozenset({_S.IN_PROGRESS, _S.WAITING_FOR_RETRY, _S.COMPLETE, _S.ERROR, _S.SKIPPED, _S.CANCELLED}),
    _S.IN_PROGRESS: frozenset({_S.PENDING, _S.WAITING_FOR_RETRY, _S.COMPLETE, _S.ERROR, _S.SKIPPED, _S.CANCELLED}),
    _S.WAITING_FOR_RETRY: frozenset({_S.IN_PROGRESS, _S.COMPLETE, _S.ERROR, _S.SKIPPED, _S.CANCELLED}),
    _S.COMPLETE: frozenset(),
    _S.ERROR: frozenset(),
    _S.SKIPPED: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.RESOLVED_MANUALLY: frozenset(),
}
"""What happens by itself. `in_progress` → `pending` is a lost or handed-back attempt."""

_BY_HAND = {_S.RESOLVED_MANUALLY, _S.SKIPPED}

STEP_MOVES_BY_PERSON: Mapping[StepState, frozenset[StepState]] = {
    _S.PENDING: frozenset({_S.CANCELLED, *_BY_HAND}),
    _S.IN_PROGRESS: frozenset({_S.CANCELLED, _S.PENDING, *_BY_HAND}),
    _S.WAITING_FOR_RETRY: frozenset({_S.PENDING, _S.CANCELLED, *_BY_HAND}),
    _S.COMPLETE: frozenset({_S.PENDING}),
    _S.ERROR: frozenset({_S.PENDING, *_BY_HAND}),
    _S.SKIPPED: frozenset({_S.PENDING}),
    _S.CANCELLED: frozenset({_S.PENDING, *_BY_HAND}),
    _S.RESOLVED_MANUALLY: frozenset({_S.PENDING}),
}
"""What a person may do: retry and rerun lead to `pending`, resolve and skip end the step by hand."""

STEP_MOVES: Mapping[StepState, frozenset[StepState]] = {
    state: STEP_MOVES_BY_ENGINE[state] | STEP_MOVES_BY_PERSON[state] for state in StepState
}
