"""Failure: what a command says when it cannot do its work, and with which status it ends.

What Tasker itself says is for people and needs no traceback. A user's module that raises is shown by its own lines.
Anything else is a bug, and is shown whole.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

import typer

import tasker
from tasker.cli.finding import ImportFailed
from tasker.cli.session import Session
from tasker.errors import InvalidContext, TaskerError

REFUSED, USAGE, INTERRUPTED = 1, 2, 130
"""Exit statuses; the last as shells give it for SIGINT."""


def told(error: BaseException, session: Session) -> int:
    """Say what went wrong on standard error; give the exit status."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return _pipe_closed()
    if isinstance(error, typer.Exit):
        return error.exit_code
    if hasattr(error, "format_message"):  # Typer's own: a word that is not understood
        return _usage(error, session.json)
    if isinstance(error, ImportFailed):
        return _import_failed(error, session.json)
    if isinstance(error, TaskerError):
        if session.verbose:
            traceback.print_exception(error)
        _say(session.here(str(error)), type(error).__name__, session.json, problems=_problems(error))
        return REFUSED
    traceback.print_exception(error)
    return REFUSED


def _say(message: str, kind: str, as_json: bool, **facts: Any) -> None:
    if as_json:
        known = {name: value for name, value in facts.items() if value is not None}
        print(json.dumps({"error": {"type": kind, "message": message, **known}}, ensure_ascii=False), file=sys.stderr)
    else:
        print(f"tasker: {message}", file=sys.stderr)


def _problems(error: TaskerError) -> list[dict[str, str]] | None:
    if not isinstance(error, InvalidContext):
        return None
    return [{"path": problem.path, "message": problem.message} for problem in error.problems]


def _usage(error: Any, as_json: bool) -> int:
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message, end="")  # empty where Rich has shown the help already
        return USAGE
    command = getattr(getattr(error, "ctx", None), "command_path", "tasker")
    end = "" if message.endswith(("?", ".")) else "."
    _say(message if as_json else f"{message}{end} See:  {command} --help", "UsageError", as_json)
    return int(error.exit_code)


def _import_failed(error: ImportFailed, as_json: bool) -> int:
    cause = error.__cause__
    assert cause is not None
    lines = traceback.format_list(_own_frames(cause.__traceback__)) + traceback.format_exception_only(cause)
    text = "".join(lines).rstrip()
    last = traceback.format_exception_only(cause)[-1].strip()
    if as_json:
        _say(f"--app {error} could not be imported: {last}", "ImportFailed", True, traceback=text)
    else:
        print(text, file=sys.stderr)
        _say(f"--app {error} could not be imported: {last}", "ImportFailed", False)
    return REFUSED


def _own_frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """The frames that are neither Tasker's nor the import machinery's."""
    ours = str(Path(tasker.__file__).parent) + os.sep
    return [
        frame
        for frame in traceback.extract_tb(trace)
        if not frame.filename.startswith((ours, "<frozen")) and f"{os.sep}importlib{os.sep}" not in frame.filename
    ]


def _pipe_closed() -> int:
    """Nobody reads any more: say nothing, neither now nor when the interpreter flushes at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    return REFUSED
