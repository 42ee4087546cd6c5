"""The semantics of one task, said plainly: the reference that `TaskRun`, the actions and the verdict are compared with.

Everything is worked out anew from the facts at each question; nothing is counted along. Steps are numbers. What the
engine calls `waiting_for_retry` is `retry` here, `in_progress` is `running`, `resolved_manually` is `resolved`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SATISFIED = {"complete", "skipped", "resolved"}
FINAL = SATISFIED | {"error", "cancelled"}
PAUSE = 10.0
"""Seconds between attempts."""
CRASH_LIMIT = 3


@dataclass
class Rules:
    """What a template says of one step; `needs`: parents whose results it cannot do without."""

    parents: set[int]
    max_attempts: int = 3
    retryable: bool = True
    max_wait: float | None = None
    needs: set[int] = field(default_factory=set)


@dataclass
class ModelStep:
    state: str = "pending"
    number: int = 0  # of the last attempt, for life
    used: int = 0  # of the budget
    most: int = 3
    due: float = 0.0
    waits_since: float | None = None
    generation: int = 0


class Refused(Exception):
    """The action makes no sense now."""


class Model:
    """One task; `task` is open, paused, cancelled, complete, error or resolved."""

    def __init__(self, rules: list[Rules], stop: bool = False) -> None:
        self.rules, self.stop = rules, stop
        self.steps = [ModelStep(most=rule.max_attempts) for rule in rules]
        self.task, self.stopped = "open", False

    def states(self) -> list[str]:
        return [step.state for step in self.steps]

    def those(self, *states: str) -> set[int]:
        return {i for i, step in enumerate(self.steps) if step.state in states}

    def viable(self, now: float) -> set[int]:
        due = {i for i in self.those("retry") if self.steps[i].due <= now}
        return due | {i for i in self.those("pending") if self.rules[i].parents <= self.those(*SATISFIED)}

    def descendants(self, i: int) -> set[int]:
        children = {j for j, rule in enumerate(self.rules) if i in rule.parents}
        return children.union(*(self.descendants(j) for j in children)) if children else set()

    # attempts

    def begin(self, i: int) -> int:
        step = self.steps[i]
        step.state, step.number = "running", step.number + 1
        return step.number

    def end(self, i: int, how: str, now: float, until: float = 0.0) -> None:
        step, rule = self.steps[i], self.rules[i]
        if how == "skip" and any(i in other.needs for other in self.rules):
            how = "permanent"
        if how in ("complete", "skip"):
            step.state, step.waits_since = {"complete": "complete", "skip": "skipped"}[how], None
            step.used += 1
        elif how in ("fail", "permanent"):
            step.used += 1
            step.waits_since = None
            over = how == "permanent" or not rule.retryable or step.used >= step.most or self.stopped
            self._fail(i) if over else self._retry(i, now + PAUSE)
        elif how == "wait":
            step.waits_since = now if step.waits_since is None else step.waits_since
            latest = None if rule.max_wait is None else step.waits_since + rule.max_wait
            if latest is not None and now >= latest:
                self._fail(i)
            elif self.stopped:
                step.state = "cancelled"
            else:
                self._retry(i, until if latest is None else min(until, latest))
        else:  # handed back
            step.state = "cancelled" if self.stopped else "pending"

    def lose(self, i: int, crashes: int) -> None:
        """Its owner died while it ran."""
        if crashes >= CRASH_LIMIT:
            self._fail(i)
        else:
            self.steps[i].state = "cancelled" if self.stopped else "pending"

    def _retry(self, i: int, due: float) -> None:
        self.steps[i].state, self.steps[i].due = "retry", due

    def _fail(self, i: int) -> None:
        self.steps[i].state, self.steps[i].waits_since = "error", None
        if self.stop:
            self.stopped = True
            for j in self.those("pending", "retry"):
                self.steps[j].state = "cancelled"

    # what it all adds up to

    def verdict(self, now: float) -> str:
        if self.task == "cancelled":
            return "cancelled"
        if self.task == "paused":
            return "on" if self.those("running") else "park"
        if self.those(*SATISFIED) == set(range(len(self.steps))):
            return "complete"
        if self.those("running") or self.viable(now):
            return "on"
        if self.those("retry"):
            return "park"
        return "error" if self.those("error") else "stuck"

    # what a person may do

    def act(self, what: str, i: int | None, now: float, results: bool = True, max_attempts: int | None = None) -> None:
        getattr(self, f"_{what}_by_hand")(i, now, results, max_attempts)

    def _cancel_by_hand(self, i: int | None, now: float, results: bool, most: int | None) -> None:
        if self.task not in ("open", "paused", "cancelled"):
            raise Refused
        self.task = "cancelled"
        for j in set(range(len(self.steps))) - self.those(*FINAL):
            self.steps[j].state = "cancelled"

    def _pause_by_hand(self, i: int | None, now: float, results: bool, most: int | None) -> None:
        if self.task not in ("open", "paused"):
            raise Refused
        self.task = "paused"

    def _resume_by_hand(self, i: int | None, now: float, results: bool, most: int | None) -> None:
        if self.task != "paused":
            raise Refused
        self.task = "open"

    def _retry_by_hand(self, i: int | None, now: float, results: bool, most: int | None) -> None:
        if self.task in ("complete", "cancelled", "resolved"):
            raise Refused
        chosen = {i} if i is not None else self.those("error") or self.those("retry")
        if not chosen <= self.those("error", "retry") or (not chosen and self.task != "error"):
            raise Refused
        for j in chosen:
            step = self.steps[j]
            step.most = most or step.most
            if step.state == "error":
                step.state, step.used = "pending", 0
            else:
                step.due = now
        self._open()

    def _resolve_by_hand(self, i: int | None, now: float, results: bool, most: int | None) -> None:
        if i is None:
            if self.task != "error":
                raise Refused
            self.task = "resolved"
            return
        self._end_by_hand(i, "resolved", results)

    def _skip_by_hand(self, i: int | None, now: float, results: bool, most: int | None) -> None:
        assert i is not None
        self._end_by_hand(i, "skipped", False)

    def _end_by_hand(self, i: int, state: str, results: bool) -> None:
        if self.task in ("complete", "cancelled", "resolved") or i in self.those(*SATISFIED):
            raise Refused
        if not results and any(i in rule.needs for rule in self.rules):
            raise Refused
        self.steps[i].state, self.steps[i].waits_since = state, None
        self._open()

    def _rerun_by_hand(self, i: int | None, now: float, results: bool, most: int | None) -> None:
        assert i is not None
        if i not in self.those(*FINAL):
            raise Refused
        for j in {i} | self.descendants(i):
            step = self.steps[j]
            if step.number or step.state != "pending":
                step.generation += 1
            step.state, step.used, step.waits_since = "pending", 0, None
        if self.task not in ("open", "paused"):
            self.task = "open"
        self._open()

    def _open(self) -> None:
        """Steps that were only cancelled along with others may start again."""
        self.stopped = False
        if self.task == "error":
            self.task = "open"
        for j in self.those("cancelled"):
            self.steps[j].state, self.steps[j].used = "pending", 0
