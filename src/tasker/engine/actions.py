"""Actions: what a person may do to a task, as pure changes of its TaskRun.

The same code serves a task that nobody owns (`tasker.upkeep.operate`) and one that an owner holds (the heart, in its
next turn). An action that makes no sense in the present state raises `TransitionRefused`, which says what would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tasker.engine.changes import Changes
from tasker.engine.run import TaskRun
from tasker.errors import NotFound, TransitionRefused
from tasker.events import StepResolved, StepSkipped, TaskPaused, TaskResolved, TaskResumed
from tasker.states import (
    STEP_FINAL,
    STEP_SATISFIED,
    TASK_FINAL,
    TASK_MOVES,
    StepState,
    TaskState,
    refuse_unless_allowed,
)
from tasker.store.rows import TaskChange

NEEDS_REASON = frozenset({"cancel", "resolve", "skip", "rerun"})

_S, _T = StepState, TaskState

_LEADS_TO = {"cancel": _T.CANCELLED, "pause": _T.PAUSED}
"""Moving to the state one is in is a no-op."""


def act(
    run: TaskRun, what: str, params: Mapping[str, Any], actor: str, reason: str, now: float, changes: Changes
) -> str:
    """Apply one action; the answer for the one who asked.

    Raises:
        TransitionRefused: it makes no sense in the present state.
        NotFound: there is no such step.
    """
    before = run.state
    if before is _LEADS_TO.get(what):
        return f"it is {before} already"
    answer = _ACTIONS[what](run, params, now, changes, reason)
    changes.record(run.id, now, what, step=params.get("step"), moved=(before, run.state), actor=actor, reason=reason)
    changes.tasks[run.id] = TaskChange(
        run.id,
        run.state,
        params.get("context") if what == "rerun" else None,
        run.result,
        None,
        now if run.state in TASK_FINAL else None,
        _wake_at(run, what, before, now),
        0 if what in ("retry", "rerun") else None,
    )
    return answer


def _wake_at(run: TaskRun, what: str, before: TaskState, now: float) -> float | None:
    """When the task is looked at next: at once, but a task that starts later still does."""
    if run.state in TASK_FINAL:
        return None
    if run.state is _T.PAUSED:
        return run.deadline_at
    later = run.starts_at is not None and run.starts_at > now and before is _T.PENDING
    return run.starts_at if later and what in ("skip", "resolve") else now


def _cancel(run: TaskRun, params: Mapping[str, Any], now: float, changes: Changes, reason: str) -> str:
    _move(run, _T.CANCELLED, "cancel")
    run.cancel_rest(changes, running=True, by_hand=True)
    return "cancelled"


def _pause(run: TaskRun, params: Mapping[str, Any], now: float, changes: Changes, reason: str) -> str:
    _move(run, _T.PAUSED, "pause")
    changes.event(TaskPaused, task_id=run.id, template=run.plan.ref)
    return "paused"


def _resume(run: TaskRun, params: Mapping[str, Any], now: float, changes: Changes, reason: str) -> str:
    if run.state is not _T.PAUSED:
        raise _refused(run, "resume", "only a paused task can be resumed")
    run.state = _T.WAITING
    changes.event(TaskResumed, task_id=run.id, template=run.plan.ref)
    return "resumed"


def _retry(run: TaskRun, params: Mapping[str, Any], now: float, changes: Changes, reason: str) -> str:
    name = params.get("step")
    if run.state in (_T.COMPLETE, _T.CANCELLED, _T.RESOLVED_MANUALLY):
        raise _refused(run, "retry", "only a task in error, or an unfinished one, can be retried")
    if name is not None:
        chosen = [_index(run, name)]
        _refuse_step_unless(run, chosen[0], {_S.ERROR, _S.WAITING_FOR_RETRY}, "retry")
    else:
        waiting = [i for i in range(len(run.steps)) if run.state_of(i) is _S.WAITING_FOR_RETRY]
        chosen = sorted(run.failed) or waiting
        if not chosen and run.state is not _T.ERROR:
            raise _refused(run, "retry", "no step of it has failed or waits for a retry")
    for i in chosen:
        _try_again(run, i, params.get("max_attempts"), now, changes)
    _reopen(run, changes)
    run.recount()
    return f"retrying {', '.join(run.plan.steps[i].name for i in chosen) or 'the task'}"


def _try_again(run: TaskRun, i: int, max_attempts: int | None, now: float, changes: Changes) -> None:
    """Make a failed step pending with a new budget; one that waits is due now and keeps its attempts."""
    s = run.step(i)
    if s.state is _S.ERROR:
        s.state, s.budget_from, s.due_at = _S.PENDING, s.attempt - s.uncounted, None
    else:
        s.due_at = now
    if max_attempts is not None:
        s.max_attempts = max_attempts
    run.crashes = 0
    run.write(i, changes, by_hand=True)


def _resolve(run: TaskRun, params: Mapping[str, Any], now: float, changes: Changes, reason: str) -> str:
    name, results = params.get("step"), params.get("results")
    if name is None:
        if run.state is not _T.ERROR:
            raise _refused(run, "resolve", "only a task in error can be resolved as a whole; name a step")
        run.state, run.result = _T.RESOLVED_MANUALLY, results
        changes.event(TaskResolved, task_id=run.id, template=run.plan.ref)
        return "resolved"
    i = _index(run, name)
    _refuse_final_task(run, "resolve")
    _refuse_step_unless(run, i, set(_S) - STEP_SATISFIED, "resolve")
    if results is None or results == "null":
        _refuse_without_results(run, i, "resolved without results")
    _by_hand(run, i, _S.RESOLVED_MANUALLY, results, reason, now, changes)
    changes.event(StepResolved, **_facts(run, i))
    return f"step {name} resolved"


def _skip(run: TaskRun, params: Mapping[str, Any], now: float, changes: Changes, reason: str) -> str:
    i = _index(run, params["step"])
    _refuse_final_task(run, "skip")
    _refuse_step_unless(run, i, set(_S) - STEP_SATISFIED, "skip")
    _refuse_without_results(run, i, "skipped")
    _by_hand(run, i, _S.SKIPPED, None, reason, now, changes)
    changes.event(StepSkipped, **_facts(run, i), reason=reason)
    return f"step {params['step']} skipped"


def _by_hand(
    run: TaskRun, i: int, state: StepState, results: str | None, note: str, now: float, changes: Changes
) -> None:
    s = run.step(i)
    s.state, s.results, s.note, s.error, s.due_at, s.wait_since = state, results, note, None, None, None
    s.finished_at = now
    run.write(i, changes, by_hand=True)
    _reopen(run, changes)
    run.recount()


def _rerun(run: TaskRun, params: Mapping[str, Any], now: float, changes: Changes, reason: str) -> str:
    i = _index(run, params["step"])
    again = [i, *run.plan.graph.descendants(i)]
    if run.state_of(i) not in STEP_FINAL:
        raise TransitionRefused(
            f"step {params['step']!r} of …{run.id[-9:]} is {run.state_of(i)}: there is nothing to run again yet.",
            now=run.state_of(i),
            wanted="rerun",
            allowed=_step_allowed(run.state_of(i)),
        )
    for j in again:
        s = run.steps[j]
        if s is None:
            continue
        s.state, s.generation = _S.PENDING, s.generation + 1
        s.budget_from = s.attempt - s.uncounted
        s.results = s.error = s.note = s.due_at = s.started_at = s.finished_at = s.wait_since = None
        s.large = False
        run.write(j, changes, by_hand=True)
    if params.get("context") is not None:
        run.context = params["context"]
    run.crashes = 0
    if run.state in TASK_FINAL:
        run.state, run.error, run.result = _T.PENDING, None, None
    _open_cancelled(run, changes)
    run.recount()
    return f"running again: {', '.join(run.plan.steps[j].name for j in again)}"


_ACTIONS: dict[str, Callable[[TaskRun, Mapping[str, Any], float, Changes, str], str]] = {
    "cancel": _cancel,
    "pause": _pause,
    "resume": _resume,
    "retry": _retry,
    "resolve": _resolve,
    "skip": _skip,
    "rerun": _rerun,
}
ACTIONS = tuple(_ACTIONS)
"""What a person may do, by name."""


def _reopen(run: TaskRun, changes: Changes) -> None:
    """A task in error is open again once one of its steps may go on."""
    if run.state is _T.ERROR:
        run.state, run.error = _T.PENDING, None
    _open_cancelled(run, changes)


def _open_cancelled(run: TaskRun, changes: Changes) -> None:
    """Steps that were only cancelled along with others may start again."""
    run.stopped = False
    for i, s in enumerate(run.steps):
        if s is not None and s.state is _S.CANCELLED:
            s.state, s.budget_from = _S.PENDING, s.attempt - s.uncounted
            run.write(i, changes, by_hand=True)


def _move(run: TaskRun, wanted: TaskState, action: str) -> None:
    try:
        refuse_unless_allowed(f"task …{run.id[-9:]}", run.state, wanted, TASK_MOVES)
    except TransitionRefused:
        raise _refused(run, action, f"a task that is {run.state} cannot be {wanted}") from None
    run.state = wanted


def _index(run: TaskRun, name: str) -> int:
    i = run.plan.graph.index.get(name)
    if i is None:
        raise NotFound(f"{run.plan.ref} has no step {name!r}; its steps: {', '.join(run.plan.graph.names)}")
    return i


def _refuse_final_task(run: TaskRun, action: str) -> None:
    if run.state in TASK_FINAL and run.state is not _T.ERROR:
        raise _refused(run, action, f"the task is {run.state}")


def _refuse_step_unless(run: TaskRun, i: int, allowed: set[StepState], action: str) -> None:
    state, name = run.state_of(i), run.plan.steps[i].name
    if state in allowed:
        return
    may = _step_allowed(state)
    words = f"step {name!r} of …{run.id[-9:]} is {state}; from {state} one may: {', '.join(may) or 'wait'}."
    if "rerun" in may:
        after = len(run.plan.graph.descendants(i))
        words += (
            f" It and {after} step{'' if after == 1 else 's'} after it would run again:"
            f'  tasker task rerun {run.id[-9:]} {name} --reason "…"'
        )
    raise TransitionRefused(words, now=state, wanted=action, allowed=may)


def _step_allowed(state: StepState) -> tuple[str, ...]:
    """What a person may do to a step, by its state."""
    if state in STEP_SATISFIED:
        return ("rerun",)
    if state is _S.ERROR:
        return ("retry", "resolve", "skip", "rerun")
    if state is _S.WAITING_FOR_RETRY:
        return ("retry", "resolve", "skip")
    return ("resolve", "skip", "rerun") if state is _S.CANCELLED else ("resolve", "skip")


def _task_allowed(run: TaskRun) -> tuple[str, ...]:
    """What a person may do to a task as a whole, by its state."""
    if run.state is _T.ERROR:
        return ("retry", "resolve", "skip", "rerun")
    if run.state in TASK_FINAL:
        return ("rerun",)
    first = ("resume", "cancel") if run.state is _T.PAUSED else ("pause", "cancel")
    waits = any(run.state_of(i) in (_S.ERROR, _S.WAITING_FOR_RETRY) for i in range(len(run.steps)))
    return (*first, *(("retry",) if waits else ()), "resolve", "skip")


def _refused(run: TaskRun, action: str, why: str) -> TransitionRefused:
    allowed = _task_allowed(run)
    return TransitionRefused(
        f"cannot {action} task …{run.id[-9:]}: {why}. It is {run.state}; from {run.state} one may:"
        f" {', '.join(allowed)}.",
        now=run.state,
        wanted=action,
        allowed=allowed,
    )


def _refuse_without_results(run: TaskRun, i: int, how: str) -> None:
    child = run.plan.needing(i)
    if child is not None:
        name = run.plan.steps[i].name
        raise TransitionRefused(
            f"step {name!r} cannot be {how}: step {child!r} needs its results (its parameter does not allow None). "
            f"Resolve it with results instead:  task.resolve({name!r}, {{…}}, reason=…)",
            now=run.state_of(i),
            wanted=how,
            allowed=("resolve with results",),
        )


def _facts(run: TaskRun, i: int) -> dict[str, Any]:
    return {"task_id": run.id, "template": run.plan.ref, "step": run.plan.steps[i].name, "attempt": run.step(i).attempt}
