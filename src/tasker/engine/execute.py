"""Execute: call the handler; whatever happens becomes an Outcome. Knows handlers and no database.

Inputs are converted and results encoded here, on the handler's side, never in the heart.

Before this: the heart handed out a viable step. After it: `tasker.engine.run` applies the outcome.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from tasker.clock import as_datetime, seconds
from tasker.definition.environment import fill
from tasker.definition.signature import InvalidInput, InvalidResult
from tasker.engine.plan import PlannedStep
from tasker.engine.run import TaskRun
from tasker.errors import ConfigError, PermanentError, RetryableError, Skip, Wait
from tasker.handlers.context import StepContext
from tasker.handlers.outcome import Ended, Outcome, error_of, traceback_of
from tasker.payload import NotJSON, encode

MAX_INPUTS = 64 * 1024 * 1024
"""Bytes that the inputs of one step may have together."""


class World(Protocol):
    """What an attempt needs from outside: the time, large payloads, and a way to tell the heart."""

    def now(self) -> float: ...
    def fetch(self, task_id: str, names: list[str]) -> Mapping[str, str | None]: ...
    def report(self, attempt: Attempt, fraction: float, text: str) -> None: ...
    @property
    def max_payload_bytes(self) -> int: ...


class Attempt:
    """One run of a step, from its start to its outcome.

    Attributes:
        over: nobody wants the outcome any more; the handler is told by `step.cancelled`.
        deadline: its timeout on the monotonic clock; None without one.
        handing_back: its worker leaves: unless it succeeded, the attempt is handed back.
        stop: how to end it, set by whoever runs it (asyncio task, process); threads cannot be ended.
    """

    __slots__ = (
        "context",
        "deadline",
        "generation",
        "handing_back",
        "inputs",
        "number",
        "over",
        "progress",
        "run",
        "started",
        "step",
        "stop",
        "world",
    )

    def __init__(self, run: TaskRun, step: PlannedStep, number: int, started: float, world: World) -> None:
        self.run, self.step, self.number, self.world = run, step, number, world
        self.context = run.context or ""
        self.generation = run.step(step.index).generation
        graph = run.plan.graph
        self.inputs: dict[str, str | None] | None = (
            {name: _results(run, graph.index[name]) for name in step.parents} if step.inputs else None
        )
        self.started, self.over, self.handing_back = started, False, False
        timeout = step.policy.timeout
        self.deadline = None if timeout is None else started + timeout
        self.stop: Callable[[], None] | None = None
        self.progress: tuple[float, str] | None = None

    @property
    def key(self) -> tuple[str, int]:
        return self.run.id, self.step.index

    @property
    def kind(self) -> str:
        return self.step.handler.kind if self.step.handler else "thread"

    def facts(self) -> StepContext:
        """Build what the handler may know of this attempt."""
        policy, run = self.step.policy, self.run
        return StepContext(
            task_id=run.id,
            template=run.plan.ref,
            name=self.step.name,
            attempt=self.number,
            max_attempts=run.step(self.step.index).max_attempts or policy.retry.max_attempts,
            idempotency_key=f"{run.id}:{self.step.name}:{self.generation}",
            context=self.context,
            config=fill(policy.config, os.environ) if policy.config else None,
            results=self._results_of,
            parents=self.step.parents,
            deadline=self.deadline,
            over=lambda: self.over,
            report=lambda fraction, text: self.world.report(self, fraction, text),
        )

    def arguments(self, step: StepContext) -> dict[str, Any]:
        """Convert the inputs to what the handler's annotations want."""
        handler = self.step.handler
        if handler is None:
            raise ConfigError(f"no handler for step {self.step.name!r} of {self.run.plan.ref} in this process")
        inputs = self.inputs or {}
        large = [name for name, text in inputs.items() if text is _LARGE]
        if large:
            inputs = {**inputs, **self.world.fetch(self.run.id, large)}
            size = sum(len(text) for text in inputs.values() if text)
            if size > MAX_INPUTS:
                raise InvalidInput(
                    f"the results of {', '.join(inputs)} have {size:,} bytes together; a step takes {MAX_INPUTS:,}"
                )
        return handler.arguments(self.step.inputs, self.context, inputs, step)

    def _results_of(self, name: str) -> str | None:
        graph = self.run.plan.graph
        i = graph.index.get(name)
        if i is None or i not in graph.ancestors(self.step.index):
            raise LookupError(f"step {name!r} does not come before step {self.step.name!r}")
        text = _results(self.run, i)
        return self.world.fetch(self.run.id, [name])[name] if text is _LARGE else text


_LARGE = "\x00large"
"""Stands for results that were dropped from memory and must be fetched."""


def _results(run: TaskRun, i: int) -> str | None:
    s = run.steps[i]
    if s is None:
        return None
    return _LARGE if s.large and s.results is None else s.results


def call(attempt: Attempt) -> Outcome:
    """Run a plain handler in this thread."""
    world, started, step = attempt.world, attempt.world.now(), None
    try:
        step = attempt.facts()
        arguments = attempt.arguments(step)
        value = attempt.step.handler.fn(**arguments)  # type: ignore[union-attr]
        outcome = returned(attempt, value)
    except BaseException as error:
        outcome = raised(error, world.now(), attempt.step.policy.retry.permanent)
    return _stamp(attempt, outcome, step, started, world.now())


async def acall(attempt: Attempt) -> Outcome:
    """Run an `async def` handler in this loop."""
    world, started, step = attempt.world, attempt.world.now(), None
    try:
        step = attempt.facts()
        if attempt.inputs and _LARGE in attempt.inputs.values():
            arguments = await asyncio.to_thread(attempt.arguments, step)
        else:
            arguments = attempt.arguments(step)
        value = await attempt.step.handler.fn(**arguments)  # type: ignore[union-attr]
        outcome = returned(attempt, value)
    except BaseException as error:
        outcome = raised(error, world.now(), attempt.step.policy.retry.permanent)
    return _stamp(attempt, outcome, step, started, world.now())


def returned(attempt: Attempt, value: Any) -> Outcome:
    """Encode what the handler returned."""
    handler, limit = attempt.step.handler, attempt.world.max_payload_bytes
    try:
        text = handler.encode(value)  # type: ignore[union-attr]
    except InvalidResult as error:
        return Outcome(Ended.FAILED, error=error_of("invalid_result", str(error), "InvalidResult"), permanent=True)
    if text is not None and len(text) * 4 > limit and (size := len(text.encode())) > limit:
        words = (
            f"step {attempt.step.name!r} returned {size:,} bytes; the limit is {limit:,} (max_payload_bytes). "
            "Store it elsewhere and return a reference. Not retried: the call itself succeeded."
        )
        return Outcome(Ended.FAILED, error=error_of("invalid_result", words, "InvalidResult"), permanent=True)
    return Outcome(Ended.COMPLETE, results=text)


def raised(error: BaseException, now: float, permanent: tuple[type[BaseException], ...] = ()) -> Outcome:
    """Say what an exception of a handler means; `permanent`: classes that end the step at once."""
    try:
        return _raised(error, now, permanent)
    except Exception as unreadable:  # its own __str__ raised, say
        text = f"{type(error).__qualname__}, which cannot be read: {type(unreadable).__qualname__}"
        return Outcome(Ended.FAILED, error=error_of("exception", text, type(error).__qualname__))


def _raised(error: BaseException, now: float, permanent: tuple[type[BaseException], ...]) -> Outcome:
    if isinstance(error, Skip):
        return Outcome(Ended.SKIPPED, reason=error.reason)
    if isinstance(error, Wait):
        until = error.until.timestamp() if isinstance(error.until, datetime) else now + seconds(error.until)
        as_datetime(until)  # one that no calendar has could be stored, but never shown
        return Outcome(Ended.WAIT, until=until, reason=error.reason)
    code, details = getattr(error, "code", ""), getattr(error, "details", None)
    if isinstance(error, InvalidInput):
        return Outcome(Ended.FAILED, error=error_of("invalid_input", str(error), "InvalidInput"), permanent=True)
    known = isinstance(error, RetryableError | PermanentError)
    facts = error_of(
        code if known and isinstance(code, str) and code else "exception",
        str(error),
        type(error).__qualname__,
        _json_details(details) if known else None,
        traceback_of(error),
    )
    retry_after = error.retry_after if isinstance(error, RetryableError) else None
    return Outcome(
        Ended.FAILED,
        error=facts,
        permanent=isinstance(error, (PermanentError, *permanent)),
        retry_after=None if retry_after is None else seconds(retry_after),
    )


def broken(attempt: Attempt, error: BaseException) -> Outcome:
    """The outcome of an attempt that did not even begin, or whose outcome cannot be read: a slot is never lost."""
    now = attempt.world.now()
    return _stamp(attempt, raised(error, now), None, now, now)


def timed_out(attempt: Attempt, now: float) -> Outcome:
    """The outcome the heart writes when an attempt exceeds its timeout."""
    text = f"step {attempt.step.name!r} did not end within its timeout of {attempt.step.policy.timeout:g} s"
    return Outcome(
        Ended.FAILED,
        error=error_of("timeout", text, "TimeoutError"),
        started_at=now - (attempt.step.policy.timeout or 0),
        finished_at=now,
    )


def _stamp(attempt: Attempt, outcome: Outcome, step: StepContext | None, started: float, finished: float) -> Outcome:
    if attempt.handing_back and outcome.ended is Ended.FAILED:
        outcome = Outcome(Ended.HANDED_BACK)
    outcome.started_at, outcome.finished_at = started, finished
    if step is not None and step._annotations:
        outcome.annotations = step._annotations
    return outcome


def _json_details(details: Any) -> Any:
    try:
        encode(details)
    except NotJSON as error:
        return {"dropped": f"details are not JSON: {error}"}
    return details
