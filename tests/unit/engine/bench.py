"""A bench for pure rules: a `TaskRun` with rows as the store would keep them, driven step by step, no database."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tasker.definition.policy import Policy, StepPolicy
from tasker.definition.retry import Backoff, Retry
from tasker.definition.shape import Shape, StepShape
from tasker.engine.actions import act
from tasker.engine.changes import Changes
from tasker.engine.plan import Plan
from tasker.engine.run import LARGE, TaskRun
from tasker.engine.verdict import decide
from tasker.events import Event
from tasker.handlers.outcome import Ended, Outcome, error_of
from tasker.states import STEP_FINAL, STEP_MOVES, TASK_MOVES, StepState, TaskState
from tasker.store.rows import Claimed, LetGo, StepRow, StoredStep

NO_JITTER = 0.5


def a_plan(
    parents: Mapping[str, Sequence[str]], *, pause: float = 10.0, on_failure: Any = "finish_branches", **options: Any
) -> Plan:
    """A plan of steps by name with their parents; `steps=` gives what a policy says of some, `deadline=` of all."""
    said: Mapping[str, Mapping[str, Any]] = options.pop("steps", {})
    shape = Shape(tuple(StepShape(name, after=tuple(of)) for name, of in parents.items()))
    plain = {"retry": Retry(backoff=Backoff.of([pause]))}
    policies = {name: StepPolicy(**{**plain, **said.get(name, {})}) for name in parents}
    return Plan(1, "shop/fulfil_order@1.0.0", shape, Policy(on_failure=on_failure, steps=policies, **options))


def a_retry(max_attempts: int = 3, retryable: bool = True, pause: float = 10.0) -> Retry:
    return Retry(max_attempts=max_attempts, retryable=retryable, backoff=Backoff.of([pause]))


class Bench:
    """One task: its row, its step rows, and the run in its owner's memory."""

    def __init__(self, plan: Plan, *, wanted: Callable[[type[Event]], bool] = lambda kind: True) -> None:
        self.plan, self.now, self.wanted = plan, 1_000.0, wanted
        self.ids = itertools.count(1)
        self.state, self.crashes, self.created_at = TaskState.PENDING, 0, self.now
        self.rows: dict[str, StepRow] = {}
        self.attempts: dict[tuple[str, int], str] = {}
        self.events: list[Event] = []
        self.wake_at: float | None = self.now
        self.let_go: LetGo | None = None
        self.owned = False
        self.moves: list[tuple[str, str, str]] = []
        self.claim()

    # the owner

    def claim(self) -> None:
        """Take the task as its rows say."""
        state = self.state if self.state is TaskState.PAUSED else TaskState.IN_PROGRESS
        self._move(state)
        self._read()
        self.owned, self.let_go = True, None

    def _read(self) -> None:
        task = Claimed("0" * 36, 1, "default", 0, self.state, self.crashes, self.created_at, "{}")
        self.run = TaskRun(task, self.plan)
        changes = self.changes()
        self.run.load(self.stored())
        if self.run.running:
            self.run.lose(self.now, 3, changes)
        self.write(changes)

    def begin(self, name: str) -> int:
        return self.run.begin(self.plan.index(name), self.now)

    def mark(self, name: str) -> None:
        """Write a running step's row, as the owner does when it runs long."""
        changes = self.changes()
        self.run.write(self.plan.index(name), changes)
        self.write(changes)

    def end(self, name: str, number: int, outcome: Outcome) -> list[str]:
        """Apply an outcome and settle it; the names of steps that became viable."""
        changes = self.changes()
        outcome.started_at = outcome.finished_at = self.now
        opened = self.run.apply(self.plan.index(name), number, outcome, self.now, lambda: NO_JITTER, changes)
        self.write(changes)
        return [self.plan.steps[i].name for i in opened]

    def settle(self) -> str:
        """Ask for the verdict and write it: "on", "park", or the final state."""
        changes = self.changes()
        gone = decide(self.run, self.now, changes, keep=0.0)
        self.write(changes)
        if gone is None:
            return "on"
        self.owned, self.let_go, self.wake_at = False, gone, gone.wake_at
        self._move(TaskState(gone.state))
        self.crashes = 0 if gone.calm else self.crashes
        return gone.state if gone.wake_at is None and gone.finished_at is not None else "park"

    def crash(self) -> None:
        """The owner dies; a neighbour frees the task and charges it as rescue does."""
        marked = any(row.state == "in_progress" for row in self.rows.values())
        self.crashes += 1 if self.crashes == 0 or marked else 0
        self.owned = False
        if self.state is not TaskState.PAUSED:
            self._move(TaskState.WAITING)

    def act(self, what: str, **params: Any) -> str:
        """What a person asks: of the owner, or of the rows where nobody owns the task."""
        if not self.owned:
            self._read()
        changes = self.changes()
        answer = act(self.run, what, params, "ann", "because", self.now, changes)
        self.write(changes)
        if self.owned and self.run.state in (TaskState.WAITING, TaskState.PENDING):
            self.run.state = TaskState.IN_PROGRESS  # as `adopt` keeps it
            changes.tasks[self.run.id] = changes.tasks[self.run.id]._replace(state=TaskState.IN_PROGRESS)
        if self.run.id in changes.tasks:
            self._move(TaskState(changes.tasks[self.run.id].state))
        return answer

    # what is stored

    def changes(self) -> Changes:
        return Changes("worker", lambda: next(self.ids), self.wanted)

    def write(self, changes: Changes) -> None:
        """What `store.statements.WRITE_STEPS` does, guard and all; every move must be in the table."""
        for row in changes.steps.values():
            old = self.rows.get(row.name)
            if old is None or _may_replace(old, row):
                self._put(row)
        for row in changes.forced.values():
            self._put(row)
        for attempt in changes.attempts:
            self.attempts.setdefault((attempt.step, attempt.attempt), attempt.ended)
        self.events += changes.events

    def _put(self, row: StepRow) -> None:
        before = StepState(self.rows[row.name].state) if row.name in self.rows else StepState.PENDING
        after = StepState(row.state)
        assert after is before or after in STEP_MOVES[before], f"{row.name}: {before} → {after} is no move"
        self.moves.append((row.name, before, after))
        self.rows[row.name] = row

    def _move(self, state: TaskState) -> None:
        if self.owned and self.state is TaskState.PAUSED and state is TaskState.IN_PROGRESS:
            self._move(TaskState.WAITING)  # resumed, and gone on at once
        assert state is self.state or state in TASK_MOVES[self.state], f"{self.state} → {state} is no move"
        self.state = state

    def stored(self) -> list[StoredStep]:
        return [
            StoredStep(
                **{
                    name: value
                    for name, value in row._asdict().items()
                    if name in StoredStep._fields and name != "results"
                },
                large=len(row.results or "") > LARGE,
                results=row.results,
            )
            for row in self.rows.values()
        ]

    def states(self) -> dict[str, str]:
        return {step.name: str(self.run.state_of(step.index)) for step in self.plan.steps}

    def viable(self) -> set[str]:
        return {self.plan.steps[i].name for i in self.run.viable}


def _may_replace(old: StepRow, new: StepRow) -> bool:
    same_retry = new.attempt == old.attempt and old.state == "waiting_for_retry" and new.state != "cancelled"
    return (
        StepState(old.state) not in STEP_FINAL and new.attempt >= old.attempt and not same_retry
    ) or new.generation > old.generation


def complete(results: str = "1") -> Outcome:
    return Outcome(Ended.COMPLETE, results=results)


def failed(permanent: bool = False) -> Outcome:
    return Outcome(Ended.FAILED, error=error_of("exception", "broken", "ValueError"), permanent=permanent)


def waits(until: float) -> Outcome:
    return Outcome(Ended.WAIT, until=until, reason="not yet")


def skipped() -> Outcome:
    return Outcome(Ended.SKIPPED, reason="not needed")


def handed_back() -> Outcome:
    return Outcome(Ended.HANDED_BACK)
