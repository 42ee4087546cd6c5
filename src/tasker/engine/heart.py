"""Heart: the loop that ties claim, run, settle and hand-out together. One thread of one worker.

A turn: collect what arrived; apply it, purely; settle it in one transaction; and only after the commit publish
events and hand out the steps that became viable. While a commit is under way the next outcomes gather, so batches
grow by themselves under load, and are one step when idle.

Neighbours, in the order of a turn: `collect`, `run`, `verdict`, `claim`, `settle`, `adopt`, `hand_out`.
"""

from __future__ import annotations

import logging
import queue
import random as _random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import Any

from tasker.clock import Clock
from tasker.engine import adopt, claim, collect, hand_out
from tasker.engine.changes import Changes
from tasker.engine.execute import Attempt, timed_out
from tasker.engine.outside import Doorbell, Hands, Limits, Plans, Silence
from tasker.engine.run import TaskRun
from tasker.engine.settle import Answer, Wish, settle
from tasker.engine.verdict import announce, decide, hand_back
from tasker.errors import OwnershipLost, StoreUnavailable
from tasker.events import Event
from tasker.handlers.outcome import Outcome, storable
from tasker.ids import new_id
from tasker.states import TaskState
from tasker.store.faults import Again, Refused
from tasker.store.turn import Turn
from tasker.store.wire import Wire

_log = logging.getLogger("tasker.heart")


class Heart:
    """One worker's loop over one database.

    Args:
        open_wire: opens the connection of this thread.
        enlist: registers a worker row and returns its id.
        hands: runs attempts.
        finished: told, after the commit, which tasks were let go.
        publish: takes events after the commit.
        wanted: whether anybody listens to a class of event.
    """

    def __init__(
        self,
        *,
        open_wire: Callable[[str], Wire],
        enlist: Callable[[], str],
        plans: Plans,
        hands: Hands,
        clock: Clock,
        limits: Limits,
        doorbell: Doorbell | None = None,
        finished: Callable[[Iterable[str]], None] = lambda ids: None,
        publish: Callable[[Iterable[Event]], None] = lambda events: None,
        wanted: Callable[[type[Event]], bool] = lambda kind: False,
        fetch: Callable[[str, list[str]], Mapping[str, str | None]] = lambda task_id, names: {},
        new_id: Callable[[], Any] = new_id,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self.open_wire, self.enlist, self.plans, self.hands = open_wire, enlist, plans, hands
        self.clock, self.limits, self.doorbell = clock, limits, doorbell or Silence()
        self.finished, self.publish, self.wanted, self.fetch = finished, publish, wanted, fetch
        self.new_id, self.random = new_id, random
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.me, self.epoch = "", 0
        self.wire: Wire | None = None
        self.draining = self.hurried = False
        self.give_up_at: float | None = None
        self.stopped = threading.Event()
        self.working, self.last_turn = False, clock.monotonic()
        self.busy = 0
        self.forget()

    def forget(self) -> None:
        """Drop everything in memory: nothing is owned. Slots stay busy until their handlers end."""
        self.runs: dict[str, TaskRun] = {}
        self.attempts: dict[tuple[str, int], Attempt] = {}
        self.backlog: list[tuple[Any, ...]] = []
        self.timers: list[tuple[float, int, TaskRun, int]] = []
        self.many_timers = 1_000
        self.timeouts: list[tuple[float, int, Attempt]] = []
        self.unmarked: deque[Attempt] = deque()
        self.touched: dict[str, TaskRun] = {}
        self.arrived: list[tuple[Attempt, Outcome]] = []
        self.suspects: list[tuple[TaskRun, int]] = []
        self.marked: list[Attempt] = []
        self.held: dict[str, float | None] = {}
        self.ended: deque[float] = deque()
        self.ask: list[str] = []
        self.rang, self.more, self.again = True, True, False
        self.news_at, self.held_at, self.patience_at = 0.0, -1e9, 0.0
        self.next_wake: float | None = None
        self.poll_at, self.poll_gap, self.again_gap = 0.0, claim.POLL_FIRST, claim.AGAIN_FIRST
        self.committed_at = self.clock.monotonic()
        self.count = 0
        self.turn_at = 0.0

    # from other threads

    def ring(self) -> None:
        """Look for work and news now."""
        self.inbox.put(None)

    def deliver(self, attempt: Attempt, outcome: Outcome) -> None:
        """Take the outcome of an attempt that really ended: its slot is free."""
        self.inbox.put((attempt, outcome))

    # what an attempt needs (`execute.World`)

    def now(self) -> float:
        return self.clock.now()

    @property
    def max_payload_bytes(self) -> int:
        return self.limits.max_payload_bytes

    def report(self, attempt: Attempt, fraction: float, text: str) -> None:
        attempt.progress = (fraction, text)
        self.inbox.put(attempt)

    # the turn

    @property
    def idle(self) -> bool:
        """Nothing runs, nothing is viable, nothing arrived: only time can bring work."""
        waits = any(i in run.viable and self.runs.get(run.id) is run for *_, run, i in self.backlog)
        return not (self.busy or waits or collect.hurry(self)) and self.inbox.empty()

    @property
    def free(self) -> int:
        return max(0, self.limits.concurrency - self.busy)

    def run_once(self, wait: float | None = None) -> None:
        """One turn. `wait`: how many seconds to wait at most for something to do; None: as long as it takes."""
        if self.wire is None:
            self.connect()
        collect.collect(self, wait)
        self.working, self.last_turn = True, self.clock.monotonic()
        now = self.clock.now()
        changes = self._apply(now)
        wish = claim.wish_of(self, now)
        self.rang = self.rang and wish.news  # it is in the wish now; what asked for news is cleared by the commit
        if wish.room and not self.more and not changes and not wish.asks:
            claim.look_first(self, wish, now)
        if self.wire is None:  # declared dead meanwhile: the next turn registers anew
            return
        if changes or wish.room or wish.asks:
            self._settle(changes, wish)
        hand_out.start(self)
        self.working = False

    def connect(self) -> None:
        """Register under a new id and open this thread's connection."""
        self.me, self.epoch = self.enlist(), 0
        self.wire = self.open_wire(self.me)
        self.rang = True

    # apply

    def _apply(self, now: float) -> Changes:
        """Turn what arrived into changes; pure but for this heart's own memory."""
        changes = Changes(self.me, self.new_id, self.wanted)
        mono = self.turn_at = self.clock.monotonic()
        for attempt, outcome in self.arrived:
            self.ended.append(mono)
            if self.attempts.get(attempt.key) is not attempt:
                _log.debug("late outcome of %s attempt %s dropped", attempt.step.name, attempt.number)
                continue
            del self.attempts[attempt.key]
            self.outcome(attempt, outcome, now, changes)
        self.again = False
        self._expire(now, mono, changes)
        self._mark(mono, changes)
        hand_out.mark_suspects(self, changes)
        touched, self.touched = self.touched, {}
        for run in touched.values():
            if run.id in self.ask:  # an action may be open on it: read that before letting go
                self.touched[run.id] = run
            elif run.id in self.runs:
                self._judge(run, now, changes)
        for run in hand_out.impatient(self, mono):
            changes.let_go[run.id] = hand_back(run, now)
        return changes

    def outcome(self, attempt: Attempt, outcome: Outcome, now: float, changes: Changes) -> None:
        """Apply one outcome to its task."""
        run, i = attempt.run, attempt.step.index
        for opened in run.apply(i, attempt.number, outcome, now, self.random, changes):
            self.push(run, opened)
        if i in run.viable:
            self.push(run, i)
        if i in run.waiting:
            self.count += 1
            heappush(self.timers, (run.waiting[i], self.count, run, i))
        self.touched[run.id] = run
        run.since = self.turn_at

    def _expire(self, now: float, mono: float, changes: Changes) -> None:
        """Make due what has come due: waiting steps, deadlines, timeouts."""
        self._compact()
        while self.timers and self.timers[0][0] <= now:
            _, _, run, i = heappop(self.timers)
            if self.runs.get(run.id) is run:
                self.touched[run.id] = run
                if i >= 0 and run.due(i, now):
                    self.push(run, i)
        while self.timeouts and self.timeouts[0][0] <= mono:
            _, _, attempt = heappop(self.timeouts)
            if self.attempts.get(attempt.key) is attempt:
                del self.attempts[attempt.key]
                self.give_up(attempt)
                late = timed_out(attempt, now)
                self.arrived.append((attempt, late))  # unsaved until the commit, like any other outcome
                self.outcome(attempt, late, now, changes)

    def _compact(self) -> None:
        """Forget moments of what is over long before they come, so that memory is bounded."""
        if len(self.timers) > self.many_timers:
            self.timers = [entry for entry in self.timers if self.runs.get(entry[2].id) is entry[2]]
            heapify(self.timers)
            self.many_timers = 1_000 + 2 * len(self.timers)
        if len(self.timeouts) > 1_000 + 4 * len(self.attempts):
            self.timeouts = [entry for entry in self.timeouts if self.attempts.get(entry[2].key) is entry[2]]
            heapify(self.timeouts)

    def give_up(self, attempt: Attempt) -> None:
        """Tell whoever runs it that nobody wants the outcome; its slot is busy until it really ends."""
        attempt.over = True
        self.hands.stop(attempt)

    def _mark(self, mono: float, changes: Changes) -> None:
        """Show steps that run long, and the progress they report."""
        while self.unmarked and (self.unmarked[0].started + collect.MARK_AFTER <= mono or self.unmarked[0].progress):
            attempt = self.unmarked.popleft()
            if self.attempts.get(attempt.key) is attempt:
                progress = None if attempt.progress is None else _progress(*attempt.progress)
                attempt.run.write(attempt.step.index, changes, progress=progress)

    def _judge(self, run: TaskRun, now: float, changes: Changes) -> None:
        gone = decide(run, now, changes, keep=0.0 if self.draining else 2.0)
        if gone is None and self.draining and not run.running:
            gone = hand_back(run, now)
        if gone is not None:
            changes.let_go[run.id] = gone
            if gone.state == TaskState.ERROR:  # a deadline ends what runs
                self.drop_unwanted(run)

    def drop_unwanted(self, run: TaskRun) -> None:
        """End attempts whose step is not running any more: cancelled, resolved, skipped, run again."""
        for key, attempt in list(self.attempts.items()):
            if key[0] == run.id and key[1] not in run.running:
                del self.attempts[key]
                self.give_up(attempt)

    def push(self, run: TaskRun, i: int) -> None:
        """Put a viable step among those that wait for a slot."""
        self.count += 1
        heappush(self.backlog, (-run.priority, run.plan.steps[i].order, self.count, run, i))

    # settle

    def _settle(self, changes: Changes, wish: Wish) -> None:
        """Write the turn; whatever goes wrong, nothing that happened is lost."""
        assert self.wire is not None
        while True:
            answer = Answer()
            try:
                with Turn(self.wire) as turn:
                    settle(turn, self.me, self.epoch, changes, wish, lambda a: adopt.take_in(self, a), answer)
                break
            except Again as error:
                _log.info("settle again: %s", error)
                if answer.acted or self.out_of_patience:  # memory is ahead of the rows, or nobody waits any more
                    return self.lost(error)
                time.sleep(0.01 * self.random())
            except OwnershipLost as error:
                return self.drop_all(error)
            except StoreUnavailable as error:
                return self.lost(error)
            except Refused as error:
                adopt.split(self, changes, error)
                return None
        self.absorb(changes, wish, answer)
        return None

    def absorb(self, changes: Changes, wish: Wish, answer: Answer) -> None:
        """The turn is committed: memory follows."""
        mono = self.clock.monotonic()
        self.committed_at = mono
        self.arrived = []
        self.rang = False
        if wish.room:
            self.more = len(answer.claimed) >= wish.room
            if answer.claimed:
                self.poll_gap, self.again_gap = claim.POLL_FIRST, claim.AGAIN_FIRST
            claim.schedule(self, answer.next_wake, wish.now)
        if wish.news or answer.claimed:
            self.news_at = mono
        if wish.ask:
            self.ask = []
        gone = [row for row in changes.let_go.values() if row.id in answer.gone]
        for row in gone:
            run = self.runs.pop(row.id)
            announce(run, row, changes)
            if row.wake_at is not None:
                self.next_wake = row.wake_at if self.next_wake is None else min(self.next_wake, row.wake_at)
        for row in changes.let_go.values():
            if row.id not in answer.gone and row.id in self.runs:
                self.touched[row.id] = self.runs[row.id]
                self.ask.append(row.id)
        if answer.held is not None:
            hand_out.take_held(self, answer.held, mono)
        adopt.absorb(self, answer, changes)
        if changes.events or answer.events:
            self.publish([*changes.events, *answer.events])
        if gone:
            self.finished([row.id for row in gone])
        try:
            adopt.read_contexts(self, answer.claimed)
        except (StoreUnavailable, Again) as error:
            self.lost(error)

    # when things go wrong

    def lost(self, error: BaseException) -> None:
        """The connection is gone: outcomes stay in memory, and the rows are the truth from now on."""
        _log.warning("the database is away: %s", error)
        self.hang_up()
        adopt.reconcile(self)

    @property
    def out_of_patience(self) -> bool:
        """Whether a stopping worker waits no longer for a database that is away."""
        return self.hurried or (self.give_up_at is not None and self.clock.monotonic() > self.give_up_at)

    def hang_up(self) -> None:
        """Close this thread's connection."""
        wire, self.wire = self.wire, None
        if wire is not None:
            try:
                wire.close()
            except Exception:
                _log.debug("closing a lost connection failed", exc_info=True)

    def drop_all(self, error: BaseException) -> None:
        """Declared dead: nothing here is ours any more. Register anew."""
        _log.error("worker %s was declared dead; what it held belongs to others now: %s", self.me, error)
        for attempt in self.attempts.values():
            self.give_up(attempt)
        self.forget()
        self.hang_up()  # the next turn registers anew


def _progress(fraction: float, text: str) -> str:
    import json

    return json.dumps({"fraction": fraction, "text": storable(text)}, ensure_ascii=False)
