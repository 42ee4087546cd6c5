"""Crew: worker processes of the workshop, and an app that enqueues for them and looks on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import workshop

from support import until
from tasker.store.sql import Sql

ALIVE = Sql("select cast(id as text) from {workers} where state = 'alive' and pid = :pid")


class Crew:
    """The app of the test's own process, and the worker processes on the same database."""

    def __init__(self, database: str, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.app = workshop.make(database, folder)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, **settings: Any) -> subprocess.Popen[bytes]:
        """Start a worker process; returns at once."""
        command = [sys.executable, workshop.__file__, self.database, str(self.folder), json.dumps(settings)]
        self.processes.append(subprocess.Popen(command))
        return self.processes[-1]

    def worker(self, **settings: Any) -> subprocess.Popen[bytes]:
        """Start a worker process and wait until it is registered."""
        process = self.start(**settings)
        until(lambda: self.ids_of(process), within=20)
        return process

    def ids_of(self, process: subprocess.Popen[bytes]) -> list[str]:
        """The worker ids under which a process is alive in the database."""
        return [row[0] for row in self.app.store.ask(ALIVE, {"pid": process.pid})]

    def enqueue(self, template: str) -> Any:
        return self.app.enqueue(f"test/{template}")

    def ledger(self) -> list[tuple[str, ...]]:
        """(template, task id, step, pid) of each call of a handler."""
        path = self.folder / "ledger"
        return [tuple(line.split()) for line in path.read_text().splitlines()] if path.exists() else []

    def runs(self, task: Any, step: str) -> list[int]:
        """The processes that called a step's handler, in order."""
        return [int(pid) for _, task_id, name, pid in self.ledger() if (task_id, name) == (task.id, step)]

    def open(self) -> None:
        """Let the waiting handlers end."""
        (self.folder / "open").touch()

    def close(self) -> None:
        self.open()
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self.app.stop(0)
        self.app.store.close()
