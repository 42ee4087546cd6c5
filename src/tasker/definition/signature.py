"""Signature: a handler with its annotations resolved, between JSON text and Python values.

Inputs arrive as JSON text and are read through the parameter's annotation; what the handler returns becomes
JSON text again. Adapters are built once, when the template is sealed; this runs for every attempt.

Before this: `tasker.definition.wiring` bound the parameters. After it: the engine calls `Handler.fn`.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import ValidationError, from_json

from tasker.definition.annotations import type_name
from tasker.definition.faults import of_pydantic
from tasker.definition.shape import Source
from tasker.definition.typed_dicts import modern
from tasker.payload import NotJSON, a, adapter, encode

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Kind = Literal["thread", "async", "process"]

_NOT_RETRIED = "Not retried: the call itself succeeded."


class InvalidInput(ValueError):
    """What a step gets does not fit its handler's annotations."""


class InvalidResult(ValueError):
    """What a handler returned cannot be stored, or does not fit its annotation."""


class Typed:
    """A type between JSON text and Python: the annotation, and pydantic's adapter for it.

    Attributes:
        annotation: the type; `Any` where there is none.
        adapter: None where anything goes.
        read: JSON text → value.
    """

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self.adapter: TypeAdapter[Any] | None = None if annotation is Any else adapter(modern(annotation))
        self.read: Callable[[str], Any] = from_json if self.adapter is None else self.adapter.validator.validate_json

    @property
    def name(self) -> str:
        return type_name(self.annotation)

    @property
    def is_none(self) -> bool:
        return self.annotation is None or self.annotation is type(None)

    @cached_property
    def accepts_none(self) -> bool:
        """Whether JSON null can be read as this type."""
        try:
            self.read("null")
        except Exception:  # a validator of the user's may raise anything
            return False
        return True

    @cached_property
    def schema(self) -> dict[str, Any] | None:
        """JSON Schema of what can be read as this type; None where anything goes, or pydantic has none."""
        if self.adapter is None:
            return None
        from pydantic import PydanticUserError

        try:
            return self.adapter.json_schema()
        except (PydanticUserError, NotImplementedError, TypeError, ValueError):
            return None


@dataclass(frozen=True)
class Handler:
    """A step's handler, ready to be called.

    Attributes:
        fn: the handler as it was given.
        kind: where it runs: a thread, the event loop, another process.
        name: of the step.
        contexts: (parameter, type) for those that get the context.
        steps: parameters that get the `StepContext`.
        inputs: (parameter, type) for those that get results.
        sources: where each input comes from in the shape that this handler was written for.
        returns: type of its results; None where it does not say.
    """

    fn: Callable[..., Any]
    kind: Kind
    name: str
    contexts: tuple[tuple[str, Typed], ...] = ()
    steps: tuple[str, ...] = ()
    inputs: tuple[tuple[str, Typed], ...] = ()
    sources: Mapping[str, Source] = field(default_factory=dict)
    returns: Typed | None = None

    def arguments(
        self, inputs: Mapping[str, Source], context: str, results: Mapping[str, str | None], step: Any
    ) -> dict[str, Any]:
        """Build the keyword arguments of one call.

        Args:
            inputs: parameter → source, by the shape that the task runs under.
            context: JSON text.
            results: step name → JSON text, None where a parent has no results.
            step: the `StepContext`.

        Raises:
            InvalidInput: something does not fit its annotation.
        """
        made: dict[str, Any] = {}
        for name in self.steps:
            made[name] = step
        for name, typed in self.contexts:
            try:
                made[name] = typed.read(context)
            except Exception as error:
                raise self._unfit(name, "the context", typed, error) from error
        for name, typed in self.inputs:
            source = inputs[name]
            text = results[source] if isinstance(source, str) else _joined(source, results)
            try:
                made[name] = typed.read("null" if text is None else text)
            except Exception as error:
                if text is None:
                    raise InvalidInput(
                        f"step {self.name!r}: parameter {name!r}: step {source!r} has no results, and "
                        f"{typed.name} does not allow None. Annotate it {typed.name} | None"
                    ) from error
                raise self._unfit(name, _said(source), typed, error) from error
        return made

    def encode(self, value: Any) -> str | None:
        """Turn what the handler returned into JSON text; None stays None.

        Raises:
            InvalidResult: it is not JSON, or does not fit the annotation.
        """
        returns = self.returns
        if value is None:
            if returns is None or returns.accepts_none:
                return None
            said = f"None, which does not fit its annotation {returns.name}"
            raise self._misreturned(f"{said}. Return one, or annotate it {returns.name} | None")
        if inspect.iscoroutine(value):
            value.close()
            raise self._misreturned("a coroutine: its decorator hides that it is async. Make the wrapper an async def")
        if returns is None:
            return self._encoded(value, None)
        if returns.is_none:
            said = f"{a(type(value).__name__)}, but is annotated -> None. Annotate what it returns, or return nothing"
            raise self._misreturned(said)
        return self._encoded(value, returns.adapter)

    def decode_results(self, text: str | None) -> Any:
        """Read stored results back through the return annotation."""
        if text is None:
            return None
        return from_json(text) if self.returns is None else self.returns.read(text)

    def accepts_none(self, parameter: str, source: str | None = None) -> bool:
        """Whether a parent without results is allowed for this parameter.

        Args:
            parameter: one that gets results; of any other the answer is True.
            source: for one that gets several results, only this step is without.
        """
        needed = self.needed(parameter)
        return source not in needed if source is not None else not needed

    def needed(self, parameter: str) -> tuple[str, ...]:
        """The sources of a parameter that may not be without results; asked once, however many there are."""
        typed = dict(self.inputs).get(parameter)
        if typed is None:
            return ()
        bound = self.sources.get(parameter, parameter)
        if isinstance(bound, str):
            return () if typed.accepts_none else (bound,)
        try:
            typed.read(_joined(bound, dict.fromkeys(bound)))
        except ValidationError as error:
            refused = {fault["loc"][0] for fault in error.errors() if fault["loc"]}
            return tuple(name for name in bound if name in refused) or bound
        except Exception:  # a validator of the user's may raise anything
            return bound
        return ()

    def _encoded(self, value: Any, through: TypeAdapter[Any] | None) -> str:
        try:
            return encode(value, through)
        except NotJSON as error:
            if isinstance(error.__cause__, ValidationError) and self.returns is not None:
                faults = "; ".join(map(str, of_pydantic(error.__cause__)))
                kind = a(type(value).__name__)
                said = f"{kind} that does not fit its annotation {self.returns.name}"
                raise self._misreturned(f"{said}: {faults}") from error
            hint = f". {error.hint}" if error.hint else ""
            raise self._misreturned(f"{error.what} at {error.path}, {error.message}{hint}") from error

    def _misreturned(self, said: str) -> InvalidResult:
        return InvalidResult(f"step {self.name!r} returned {said}. {_NOT_RETRIED}")

    def _unfit(self, parameter: str, source: str, typed: Typed, error: Exception) -> InvalidInput:
        faults = f"{type(error).__name__}: {error}"
        if isinstance(error, ValidationError):
            faults = "; ".join(map(str, of_pydantic(error)))
        whose = f"step {self.name!r}: parameter {parameter!r} ({source})"
        return InvalidInput(f"{whose} does not fit {typed.name}: {faults}")


def kind_of(fn: Callable[..., Any]) -> Literal["thread", "async"]:
    """Where a handler runs by its nature: a coroutine function on the event loop, all else in a thread."""
    call = getattr(fn, "__call__", None)  # noqa: B004 - a callable instance may have an async one
    inner = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    if inspect.iscoroutinefunction(inner) or (not inspect.isroutine(inner) and inspect.iscoroutinefunction(call)):
        return "async"
    return "thread"


def _joined(source: tuple[str, ...], results: Mapping[str, str | None]) -> str:
    parts = (f"{json.dumps(name)}:{'null' if (text := results[name]) is None else text}" for name in source)
    return "{" + ",".join(parts) + "}"


def _said(source: Source) -> str:
    return f"results of step {source!r}" if isinstance(source, str) else f"results of {', '.join(source)}"
