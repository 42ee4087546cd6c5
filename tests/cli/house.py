"""House: a project with an app, and the command line called in it; what the tests of the command line stand on."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support import until
from tasker import Task, Tasker
from tasker.cli import main
from tasker.testing import run_until_idle

SOURCE = Path(__file__).with_name("shop_project.py")


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    """Calls the command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *words: str, stdin: str = "") -> Answer:
        self._monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        self._capsys.readouterr()
        status = main(words)
        return Answer(status, *self._capsys.readouterr())

    def json(self, *words: str) -> Any:
        """What a command that succeeds says to programs."""
        answer = self(*words, "--json")
        assert answer.status == 0, answer
        return answer.json


class Terminal:
    """The command line on a terminal of its own."""

    def __init__(self, folder: Path, words: Sequence[str]) -> None:
        self._ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "tasker", *words]
        self.process = subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.text = ""

    def shows(self, words: str) -> bool:
        """Whether these words have been on the screen."""
        self._read()
        return words in self.text

    def type(self, words: str) -> None:
        os.write(self._ours, f"{words}\n".encode())

    def ended(self) -> bool:
        self._read()
        return self.process.poll() is not None

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def _read(self) -> None:
        if select.select([self._ours], [], [], 0.01)[0]:
            with contextlib.suppress(OSError):  # the other end is closed
                self.text += os.read(self._ours, 65_536).decode(errors="replace")


class Project:
    """A folder with `shop/tasks.py` in it, which is the working directory."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database = folder, database
        self._started: list[subprocess.Popen[str]] = []
        self._terminals: list[Terminal] = []
        package = folder / "shop"
        package.mkdir()
        (package / "__init__.py").touch()
        shutil.copyfile(SOURCE, package / "tasks.py")

    @property
    def tasks(self) -> Any:
        """The module `shop.tasks`."""
        return importlib.import_module("shop.tasks")

    @property
    def app(self) -> Tasker:
        app: Tasker = self.tasks.app
        return app

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.write_text(text)
        return file

    def order(self, trouble: str = "", **options: Any) -> Task:
        """A new task that was not run yet."""
        task: Task = self.tasks.fulfil.enqueue({"order_id": 17, "trouble": trouble}, **options)
        return task

    def ran(self, trouble: str = "", **options: Any) -> Task:
        """A task that was run as far as it goes."""
        task = self.order(trouble, **options)
        run_until_idle(self.app)
        return task.refresh()

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start the command line as a process of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tasker", *words],
            cwd=self.folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def worker(self, *words: str) -> subprocess.Popen[str]:
        """Start a worker process and wait until it has registered."""
        before = len(self.app.reader.workers())
        process = self.start("worker", *words)
        until(lambda: len(self.app.reader.workers()) > before or process.poll() is not None)
        assert process.poll() is None, process.communicate()[1]
        return process

    def terminal(self, *words: str) -> Terminal:
        """Start the command line on a terminal."""
        self._terminals.append(Terminal(self.folder, words))
        return self._terminals[-1]

    def close(self) -> None:
        for terminal in self._terminals:
            terminal.close()
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()
        if "shop.tasks" in sys.modules:
            self.app.stop(0)
            with self.app.bound():
                pass  # its connections are closed


def stopped(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """The exit status of a worker after SIGTERM, and what it logged."""
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=60)[1]
    return process.returncode, errors.splitlines()
