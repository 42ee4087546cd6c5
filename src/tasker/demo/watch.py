"""Watch: how far the demo is, read from the tasks and from the four systems.

Before this: `tasker.demo.story` started everything. After it: `tasker.demo.screen` shows it, and
`tasker.demo.audit` judges it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tasker import Task, Tasker
from tasker.demo.services.systems import OPERATIONS

FINAL = ("complete", "error", "cancelled", "resolved_manually")


@dataclass(frozen=True)
class Snapshot:
    """One look at everything.

    Attributes:
        orders: how many there are.
        states: task state → how many tasks.
        counts: system → what it counted: entries, requests, duplicates, and troubles by kind.
        why: what an unfinished task waits for just now; empty: nothing, or nothing to say.
    """

    orders: int
    states: Mapping[str, int]
    counts: Mapping[str, Mapping[str, int]]
    why: str = ""

    @property
    def finished(self) -> int:
        return sum(self.states.get(state, 0) for state in FINAL)

    @property
    def entries(self) -> int:
        return sum(counts.get("entries", 0) for counts in self.counts.values())

    @property
    def expected(self) -> int:
        """Entries in the four ledgers when all is done: one order is never fulfilled."""
        return (self.orders - 1) * sum(map(len, OPERATIONS.values()))


class Watch:
    """Reads the tasks of one run, and asks the systems."""

    def __init__(self, app: Tasker, run: str, urls: Mapping[str, str], orders: int) -> None:
        self._app, self._run, self._urls, self._orders = app, run, urls, orders
        self._client = httpx.Client(timeout=10, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def tasks(self) -> list[Task]:
        """All tasks of this run."""
        found: list[Task] = []
        page = self._app.tasks(tag=self._run, limit=100)
        while True:
            found += page
            if page.after is None:
                return found
            page = self._app.tasks(tag=self._run, limit=100, after=page.after)

    def look(self) -> Snapshot:
        """Take one look at tasks and systems."""
        tasks = self.tasks()
        unfinished = [task for task in tasks if str(task.state) not in FINAL]
        counts = {name: self._get(name, "/counts") for name in self._urls}
        states = Counter(str(task.state) for task in tasks)
        return Snapshot(self._orders, states, counts, _why(unfinished))

    def ledgers(self) -> Mapping[str, list[Mapping[str, Any]]]:
        """What each system has done."""
        return {name: self._get(name, "/ledger")["entries"] for name in self._urls}

    def _get(self, name: str, path: str) -> Any:
        return self._client.get(self._urls[name] + path).raise_for_status().json()


def _why(unfinished: Sequence[Task]) -> str:
    """What the oldest tasks wait for; that they just run is worth a line only where nothing else is."""
    said = [(reason, task.context["order_id"]) for task in unfinished[:-4:-1] for reason in task.why()]
    said.sort(key=lambda each: each[0].code == "running")
    return f"order {said[0][1]}: {said[0][0].text}".partition("\n")[0] if said else ""
