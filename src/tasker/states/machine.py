"""The one check of a move against a table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from tasker.errors import TransitionRefused

State = TypeVar("State", bound=StrEnum)


def refuse_unless_allowed(what: str, now: State, wanted: State, moves: Mapping[State, frozenset[State]]) -> None:
    """Raise `TransitionRefused` unless `now` → `wanted` is in the table, or is no move at all.

    Example:
        >>> from tasker.states import TASK_MOVES, TaskState
        >>> refuse_unless_allowed("task 1", TaskState.PENDING, TaskState.IN_PROGRESS, TASK_MOVES)
    """
    if now is wanted or wanted in moves[now]:
        return
    allowed = sorted(moves[now])
    raise TransitionRefused(
        f"{what} is {now}; from {now} it may become: {', '.join(allowed) or 'nothing else'}, not {wanted}.",
        now=now,
        wanted=wanted,
        allowed=allowed,
    )
