"""Heart: the loop that ties claim, run, settle and hand-out together. One thread of one worker.

A turn: collect what arrived; apply it, purely; settle it in one transaction; and only after the commit publish
events and hand out the steps that became viable. While a commit is under way the next outcomes gather, so batches
grow by themselves under load, and are one step when idle.

Neighbours: `tasker.engine.hand_out` (what starts next), `tasker.engine.adopt` (claims, news and reconciling).
"""

from __future__ import annotations

import logging
import queue
import random as _random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, Protocol

from tasker.clock import Clock
from tasker.engine import adopt, hand_out
from tasker.engine.changes import Changes
from tasker.engine.execute import Attempt, timed_out
from tasker.engine.plan import Plan
from tasker.engine.run import TaskRun
from tasker.engine.settle import Answer, Wish, settle
from tasker.engine.verdict import announce, decide, hand_back
from tasker.errors import OwnershipLost, StoreUnavailable
from tasker.events import Event
from tasker.handlers.outcome import Outcome
from tasker.ids import new_id
from tasker.store.faults import Again, Refused
from tasker.store.turn import Turn, glance
from tasker.store.wire import Wire

_log = logging.getLogger("tasker.heart")

MARK_AFTER = 0.1
"""Seconds: a step that runs longer gets a row `in_progress`; one that is over sooner is written once."""
MOST_ROWS, MOST_BYTES = 1_000, 8 * 1024 * 1024
"""What one turn writes at most."""
POLL_FIRST, POLL_MOST = 0.25, 2.0
"""Seconds between polls: a lost wake-up costs at most the second."""
NEWS_EVERY, HELD_EVERY = 1.0, 0.5
"""Seconds between looks for news of owned tasks, and for held systems, when nothing rings."""


class Hands(Protocol):
    """Who runs attempts: threads, an asyncio loop, processes. Each outcome comes back through `Heart.deliver`."""

    def start(self, attempts: list[Attempt]) -> None: ...
    def stop(self, attempt: Attempt) -> None: ...


class Plans(Protocol):
    """What this process can run: plans by template row."""

    @property
    def known(self) -> Mapping[int, Plan]: ...


class Doorbell(Protocol):
    """How news of other processes is noticed where nothing rings (SQLite: a change of the `-wal` file)."""

    slice: float | None

    def rang(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings a heart obeys; durations in seconds."""

    concurrency: int = 20
    queues: tuple[str, ...] = ("default",)
    worker_timeout: float = 20.0
    crash_limit: int = 3
    max_payload_bytes: int = 1_048_576


class Silence:
    """The doorbell of a database that rings by itself."""

    slice: float | None = None

    def rang(self) -> bool:
        return False


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
        self.poll_at, self.poll_gap = 0.0, POLL_FIRST
        self.committed_at = self.clock.monotonic()
        self.count = 0

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
        return not (self.busy or waits or self._hurry()) and self.inbox.empty()

    @property
    def free(self) -> int:
        return max(0, self.limits.concurrency - self.busy)

    def run_once(self, wait: float | None = None) -> None:
        """One turn. `wait`: how many seconds to wait at most for something to do; None: as long as it takes."""
        if self.wire is None:
            self.connect()
        self._collect(wait)
        self.working, self.last_turn = True, self.clock.monotonic()
        now = self.clock.now()
        changes = self._apply(now)
        wish = self._wish(now)
        if wish.room and not self.more and not changes and not wish.asks:
            self._look_first(wish, now)
        if changes or wish.room or wish.asks:
            self._settle(changes, wish)
        hand_out.start(self)
        self.working = False

    def connect(self) -> None:
        """Register under a new id and open this thread's connection."""
        self.me, self.epoch = self.enlist(), 0
        self.wire = self.open_wire(self.me)
        self.rang = True

    def _collect(self, wait: float | None) -> None:
        """Wait for the first arrival or moment, then take what is there."""
        pause = 0.0 if self._hurry() else self._pause()
        if wait is not None:
            pause = min(pause, wait)
        limit = self.clock.monotonic() + pause
        while True:
            left = limit - self.clock.monotonic()
            gap = self.doorbell.slice
            try:
                item = (
                    self.inbox.get_nowait()
                    if left <= 0
                    else self.inbox.get(timeout=left if gap is None else min(left, gap))
                )
            except queue.Empty:
                if self.doorbell.rang():
                    self.poll_at = self.news_at = 0.0  # look; unlike a ring it may have been our own heartbeat
                    return
                if left <= 0:
                    return
                continue
            self._take(item)
            break
        size = 0
        while len(self.arrived) < MOST_ROWS and size < MOST_BYTES:
            try:
                item = self.inbox.get_nowait()
            except queue.Empty:
                return
            self._take(item)
            if item.__class__ is tuple:
                size += len(item[1].results or "")

    def _take(self, item: Any) -> None:
        if item.__class__ is tuple:
            self.busy -= 1
            self.arrived.append(item)
        elif item is None:
            self.rang = True
        elif isinstance(item, Attempt) and self.attempts.get(item.key) is item:
            self.unmarked.appendleft(item)

    def _hurry(self) -> bool:
        """Whether there is something to do without waiting."""
        return bool(
            self.arrived
            or self.touched
            or self.rang
            or self.ask
            or self.again
            or self.marked
            or (self.suspects and self.free)
            or (self.more and self._room() > 0)
        )

    def _pause(self) -> float:
        """Seconds until the next moment that needs a turn."""
        now, mono = self.clock.now(), self.clock.monotonic()
        moments = [60.0]
        if self._room() > 0:
            moments.append((self.poll_at if self.next_wake is None else min(self.poll_at, self.next_wake)) - now)
        if self.timers:
            moments.append(self.timers[0][0] - now)
        if self.timeouts:
            moments.append(self.timeouts[0][0] - mono)
        if self.unmarked:
            moments.append(self.unmarked[0].started + MARK_AFTER - mono)
        if self.runs:
            moments.append(self.news_at + NEWS_EVERY - mono)
        return max(0.0, min(moments))

    # apply

    def _apply(self, now: float) -> Changes:
        """Turn what arrived into changes; pure but for this heart's own memory."""
        changes = Changes(self.me, self.new_id, self.wanted)
        mono = self.clock.monotonic()
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
        for run in self.touched.values():
            if run.id in self.runs:
                self._judge(run, now, changes)
        self.touched = {}
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

    def _expire(self, now: float, mono: float, changes: Changes) -> None:
        """Make due what has come due: waiting steps, deadlines, timeouts."""
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

    def give_up(self, attempt: Attempt) -> None:
        """Tell whoever runs it that nobody wants the outcome; its slot is busy until it really ends."""
        attempt.over = True
        self.hands.stop(attempt)

    def _mark(self, mono: float, changes: Changes) -> None:
        """Show steps that run long, and the progress they report."""
        while self.unmarked and (self.unmarked[0].started + MARK_AFTER <= mono or self.unmarked[0].progress):
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
        self.drop_unwanted(run)

    def drop_unwanted(self, run: TaskRun) -> None:
        """End attempts whose step is not running any more: cancelled, resolved, skipped, run again."""
        if len(run.running) == sum(1 for i in run.running if (run.id, i) in self.attempts) and not any(
            key[0] == run.id and key[1] not in run.running for key in self.attempts
        ):
            return
        for key, attempt in list(self.attempts.items()):
            if key[0] == run.id and key[1] not in run.running:
                del self.attempts[key]
                self.give_up(attempt)

    def push(self, run: TaskRun, i: int) -> None:
        """Put a viable step among those that wait for a slot."""
        self.count += 1
        heappush(self.backlog, (-run.priority, run.plan.steps[i].order, self.count, run, i))

    # settle

    def _room(self) -> int:
        """How many tasks to claim: quick steps are fetched ahead, slow ones are not hoarded."""
        if self.draining:
            return 0
        horizon = self.clock.monotonic() - 0.1
        while self.ended and self.ended[0] < horizon:
            self.ended.popleft()
        return min(1_000, max(self.free, len(self.ended)) - len(self.backlog))

    def _wish(self, now: float) -> Wish:
        mono = self.clock.monotonic()
        self.more = self.more or self.rang
        due = self.more or now >= self.poll_at or (self.next_wake is not None and self.next_wake <= now)
        room = max(0, self._room()) if due else 0
        known = self.plans.known
        systems = any(plan.systems for plan in known.values())
        return Wish(
            now=now,
            known=[(name, template) for name in self.limits.queues for template in known] if room else (),
            room=room if known else 0,
            crash_limit=self.limits.crash_limit,
            alone=not any(run.crashes >= self.limits.crash_limit - 1 for run in self.runs.values() if run.crashes),
            news=bool(self.runs) and (self.rang or mono - self.news_at >= NEWS_EVERY),
            held=systems and bool(self.runs or room) and mono - self.held_at >= HELD_EVERY,
            ask=self.ask,
        )

    def _look_first(self, wish: Wish, now: float) -> None:
        """An idle poll is one SELECT without a transaction; only what is due opens one."""
        assert self.wire is not None
        try:
            next_wake = glance(self.wire, wish.known)
        except (StoreUnavailable, Again) as error:
            wish.room = 0
            self.lost(error)
            return
        if next_wake is None or next_wake > now:
            wish.room = 0
            self._schedule(next_wake, now)

    def _schedule(self, next_wake: float | None, now: float) -> None:
        self.next_wake = next_wake
        self.poll_gap = min(POLL_MOST, self.poll_gap * 2)
        self.poll_at = now + self.poll_gap
        if next_wake is not None and next_wake <= now:
            # Due but not for us (locked by somebody, or a suspect that must run alone): do not spin.
            self.next_wake = now + 0.02

    def _settle(self, changes: Changes, wish: Wish) -> None:
        """Write the turn; whatever goes wrong, nothing that happened is lost."""
        assert self.wire is not None
        while True:
            try:
                with Turn(self.wire) as turn:
                    answer = Answer()
                    settle(turn, self.me, self.epoch, changes, wish, lambda a: adopt.take_in(self, a), answer)
                break
            except Again as error:
                _log.info("settle again: %s", error)
                if answer.acted:  # memory is ahead of the rows
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
                self.poll_gap = POLL_FIRST
            self._schedule(answer.next_wake, wish.now)
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

    # when things go wrong

    def lost(self, error: BaseException) -> None:
        """The connection is gone: outcomes stay in memory, and the rows are the truth from now on."""
        _log.warning("the database is away: %s", error)
        if self.wire is not None:
            try:
                self.wire.close()
            except Exception:
                _log.debug("closing a lost connection failed", exc_info=True)
        adopt.reconcile(self)

    def drop_all(self, error: BaseException) -> None:
        """Declared dead: nothing here is ours any more. Register anew."""
        _log.error("worker %s was declared dead; what it held belongs to others now: %s", self.me, error)
        for attempt in self.attempts.values():
            self.give_up(attempt)
        self.forget()
        self.connect()


def _progress(fraction: float, text: str) -> str:
    import json

    return json.dumps({"fraction": fraction, "text": text}, ensure_ascii=False)
