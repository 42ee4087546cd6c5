"""Heartbeat: one thread that says this worker lives, listens for the bell, and takes over from the dead.

It vouches for the heart: no beat while the heart has work and has not finished a turn for half the timeout. It judges
the silence of others only after two of its own beats in a row went well; a process of this host that is gone needs no
such wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasker.brokers.database import channel
from tasker.engine.heart import Heart
from tasker.errors import StoreError
from tasker.store import workers as w
from tasker.store.faults import Again, fault
from tasker.store.store import Store
from tasker.upkeep.rescue import rescue, sweep
from tasker.worker.process import Process, is_gone, this_process

_log = logging.getLogger("tasker.worker")

LOOK = 0.5
"""Seconds between looks whether a neighbour's process is gone."""
WORKERS = "workers"
"""Rung when a worker registers: neighbours learn of it at once."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """The settings a heartbeat obeys, seconds."""

    every: float
    timeout: float


class Heartbeat:
    """One worker's heartbeat; `start` and `stop` as often as you like.

    Args:
        facts: what BEAT writes beside the time: `free`, `templates`.
        on_templates: called when the number of stored templates has changed.
        on_lost: called with the id of each worker this one found dead.
        on_beat: called after each beat, for what should be looked at now and then.
    """

    def __init__(
        self,
        store: Store,
        heart: Heart,
        vitals: Vitals,
        facts: Callable[[], dict[str, Any]],
        on_templates: Callable[[], None],
        on_lost: Callable[[str], None] = lambda worker: None,
        on_beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._heart, self._vitals = store, heart, vitals
        self._facts, self._on_templates, self._on_lost, self._on_beat = facts, on_templates, on_lost, on_beat
        self._neighbours: list[tuple[str, Process]] = []
        self._silent: list[str] = []
        self._good = 0
        self._beat_at: float | None = None
        self._templates: int | None = None
        self._sweep_at = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._ears: Any = None

    def start(self) -> None:
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="tasker-heartbeat", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None

    def run_once(self) -> None:
        """Beat, and take over from whoever is dead."""
        if self._hung():
            self._good = 0
        elif self._heart.me:
            self._beat()
            self._look_around()
        self._take_over()

    def _run(self) -> None:
        next_beat = 0.0
        while not self._stop.is_set():
            try:
                if time.monotonic() >= next_beat:
                    next_beat = time.monotonic() + self._vitals.every
                    self.run_once()
                    self._on_beat()
                else:
                    self._take_over()
                self._listen(min(LOOK, max(0.01, next_beat - time.monotonic())))
            except Exception as error:
                self._good = 0
                self._drop_ears()
                meant = fault(error)
                away = isinstance(meant, StoreError)
                _log.log(logging.WARNING if away else logging.ERROR, "heartbeat: %s", meant, exc_info=not away)
                self._stop.wait(min(1.0, self._vitals.every))
        self._drop_ears()

    def _hung(self) -> bool:
        return self._heart.working and time.monotonic() - self._heart.last_turn > self._vitals.timeout / 2

    def _beat(self) -> None:
        parameters = {"id": self._heart.me, "server_now": time.time(), **self._facts()}
        before = self._store.clock.monotonic()
        rows = self._store.retrying(lambda turn: turn.run(w.BEAT, parameters))
        if not rows:
            self._good = 0
            self._heart.ring()  # declared dead: its fence will say so
            return
        now, templates = rows[0]
        # By the database's time: the monotonic clock of a machine that was suspended stood still.
        missed = self._beat_at is not None and now - self._beat_at > 2 * self._vitals.every
        self._good = 1 if missed else self._good + 1
        self._beat_at = now
        if self._store.dialect == "postgresql":
            self._store.clock.set(now + (self._store.clock.monotonic() - before) / 2)
        if templates != self._templates:
            self._templates = templates
            self._on_templates()

    def _look_around(self) -> None:
        parameters = {"id": self._heart.me, "timeout": self._vitals.timeout, "server_now": time.time()}
        found = self._store.ask(w.NEIGHBOURS, parameters)
        self._neighbours = [(row[0], Process(*row[1:5])) for row in found]
        self._silent = [row[0] for row in found if row[5]] if self._good >= 2 else []
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + self._vitals.timeout
            if sweep(self._store):
                self._heart.ring()

    def _take_over(self) -> None:
        me = this_process()
        gone = [worker for worker, process in self._neighbours if process != me and is_gone(process)]
        silent, self._silent = self._silent, []
        for worker in {*gone, *silent}:
            try:
                freed = rescue(self._store, worker, gone=worker in gone, timeout=self._vitals.timeout)
            except Again:
                freed = None
            if freed is not None:
                self._neighbours = [pair for pair in self._neighbours if pair[0] != worker]
                self._on_lost(worker)
                self._heart.ring()
            elif worker in silent:
                self._silent.append(worker)  # its row is locked, or it beats again: the next look tells

    def _listen(self, seconds: float) -> None:
        """Wait for the bell; on SQLite just wait: the heart watches the file."""
        if self._store.dialect == "sqlite":
            self._stop.wait(seconds)
            return
        if self._ears is None:
            self._ears = self._store.listening(channel=channel(self._store))
            self._heart.ring()  # what rang before we listened
        for notice in self._ears.notifies(timeout=seconds, stop_after=1):
            if notice.payload == WORKERS:
                self._look_around()
            elif notice.payload in ("work", self._heart.me):
                self._heart.ring()

    def _drop_ears(self) -> None:
        if self._ears is not None:
            try:
                self._ears.close()
            finally:
                self._ears = None
