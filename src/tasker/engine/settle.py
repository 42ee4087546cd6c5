"""Settle: write what happened, in one transaction for everything that happened.

The heart hands over a turn's changes. They are written together with finished and parked tasks and new claims;
nothing they unlock starts before the commit returns. The order of the statements is the lock order.

Before this: `tasker.engine.verdict` decided what is let go. After it: the heart hands out what became viable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tasker.engine.changes import Changes
from tasker.engine.run import TaskRun
from tasker.events import Event
from tasker.store.rows import Claimed, OpenAction, StoredStep
from tasker.store.turn import Known, Turn


@dataclass(slots=True)
class Wish:
    """What a turn wants to know besides writing.

    Attributes:
        room: how many tasks to claim; 0 for none.
        alone: whether it may take a task on its last strike.
        news: whether to look for news on the owned tasks.
        held: whether to read which systems are held.
        ask: owned tasks whose open actions to read whatever their bell says.
    """

    now: float
    known: Known = ()
    room: int = 0
    crash_limit: int = 3
    alone: bool = True
    news: bool = False
    held: bool = False
    ask: Sequence[str] = ()

    @property
    def asks(self) -> bool:
        """Whether it wants to read anything but due tasks."""
        return bool(self.news or self.held or self.ask)


@dataclass(slots=True)
class Answer:
    """What a turn learnt; true once it is committed.

    Attributes:
        gone: the tasks that were let go.
        runs: the claimed tasks in memory.
        acted: the runs that a person's action changed.
        events: what taking in claims and actions made.
    """

    gone: set[str] = field(default_factory=set)
    claimed: list[Claimed] = field(default_factory=list)
    steps: list[StoredStep] = field(default_factory=list)
    actions: list[OpenAction] = field(default_factory=list)
    held: dict[str, float | None] | None = None
    next_wake: float | None = None
    runs: dict[str, TaskRun] = field(default_factory=dict)
    acted: dict[str, TaskRun] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


Adopt = Callable[[Answer], Changes | None]
"""Takes claimed tasks and open actions into memory; what that changes is written before the same commit."""


def settle(
    turn: Turn, me: str, epoch: int, changes: Changes, wish: Wish, adopt: Adopt, answer: Answer | None = None
) -> Answer:
    """Write one turn and commit it; `answer` fills as it goes, and holds once this returns.

    Raises:
        OwnershipLost: the fence failed: this worker was declared dead, nothing was written.
    """
    turn.fence(me, epoch)
    write(turn, changes)
    answer = answer or Answer()
    gone = turn.let_go(me, list(changes.let_go.values()))
    held = turn.held_systems(wish.now) if wish.held else None
    if wish.room:
        answer.claimed = turn.claim(me, wish.known, wish.room, wish.now, wish.crash_limit, wish.alone)
        peeked = turn.peek(wish.known)
    if wish.news or answer.claimed or wish.ask:
        _read_news(turn, me, wish, answer)
    if held is None and not wish.room and not changes.let_go and not answer.actions:
        turn.commit()
        return answer
    answer.gone = {row[0] for row in gone()}
    if held is not None:
        answer.held = dict(held())
    if wish.room:
        answer.next_wake = peeked()[0][0]
    if answer.claimed or answer.actions:
        more = adopt(answer)
        if more is not None:
            write(turn, more)
            answer.events = more.events
            turn.answer_actions(more.answers)
    turn.commit()
    return answer


def _read_news(turn: Turn, me: str, wish: Wish, answer: Answer) -> None:
    """Read after the claim and after the bell is cleared, never inside them: their snapshots are older."""
    rung = {row[0] for row in turn.news(me)()}
    claimed = [task.id for task in answer.claimed]
    if claimed:
        answer.steps = turn.read_steps(claimed)
    asked = [*rung, *claimed, *wish.ask]
    if asked:
        answer.actions = turn.open_actions(asked)


def write(turn: Turn, changes: Changes) -> None:
    """Write rows: systems and tasks are locked first, then steps, attempts, history."""
    touched = sorted({*changes.let_go, *changes.tasks, *changes.calmed})
    turn.lock_systems(sorted({row.waits_system for row in changes.let_go.values() if row.waits_system}))
    turn.lock_tasks(touched)
    turn.write_steps(list(changes.steps.values()))
    turn.put_steps(list(changes.forced.values()))
    turn.write_attempts(changes.attempts)
    turn.write_history(changes.history)
    turn.write_annotations(changes.annotations)
    if changes.worker is not None:
        turn.calm(changes.worker, sorted(changes.calmed))
    for change in changes.tasks.values():
        turn.put_task(change)
