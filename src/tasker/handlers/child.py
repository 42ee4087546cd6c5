"""Child: one process of its own group, fed, listened to, and killed when its time is over.

Knows nothing of JSON or of what an exit status means: that is `tasker.handlers.command_step`, above.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import IO

from tasker.handlers.context import StepContext
from tasker.handlers.outcome import storable

MAX_OUTPUT_BYTES = 1_048_576
"""The default limit of a payload: what is longer could not be stored as results anyway."""
MAX_STDERR_BYTES = 8_192
"""Kept of standard error: the end, where the reason is."""
POLL_SECONDS = 0.05
"""How often a quiet process is looked at: whether it is still wanted."""
LINGER_SECONDS = 0.5
"""How long output is awaited of what an ended process left behind with its pipes."""


class Ending(Enum):
    """Why a run is over."""

    EXITED = auto()
    TIMEOUT = auto()
    OVER = auto()
    TOO_LARGE = auto()


@dataclass(frozen=True)
class Run:
    """How a run ended.

    Attributes:
        status: the exit status; negative: the signal that ended it.
        stderr: the end of standard error, as text.
    """

    ending: Ending
    status: int
    stdout: bytes
    stderr: str


def run(argv: Sequence[str], env: Mapping[str, str], cwd: str | None, stdin: bytes, step: StepContext) -> Run:
    """Run a process until it exits, its attempt is over, or it writes too much; nothing of its group remains then.

    Raises:
        OSError: it cannot be started.
    """
    process = subprocess.Popen(
        argv,
        env=env,
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    pipes = _Pipes(process, stdin)
    ending = Ending.OVER
    try:
        ending = _watch(process, pipes, step)
    finally:
        if ending is not Ending.EXITED or pipes.open:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        pipes.close()
        process.wait()
    stderr = storable(pipes.stderr.decode(errors="replace").strip())
    return Run(ending, process.returncode, bytes(pipes.stdout), stderr)


def _watch(process: subprocess.Popen[bytes], pipes: _Pipes, step: StepContext) -> Ending:
    exited_at = None
    while True:
        remaining = step.remaining
        pipes.turn(POLL_SECONDS if remaining is None else min(POLL_SECONDS, remaining))
        if len(pipes.stdout) > MAX_OUTPUT_BYTES:
            return Ending.TOO_LARGE
        if process.poll() is not None:
            exited_at = exited_at or time.monotonic()
            if not pipes.open or time.monotonic() - exited_at > LINGER_SECONDS:
                return Ending.EXITED
        if step.remaining == 0:
            return Ending.TIMEOUT
        if step.cancelled:
            return Ending.OVER


class _Pipes:
    """The three standard streams, each served when it is willing, so that no full pipe stops the other side."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process, self._unsent = process, memoryview(stdin)
        self._stdin, self._stdout = process.stdin, process.stdout
        self.stdout, self.stderr = bytearray(), bytearray()
        self._selector = selectors.DefaultSelector()
        for pipe in (process.stdin, process.stdout, process.stderr):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_WRITE if pipe is process.stdin else selectors.EVENT_READ)

    @property
    def open(self) -> bool:
        """Whether more output may come."""
        return any(key.fileobj is not self._stdin for key in self._selector.get_map().values())

    def turn(self, seconds: float) -> None:
        """Move what can be moved, waiting at most so long for something to move."""
        if not self._selector.get_map():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            return
        for key, _ in self._selector.select(seconds):
            pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
            if not (self._send(pipe) if pipe is self._stdin else self._receive(pipe)):
                self._selector.unregister(pipe)
                pipe.close()

    def _send(self, pipe: IO[bytes]) -> bool:
        with suppress(BlockingIOError):
            try:
                self._unsent = self._unsent[os.write(pipe.fileno(), self._unsent[:65_536]) :]
            except BrokenPipeError:  # it does not want to read on
                return False
        return len(self._unsent) > 0

    def _receive(self, pipe: IO[bytes]) -> bool:
        chunk = os.read(pipe.fileno(), 65_536)
        if pipe is self._stdout:
            self.stdout += chunk
        else:
            self.stderr = (self.stderr + chunk)[-MAX_STDERR_BYTES:]
        return bool(chunk)

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
