"""TaskRun: a claimed task in its owner's memory. Pure: it takes values and returns values.

It knows which steps are viable, what an outcome means, and what must be written; it never asks anybody. Applying an
outcome costs O(children) of the step, whatever the size of the graph.

Before this: `tasker.engine.claim` read the rows. After it: `tasker.engine.verdict` says what they add up to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tasker.engine.changes import Changes, as_json
from tasker.engine.plan import Plan
from tasker.events import StepCompleted, StepFailed, StepRetrying, StepSkipped
from tasker.handlers.outcome import Ended, Outcome, error_of
from tasker.states import STEP_FINAL, STEP_SATISFIED, StepState, TaskState
from tasker.store.rows import AttemptRow, Claimed, StepRow, StoredStep

LARGE = 65_536
"""Characters of results beyond which they are dropped from memory once durable."""

_PENDING, _RUNNING, _RETRY = StepState.PENDING, StepState.IN_PROGRESS, StepState.WAITING_FOR_RETRY
_COMPLETE, _ERROR, _CANCELLED, _SKIPPED = StepState.COMPLETE, StepState.ERROR, StepState.CANCELLED, StepState.SKIPPED


class StepRun:
    """One step of a claimed task: the row it has or will have."""

    __slots__ = (
        "attempt",
        "budget_from",
        "due_at",
        "error",
        "finished_at",
        "generation",
        "large",
        "lost",
        "max_attempts",
        "note",
        "results",
        "started_at",
        "state",
        "uncounted",
        "wait_since",
    )

    def __init__(self) -> None:
        self.state = _PENDING
        self.attempt = self.budget_from = self.uncounted = self.lost = self.generation = 0
        self.max_attempts: int | None = None
        self.due_at: float | None = None
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.wait_since: float | None = None
        self.results: str | None = None
        self.large = False
        self.error: dict[str, Any] | str | None = None
        self.note: str | None = None

    @property
    def used(self) -> int:
        """What the attempts so far have used of the budget."""
        return self.attempt - self.budget_from - self.uncounted


class TaskRun:
    """A claimed task.

    Attributes:
        viable: steps that may run now, as far as the task itself is concerned.
        running: steps of which an attempt runs here.
        waiting: steps that wait for a moment → that moment.
        held: viable steps whose system is held → the system.
        unsatisfied: how many steps are not satisfied yet.
        stopped: a final error with `on_failure="stop"`: what runs ends, and nothing is tried again.
    """

    __slots__ = (
        "calm",
        "context",
        "crashes",
        "created_at",
        "deadline_at",
        "error",
        "failed",
        "held",
        "id",
        "left",
        "plan",
        "priority",
        "queue",
        "result",
        "running",
        "since",
        "starts_at",
        "state",
        "steps",
        "stopped",
        "unsatisfied",
        "viable",
        "waiting",
    )

    def __init__(self, task: Claimed, plan: Plan) -> None:
        self.id, self.plan, self.queue, self.priority = task.id, plan, task.queue, task.priority
        self.state = TaskState(task.state)
        self.context, self.crashes, self.created_at = task.context, task.crashes, task.created_at
        deadline = plan.policy.deadline
        self.deadline_at = None if deadline is None else task.created_at + deadline
        self.starts_at: float | None = None
        self.error: dict[str, Any] | None = None
        self.result: str | None = None
        self.steps: list[StepRun | None] = [None] * len(plan.steps)
        self.left = list(plan.left)
        self.unsatisfied = len(plan.steps)
        self.viable: set[int] = set(plan.graph.roots)
        self.running: set[int] = set()
        self.waiting: dict[int, float] = {}
        self.held: dict[int, str] = {}
        self.failed: set[int] = set()
        self.calm = self.stopped = False
        self.since = 0.0

    def step(self, i: int) -> StepRun:
        found = self.steps[i]
        if found is None:
            found = self.steps[i] = StepRun()
        return found

    def state_of(self, i: int) -> StepState:
        found = self.steps[i]
        return _PENDING if found is None else found.state

    # reading rows

    def load(self, rows: Iterable[StoredStep]) -> None:
        """Take over the stored rows, then count what they mean."""
        for row in rows:
            i = self.plan.graph.index.get(row.name)
            if i is None:
                continue
            s = self.step(i)
            s.state = StepState(row.state)
            s.attempt, s.budget_from, s.uncounted, s.lost = row.attempt, row.budget_from, row.uncounted, row.lost
            s.generation, s.max_attempts, s.due_at = row.generation, row.max_attempts, row.due_at
            s.started_at, s.finished_at, s.wait_since = row.started_at, row.finished_at, row.wait_since
            s.results, s.large, s.error, s.note = row.results, bool(row.large), row.error, row.note
        self.recount()
        cancelled = any(s is not None and s.state is _CANCELLED for s in self.steps)
        self.stopped = self.plan.policy.on_failure == "stop" and bool(self.failed) and cancelled

    def recount(self) -> None:
        """Derive the sets from the steps' states; after anything but an ordinary outcome."""
        self.left = list(self.plan.left)
        self.unsatisfied = len(self.steps)
        self.running, self.failed, self.viable = set(), set(), set()
        self.waiting, self.held = {}, {}
        for i, children in enumerate(self.plan.graph.children):
            if self.state_of(i) in STEP_SATISFIED:
                self.unsatisfied -= 1
                for child in children:
                    self.left[child] -= 1
        for i, s in enumerate(self.steps):
            state = _PENDING if s is None else s.state
            if state is _RUNNING:
                self.running.add(i)
            elif state is _ERROR:
                self.failed.add(i)
            elif state is _RETRY and s is not None:
                self.waiting[i] = s.due_at or 0.0
            elif state is _PENDING and not self.left[i]:
                self.viable.add(i)

    def lose(self, now: float, limit: int, changes: Changes, still: Iterable[int] = ()) -> None:
        """Record attempts that a dead owner left running; at the crash limit they end in error `worker_lost`."""
        for i in sorted(self.running.difference(still)):
            s = self.step(i)
            self._attempt_row(i, "lost", now, None, changes)
            s.lost += 1
            s.uncounted += 1
            s.finished_at = now
            if self.crashes >= limit:
                text = f"the worker died {self.crashes} times while this step ran: it is stopped here"
                self._final_error(i, error_of("worker_lost", text), changes)
            else:
                s.state = self._again()
            self.write(i, changes)
        self.recount()
        self.running.update(i for i in still if self.state_of(i) is _RUNNING)

    # an attempt begins

    def begin(self, i: int, now: float) -> int:
        """Start an attempt of a viable step; its number for life."""
        self.viable.discard(i)
        s = self.step(i)
        s.attempt += 1
        s.state, s.started_at, s.finished_at = _RUNNING, now, None
        self.running.add(i)
        return s.attempt

    def hold(self, i: int, system: str, until: float | None) -> None:
        """Keep a viable step from starting: its system is held, until a moment if one is known."""
        self.viable.discard(i)
        self.held[i] = system
        if until is not None:
            self.waiting[i] = until

    def release(self, i: int) -> None:
        """Its system is held no more, or until another moment."""
        del self.held[i]
        self.waiting.pop(i, None)
        self.viable.add(i)

    def due(self, i: int, now: float) -> bool:
        """Make a waiting step viable when its moment has come."""
        at = self.waiting.get(i)
        if at is None or at > now:
            return False
        del self.waiting[i]
        self.held.pop(i, None)
        self.viable.add(i)
        return True

    # an attempt ends

    def apply(
        self, i: int, number: int, outcome: Outcome, now: float, random: Callable[[], float], changes: Changes
    ) -> list[int]:
        """Take an outcome in: what is to be written goes to `changes`; the steps that become viable are returned.

        An outcome of an attempt that is not the running one is dropped: it came too late.
        """
        s = self.steps[i]
        if s is None or s.state is not _RUNNING or s.attempt != number:
            return []
        self.running.discard(i)
        s.started_at, s.finished_at = outcome.started_at, outcome.finished_at
        if outcome.annotations:
            changes.annotate(self.id, self.plan.steps[i].name, outcome)
        if outcome.ended is not Ended.HANDED_BACK:
            self.calm = True
            if self.crashes:
                self.crashes = 0
                changes.calmed.add(self.id)
        opened: list[int] = []
        if outcome.ended is Ended.COMPLETE:
            s.state, s.results, s.error, s.note = _COMPLETE, outcome.results, None, None
            s.due_at = s.wait_since = None
            opened = self._satisfied(i)
            changes.event(StepCompleted, **self._facts(i))
        elif outcome.ended is Ended.SKIPPED:
            opened = self._skip(i, outcome, now, random, changes)
        elif outcome.ended is Ended.WAIT:
            self._wait(i, outcome, now, changes)
        elif outcome.ended is Ended.FAILED:
            self._fail(i, outcome, now, random, changes)
        else:
            self._attempt_row(i, "handed_back", outcome.finished_at, None, changes)
            s.state, s.uncounted = self._again(), s.uncounted + 1
            if s.state is _PENDING:
                self.viable.add(i)
        self.write(i, changes)
        if s.large:
            s.results = None
        return opened

    def _satisfied(self, i: int) -> list[int]:
        self.unsatisfied -= 1
        opened = []
        for child in self.plan.graph.children[i]:
            self.left[child] -= 1
            if not self.left[child] and self.state_of(child) is _PENDING:
                self.viable.add(child)
                opened.append(child)
        return opened

    def _skip(self, i: int, outcome: Outcome, now: float, random: Callable[[], float], changes: Changes) -> list[int]:
        child = self.plan.needing(i)
        if child is not None:
            text = (
                f"step {self.plan.steps[i].name!r} was skipped, but step {child!r} needs its results (it"
                f" does not allow None)"
            )
            failed = Outcome(Ended.FAILED, error=error_of("invalid_result", text, "Skip"), permanent=True)
            failed.started_at, failed.finished_at = outcome.started_at, outcome.finished_at
            self._fail(i, failed, now, random, changes)
            return []
        s = self.step(i)
        s.state, s.note, s.results, s.error, s.due_at, s.wait_since = _SKIPPED, outcome.reason, None, None, None, None
        changes.event(StepSkipped, **self._facts(i), reason=outcome.reason)
        return self._satisfied(i)

    def _wait(self, i: int, outcome: Outcome, now: float, changes: Changes) -> None:
        s, limit = self.step(i), self.plan.steps[i].policy.max_wait
        s.uncounted += 1
        s.wait_since = since = s.wait_since if s.wait_since is not None else outcome.finished_at
        until = outcome.until if outcome.until is not None else now
        s.note, s.error = outcome.reason, None
        if limit is not None:
            if outcome.finished_at >= since + limit:
                text = f"waited longer than max_wait ({limit:g} s): {outcome.reason or 'no reason given'}"
                self._final_error(i, error_of("max_wait", text, "Wait"), changes)
                return
            until = min(until, since + limit)
        if self.stopped:
            s.state = _CANCELLED
            return
        s.state, s.due_at = _RETRY, until
        self.waiting[i] = until

    def _fail(self, i: int, outcome: Outcome, now: float, random: Callable[[], float], changes: Changes) -> None:
        s, policy = self.step(i), self.plan.steps[i].policy
        s.wait_since, s.note = None, None
        most = s.max_attempts or policy.retry.max_attempts
        error = outcome.error or error_of("exception", "")
        if outcome.permanent or not policy.retry.retryable or s.used >= most or self.stopped:
            self._final_error(i, error, changes)
            return
        s.due_at = due = now + policy.retry.pause(s.used, random, outcome.retry_after)
        s.state, s.error = _RETRY, {**error, "attempt": s.attempt}
        self.waiting[i] = due
        self._attempt_row(i, "failed", outcome.finished_at, due, changes)
        changes.event(StepRetrying, **self._facts(i), due_at=due, error=s.error)

    def _final_error(self, i: int, error: dict[str, Any], changes: Changes) -> None:
        s = self.step(i)
        s.state, s.due_at, s.wait_since = _ERROR, None, None
        s.error = {**error, "attempt": s.attempt}
        self.failed.add(i)
        changes.event(StepFailed, **self._facts(i), error=s.error)
        if self.plan.policy.on_failure == "stop":
            self.stopped = True
            self.cancel_rest(changes, running=False)

    def _again(self) -> StepState:
        """What an attempt that did not count leaves: the step may start again, unless all was stopped."""
        return _CANCELLED if self.stopped else _PENDING

    def cancel_rest(self, changes: Changes, *, running: bool, by_hand: bool = False) -> None:
        """Cancel every step that is not final; those that run only when asked to."""
        for i in range(len(self.steps)):
            state = self.state_of(i)
            if state in STEP_FINAL or (state is _RUNNING and not running):
                continue
            s = self.step(i)
            s.state, s.due_at, s.wait_since = _CANCELLED, None, None
            self.write(i, changes, by_hand=by_hand)
        self.viable.clear()
        self.waiting.clear()
        self.held.clear()
        if running:
            self.running.clear()

    # rows

    def write(self, i: int, changes: Changes, *, by_hand: bool = False, progress: str | None = None) -> None:
        """Put the step's row among the changes."""
        s = self.step(i)
        error = s.error if isinstance(s.error, str) else as_json(s.error)
        changes.step(
            StepRow(
                self.id,
                self.plan.steps[i].name,
                s.state,
                s.attempt,
                s.budget_from,
                s.uncounted,
                s.lost,
                s.generation,
                s.max_attempts,
                s.due_at,
                s.started_at,
                s.finished_at,
                s.wait_since,
                s.results,
                error,
                s.note,
                progress,
                changes.worker,
            ),
            by_hand=by_hand,
        )
        s.large = s.results is not None and len(s.results) > LARGE

    def _attempt_row(self, i: int, ended: str, at: float, retry_at: float | None, changes: Changes) -> None:
        s = self.step(i)
        error = as_json(s.error) if ended == "failed" and not isinstance(s.error, str) else None
        changes.attempts.append(
            AttemptRow(
                self.id, self.plan.steps[i].name, s.attempt, ended, s.started_at, at, retry_at, error, changes.worker
            )
        )

    def _facts(self, i: int) -> dict[str, Any]:
        s = self.step(i)
        return {"task_id": self.id, "template": self.plan.ref, "step": self.plan.steps[i].name, "attempt": s.attempt}
