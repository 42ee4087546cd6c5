"""Hand out: which viable steps start now. Only after a commit, never before.

Order: the task's priority, the step's, the longest remaining path, definition order. A step whose system is held
stays; a suspect's step (its task lost an owner before) is marked in the commit that releases it.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from tasker.engine.changes import Changes
from tasker.engine.execute import Attempt
from tasker.engine.run import TaskRun
from tasker.errors import OwnershipLost, StoreUnavailable
from tasker.events import StepStarted
from tasker.states import TaskState
from tasker.store.faults import Again
from tasker.store.turn import Turn

if TYPE_CHECKING:
    from tasker.engine.heart import Heart

HELD_FRESH = 1.0
"""Seconds: no step of a held system starts later than this after the hold returned."""
SLOT_PATIENCE = 1.0
"""Seconds a task's steps wait for a slot before the task is handed back."""


def start(heart: Heart) -> None:
    """Begin as many attempts as there are free slots."""
    starting = heart.marked
    heart.marked = []
    for attempt in starting:
        _register(heart, attempt)
    if heart.backlog and not heart.draining and heart.free and _fresh(heart):
        _take(heart, starting)
    if starting:
        heart.hands.start(starting)


def _take(heart: Heart, starting: list[Attempt]) -> None:
    aside = []
    free, mono = heart.free, heart.clock.monotonic()
    while heart.backlog and free > 0:
        entry = heappop(heart.backlog)
        run: TaskRun = entry[3]
        i: int = entry[4]
        if not _may_start(heart, run, i):
            continue
        system = run.plan.steps[i].policy.system
        if system is not None and mono - heart.held_at > HELD_FRESH:
            aside.append(entry)
            heart.again = True
            continue
        if system is not None and _is_held(heart, system):
            _hold(heart, run, i, system)
            continue
        free -= 1
        if run.crashes and not run.calm:
            heart.suspects.append((run, i))
            continue
        attempt = begin(heart, run, i)
        _register(heart, attempt)
        starting.append(attempt)
    for entry in aside:
        heappush(heart.backlog, entry)


def _may_start(heart: Heart, run: TaskRun, i: int) -> bool:
    """Whether a step is still viable, its task ours, going on and not overdue: a claim may come at its deadline."""
    overdue = run.deadline_at is not None and run.deadline_at <= heart.clock.now()
    return i in run.viable and run.state is TaskState.IN_PROGRESS and heart.runs.get(run.id) is run and not overdue


def _is_held(heart: Heart, system: str) -> bool:
    until = heart.held.get(system, 0.0)
    return until is None or until > heart.clock.now()


def _hold(heart: Heart, run: TaskRun, i: int, system: str) -> None:
    until = heart.held[system]
    run.hold(i, system, until)
    heart.touched[run.id] = run
    if until is not None:
        heart.count += 1
        heappush(heart.timers, (until, heart.count, run, i))


def begin(heart: Heart, run: TaskRun, i: int) -> Attempt:
    """Start an attempt in memory."""
    number = run.begin(i, heart.clock.now())
    return Attempt(run, run.plan.steps[i], number, heart.clock.monotonic(), heart)


def _register(heart: Heart, attempt: Attempt) -> None:
    heart.attempts[attempt.key] = attempt
    heart.busy += 1
    heart.unmarked.append(attempt)
    if attempt.deadline is not None:
        heart.count += 1
        heappush(heart.timeouts, (attempt.deadline, heart.count, attempt))
    if heart.wanted(StepStarted):
        run = attempt.run
        heart.publish([StepStarted(run.id, run.plan.ref, attempt.step.name, attempt.number)])


def mark_suspects(heart: Heart, changes: Changes) -> None:
    """Write a suspect's steps as running before they run: if this process dies, the guilty one is known."""
    while heart.suspects and not heart.draining and len(heart.marked) < heart.free:
        run, i = heart.suspects.pop()
        if _may_start(heart, run, i):
            attempt = begin(heart, run, i)
            run.write(i, changes)
            heart.marked.append(attempt)


def take_held(heart: Heart, held: dict[str, float | None], mono: float) -> None:
    """Take over which systems are held; what waited for a released one is viable again."""
    heart.held_at = mono
    if held == heart.held:
        return
    before, heart.held = heart.held, held
    for run in heart.runs.values():
        for i, system in list(run.held.items()):
            if system not in held or held[system] != before.get(system):
                run.release(i)
                heart.push(run, i)


def impatient(heart: Heart, mono: float) -> list[TaskRun]:
    """Tasks whose steps have waited too long for a slot, none of them running: others may have one free."""
    if heart.free or mono - heart.patience_at < SLOT_PATIENCE:
        return []
    heart.patience_at = mono
    found = []
    for run in heart.runs.values():
        if run.viable and not run.running and mono - run.since > SLOT_PATIENCE:
            found.append(run)
    return found


def _fresh(heart: Heart) -> bool:
    """Whether the last commit is young enough to trust that this worker still owns what it holds."""
    if heart.clock.monotonic() - heart.committed_at < heart.limits.worker_timeout / 2:
        return True
    if heart.wire is None:
        return False
    try:
        with Turn(heart.wire) as turn:
            turn.fence(heart.me, heart.epoch)
            turn.commit()
    except OwnershipLost as error:
        heart.drop_all(error)
        return False
    except (StoreUnavailable, Again) as error:
        heart.lost(error)
        return False
    heart.committed_at = heart.clock.monotonic()
    return True
