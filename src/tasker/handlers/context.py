"""StepContext: what a handler may know of its own attempt, and say about it.

Nothing here blocks: what a handler says rides with the next settle.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from tasker import payload
from tasker.errors import AttemptOver

_logger = logging.getLogger("tasker.step")


class StepContext:
    """The attempt's own facts; declare a parameter `step: StepContext` to get it.

    Attributes:
        task_id: the task's id.
        template: `namespace/name@version`.
        name: the step's name.
        attempt: the attempt's number for life, from 1; it never restarts.
        max_attempts: how many count, the first included.
        idempotency_key: stable over retries; pass it on to the system that is called.
        context: the task's context, as JSON made it.
        config: the step's `config`, with `${VAR}` filled in.
        parents: the steps directly before this one, by name.
        log: a logger whose lines carry the task, the step and the attempt.

    Example:
        >>> from tasker.testing import step_context
        >>> step = step_context(idempotency_key="order-17:charge:0", config={"carrier": "dhl"})
        >>> step.idempotency_key, step.config["carrier"], step.cancelled
        ('order-17:charge:0', 'dhl', False)
    """

    __step_context__ = True
    __slots__ = (
        "_annotations",
        "_context",
        "_deadline",
        "_log",
        "_over",
        "_report",
        "_results",
        "attempt",
        "config",
        "idempotency_key",
        "max_attempts",
        "name",
        "parents",
        "task_id",
        "template",
    )

    def __init__(
        self,
        *,
        task_id: str = "",
        template: str = "",
        name: str = "",
        attempt: int = 1,
        max_attempts: int = 3,
        idempotency_key: str = "",
        context: str = "{}",
        config: Mapping[str, Any] | None = None,
        parents: tuple[str, ...] = (),
        results: Callable[[str], str | None] | None = None,
        deadline: float | None = None,
        over: Callable[[], bool] = lambda: False,
        report: Callable[[float, str], None] = lambda fraction, text: None,
    ) -> None:
        self.task_id, self.template, self.name = task_id, template, name
        self.attempt, self.max_attempts, self.idempotency_key = attempt, max_attempts, idempotency_key
        self.config: Mapping[str, Any] = config or {}
        self.parents = parents
        self._context, self._results = context, results
        self._deadline, self._over, self._report = deadline, over, report
        self._annotations: list[tuple[str, str]] = []
        self._log: logging.LoggerAdapter[logging.Logger] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """For a handler in a process of its own: the facts go along, what is said comes back (`attach`)."""
        return _rebuilt, (
            {
                "task_id": self.task_id,
                "template": self.template,
                "name": self.name,
                "attempt": self.attempt,
                "max_attempts": self.max_attempts,
                "idempotency_key": self.idempotency_key,
                "context": self._context,
                "config": dict(self.config),
            },
            self.remaining,
        )

    def attach(self, report: Callable[[float, str], None], annotations: list[tuple[str, str]]) -> None:
        """Say where progress and annotations go (in a process of its own)."""
        self._report, self._annotations = report, annotations

    @property
    def context(self) -> Any:
        return payload.decode(self._context)

    def results(self, step: str | Callable[..., Any]) -> Any:
        """Read the results of any step before this one; None when it left none.

        Raises:
            LookupError: `step` does not come before this step.
        """
        name = step if isinstance(step, str) else getattr(step, "__name__", repr(step))
        text = self._results(name) if self._results else None
        return None if text is None else payload.decode(text)

    def annotate(self, type: str, value: Any) -> None:
        """Attach a fact to the task, stored with this attempt's outcome; `app.tasks(annotation=…)` finds it."""
        self._annotations.append((type, payload.encode(value)))

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far this attempt is: a fraction from 0 to 1, and a few words."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress is a fraction from 0 to 1, not {fraction}")
        self._report(float(fraction), text)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        if self._log is None:
            facts = {"task": self.task_id, "step": self.name, "attempt": self.attempt, "template": self.template}
            self._log = logging.LoggerAdapter(_logger, facts)
        return self._log

    @property
    def remaining(self) -> float | None:
        """Seconds until this attempt's timeout; None without one."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    @property
    def cancelled(self) -> bool:
        """Whether the attempt is no longer wanted: timed out, or its task was cancelled."""
        return self._over()

    def heartbeat(self) -> None:
        """Raise `AttemptOver` when the attempt is no longer wanted; call it in loops of plain `def` handlers."""
        if self._over():
            raise AttemptOver(f"attempt {self.attempt} of step {self.name!r} is over: its outcome would be dropped")


def _rebuilt(facts: dict[str, Any], remaining: float | None) -> StepContext:
    return StepContext(**facts, deadline=None if remaining is None else time.monotonic() + remaining)
