"""command: a step that is one run of an executable, in whatever language.

JSON on its standard input, JSON on its standard output, and its exit status says how the attempt ended.
There is never a shell between.

Beside this: `tasker.handlers.http_step`. Below: `tasker.handlers.child` runs the process,
`tasker.handlers.placeholders` fills the strings.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Never

from tasker.errors import AttemptOver, DefinitionError, PermanentError, RetryableError, StepError
from tasker.handlers.child import MAX_OUTPUT_BYTES, Ending, Run, run
from tasker.handlers.context import StepContext
from tasker.handlers.outcome import storable
from tasker.handlers.placeholders import Facts, Text, label, refuse_unknown

EXCERPT_CHARACTERS = 2_000
"""Kept of the standard output of a run that failed."""
_NEVER_STARTS = (errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ENOEXEC, errno.E2BIG, errno.ELOOP, errno.EISDIR)
"""What starting it again does not change; a lack of memory or of processes it does."""
_OPTIONS = ("env", "cwd", "retry_exit")


def command(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    retry_exit: Iterable[int] = (75,),
    **unknown: Never,
) -> Callable[..., Any]:
    """Make a handler that runs an executable and leaves its standard output as results.

    Strings in `argv`, `env` and `cwd` may hold `{context.…}`, `{results.STEP.…}` and `${VAR}`; one item of `argv`
    stays one argument, whatever it is filled with. The process reads on standard input:

        {"context": {…}, "results": {"PARENT": …}, "step": {"task_id": "…", "template": "…", "name": "…",
         "attempt": 1, "max_attempts": 3, "idempotency_key": "…", "config": {…}}}

    ======================================  ==============================================================
    the process                             the attempt
    ======================================  ==============================================================
    exits 0                                 complete: its standard output as JSON, None when that is empty
    exits 0, output is not JSON             error `invalid_result`, not retried
    exits with a status of `retry_exit`     retried, `exit_<status>` (75 is EX_TEMPFAIL of sysexits.h)
    exits with another status               error `exit_<status>`, not retried
    is ended by a signal                    retried, `signal_<number>`: mostly out of memory, or a machine going down
    cannot be started                       error `not_started`, not retried
    writes more than 1 MiB                  killed; error `too_large`, not retried
    runs into the step's timeout            killed; retried, `timeout`
    is no longer wanted                     killed
    ======================================  ==============================================================

    It runs in a process group of its own, which is killed (SIGKILL) as a whole. The end of standard error is kept
    with an error, and logged when all went well. Without a timeout on the step there is no limit of time.

    Args:
        env: variables added to those of the worker.
        cwd: where it runs; default: where the worker does.
        retry_exit: statuses that mean "try again later".

    Raises:
        DefinitionError: an option is wrong; the message names it.

    Example:
        >>> report = command(["/usr/bin/tax-report", "--order", "{context.order_id}"])
        >>> report.__name__
        'command'
    """
    refuse_unknown("command", unknown, _OPTIONS)
    line = _Line(_argv(argv), _env(env), _cwd(cwd), _statuses(retry_exit))

    def handler(context: Any, step: StepContext) -> Any:
        return line.run(Facts(context, step.results), step)

    options = {"argv": list(argv), "env": env or {}, "cwd": None if cwd is None else os.fspath(cwd)}
    label(handler, "command", shlex.join(argv), options, [*line.argv, line.env, line.cwd])
    return handler


@dataclass(frozen=True)
class _Line:
    """One definition of a command; `run` runs it, in any thread."""

    argv: tuple[Text, ...]
    env: Mapping[str, Text]
    cwd: Text | None
    retry_exit: frozenset[int]

    def run(self, facts: Facts, step: StepContext) -> Any:
        argv = [_argument(text, facts) for text in self.argv]
        env = os.environ | {name: _argument(text, facts) for name, text in self.env.items()}
        cwd = None if self.cwd is None else _argument(self.cwd, facts)
        ended = _start(argv, env, cwd, _stdin(facts, step), step)
        if ended.ending is not Ending.EXITED:
            raise _stopped(argv[0], ended)
        if ended.status:
            raise self._failed(argv[0], ended)
        if ended.stderr:
            step.log.info("%s said on standard error:\n%s", argv[0], ended.stderr)
        return _results(argv[0], ended)

    def _failed(self, name: str, ended: Run) -> StepError:
        details = {"stderr": ended.stderr, "stdout": _excerpt(ended)}
        last = f": {ended.stderr.splitlines()[-1]}" if ended.stderr else ""
        if ended.status < 0:
            ended_by = signal.strsignal(-ended.status) or "unknown"
            message = f"{name} was ended by signal {-ended.status} ({ended_by}){last}"
            return RetryableError(message, code=f"signal_{-ended.status}", details=details)
        message, code = f"{name} exited with {ended.status}{last}", f"exit_{ended.status}"
        if ended.status in self.retry_exit:
            return RetryableError(message, code=code, details=details)
        return PermanentError(message, code=code, details=details)


def _start(argv: Sequence[str], env: Mapping[str, str], cwd: str | None, stdin: bytes, step: StepContext) -> Run:
    try:
        return run(argv, env, cwd, stdin, step)
    except OSError as error:
        if error.errno not in _NEVER_STARTS:
            raise
        message = f"{argv[0]} cannot be started: {error.strerror}: {error.filename or argv[0]}"
        raise PermanentError(message, code="not_started") from error
    except UnicodeError as error:
        raise PermanentError(f"{argv[0]} cannot be started: {error}", code="invalid_input") from error


def _stopped(name: str, ended: Run) -> StepError:
    details = {"stderr": ended.stderr}
    if ended.ending is Ending.TIMEOUT:
        return RetryableError(f"{name} was killed at the step's timeout", code="timeout", details=details)
    if ended.ending is Ending.TOO_LARGE:
        message = f"{name} was killed: it wrote more than {MAX_OUTPUT_BYTES} bytes. Leave a reference to them instead"
        return PermanentError(message, code="too_large", details=details)
    return AttemptOver(f"{name} was killed: the attempt is no longer wanted")


def _excerpt(ended: Run) -> str:
    return storable(ended.stdout.decode(errors="replace")[:EXCERPT_CHARACTERS])


def _argument(text: Text, facts: Facts) -> str:
    filled = text.fill(facts)
    if "\0" in filled:
        raise PermanentError(f"{filled!r} has a NUL character, which no argument may have", code="invalid_input")
    return filled


def _stdin(facts: Facts, step: StepContext) -> bytes:
    attempt = {
        "task_id": step.task_id,
        "template": step.template,
        "name": step.name,
        "attempt": step.attempt,
        "max_attempts": step.max_attempts,
        "idempotency_key": step.idempotency_key,
        "config": dict(step.config),
    }
    results = {parent: facts.results(parent) for parent in step.parents}
    return json.dumps({"context": facts.context, "results": results, "step": attempt}).encode()


def _results(name: str, ended: Run) -> Any:
    from pydantic_core import from_json

    if not ended.stdout.strip():
        return None
    try:
        return from_json(ended.stdout, allow_inf_nan=False)
    except ValueError as error:
        details = {"stdout": _excerpt(ended), "stderr": ended.stderr}
        message = (
            f"{name} exited with 0, but its standard output is not JSON ({error}). Print the results, and only them"
        )
        raise PermanentError(message, code="invalid_result", details=details) from error


def _argv(argv: Sequence[str]) -> tuple[Text, ...]:
    if isinstance(argv, str) or not isinstance(argv, Sequence) or not argv:
        hint = f"{shlex.split(argv)!r}" if isinstance(argv, str) and argv.count("'") % 2 == 0 else '["program", "…"]'
        raise DefinitionError(f"command(): argv {argv!r} is not a list of arguments; there is no shell. Write {hint}")
    return tuple(_text(item, f"argv.{index}") for index, item in enumerate(argv))


def _env(env: Mapping[str, str] | None) -> dict[str, Text]:
    given = {} if env is None else env
    if not isinstance(given, Mapping):
        raise DefinitionError(f"command(): env {given!r} is not a mapping of names to texts")
    if wrong := [name for name in given if not isinstance(name, str) or not name or "=" in name or "\0" in name]:
        raise DefinitionError(f"command(): env: {wrong[0]!r} is not the name of a variable")
    return {name: _text(value, f"env.{name}") for name, value in given.items()}


def _cwd(cwd: str | os.PathLike[str] | None) -> Text | None:
    return None if cwd is None else _text(os.fspath(cwd) if isinstance(cwd, os.PathLike) else cwd, "cwd")


def _text(value: Any, where: str) -> Text:
    if not isinstance(value, str):
        raise DefinitionError(f"command(): {where}: {value!r} is not a string")
    return Text.parse(value, f"command(): {where}")


def _is_status(status: Any) -> bool:
    return isinstance(status, int) and not isinstance(status, bool) and 0 < status < 256


def _statuses(retry_exit: Iterable[int]) -> frozenset[int]:
    statuses = list(retry_exit) if isinstance(retry_exit, Iterable) else [None]
    if not all(map(_is_status, statuses)):
        raise DefinitionError(f"command(): retry_exit {retry_exit!r} is no list of statuses from 1 to 255. Write (75,)")
    return frozenset(statuses)
