"""Waiting: for a task to finish. In the process that settles it the commit ends the wait; elsewhere the row is read."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tasker.app.task import Task
from tasker.clock import Seconds, seconds
from tasker.errors import NotFound, RequestError, TaskTimeout
from tasker.store import read

if TYPE_CHECKING:
    from tasker.app.tasker import Tasker

_log = logging.getLogger("tasker")

FIRST, MOST = 0.005, 0.5
"""Seconds between two looks: the first, doubling to the second."""
TELL_AFTER = 5.0
"""Seconds after which a wait logs once what it waits for."""


class Waiting:
    """Who waits for which task, in one app."""

    def __init__(self, app: Tasker) -> None:
        self._app = app
        self._waiters: dict[str, list[threading.Event]] = {}
        self._lock = threading.Lock()

    def finished(self, ids: Iterable[str]) -> None:
        """End the waits for tasks that a commit of this process let go."""
        if not self._waiters:
            return
        with self._lock:
            for task_id in ids:
                for event in self._waiters.get(task_id, ()):
                    event.set()

    def wait(self, task: Task, timeout: Seconds | None) -> Task:
        _refuse_in_loop()
        if threading.current_thread().name.startswith("tasker-step"):
            warnings.warn(
                "waiting for a task inside a handler holds a slot of this worker; return, and let another step do it",
                RuntimeWarning,
                stacklevel=3,
            )
        limit = None if timeout is None else time.monotonic() + seconds(timeout)
        bell = threading.Event()
        with self._lock:
            self._waiters.setdefault(task.id, []).append(bell)
        try:
            return self._look(task, bell, limit, timeout)
        finally:
            with self._lock:
                self._waiters[task.id].remove(bell)
                if not self._waiters[task.id]:
                    del self._waiters[task.id]

    def _look(self, task: Task, bell: threading.Event, limit: float | None, timeout: Seconds | None) -> Task:
        pause, begun, told = FIRST, time.monotonic(), False
        while not task.refresh().is_final:
            left = MOST if limit is None else limit - time.monotonic()
            if left <= 0:
                raise self._timed_out(task, timeout)
            bell.wait(min(pause, left))
            bell.clear()
            pause = min(MOST, pause * 2)
            if not told and time.monotonic() - begun > TELL_AFTER:
                told = True
                self.tell(task)
        return task

    async def await_(self, task: Task, timeout: Seconds | None) -> Task:
        """The same for a thread with an event loop, which goes on meanwhile."""
        limit = None if timeout is None else time.monotonic() + seconds(timeout)
        pause, begun, told = FIRST, time.monotonic(), False
        while not (await asyncio.to_thread(task.refresh)).is_final:
            left = MOST if limit is None else limit - time.monotonic()
            if left <= 0:
                raise await asyncio.to_thread(self._timed_out, task, timeout)
            await asyncio.sleep(min(pause, left))
            pause = min(MOST, pause * 2)
            if not told and time.monotonic() - begun > TELL_AFTER:
                told = True
                await asyncio.to_thread(self.tell, task)
        return task

    def tell(self, task: Task) -> None:
        """Log once why it is not finished: a missing worker or a wrong database shows itself."""
        try:
            for reason in task.why():
                _log.warning("still waiting for %s …%s: %s", task.template, task.id[-9:], reason.text)
            store = self._app.store
            if store.path is not None and not read.any_worker_ever(store):
                source = self._app.settings.sources.get("database_url")
                unset = (
                    "TASKER_DATABASE_URL is not set, so each working directory has a file of its own. "
                    if source == "default"
                    else ""
                )
                _log.warning(
                    "No worker has ever opened %s. %sSet it to the same absolute path for both, e.g. sqlite:///%s",
                    store.path,
                    unset,
                    store.path,
                )
        except NotFound:
            return

    def _timed_out(self, task: Task, timeout: Seconds | None) -> TaskTimeout:
        reasons = task.why()
        words = reasons[0].text if reasons else "it has just finished"
        first, _, rest = words.partition(" Start one")
        more = "".join(f"\n{reason.text}" for reason in reasons[1:5])
        text = f"{task.template} …{task.id[-9:]} is still {task.state} after {seconds(timeout or 0):g} s: {first}"
        return TaskTimeout(text + (f"\nStart one{rest}" if rest else "") + more, task, reasons)


def _refuse_in_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RequestError(
        "task.wait() would stop the event loop of this thread. Write: task = await task   "
        "(or: results = await task.aresult(timeout=30))"
    )
