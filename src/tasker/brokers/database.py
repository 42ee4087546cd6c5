"""The database as doorbell: NOTIFY on PostgreSQL, a change of the `-wal` file on SQLite.

NOTIFY serialises commits, so it is never sent inside a host's or a heart's transaction: a thread of its own sends at
most one per 10 ms, on its own connection. What is rung for is in the payload: `work`, or a worker's id.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from tasker.store.store import Store

_log = logging.getLogger("tasker.bell")

WORK = "work"
GAP = 0.01
"""Seconds between two NOTIFY of one process."""


def channel(store: Store) -> str:
    return f"tasker_{store.schema or 'public'}"


class Ringer:
    """Rings for workers of other processes; `ring` returns at once. SQLite needs none: its file changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: set[str] = set()
        self._news = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def ring(self, for_whom: str = WORK) -> None:
        if self._store.dialect == "sqlite" or self._closed:
            return
        with self._lock:
            self._wanted.add(for_whom)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="tasker-bell", daemon=True)
                self._thread.start()
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()
        if self._thread is not None:
            self._thread.join(5)
            self._thread = None

    def _serve(self) -> None:
        connection: Any = None
        pause = threading.Event()
        while True:
            self._news.wait()
            self._news.clear()
            with self._lock:
                wanted, self._wanted = self._wanted, set()
            try:
                if connection is None and wanted:
                    connection = self._store.listening(channel=None)
                for name in wanted:
                    connection.execute("select pg_notify(%s, %s)", [channel(self._store), name])
            except Exception as error:
                _log.debug("a ring was lost, the next poll finds the work: %s", error)
                connection = None
            if self._closed:
                break
            pause.wait(GAP)
        if connection is not None:
            connection.close()


class WalWatch:
    """Notices that another process wrote to a SQLite file (`engine.heart.Doorbell`)."""

    slice: float | None = 0.05

    def __init__(self, store: Store) -> None:
        self._path = f"{store.path}-wal"
        self._seen = self._stamp()

    def rang(self) -> bool:
        stamp = self._stamp()
        changed, self._seen = stamp != self._seen, stamp
        return changed

    def _stamp(self) -> tuple[int, int]:
        try:
            found = os.stat(self._path)
        except OSError:
            return (0, 0)
        return found.st_mtime_ns, found.st_size
