"""Adopt: take rows into memory: claimed tasks, people's actions, and everything after a lost connection.

After a lost connection nothing is written again blindly: the epoch is raised, the owned tasks are read, and the rows
are the truth; what still runs or is unsaved here is kept where its row allows it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from heapq import heappush
from typing import TYPE_CHECKING

from tasker.engine.actions import act
from tasker.engine.changes import Changes
from tasker.engine.execute import Attempt
from tasker.engine.run import TaskRun
from tasker.engine.settle import Answer, Wish, settle, write
from tasker.engine.verdict import announce
from tasker.errors import OwnershipLost, RequestError, StoreUnavailable
from tasker.events import TaskStarted
from tasker.handlers.outcome import Ended, Outcome, error_of
from tasker.states import STEP_FINAL, StepState, TaskState
from tasker.store import rows
from tasker.store.faults import Again, Refused
from tasker.store.rows import Claimed, StoredStep
from tasker.store.turn import Turn
from tasker.store.wire import Wire

if TYPE_CHECKING:
    from tasker.engine.heart import Heart

_log = logging.getLogger("tasker.heart")


class GaveUp(Exception):
    """The heart was told to stop while the database was away."""


def take_in(heart: Heart, answer: Answer) -> Changes:
    """Build the claimed runs and apply open actions, inside the transaction that found them."""
    changes = Changes(heart.me, heart.new_id, heart.wanted)
    now = heart.clock.now()
    stored = _by_task(answer.steps)
    for task in answer.claimed:
        answer.runs[task.id] = _load(heart, task, stored.get(task.id, ()), now, changes)
    for action in answer.actions:
        run = answer.runs.get(action.task_id) or heart.runs.get(action.task_id)
        if run is None:
            continue
        answer.acted[run.id] = run
        state, text = "applied", ""
        try:
            text = act(run, action.what, json.loads(action.params), action.actor, action.reason, now, changes)
        except RequestError as error:
            state, text = "refused", str(error)
        changes.answers.append(rows.Answer(action.id, state, text, now))
        _keep_owned(run, changes)
    return changes


def _keep_owned(run: TaskRun, changes: Changes) -> None:
    """An owned task that a person opened or resumed is in progress at once."""
    if run.state in (TaskState.WAITING, TaskState.PENDING):
        run.state = TaskState.IN_PROGRESS
        if run.id in changes.tasks:
            changes.tasks[run.id] = changes.tasks[run.id]._replace(state=TaskState.IN_PROGRESS)


def absorb(heart: Heart, answer: Answer, changes: Changes) -> None:
    """After the commit: the claimed runs are ours, the actions are true."""
    for run in answer.runs.values():
        heart.runs[run.id] = run
        install(heart, run)
    for claimed in answer.claimed:
        if claimed.first:
            changes.event(TaskStarted, task_id=claimed.id, template=answer.runs[claimed.id].plan.ref)
    for run in answer.acted.values():
        if run.id in heart.runs:
            install(heart, run)
            heart.touched[run.id] = run
            heart.drop_unwanted(run)


def install(heart: Heart, run: TaskRun) -> None:
    """Put a run's steps where the heart finds them: the backlog, the timers."""
    run.since = heart.clock.monotonic()
    for i in run.viable:
        heart.push(run, i)
    for i, at in run.waiting.items():
        heart.count += 1
        heappush(heart.timers, (at, heart.count, run, i))
    if run.deadline_at is not None:
        heart.count += 1
        heappush(heart.timers, (run.deadline_at, heart.count, run, -1))
    if not run.viable or run.deadline_at is not None:
        heart.touched[run.id] = run


def read_contexts(heart: Heart, tasks: Iterable[Claimed]) -> None:
    """Read large contexts on their own: a claim that returned them would hold its locks as long as they travel."""
    for task in tasks:
        if task.context is None:
            assert heart.wire is not None
            with Turn(heart.wire) as turn:
                heart.runs[task.id].context = turn.read_contexts([task.id])[task.id]
                turn.commit()


def _load(heart: Heart, task: Claimed, stored: Iterable[StoredStep], now: float, changes: Changes) -> TaskRun:
    run = TaskRun(task, heart.plans.known[task.template])
    if stored:
        run.load(stored)
        if run.running:
            run.lose(now, heart.limits.crash_limit, changes)
    return run


def _by_task(steps: Iterable[StoredStep]) -> dict[str, list[StoredStep]]:
    found: dict[str, list[StoredStep]] = {}
    for row in steps:
        found.setdefault(row.task_id, []).append(row)
    return found


def reconcile(heart: Heart) -> None:
    """Connect again and make memory what the rows say; tries until the database is back."""
    pause = 0.05
    while True:
        try:
            wire = heart.open_wire(heart.me)
        except StoreUnavailable as error:
            _log.warning("still away: %s", error)
        else:
            try:
                _reconcile(heart, wire)
                _log.info("the database is back; %d tasks are owned", len(heart.runs))
                return
            except OwnershipLost as error:
                wire.close()
                heart.drop_all(error)
                return
            except (StoreUnavailable, Again) as error:
                wire.close()
                _log.warning("still away: %s", error)
        if heart.out_of_patience or heart.stopped.wait(pause):
            raise GaveUp
        pause = min(2.0, pause * 2)


def _reconcile(heart: Heart, wire: Wire) -> None:
    changes = Changes(heart.me, heart.new_id, heart.wanted)
    now = heart.clock.now()
    with Turn(wire) as turn:
        found = turn.hold_worker(heart.me)
        if found is None or found[0] not in ("alive", "draining"):
            raise OwnershipLost("this worker was declared dead while the database was away")
        turn.raise_epoch(heart.me, found[1] + 1)
        owned = turn.owned(heart.me)
        stored = _by_task(turn.read_steps([task.id for task in owned])) if owned else {}
        contexts = turn.read_contexts([task.id for task in owned if task.context is None])
        mine = {attempt.key: attempt for attempt in heart.attempts.values()}
        mine.update((attempt.key, attempt) for attempt, _ in heart.arrived)
        runs: dict[str, TaskRun] = {}
        kept: dict[tuple[str, int], Attempt] = {}
        for task in owned:
            run = TaskRun(task, heart.plans.known[task.template])
            run.context = run.context if run.context is not None else contexts[task.id]
            run.load(stored.get(task.id, ()))
            still = [a for key, a in mine.items() if key[0] == run.id and _goes_on(run, a)]
            run.lose(now, heart.limits.crash_limit, changes, [a.step.index for a in still])
            runs[run.id] = run
            kept.update((a.key, a) for a in still)
        write(turn, changes)
        turn.commit()
    _install_all(heart, wire, found[1] + 1, runs, kept)


def _goes_on(run: TaskRun, attempt: Attempt) -> bool:
    """Whether the row allows this attempt's outcome; if so the run takes it as running."""
    i, s = attempt.step.index, run.step(attempt.step.index)
    if s.state in STEP_FINAL or s.attempt > attempt.number:
        return False
    if s.attempt == attempt.number and s.state is not StepState.IN_PROGRESS:
        return False
    s.attempt, s.state = attempt.number, StepState.IN_PROGRESS
    run.viable.discard(i)
    run.waiting.pop(i, None)
    run.running.add(i)
    attempt.run = run
    return True


def _install_all(
    heart: Heart, wire: Wire, epoch: int, runs: dict[str, TaskRun], kept: dict[tuple[str, int], Attempt]
) -> None:
    unsaved = [(attempt, outcome) for attempt, outcome in heart.arrived if kept.get(attempt.key) is attempt]
    for attempt in heart.attempts.values():
        if kept.get(attempt.key) is not attempt:
            heart.give_up(attempt)
    timeouts = heart.timeouts
    heart.forget()
    heart.wire, heart.epoch, heart.runs, heart.attempts, heart.arrived = wire, epoch, runs, kept, unsaved
    heart.timeouts = timeouts
    heart.unmarked.extend(sorted(kept.values(), key=lambda attempt: attempt.started))
    for run in runs.values():
        install(heart, run)
        heart.touched[run.id] = run
    heart.ask = list(runs)


def split(heart: Heart, changes: Changes, error: Refused) -> None:
    """The database refuses the rows of some task: settle each task alone, and fail the step that it refuses."""
    _log.warning("a settle was refused, trying task by task: %s", error)
    ids = {key[0] for key in (*changes.steps, *changes.forced)} | set(changes.let_go) | set(changes.tasks)
    assert heart.wire is not None
    for task_id in sorted(ids):
        alone = changes.only(task_id)
        try:
            with Turn(heart.wire) as turn:
                answer = settle(turn, heart.me, heart.epoch, alone, Wish(now=heart.clock.now()), lambda a: None)
        except Refused as refusal:
            heart.arrived = [
                (attempt, _refused(outcome, refusal) if attempt.run.id == task_id else outcome)
                for attempt, outcome in heart.arrived
            ]
            continue
        except Again:
            continue
        heart.arrived = [pair for pair in heart.arrived if pair[0].run.id != task_id]
        if answer.gone:
            announce(heart.runs[task_id], changes.let_go[task_id], alone)
        heart.publish(alone.events)
        if answer.gone:
            heart.finished([task_id])
    heart.hang_up()
    reconcile(heart)


def _refused(outcome: Outcome, refusal: Refused) -> Outcome:
    text = f"the database refuses what this attempt left: {refusal}"
    return Outcome(
        Ended.FAILED,
        error=error_of("invalid_result", text, "Refused"),
        permanent=True,
        started_at=outcome.started_at,
        finished_at=outcome.finished_at,
    )
