"""Children: processes for handlers that would hold the interpreter (`run_in="process"`), and can be killed.

A child is kept for the next attempt; one that is killed is replaced. Arguments and results travel by the standard
library's pickle between this process and its own child only; nothing of it is stored.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from tasker.engine.execute import Attempt, raised, returned
from tasker.handlers.outcome import Ended, Outcome, error_of

_SPAWN = multiprocessing.get_context("spawn")


@dataclass(slots=True)
class _Child:
    process: BaseProcess
    pipe: Connection


class Children:
    """A pool of processes, as many as there are process steps at once."""

    def __init__(self) -> None:
        self._free: list[_Child] = []
        self._lock = threading.Lock()

    def call(self, attempt: Attempt) -> Outcome:
        """Run one attempt in a child and wait for it."""
        world, started = attempt.world, attempt.world.now()
        try:
            step = attempt.facts()
            job = (attempt.step.handler.fn, attempt.arguments(step))  # type: ignore[union-attr]
            outcome, notes = self._call(attempt, job)
            outcome.annotations = notes
        except BaseException as error:
            outcome = raised(error, world.now(), attempt.step.policy.retry.permanent)
        if attempt.handing_back and outcome.ended is Ended.FAILED:
            outcome = Outcome(Ended.HANDED_BACK)
        outcome.started_at, outcome.finished_at = started, world.now()
        return outcome

    def _call(
        self, attempt: Attempt, job: tuple[Callable[..., Any], dict[str, Any]]
    ) -> tuple[Outcome, list[tuple[str, str]]]:
        child = self._take()
        attempt.stop = child.process.kill
        try:
            if attempt.over:
                child.process.kill()
            child.pipe.send(job)
            while True:
                kind, value, notes = child.pipe.recv()
                if kind != "progress":
                    break
                attempt.world.report(attempt, *value)
        except (EOFError, ConnectionError, BrokenPipeError):
            child.process.join()
            return _died(child.process.exitcode), []
        finally:
            attempt.stop = None
        with self._lock:
            self._free.append(child)
        if kind == "value":
            return returned(attempt, value), notes
        return raised(value, attempt.world.now(), attempt.step.policy.retry.permanent), notes

    def _take(self) -> _Child:
        """A child that is alive; one that died while idle (killed for its memory, say) is forgotten."""
        with self._lock:
            while self._free:
                child = self._free.pop()
                if child.process.is_alive():
                    return child
        return _spawn()

    def close(self) -> None:
        with self._lock:
            for child in self._free:
                child.pipe.close()
            self._free.clear()


def _died(code: int | None) -> Outcome:
    text = f"the process of this step ended by itself (exit status {code})"
    return Outcome(Ended.FAILED, error=error_of("exception", text, "ProcessDied"))


def _spawn() -> _Child:
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_serve, args=(theirs,), name="tasker-child", daemon=True)
    process.start()
    theirs.close()
    return _Child(process, ours)


def _serve(pipe: Connection) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    while True:
        try:
            fn, arguments = pipe.recv()
        except EOFError:
            return
        _answer(pipe, fn, arguments)


def _end_with(parent: BaseProcess) -> None:
    """A worker that is killed must not leave its children working."""
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _answer(pipe: Connection, fn: Callable[..., Any], arguments: dict[str, Any]) -> None:
    from tasker.handlers.context import StepContext

    notes: list[tuple[str, str]] = []
    for value in arguments.values():
        if isinstance(value, StepContext):
            value.attach(lambda fraction, text: pipe.send(("progress", (fraction, text), [])), notes)
    try:
        kind, value = "value", fn(**arguments)
    except BaseException as error:
        kind, value = "error", error
    try:
        pipe.send((kind, value, notes))
    except Exception as error:
        pipe.send(("error", TypeError(f"{value!r} cannot leave its process: {error}"), notes))
