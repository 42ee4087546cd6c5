"""Handlers that a process of their own can import."""

from __future__ import annotations

import os
import sys
import time

from tasker import PermanentError, RetryableError, Skip, StepContext, Wait


def add(context: dict[str, int]) -> int:
    return context["a"] + context["b"]


def sleep_long() -> None:
    time.sleep(60)


def end_process() -> None:
    os._exit(7)


def end(context: dict[str, str], step: StepContext) -> str:
    """End as the context says, the first time; then succeed."""
    if step.attempt > 1:
        return "at last"
    how = context["how"]
    if how == "exit":
        sys.exit(3)
    raise {
        "retryable": RetryableError("busy", retry_after=5, code="busy", details={"queue": 7}),
        "permanent": PermanentError("no such order", code="no_order"),
        "skip": Skip("not needed"),
        "wait": Wait(30, reason="not yet"),
        "value": ValueError("wrong"),
    }[how]


def who(step: StepContext) -> dict[str, object]:
    step.annotate("pid", os.getpid())
    return {"name": step.name, "attempt": step.attempt, "key": step.idempotency_key, "config": dict(step.config)}
