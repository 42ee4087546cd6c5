"""Lone workers: a heart that a test turns by hand, whose handlers run when the test says so, and which can die."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tasker import Task, Tasker
from tasker.engine.execute import Attempt, call
from tasker.errors import StoreUnavailable
from tasker.handlers.outcome import Outcome
from tasker.store.sql import Sql
from tasker.upkeep.rescue import rescue

SET_CRASHES = Sql("update {tasks} set crashes = :crashes where id = :id")
TASK = Sql("select state, cast(owner as text), crashes from {tasks} where id = :id")
WORKER = Sql("select state from {workers} where id = :id")


class Held:
    """Hands that keep what they are given until the test runs it."""

    def __init__(self) -> None:
        self.deliver: Callable[[Attempt, Outcome], None] = lambda attempt, outcome: None
        self.given: list[Attempt] = []

    def start(self, attempts: list[Attempt]) -> None:
        self.given.extend(attempts)

    def stop(self, attempt: Attempt) -> None:
        """What is held is not running."""

    def close(self) -> None:
        self.given.clear()

    def run(self) -> None:
        """Run what was given so far, in this thread."""
        given, self.given = self.given, []
        for attempt in given:
            self.deliver(attempt, call(attempt))


class Lone:
    """A registered worker without threads of its own."""

    def __init__(self, app: Tasker, **options: Any) -> None:
        self.app, self.hands = app, Held()
        self.worker = app.serving.make(hands=self.hands, **options)
        self.heart = self.worker.heart
        self.heart.connect()

    @property
    def me(self) -> str:
        return self.heart.me

    def turn(self, wait: float = 0.0) -> None:
        self.heart.run_once(wait)

    def claim(self) -> None:
        """Look for due tasks, and hand their first steps out."""
        self.heart.ring()
        self.turn()
        self.turn()

    def show_running(self, task: Task, step: str) -> None:
        """Turn until a held step is seen to run: its row says so."""
        for _ in range(100):
            if str(task.refresh().steps[step].state) == "in_progress":
                return
            self.turn(0.05)
        raise AssertionError(f"step {step!r} is {task.steps[step].state}")

    def die(self) -> None:
        """What a neighbour does with a worker whose process is gone."""
        if self.heart.wire is not None:
            self.heart.wire.close()
            self.heart.wire = None
        assert rescue(self.app.store, self.me, gone=True, timeout=0.0) is not None

    def waits(self, turns: int = 5, each: float = 0.05) -> bool:
        """Whether turns with nothing to do take their time, and do not follow each other at once."""
        begun = time.monotonic()
        for _ in range(turns):
            self.turn(each)
        return time.monotonic() - begun > 0.8 * turns * each

    def close(self) -> None:
        if self.heart.wire is not None:
            self.heart.wire.close()
            self.heart.wire = None


def row(app: Tasker, task: Task) -> tuple[Any, ...]:
    """(state, owner, crashes) of a task, as stored."""
    return app.store.ask(TASK, {"id": task.id})[0]


def suspect(app: Tasker, *tasks: Task, crashes: int = 2) -> None:
    """Make it so that the workers of these tasks have died `crashes` times."""

    def write(turn: Any) -> None:
        for task in tasks:
            turn.send(SET_CRASHES, {"id": task.id, "crashes": crashes})

    app.store.retrying(write)


def take_away(heart: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is away for a heart, until the test ends."""

    def away(*_: Any) -> Any:
        raise StoreUnavailable("the database is away")

    monkeypatch.setattr(heart, "open_wire", away)
    monkeypatch.setattr(heart.wire, "begin", away)


def in_a_process() -> int:
    """For `run_in="process"`, which needs what can be imported."""
    return 1
