"""The tables of states: what leads where."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from tasker.errors import TransitionRefused
from tasker.states import (
    STEP_FINAL,
    STEP_MOVES,
    STEP_SATISFIED,
    TASK_FINAL,
    TASK_MOVES,
    StepState,
    TaskState,
    refuse_unless_allowed,
)
from tasker.states.step import STEP_MOVES_BY_ENGINE, STEP_MOVES_BY_PERSON
from tasker.states.task import TASK_MOVES_BY_ENGINE, TASK_MOVES_BY_PERSON

MACHINES = [(TaskState, TASK_MOVES, TASK_FINAL), (StepState, STEP_MOVES, STEP_FINAL)]
BOTH = pytest.mark.parametrize(("kind", "moves", "final"), MACHINES, ids=["task", "step"])


@BOTH
def test_every_state_is_reachable(kind: Any, moves: Mapping[Any, frozenset[Any]], final: Any) -> None:
    """From `pending` every state can be reached."""
    found, todo = {kind.PENDING}, [kind.PENDING]
    while todo:
        new = moves[todo.pop()] - found
        found |= new
        todo += new
    assert found == set(kind)


@pytest.mark.parametrize(
    ("by_engine", "final"), [(TASK_MOVES_BY_ENGINE, TASK_FINAL), (STEP_MOVES_BY_ENGINE, STEP_FINAL)]
)
def test_the_engine_never_leaves_a_final_state(by_engine: Mapping[Any, Any], final: Any) -> None:
    """Only a person moves what is final; everything else the engine can bring to an end."""
    assert {state for state, moves in by_engine.items() if not moves} == set(final)


@pytest.mark.parametrize(
    ("by_person", "final"), [(TASK_MOVES_BY_PERSON, TASK_FINAL), (STEP_MOVES_BY_PERSON, STEP_FINAL)]
)
def test_a_person_can_leave_every_final_state(by_person: Mapping[Any, Any], final: Any) -> None:
    """Rerun, retry, resolve and skip: no final state is a dead end."""
    assert all(by_person[state] for state in final)


def test_the_tasks_moves_are_those_of_the_semantics() -> None:
    """The diagram: pending → in_progress ⇄ waiting → the ends; any unfinished task may be paused, and goes on waiting."""
    t = TaskState
    unfinished = {t.PENDING, t.IN_PROGRESS, t.WAITING}
    assert all(t.PAUSED in TASK_MOVES[state] and t.CANCELLED in TASK_MOVES[state] for state in unfinished)
    assert {t.WAITING, t.CANCELLED} <= TASK_MOVES[t.PAUSED]
    assert t.IN_PROGRESS not in TASK_MOVES[t.PAUSED]
    assert TASK_MOVES[t.COMPLETE] == TASK_MOVES[t.CANCELLED] == TASK_MOVES[t.RESOLVED_MANUALLY] == {t.PENDING}
    assert TASK_MOVES[t.ERROR] == {t.PENDING, t.RESOLVED_MANUALLY}


def test_what_satisfies_a_child() -> None:
    """Complete, skipped and resolved parents let their children start; failed and cancelled ones do not."""
    s = StepState
    assert {s.COMPLETE, s.SKIPPED, s.RESOLVED_MANUALLY} == STEP_SATISFIED
    assert {s.ERROR, s.CANCELLED} == STEP_FINAL - STEP_SATISFIED


@BOTH
def test_a_move_is_allowed_refused_or_nothing(
    kind: type[StrEnum], moves: Mapping[Any, frozenset[Any]], final: Any
) -> None:
    """Moves of the table pass, staying is a no-op, every other move is refused naming now and what is allowed."""
    for now in kind:
        for wanted in kind:
            if now is wanted or wanted in moves[now]:
                refuse_unless_allowed("it", now, wanted, moves)
                continue
            with pytest.raises(TransitionRefused) as caught:
                refuse_unless_allowed("it", now, wanted, moves)
            assert caught.value.now == now
            assert caught.value.wanted == wanted
            assert set(caught.value.allowed) == moves[now]
            assert str(caught.value).startswith(f"it is {now}; from {now} it may become: ")
