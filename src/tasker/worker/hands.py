"""Hands: run attempts and bring their outcomes back: threads, one asyncio loop, child processes.

A thread is started when a step waits for one, not one a slot. What a handler does to its thread (an exception of any
kind, a hang) stays in that thread.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from tasker.engine.execute import Attempt, acall, broken, call
from tasker.handlers.outcome import Outcome
from tasker.worker.children import Children

_log = logging.getLogger("tasker.worker")

Deliver = Callable[[Attempt, Outcome], None]

KEPT_LOOP = 1.0
"""Seconds: an async handler that keeps the loop longer is named in the log."""


class Hands:
    """The threads of one worker; `deliver` takes each outcome to the heart."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.deliver: Deliver = lambda attempt, outcome: None
        self._work: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._in_threads = 0
        # Counted by the heart's thread alone; a deque's append and pop are atomic, a shared counter is not.
        self._ended: deque[None] = deque()
        self._lock = threading.Lock()
        self._loop: _Loop | None = None
        self._children: Children | None = None

    def start(self, attempts: list[Attempt]) -> None:
        """Run attempts; returns at once."""
        for_loop = [attempt for attempt in attempts if attempt.kind == "async"]
        if for_loop:
            if self._loop is None:
                self._loop = _Loop(self)
            self._loop.start(for_loop)
        if len(for_loop) == len(attempts):
            return
        for attempt in attempts:
            if attempt.kind != "async":
                self._in_threads += 1
                self._work.put(attempt)
        self._grow()

    def stop(self, attempt: Attempt) -> None:
        """End an attempt that nobody wants: async is cancelled, a process killed, a thread only told."""
        if attempt.kind == "async" and self._loop is not None:
            self._loop.cancel(attempt)
        elif (end := attempt.stop) is not None:
            end()

    def close(self) -> None:
        """Let idle threads end; those in a handler end with it, or with the process."""
        for _ in self._threads:
            self._work.put(None)
        if self._loop is not None:
            self._loop.close()
        if self._children is not None:
            self._children.close()

    def _grow(self) -> None:
        """Start threads while attempts wait for one."""
        while self._ended:
            self._ended.pop()
            self._in_threads -= 1
        while len(self._threads) < min(self._most, self._in_threads) and self._work.qsize():
            thread = threading.Thread(target=self._serve, name=f"tasker-step-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self) -> None:
        get, ended = self._work.get, self._ended
        while (attempt := get()) is not None:
            try:
                outcome = self._run(attempt)
            except BaseException as error:  # ours: a handler's own are outcomes already
                outcome = broken(attempt, error)
            ended.append(None)
            self.deliver(attempt, outcome)

    def _run(self, attempt: Attempt) -> Outcome:
        if attempt.kind != "process":
            return call(attempt)
        with self._lock:
            if self._children is None:
                self._children = Children()
        return self._children.call(attempt)


class _Loop:
    """One thread with an asyncio loop for all `async def` handlers."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._loop = asyncio.new_event_loop()
        self._tasks: dict[Attempt, asyncio.Task[Outcome]] = {}
        self._running: tuple[str, float] | None = None
        self._thread = threading.Thread(target=self._serve, name="tasker-async", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def start(self, attempts: list[Attempt]) -> None:
        self._loop.call_soon_threadsafe(self._begin, attempts)

    def cancel(self, attempt: Attempt) -> None:
        self._loop.call_soon_threadsafe(self._cancel, attempt)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _begin(self, attempts: list[Attempt]) -> None:
        for attempt in attempts:
            task = self._tasks[attempt] = self._loop.create_task(acall(attempt))
            # A callback, not code after an await: a task that is cancelled before it began never runs its own.
            task.add_done_callback(partial(self._ended, attempt))

    def _ended(self, attempt: Attempt, task: asyncio.Task[Outcome]) -> None:
        self._tasks.pop(attempt, None)
        try:
            outcome = task.result()
        except BaseException as error:
            outcome = broken(attempt, error)
        self._hands.deliver(attempt, outcome)

    def _cancel(self, attempt: Attempt) -> None:
        task = self._tasks.get(attempt)
        if task is not None:
            task.cancel()


def watch_loop(hands: Hands, heard: threading.Event) -> None:
    """Name the async step that keeps the loop; called now and then by the heartbeat's thread."""
    loop = hands._loop
    if loop is None:
        return
    heard.clear()
    asked = time.monotonic()
    loop._loop.call_soon_threadsafe(heard.set)
    if not heard.wait(KEPT_LOOP):
        names = sorted({attempt.step.name for attempt in list(loop._tasks)})
        _log.warning(
            "async step %s kept the event loop for %.1f s; make it a plain def, or await its I/O",
            " or ".join(repr(name) for name in names[:3]),
            time.monotonic() - asked,
        )
