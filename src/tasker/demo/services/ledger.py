"""Ledger: what one system has done, in its own SQLite file, each request key once.

Below: nothing. `tasker.demo.services.server` writes it; at the end the demo reads all four and compares.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, operation TEXT NOT NULL, order_id INTEGER NOT NULL, amount TEXT NOT NULL,
    answer TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS counts (what TEXT PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS asked (operation TEXT, order_id INTEGER, n INTEGER, PRIMARY KEY (operation, order_id));
"""


@dataclass(frozen=True)
class Entry:
    """One thing that was done.

    Attributes:
        amount: the money it was about, as text; empty where it was about none.
        answer: what was answered, and is answered again to the same key.
    """

    key: str
    operation: str
    order_id: int
    amount: str
    answer: Any
    at: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Ledger:
    """The store of one system; used by many threads."""

    def __init__(self, path: str) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_TABLES)

    def once(self, key: str, operation: str, order_id: int, amount: str, work: Callable[[], Any]) -> Any:
        """Do `work` and record it, unless this key is recorded: then give the same answer again, and count it."""
        with self._lock:
            done = self._db.execute("SELECT answer FROM entries WHERE key = ?", (key,)).fetchone()
            if done:
                self.count("duplicates")
                return json.loads(done[0])
            answer = work()
            row = (key, operation, order_id, amount, json.dumps(answer), time.time())
            self._db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", row)
            return answer

    def count(self, what: str) -> None:
        """Count one more of something."""
        with self._lock:
            self._db.execute("INSERT INTO counts VALUES (?, 1) ON CONFLICT (what) DO UPDATE SET n = n + 1", (what,))

    def nth(self, operation: str, order_id: int) -> int:
        """Say how often this was asked for, this time included."""
        with self._lock:
            upsert = "INSERT INTO asked VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n"
            return int(self._db.execute(upsert, (operation, order_id)).fetchone()[0])

    def done_at(self, operation: str, order_id: int) -> float | None:
        """When an operation was done for an order first; None: not yet."""
        with self._lock:
            query = "SELECT min(at) FROM entries WHERE operation = ? AND order_id = ?"
            found: float | None = self._db.execute(query, (operation, order_id)).fetchone()[0]
            return found

    def entries(self) -> list[Entry]:
        """Everything that was done, in order."""
        with self._lock:
            rows = self._db.execute("SELECT key, operation, order_id, amount, answer, at FROM entries ORDER BY at")
            return [
                Entry(key, what, order, amount, json.loads(said), at) for key, what, order, amount, said, at in rows
            ]

    def counts(self) -> dict[str, int]:
        """How often things happened, and how many `entries` there are."""
        with self._lock:
            rows = dict(self._db.execute("SELECT what, n FROM counts").fetchall())
            return {**rows, "entries": self._db.execute("SELECT count(*) FROM entries").fetchone()[0]}

    def close(self) -> None:
        with self._lock:
            self._db.close()
