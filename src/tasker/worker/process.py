"""Process: which process this is, so that a neighbour on the same host can tell when it is gone.

Compared are the kernel's boot id, the pid namespace, the pid and the process's start time, never the host's name:
containers share names, and pids are used again.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """One process of one boot of one kernel; empty strings where the system does not tell."""

    boot: str
    pidns: str
    pid: int
    pid_start: str


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@cache
def _pidns() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _state(pid: int) -> tuple[str, str] | None:
    """(state, start time) of a process; None when there is none. Fields 3 and 22 of proc(5)'s stat."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return fields[0], fields[19]


def this_process() -> Process:
    """Who we are."""
    return Process(_boot(), _pidns(), os.getpid(), _own_start(os.getpid()))


@cache
def _own_start(pid: int) -> str:
    try:
        found = _state(pid)
    except OSError:
        return ""
    return found[1] if found else ""


def is_gone(other: Process) -> bool:
    """Whether a process of this very host and namespace does not exist any more, or is a zombie.

    False where that cannot be known: another host, or a system without /proc.
    """
    if not other.boot or not other.pidns or (other.boot, other.pidns) != (_boot(), _pidns()):
        return False
    try:
        found = _state(other.pid)
        if found is None:
            os.kill(other.pid, 0)  # /proc may hide it
            return False
    except ProcessLookupError:
        return True
    except OSError:
        return False  # not allowed to look, or no descriptor left: that says nothing about it
    return found[0] in "ZX" or found[1] != other.pid_start


def host() -> str:
    return socket.gethostname()
