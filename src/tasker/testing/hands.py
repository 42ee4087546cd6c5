"""Hands of a test: attempts run in the calling thread, one after the other, in the order they were handed out."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from tasker.engine.execute import Attempt, acall, call, timed_out
from tasker.handlers.outcome import Outcome
from tasker.testing.stubs import Crash, crash_point
from tasker.worker.children import Children


class InlineHands:
    """Runs attempts when the test turns the crank (`run_next`)."""

    def __init__(self) -> None:
        self.deliver: Callable[[Attempt, Outcome], None] = lambda attempt, outcome: None
        self.runs: dict[tuple[str, str], int] = {}
        self._waiting: deque[Attempt] = deque()
        self._children: Children | None = None

    def start(self, attempts: list[Attempt]) -> None:
        self._waiting.extend(attempts)

    def stop(self, attempt: Attempt) -> None:
        """Nothing runs beside the test: an attempt that is over is delivered when its turn comes."""

    def close(self) -> None:
        self._waiting.clear()
        if self._children is not None:
            self._children.close()

    def run_next(self) -> bool:
        """Run one attempt that was handed out; whether there was one.

        Raises:
            Crash: `crash_at` says that the worker dies here.
        """
        if not self._waiting:
            return False
        attempt = self._waiting.popleft()
        crash_point(attempt, "before")
        key = attempt.run.id, attempt.step.name
        self.runs[key] = self.runs.get(key, 0) + 1
        outcome = self._run(attempt)
        crash_point(attempt, "after")
        self.deliver(attempt, outcome)
        return True

    def _run(self, attempt: Attempt) -> Outcome:
        begun = time.monotonic()
        if attempt.kind == "process":
            if self._children is None:
                self._children = Children()
            outcome = self._children.call(attempt)
        elif attempt.kind == "async":
            outcome = _complete(_bounded(attempt))
        else:
            outcome = call(attempt)
        timeout = attempt.step.policy.timeout
        if timeout is not None and time.monotonic() - begun > timeout:
            return timed_out(attempt, attempt.world.now())  # in production nobody would have waited for it
        return outcome


async def _bounded(attempt: Attempt) -> Outcome:
    try:
        async with asyncio.timeout(attempt.step.policy.timeout):
            return await acall(attempt)
    except TimeoutError:
        return timed_out(attempt, attempt.world.now())


def _complete(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Run a coroutine to its end, also where this thread has a loop of its own (an async test)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(work)))
    thread.start()
    thread.join()
    return found[0]


__all__ = ["Crash", "InlineHands"]
