"""Errors: one tree, sorted by who must act.

Every message names the reader's own things first, then the nearest right thing, then one line to copy.
Branches end in `Error`; leaves say what is the case. All are importable from `tasker`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


class TaskerError(Exception):
    """The root: `except TaskerError` catches everything that Tasker itself says."""


class DefinitionError(TaskerError):
    """A template is wrong; its author must act. Raised where it is written, or when it is sealed."""


class CycleError(DefinitionError):
    """Steps depend on each other in a circle (possible in YAML only).

    Attributes:
        circle: the names in order, the first one repeated at the end.
    """

    def __init__(self, message: str, circle: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.circle = tuple(circle)


class UnknownParent(DefinitionError):
    """A step or parameter names a step that is not defined above it."""


class UnknownOption(DefinitionError):
    """A keyword or key that means nothing here: no option is ever silently ignored."""


class Duplicate(DefinitionError):
    """A name that is already taken, or a step that depends on itself."""


class ConfigError(TaskerError):
    """A setting is wrong; the operator must act before the process can start."""


class RequestError(TaskerError):
    """The caller asked for something that makes no sense as asked."""


class NotFound(RequestError):
    """There is no such task, step, template or system."""


@dataclass(frozen=True)
class Problem:
    """One fault of a context: where it is, and what is wrong there.

    Attributes:
        path: dotted, `lines.0.sku`; `$` for the whole.
        message: what was expected and what was found.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class InvalidContext(RequestError):
    """The context does not fit the template's model or schema; nothing was stored.

    Attributes:
        problems: every fault, not only the first.
    """

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__("\n".join([message, *(f"  {problem}" for problem in problems)]))
        self.problems = list(problems)


class TransitionRefused(RequestError):
    """A move that the state tables do not allow.

    Attributes:
        now: the present state.
        wanted: the state or action that was asked for.
        allowed: what is allowed from the present state.
    """

    def __init__(self, message: str, now: str = "", wanted: str = "", allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.now, self.wanted, self.allowed = now, wanted, tuple(allowed)


class StoreError(TaskerError):
    """The database could not do its part; the operator must act, workers retry by themselves."""


class StoreUnavailable(StoreError):
    """The database cannot be reached, or refuses to write."""


class SchemaOutOfDate(StoreError):
    """The database has no Tasker tables, or those of another version."""


class OwnershipLost(StoreError):
    """This worker was declared dead: what it held belongs to others now."""


class TaskFailed(TaskerError):
    """The task that was waited for ended in `error` or `cancelled`.

    Attributes:
        task: the finished task; `.state` tells which.
        steps: its failed steps, in definition order.
    """

    def __init__(self, message: str, task: Any = None, steps: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.task, self.steps = task, list(steps)


class TaskTimeout(TaskerError, TimeoutError):
    """The task is not finished yet; the message is why.

    Attributes:
        task: the task as it was read last.
        reasons: what it waits for (`task.why()`).
    """

    def __init__(self, message: str, task: Any = None, reasons: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.task, self.reasons = task, list(reasons)


class ActionPending(TaskerError):
    """An action was recorded, but the task's owner has not answered yet. It stays recorded.

    Attributes:
        task: the task as it was read last.
    """

    def __init__(self, message: str, task: Any = None) -> None:
        super().__init__(message)
        self.task = task


class StepError(TaskerError):
    """How a handler says that its attempt ended otherwise than by returning."""


class RetryableError(StepError):
    """The attempt failed and may be tried again, up to the step's `max_attempts`.

    Args:
        retry_after: pause before the next attempt, in seconds; it replaces the backoff,
            capped by the step's `max_retry_after`.
        code: short machine-readable reason; default `exception`.
        details: JSON values kept with the error.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | timedelta | None = None,
        code: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after, self.code, self.details = retry_after, code, dict(details or {})


class PermanentError(StepError):
    """The step cannot succeed: it ends in error at once, whatever attempts are left."""

    def __init__(self, message: str, *, code: str = "", details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.details = code, dict(details or {})


class Wait(StepError):
    """Not yet: try this step again then. Uses up no attempt.

    Args:
        until: seconds from now, or an aware moment.
        reason: what is waited for; shown by `why()`.
    """

    def __init__(self, until: float | timedelta | datetime, reason: str = "") -> None:
        super().__init__(reason or f"wait {until}")
        if isinstance(until, datetime) and until.tzinfo is None:
            raise RequestError("Wait(until): a naive datetime has no zone; write datetime.now(timezone.utc) + …")
        number = isinstance(until, int | float) and not isinstance(until, bool) and math.isfinite(until)
        if not number and not isinstance(until, timedelta | datetime):
            raise RequestError(f"Wait({until!r}): write seconds, a timedelta, or an aware datetime")
        self.until, self.reason = until, reason

    def __reduce__(self) -> tuple[Any, ...]:
        """Out of a handler's own process: an exception is made again from its message, which is not enough here."""
        return type(self), (self.until, self.reason)


class Skip(StepError):
    """This task does not need the step: it ends `skipped`, which satisfies its children; they get None."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class AttemptOver(StepError):
    """Raised to a handler by `step.heartbeat()`: the attempt is no longer wanted; stop working."""
