"""Sealed: a template that is finished, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasker.definition.context import AnyContext
from tasker.definition.policy import Policy
from tasker.definition.shape import Shape
from tasker.definition.signature import Handler
from tasker.errors import RequestError
from tasker.payload import canonical, decode, fingerprint

Identity = str | Callable[[Any], Any] | None


@dataclass(frozen=True)
class Header:
    """What was said of the template itself.

    Attributes:
        identity: "context", a function of the context, or None.
        identity_window: seconds.
        policy: without its steps and schema.
    """

    namespace: str
    name: str
    version: str
    serves: tuple[str, ...]
    result: str | None
    context: Any
    context_schema: Mapping[str, Any] | None
    identity: Identity
    identity_window: float | None
    policy: Policy

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def ref(self) -> str:
        return f"{self.full_name}@{self.version}"


@dataclass(frozen=True)
class Sealed:
    """A template that is finished.

    Attributes:
        namespace, name, version: who it is.
        serves: versions whose stored shapes these handlers run too.
        shape: what a task keeps to its end.
        policy: all else.
        handlers: by step name.
        identity_window: seconds during which a second enqueue finds the first task.
    """

    namespace: str
    name: str
    version: str
    serves: tuple[str, ...]
    shape: Shape
    policy: Policy
    handlers: Mapping[str, Handler]
    identity_window: float | None
    identity: Identity = field(repr=False)
    context: AnyContext = field(repr=False)

    @property
    def full_name(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def ref(self) -> str:
        """`namespace/name@version`."""
        return f"{self.full_name}@{self.version}"

    def encode_context(self, value: Any) -> str:
        """Check a context and turn it into JSON text, defaults applied.

        Raises:
            InvalidContext: with every fault.
        """
        return self.context.encode(value)

    def identity_of(self, value: Any, text: str) -> str | None:
        """Say what makes two enqueues the same task; None where every enqueue is a new one.

        Args:
            value: the context as it was given.
            text: the same, by `encode_context`.
        """
        if self.identity is None:
            return None
        if isinstance(self.identity, str):
            return fingerprint(canonical(decode(text)))
        try:
            key = self.identity(self.context.typed.read(text))
        except Exception as error:
            raise RequestError(f"{self.ref}: its identity= raised {type(error).__name__}: {error}") from error
        if isinstance(key, int) and not isinstance(key, bool):
            return str(key)
        if not isinstance(key, str) or not key:
            raise RequestError(f"{self.ref}: its identity= returned {key!r}; return a string that is not empty")
        return key

    def can_serve(self, shape: Shape) -> str | None:
        """Say why these handlers cannot run a stored shape; None where they can."""
        for step in shape.steps:
            handler = self.handlers.get(step.name)
            if handler is None:
                return f"step {step.name!r} has no handler here"
            given = dict(step.inputs)
            for parameter, _ in handler.inputs:
                if parameter not in given:
                    return f"step {step.name!r}: its handler wants {parameter!r}, which that shape does not give"
                if isinstance(given[parameter], str) != isinstance(handler.sources[parameter], str):
                    many = "several steps" if isinstance(given[parameter], tuple) else "one step"
                    return f"step {step.name!r}: that shape gives its handler {parameter!r} from {many}"
        return None
