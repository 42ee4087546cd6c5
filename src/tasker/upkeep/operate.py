"""Operate: a person's action on a task.

The task row is locked first. On a task that nobody owns, open actions and then this one are applied by the pure
rules in the same transaction. On an owned task it is an open row and the bell; the owner, or whoever claims it after
a rescue, applies or refuses it and writes the answer on the row. An action's id is made by the client, so that a
repeat finds its own answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tasker.engine.actions import act
from tasker.engine.changes import Changes
from tasker.engine.plan import Plan
from tasker.engine.run import TaskRun
from tasker.engine.settle import write
from tasker.errors import NotFound, RequestError, TransitionRefused
from tasker.events import Event, TaskCancelled
from tasker.ids import new_id
from tasker.states import TaskState
from tasker.store import rows
from tasker.store.rows import Claimed, OpenAction
from tasker.store.store import Store
from tasker.store.turn import Turn


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of an action: `applied`, `refused`, or still `open`; and the events it made."""

    id: str
    state: str
    answer: str
    owner: str | None = None
    events: tuple[Event, ...] = ()


def operate(
    store: Store,
    plan_of: Callable[[int], Plan],
    task_id: str,
    what: str,
    params: Mapping[str, Any],
    actor: str,
    reason: str,
    *,
    action_id: str | None = None,
    crash_limit: int = 3,
    wanted: Callable[[type[Event]], bool] = lambda kind: False,
) -> Asked:
    """Record one action, and apply it where nobody owns the task.

    Raises:
        NotFound: no such task.
        TransitionRefused: refused at once (recorded as refused).
    """
    action = OpenAction(
        action_id or str(new_id()),
        task_id,
        what,
        json.dumps(params, ensure_ascii=False),
        actor,
        reason,
        store.clock.now(),
    )

    def work(turn: Turn) -> Asked | RequestError:
        return _in_turn(turn, store, plan_of, action, crash_limit, wanted)

    answer: Asked | RequestError = store.retrying(work)
    if isinstance(answer, RequestError):
        raise answer
    return answer


def _in_turn(
    turn: Turn,
    store: Store,
    plan_of: Callable[[int], Plan],
    action: OpenAction,
    crash_limit: int,
    wanted: Callable[[type[Event]], bool],
) -> Asked | RequestError:
    found = turn.lock_task(action.task_id)
    if found is None:
        raise NotFound(f"there is no task {action.task_id}")
    again = turn.find_action(action.id)
    if again is not None:
        return Asked(action.id, again[0], again[1] or "")
    owner = found[8]
    if owner is not None:
        turn.add_action(action, "open", None)
        turn.poke(action.task_id, store.clock.now())
        return Asked(action.id, "open", "", owner)
    run = TaskRun(Claimed(*found[:8]), plan_of(found[1]))
    run.starts_at = found[9]
    return _apply(turn, store.clock.now(), run, action, crash_limit, wanted)


def _apply(
    turn: Turn,
    now: float,
    run: TaskRun,
    action: OpenAction,
    crash_limit: int,
    wanted: Callable[[type[Event]], bool],
) -> Asked | RequestError:
    changes = Changes(None, new_id, wanted)
    run.load(turn.read_steps([run.id]))
    run.lose(now, crash_limit, changes)
    earlier = turn.open_actions([run.id])
    for one in earlier:
        _act(run, one, now, changes)
    refusal = _act(run, action, now, changes)
    _end(run, changes)
    write(turn, changes)
    turn.answer_actions([answer for answer in changes.answers if answer.id != action.id])
    mine = next(answer for answer in changes.answers if answer.id == action.id)
    turn.add_action(action, mine.state, mine.answer)
    return refusal or Asked(action.id, mine.state, mine.answer, None, tuple(changes.events))


def _act(run: TaskRun, action: OpenAction, now: float, changes: Changes) -> RequestError | None:
    try:
        text = act(run, action.what, json.loads(action.params), action.actor, action.reason, now, changes)
    except (TransitionRefused, NotFound) as error:
        changes.answers.append(rows.Answer(action.id, "refused", str(error), now))
        return error
    changes.answers.append(rows.Answer(action.id, "applied", text, now))
    return None


def _end(run: TaskRun, changes: Changes) -> None:
    """Steps of a task that nobody owns wait for a claim; a cancelled task is over at once."""
    if run.state is TaskState.CANCELLED and run.id in changes.tasks:
        changes.event(TaskCancelled, task_id=run.id, template=run.plan.ref)


def answer_of(store: Store, action_id: str) -> tuple[str, str]:
    """(state, answer) of an action."""
    from tasker.store import statements

    rows = store.ask(statements.FIND_ACTION, {"id": action_id})
    return (rows[0][0], rows[0][1] or "") if rows else ("refused", "the action is gone: its task was pruned")
