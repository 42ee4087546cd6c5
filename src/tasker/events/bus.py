"""Bus: hands events to subscribers, in a thread of its own, in the order they were committed.

A subscriber's exception is logged and goes no further. `async def` subscribers run on a loop of the same thread.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

from tasker.events.catalog import Event

_log = logging.getLogger("tasker.events")


class Bus:
    """Subscribers of one app."""

    def __init__(self) -> None:
        self._subscribers: dict[type[Event], list[Callable[[Any], Any]]] = {}
        self._inbox: queue.SimpleQueue[Event | threading.Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def subscribe(self, kinds: Iterable[type[Event]], subscriber: Callable[[Any], Any]) -> None:
        for kind in kinds:
            self._subscribers.setdefault(kind, []).append(subscriber)

    def wants(self, kind: type[Event]) -> bool:
        """Whether anybody listens: an event that nobody wants is never made."""
        return kind in self._subscribers

    def publish(self, events: Iterable[Event]) -> None:
        """Hand over events whose facts are committed; returns at once."""
        for event in events:
            if self._thread is None:
                self._start()
            self._inbox.put(event)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything published so far has been told."""
        if self._thread is None:
            return True
        told = threading.Event()
        self._inbox.put(told)
        return told.wait(timeout)

    def forget(self) -> None:
        """After a fork: the thread is the parent's."""
        self._thread, self._inbox, self._lock = None, queue.SimpleQueue(), threading.Lock()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._tell_all, name="tasker-events", daemon=True)
                self._thread.start()

    def _tell_all(self) -> None:
        loop: asyncio.AbstractEventLoop | None = None
        while True:
            event = self._inbox.get()
            if isinstance(event, threading.Event):
                event.set()
                continue
            for subscriber in self._subscribers.get(type(event), ()):
                try:
                    answer = subscriber(event)
                    if inspect.isawaitable(answer):
                        loop = loop or asyncio.new_event_loop()
                        loop.run_until_complete(answer)
                except Exception:
                    _log.exception("a subscriber of %s failed", event.name)
