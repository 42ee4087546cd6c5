"""Processes: the demo's services and workers, started, killed, and always cleaned up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

STOP_SECONDS = 5.0
"""How long a process may take to end when asked, before it is killed."""


class StartFailed(Exception):
    """A process of the demo did not start, or ended by itself."""


class Processes:
    """Everything the demo starts; leaving the block ends all of it, whatever happened."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._running: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = list(self._running.values())
        for process in running:
            if process.stdin:
                process.stdin.close()
            process.terminate()
        try:
            self._wait(running)
        finally:  # also when somebody is out of patience and presses Ctrl-C again
            for process in running:
                process.kill()
                process.wait()
                if process.stdout:
                    process.stdout.close()

    @staticmethod
    def _wait(running: Sequence[subprocess.Popen[str]]) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))

    def start(self, name: str, *module: str, env: Mapping[str, str] | None = None, speaks: bool = False) -> int:
        """Start `python -m …` in the background; what it says is in NAME.log.

        Args:
            speaks: its standard output is for `first_line`, and not in the log.

        Returns:
            Its process id.
        """
        with self._log(name).open("a") as log:
            self._running[name] = self._spawn(module, env or {}, log, speaks)
        return self._running[name].pid

    def first_line(self, name: str) -> str:
        """Wait for the first line that a process prints.

        Raises:
            StartFailed: it ended before it said anything.
        """
        stdout = self._running[name].stdout
        line = stdout.readline().strip() if stdout else ""
        if not line:
            self._running[name].wait()
            raise self._failed(name)
        return line

    def finish(self, name: str) -> None:
        """Wait until a process has done what it was started for.

        Raises:
            StartFailed: it failed.
        """
        if self._running[name].wait() != 0:
            raise self._failed(name)

    def check(self, name: str) -> None:
        """Raise StartFailed unless a process still runs."""
        if self._running[name].poll() is not None:
            raise self._failed(name)

    def kill(self, name: str) -> None:
        """End a process as a power cut would: SIGKILL, no goodbye."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()

    def _spawn(
        self, module: Sequence[str], env: Mapping[str, str], log: IO[str], speaks: bool
    ) -> subprocess.Popen[str]:
        # A session of its own: Ctrl-C is for the demo, which then ends the others in its own order.
        return subprocess.Popen(
            [sys.executable, "-m", *module],
            env=os.environ | dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if speaks else log,
            stderr=log,
            text=True,
            start_new_session=True,
        )

    def _log(self, name: str) -> Path:
        return self.place / f"{name}.log"

    def _failed(self, name: str) -> StartFailed:
        said = self._log(name).read_text(errors="replace").strip().splitlines()
        return StartFailed("\n".join([f"{name} ended with {self._running[name].returncode}:", *said[-15:]]))
