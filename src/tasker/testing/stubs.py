"""Stubs: replace a handler, fail so many times, let the worker die at a step."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tasker.app.template import Template
from tasker.definition.signature import Handler, kind_of
from tasker.engine.execute import Attempt
from tasker.errors import NotFound, RequestError

StepRef = str | Callable[..., Any]


@contextmanager
def stub(template: Template[Any], **handlers: Callable[..., Any]) -> Iterator[None]:
    """Replace handlers of a template by fakes, by step name, for the block's life.

    A fake gets the parameters it names (or all, with `**kwargs`); what it returns must fit the step's annotation.
    Workers that are made inside the block use it; patching the module does not, for the template holds the function.

    Example:
        >>> import tempfile, os
        >>> from tasker import Tasker
        >>> from tasker.testing import run_until_idle, stub
        >>> app = Tasker(f"sqlite:///{os.path.join(tempfile.mkdtemp(), 'tasker.db')}")
        >>> weather = app.template("weather")
        >>> @weather.step
        ... def fetch() -> str:
        ...     raise OSError("no network in tests")
        >>> with stub(weather, fetch=lambda: "rain"):
        ...     task = weather.enqueue()
        ...     done = run_until_idle(app)
        >>> task.result(timeout=0)
        {'fetch': 'rain'}
    """
    known = template.draft.seal().handlers
    if not isinstance(known, dict):
        raise RequestError("these handlers cannot be replaced")
    for name in handlers:
        if name not in known:
            raise NotFound(f"{template.ref} has no step {name!r}; its steps: {', '.join(known)}")
    before = {name: known[name] for name in handlers}
    known.update({name: _replaced(known[name], fake) for name, fake in handlers.items()})
    try:
        yield
    finally:
        known.update(before)


def _replaced(handler: Handler, fake: Callable[..., Any]) -> Handler:
    wanted = _parameters(fake)

    def call(**arguments: Any) -> Any:
        return fake(**arguments) if wanted is None else fake(**{k: v for k, v in arguments.items() if k in wanted})

    async def acall(**arguments: Any) -> Any:
        return await call(**arguments)

    kind = kind_of(fake)
    return dataclasses.replace(handler, fn=acall if kind == "async" else call, kind=kind)


def _parameters(fake: Callable[..., Any]) -> set[str] | None:
    """What a fake takes; None: everything."""
    parameters = inspect.signature(fake).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}


def fail_times(n: int, error: BaseException | type[BaseException], then: Any = None) -> Callable[..., Any]:
    """Make a fake that raises `error` the first `n` times, and then returns `then`.

    Example:
        >>> fake = fail_times(1, TimeoutError, then=42)
        >>> try:
        ...     fake()
        ... except TimeoutError:
        ...     print("failed once")
        failed once
        >>> fake()
        42
    """
    left = n

    def fake(**arguments: Any) -> Any:
        nonlocal left
        if left > 0:
            left -= 1
            raise error
        return then

    return fake


class Crash(BaseException):
    """The worker of a test dies here."""


@dataclasses.dataclass(slots=True)
class _CrashPoint:
    step: StepRef
    attempt: int
    when: str
    happened: bool = False


_points: list[_CrashPoint] = []


@contextmanager
def crash_at(step: StepRef, attempt: int = 1, when: str = "after") -> Iterator[None]:
    """Let the worker die, once, at that attempt of a step: "before" its handler runs, or "after" it ran, unsettled.

    `run_until_idle` then goes on as a neighbour would: it rescues the task and runs it with a new worker.
    """
    if when not in ("before", "after"):
        raise RequestError(f'crash_at: when={when!r}: it is "before" or "after" the handler')
    point = _CrashPoint(step, attempt, when)
    _points.append(point)
    try:
        yield
    finally:
        _points.remove(point)
    if not point.happened:
        name = step if isinstance(step, str) else step.__name__
        raise AssertionError(f"crash_at: attempt {attempt} of step {name!r} never ran inside the block")


def crash_point(attempt: Attempt, when: str) -> None:
    """Die here if a test says so."""
    for point in _points:
        if not point.happened and point.when == when and point.attempt == attempt.number and _is(attempt, point.step):
            point.happened = True
            raise Crash(f"{attempt.step.name} attempt {attempt.number}")


def _is(attempt: Attempt, step: StepRef) -> bool:
    if isinstance(step, str):
        return attempt.step.name == step
    handler = attempt.step.handler
    return attempt.step.name == getattr(step, "__name__", None) or (handler is not None and handler.fn is step)
