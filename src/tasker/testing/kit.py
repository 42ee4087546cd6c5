"""Kit: small things a test wants to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tasker import payload
from tasker.app.task import Task
from tasker.errors import RequestError
from tasker.handlers.context import StepContext

StepRef = str | Callable[..., Any]

FACTS = (
    "task_id",
    "template",
    "attempt",
    "max_attempts",
    "idempotency_key",
    "context",
    "config",
    "results",
    "remaining",
    "cancelled",
)
"""What `step_context` can be told."""


def assert_step_ran(task: Task, step: StepRef, *, times: int = 1) -> None:
    """Assert how often a step's handler ran for a task; attempts that a crash left unrecorded count too.

    Raises:
        AssertionError: with the step's state and last error.
    """
    found = task.refresh().steps[step]
    hands = task.app.test_hands
    counted = 0 if hands is None else hands.runs.get((task.id, found.name), 0)
    ran = max(counted, found.number)
    if ran != times:
        error = f"; its last error: {found.error['message']}" if found.error else ""
        raise AssertionError(f"step {found.name!r} ran {ran} times, not {times}; it is {found.state}{error}")


def step_context(step: StepRef = "step", **facts: Any) -> StepContext:
    """Make a `StepContext` to call a handler by hand.

    Args:
        step: the step's name, or its function.
        facts: `context`, `results` (by step name), `config`, `attempt`, `idempotency_key`, `cancelled`, …

    Example:
        >>> step = step_context("charge", attempt=2, results={"fetch": {"total": 12}})
        >>> step.name, step.attempt, step.results("fetch")
        ('charge', 2, {'total': 12})
    """
    for name in facts:
        if name not in FACTS:
            raise RequestError(f"step_context: no fact {name!r}. Facts: {', '.join(FACTS)}")
    results: Mapping[str, Any] = facts.pop("results", {})
    cancelled = bool(facts.pop("cancelled", False))
    remaining = facts.pop("remaining", None)
    if "context" in facts:
        facts["context"] = payload.encode(facts["context"])
    import time

    def read(name: str) -> str | None:
        if name not in results:
            raise LookupError(f"step_context(results=…) has no {name!r}; it has: {', '.join(results)}")
        return None if results[name] is None else payload.encode(results[name])

    return StepContext(
        name=step if isinstance(step, str) else getattr(step, "__name__", "step"),
        results=read,
        over=lambda: cancelled,
        deadline=None if remaining is None else time.monotonic() + remaining,
        **facts,
    )
