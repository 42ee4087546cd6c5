"""Serving: the workers of this process: made, started, rung, stopped."""

from __future__ import annotations

import dataclasses
import logging
import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from tasker.config import Settings
from tasker.definition import environment
from tasker.errors import ConfigError

if TYPE_CHECKING:
    from tasker.app.app import App
    from tasker.brokers.database import Ringer
    from tasker.worker.worker import Worker

_log = logging.getLogger("tasker.worker")


class Serving:
    """The workers of one app in this process."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._workers: list[Worker] = []
        self._ringer: Ringer | None = None
        self._lock = threading.RLock()

    @property
    def ringer(self) -> Ringer:
        from tasker.brokers.database import Ringer

        with self._lock:
            if self._ringer is None:
                self._ringer = Ringer(self._app.store)
            return self._ringer

    @property
    def busy(self) -> bool:
        """Whether a worker runs in this process."""
        return any(worker.alive for worker in self._workers)

    def make(self, *, concurrency: int | None = None, queues: Sequence[str] | None = None, hands: Any = None) -> Worker:
        """Make a worker: templates sealed and stored, settings checked; not started yet.

        Raises:
            DefinitionError: a template is wrong, or (in production) stored with another shape.
            ConfigError: a `${VAR}` that is not set, or no slot.
        """
        from tasker.app.deploy import stranded
        from tasker.app.shelf import Shelf
        from tasker.worker.worker import Worker

        app = self._app
        settings = _with(app.settings, concurrency, queues)
        sealed = [draft.seal() for draft in app.registry.all()]
        _refuse_unset(sealed)
        shelf = Shelf(app.store, sealed)
        shelf.store_own(production=settings.production)
        for left in stranded(app):
            _log.warning("nobody will serve %s", left.text)
        worker = Worker(app.store, settings, shelf, app.bus, self.ringer, app.finished, shelf.refresh, hands)
        with self._lock:
            self._workers.append(worker)
        return worker

    def end(self, worker: Worker, grace: float | None = None) -> None:
        worker.stop(grace)
        with self._lock:
            if worker in self._workers:
                self._workers.remove(worker)

    def start(self) -> None:
        """Start one worker, unless one runs or this process only enqueues."""
        with self._lock:
            for ended in [worker for worker in self._workers if not worker.alive]:
                self.end(ended, 0)
            if self._workers or self._app.settings.concurrency == 0:
                return
            worker = self.make()
            try:
                worker.start()
            except BaseException:
                self._workers.remove(worker)
                raise

    def stop(self, grace: float | None = None) -> None:
        for worker in list(self._workers):
            self.end(worker, grace)
        if self._ringer is not None:
            self._ringer.close()
            self._ringer = None

    def run(self, *, queues: Sequence[str] | None, concurrency: int | None) -> None:
        """Be a worker process. Signal handlers only wake this thread."""
        worker = self.make(concurrency=concurrency, queues=queues)
        asked = threading.Semaphore(0)

        def wake(number: int, frame: FrameType | None) -> None:
            asked.release()

        before = {number: signal.signal(number, wake) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            worker.start()
            while not asked.acquire(timeout=1.0):
                if not worker.alive:
                    raise worker.failed or RuntimeError("the worker's heart stopped")
            _log.info(
                "stopping: waiting up to %g s for running steps; a second signal does not wait",
                self._app.settings.grace_seconds,
            )
            stopping = threading.Thread(target=self.end, args=(worker,))
            stopping.start()
            while stopping.is_alive():
                if asked.acquire(timeout=0.1):
                    worker.hurry()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self.stop(0)

    def ring(self, owner: str | None = None) -> None:
        for worker in list(self._workers):
            worker.heart.ring()
        if self._app.store.dialect == "postgresql":
            self.ringer.ring(owner or "work")


def _with(settings: Settings, concurrency: int | None, queues: Sequence[str] | None) -> Settings:
    if concurrency is not None:
        settings = dataclasses.replace(settings, concurrency=concurrency)
    if queues is not None:
        settings = dataclasses.replace(settings, queues=tuple(queues))
    if settings.concurrency < 1:
        raise ConfigError(
            "concurrency is 0: this process only enqueues. Start a worker with concurrency=20 or the like"
        )
    if not settings.queues:
        raise ConfigError('queues is empty: a worker serves at least one, e.g. queues=["default"]')
    return settings


def _refuse_unset(sealed: Sequence[Any]) -> None:
    """A worker whose handlers will miss a variable must not start."""
    import os

    for template in sealed:
        for name, step in template.policy.steps.items():
            written = [step.config, getattr(template.handlers[name].fn, "options", None)]
            missing = environment.unset(written, os.environ)
            if missing:
                raise ConfigError(f"step {name!r} of {template.ref}: ${{{missing[0]}}} is not set in this environment")
