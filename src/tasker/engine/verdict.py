"""Verdict: what the steps of a task add up to, after every settle. Pure.

The order matters and is the semantics': paused, cancelled or overdue, complete, going on, waiting, failed, stuck.
"""

from __future__ import annotations

from typing import Any

from tasker.engine.changes import Changes, as_json
from tasker.engine.run import TaskRun
from tasker.events import TaskCancelled, TaskCompleted, TaskFailed, TaskWaiting
from tasker.states import TASK_FINAL, TaskState
from tasker.store.rows import LetGo

KEEP = 2.0
"""Seconds: a task that is due again within this is kept by its owner instead of parked."""


def decide(run: TaskRun, now: float, changes: Changes, *, keep: float = KEEP) -> LetGo | None:
    """Decide whether the owner lets the task go, and in which state; None: it goes on.

    Args:
        keep: how long a wait is worth staying; 0 for a worker that stops.
    """
    if run.state is TaskState.CANCELLED:
        return _finish(run, TaskState.CANCELLED, now)
    if run.deadline_at is not None and run.deadline_at <= now and run.unsatisfied:
        run.cancel_rest(changes, running=True)
        run.error = {"code": "deadline", "message": "its deadline passed before it was complete", "steps": []}
        changes.record(run.id, now, "deadline", moved=(run.state, TaskState.ERROR), reason="deadline passed")
        return _finish(run, TaskState.ERROR, now)
    if run.state is TaskState.PAUSED:
        return None if run.running else _park(run, TaskState.PAUSED, run.deadline_at, None)
    if not run.unsatisfied:
        return _finish(run, TaskState.COMPLETE, now)
    if run.running or run.viable:
        return None
    if run.waiting or run.held:
        return _wait(run, now, keep)
    run.error = _failure(run) if run.failed else _stuck(run)
    changes.record(run.id, now, "error", moved=(run.state, TaskState.ERROR), reason=str(run.error["message"]))
    return _finish(run, TaskState.ERROR, now)


def announce(run: TaskRun, gone: LetGo, changes: Changes) -> None:
    """Publish what the task became; called once it is known to be let go."""
    facts: dict[str, Any] = {"task_id": run.id, "template": run.plan.ref}
    if gone.state == TaskState.COMPLETE:
        changes.event(TaskCompleted, **facts)
    elif gone.state == TaskState.ERROR:
        error = run.error or {}
        changes.event(TaskFailed, **facts, steps=tuple(error.get("steps", ())), error=error)
    elif gone.state == TaskState.CANCELLED:
        changes.event(TaskCancelled, **facts)
    elif gone.state == TaskState.WAITING:
        changes.event(TaskWaiting, **facts, until=gone.wake_at)


def hand_back(run: TaskRun, now: float) -> LetGo:
    """Give a task up as it is, due at once: its owner stops, or has no slot for it."""
    state = TaskState.PAUSED if run.state is TaskState.PAUSED else TaskState.WAITING
    return _park(run, state, run.deadline_at if state is TaskState.PAUSED else now, None)


def _wait(run: TaskRun, now: float, keep: float) -> LetGo | None:
    if len(set(run.held.values())) > 1:
        return None  # parked it would wait for one of these systems, and the release of another would not wake it
    moments = [*run.waiting.values(), *([] if run.deadline_at is None else [run.deadline_at])]
    wake_at = min(moments) if moments else None
    if wake_at is not None and wake_at - now <= keep:
        return None
    return _park(run, TaskState.WAITING, wake_at, next(iter(run.held.values()), None))


def _park(run: TaskRun, state: TaskState, wake_at: float | None, system: str | None) -> LetGo:
    return LetGo(run.id, state, wake_at, system, None, None, run.calm)


def _finish(run: TaskRun, state: TaskState, now: float) -> LetGo:
    if state not in TASK_FINAL:
        raise AssertionError(state)
    return LetGo(run.id, state, None, None, now, as_json(run.error) if state is TaskState.ERROR else None, run.calm)


def _failure(run: TaskRun) -> dict[str, Any]:
    names = [run.plan.steps[i].name for i in sorted(run.failed)]
    first = run.step(min(run.failed)).error
    why = first.get("message", "") if isinstance(first, dict) else ""
    words = f"step {names[0]!r} failed" if len(names) == 1 else f"{len(names)} steps failed, first {names[0]!r}"
    return {"code": "failed_steps", "message": f"{words}: {why}" if why else words, "steps": names}


def _stuck(run: TaskRun) -> dict[str, Any]:
    left = [f"{step.name} is {run.state_of(step.index)}" for step in run.plan.steps]
    return {
        "code": "stuck",
        "message": "nothing can run, nothing waits, nothing failed: " + "; ".join(left),
        "steps": [],
    }
