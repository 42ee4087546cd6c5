"""Worker: heart, hands and heartbeat of one process, started and stopped together."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from tasker.brokers.database import Ringer, WalWatch
from tasker.config import Settings
from tasker.engine.adopt import GaveUp
from tasker.engine.drain import drain
from tasker.engine.heart import Heart
from tasker.engine.outside import Limits, Plans
from tasker.errors import StoreError
from tasker.events import WorkerLost, WorkerStarted, WorkerStopped
from tasker.events.bus import Bus
from tasker.ids import new_id
from tasker.store import workers as w
from tasker.store.store import Store
from tasker.store.turn import Turn
from tasker.upkeep.rescue import rescue
from tasker.worker.hands import Hands, watch_loop
from tasker.worker.heartbeat import WORKERS, Heartbeat, Vitals
from tasker.worker.process import host, this_process

_log = logging.getLogger("tasker.worker")

VERSION = "0.1.0"
PAUSE_AFTER_FAULT = 1.0
"""Seconds, so that a fault that comes back does not spin."""


class Worker:
    """One worker. `start` and `stop` may be called in any order, and twice.

    Args:
        finished: told after the commit which tasks were let go.
        refresh: looks for newly stored shapes that the handlers here can run.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        plans: Plans,
        bus: Bus,
        ringer: Ringer,
        finished: Callable[[Iterable[str]], None],
        refresh: Callable[[], None],
        hands: Any = None,
    ) -> None:
        self._store, self._settings, self._plans, self._bus, self._ringer = store, settings, plans, bus, ringer
        self.hands = hands or Hands(settings.concurrency)
        self.heart = Heart(
            open_wire=store.wire,
            enlist=self._enlist,
            plans=plans,
            hands=self.hands,
            clock=store.clock,
            limits=Limits(
                settings.concurrency,
                settings.queues,
                settings.worker_timeout_seconds,
                settings.crash_limit,
                settings.max_payload_bytes,
            ),
            doorbell=WalWatch(store) if store.dialect == "sqlite" else None,
            finished=finished,
            publish=bus.publish,
            wanted=bus.wants,
            fetch=self._fetch,
        )
        self.hands.deliver = self.heart.deliver
        self._heard = threading.Event()
        self.heartbeat = Heartbeat(
            store,
            self.heart,
            Vitals(settings.heartbeat_seconds, settings.worker_timeout_seconds),
            facts=self._facts,
            on_templates=refresh,
            on_lost=lambda worker: bus.publish([WorkerLost(worker)]),
            on_beat=lambda: watch_loop(self.hands, self._heard),
        )
        self._grace = settings.grace_seconds
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.failed: BaseException | None = None

    def start(self) -> None:
        """Register, and begin to claim. Raises what keeps a worker from starting."""
        if self._thread is not None:
            return
        if self.heart.draining:
            raise RuntimeError("this worker was stopped; make another")
        self.heart.connect()
        self._stop.clear()
        self._thread = threading.Thread(target=self._beat_on, name="tasker-heart", daemon=True)
        self._thread.start()
        self.heartbeat.start()
        self._bus.publish([WorkerStarted(self.heart.me)])
        _log.info("worker %s serves %s on %s", self.heart.me, ", ".join(self._settings.queues), self._store.name)

    def stop(self, grace: float | None = None) -> None:
        """Leave in grades (`tasker.engine.drain`); `grace`: seconds to wait for running steps."""
        if self._thread is None:
            return
        self._grace = self._settings.grace_seconds if grace is None else grace
        self._stop.set()
        self.heart.stopped.set()
        self.heart.ring()
        self._thread.join()
        self._thread = None
        # The heart has settled the last step: only now may the heartbeat lapse.
        self.heartbeat.stop()
        self.hands.close()
        self._bus.publish([WorkerStopped(self.heart.me)])

    def hurry(self) -> None:
        """Do not wait for running steps any longer."""
        self.heart.hurried = True
        self.heart.inbox.put(None)

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _beat_on(self) -> None:
        try:
            while not self._stop.is_set():
                self._turn()
            self.heart.stopped.clear()
            drain(self.heart, self._grace)
        except GaveUp:
            _log.warning("stopped while the database was away; a neighbour takes over what was owned")
        except BaseException as error:
            self.failed = error
            _log.exception("the heart of worker %s stopped; its tasks go to others", self.heart.me)
            self.heart.hang_up()

    def _turn(self) -> None:
        """One turn; a database that is away, or a fault of ours, must not leave a heart that stands still."""
        try:
            self.heart.run_once()
        except GaveUp:
            raise
        except StoreError as error:
            if self.heart.wire is not None:
                self.heart.lost(error)
            else:
                _log.warning("cannot register: %s", error)
                self._stop.wait(PAUSE_AFTER_FAULT)
        except Exception as error:
            self._begin_anew(error)

    def _begin_anew(self, error: Exception) -> None:
        """Free what is held and register anew in the next turn."""
        _log.exception("a turn of worker %s failed; what it held is freed: please report this", self.heart.me)
        try:
            rescue(self._store, self.heart.me, gone=True, timeout=0.0)
        except StoreError as away:
            _log.warning("its neighbours will free it: %s", away)
        self._stop.wait(PAUSE_AFTER_FAULT)
        self.heart.drop_all(error)

    def _enlist(self) -> str:
        me = str(new_id())
        facts = {
            "id": me,
            "host": host(),
            **this_process()._asdict(),
            "queues": json.dumps(self._settings.queues),
            "templates": json.dumps(list(self._plans.known)),
            "concurrency": self._settings.concurrency,
            "version": VERSION,
            "server_now": time.time(),
        }

        def register(turn: Turn) -> None:
            turn.send(w.REGISTER, facts)

        self._store.retrying(register)
        self._ringer.ring(WORKERS)
        return me

    def _facts(self) -> dict[str, Any]:
        return {"free": self.heart.free, "templates": json.dumps(list(self._plans.known))}

    def _fetch(self, task_id: str, names: list[str]) -> dict[str, str | None]:
        found: dict[str, str | None] = self._store.retrying(lambda turn: turn.read_payloads(task_id, names))
        return found
