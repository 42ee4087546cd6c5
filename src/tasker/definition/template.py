"""Template: a definition that is being written, step by step, with every name checked at its own line.

A `Draft` knows only steps above the one being written, so that a cycle cannot be written. Sealing it makes a
`tasker.definition.sealed.Sealed`; after that no step is added.
"""

from __future__ import annotations

import dataclasses
import inspect
import threading
import typing
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

from tasker.clock import Seconds
from tasker.definition import options as check
from tasker.definition.annotations import function_of, needed_locals, type_name
from tasker.definition.place import place, shown
from tasker.definition.policy import Policy, StepPolicy
from tasker.definition.retry import Retry
from tasker.definition.sealed import Header, Identity, Sealed
from tasker.definition.sealing import seal
from tasker.definition.shape import StepShape
from tasker.definition.signature import kind_of
from tasker.definition.spelling import RESERVED, check_name, check_version, did_you_mean, listed
from tasker.definition.typed_dicts import is_typed_dict
from tasker.definition.wiring import Above, Ref, Steps, WrittenStep, after_names, refuse_unread, step_at, wire
from tasker.errors import DefinitionError, Duplicate, NotFound


class Draft:
    """A template that is being written.

    Example:
        >>> draft = Draft("greet")
        >>> def name(context: dict[str, str]) -> str:
        ...     return context["name"]
        >>> def greet(name: str) -> str:
        ...     return f"Hello, {name}"
        >>> draft.add(name, {}, caller=None), draft.add(greet, {}, caller=None)
        ('name', 'greet')
        >>> draft.seal().shape.step("greet").parents
        ('name',)
    """

    def __init__(
        self,
        name: str,
        *,
        namespace: str = "default",
        version: str = "0.1.0",
        serves: Sequence[str] = (),
        context: Any = None,
        context_schema: Mapping[str, Any] | None = None,
        description: str = "",
        on_failure: str = "finish_branches",
        result: str | None = None,
        identity: Identity = None,
        identity_window: Seconds | None = None,
        deadline: Seconds | None = None,
        queue: str = "default",
        priority: int = 0,
        retry: Retry | None = None,
        timeout: Seconds | None = None,
        **unknown: Any,
    ) -> None:
        whose = f"template {name!r}"
        check.refuse_unknown(unknown, check.TEMPLATE_OPTIONS, whose)
        self.header = Header(
            namespace=check_name(namespace, f"{whose}: namespace"),
            name=check_name(name, "template"),
            version=check_version(version, whose),
            serves=_serves(serves, version, whose),
            result=None if result is None else check.word(result, "result", whose),
            context=_model(context, context_schema, whose),
            context_schema=_schema(context_schema, whose),
            identity=_identity(identity, whose),
            identity_window=check.length(identity_window, "identity_window", whose),
            policy=Policy(
                on_failure=check.one_of(on_failure, "on_failure", ("finish_branches", "stop"), whose),
                queue=check.word(queue, "queue", whose),
                priority=check.priority(priority, whose),
                deadline=check.length(deadline, "deadline", whose),
                description=check.text(description, "description", whose),
            ),
        )
        self._retry = Retry() if retry is None else check.retry_of(retry, whose)
        self._timeout = check.length(timeout, "timeout", whose)
        self._steps = Steps()
        self._sealed: Sealed | None = None
        self._lock = threading.RLock()

    @property
    def namespace(self) -> str:
        return self.header.namespace

    @property
    def name(self) -> str:
        return self.header.name

    @property
    def version(self) -> str:
        return self.header.version

    @property
    def full_name(self) -> str:
        """`namespace/name`."""
        return self.header.full_name

    @property
    def ref(self) -> str:
        """`namespace/name@version`."""
        return self.header.ref

    @property
    def steps(self) -> list[str]:
        """The names of the steps written so far."""
        return list(self._steps)

    def add(
        self,
        fn: Callable[..., Any],
        options: Mapping[str, Any],
        *,
        caller: FrameType | None,
        at: tuple[str, int] | None = None,
    ) -> str:
        """Add a step and check everything about it that needs no annotations.

        Args:
            fn: its handler.
            options: keywords of `step()`.
            caller: the author's frame, for the line in errors and for local names in annotations.
            at: file and line, where no frame tells them.

        Returns:
            The step's name.

        Raises:
            DefinitionError: with the step's name and the author's line.
        """
        place_ = at or place(caller, fn)
        name = self._new_name(fn, options, place_)
        whose = step_at(name, place_)
        check.refuse_unknown(options, check.STEP_OPTIONS, f"step {name!r}")
        _refuse_handler(fn, options, whose)
        above = Above(self._steps, name, place_)
        inputs = options.get("inputs") or {}
        if not isinstance(inputs, Mapping):
            raise DefinitionError(f'{whose}: inputs={inputs!r}: write a dict, e.g. inputs={{"order": fetch_order}}')
        contexts, steps, wired = wire(fn, inputs, above)
        shape = StepShape(name, after_names(options.get("after") or (), above), wired)
        refuse_unread(fn, shape.parents, above)
        locals_ = needed_locals(fn, caller.f_locals) if caller is not None else {}
        policy = self._policy(fn, options, whose)
        with self._lock:
            if self._sealed is not None:
                raise DefinitionError(
                    f"{whose}: {self.full_name} is sealed: it was enqueued, checked or given to a worker. "
                    "Add all steps before"
                )
            self._steps.add(WrittenStep(fn, shape, policy, contexts, steps, locals_, place_))
        return name

    def steps_of(self, ref: Ref) -> list[str]:
        """Find the step that a name or a function means.

        Raises:
            NotFound: there is none.
            DefinitionError: the function runs in several steps.
        """
        found = ([ref] if ref in self._steps else []) if isinstance(ref, str) else self._steps.of(ref)
        called = ref if isinstance(ref, str) else getattr(ref, "__name__", repr(ref))
        if not found:
            asked = did_you_mean(called, self._steps)
            raise NotFound(f"{self.full_name} has no step {called!r}.{asked} Steps: {listed(self._steps)}")
        if len(found) > 1:
            which = " or ".join(f'"{name}"' for name in found[:4])
            raise DefinitionError(f"{called!r} runs in several steps of {self.full_name}; name one by string: {which}")
        return found

    def seal(self) -> Sealed:
        """Finish the template: resolve and compare annotations; after this no step is added.

        Raises:
            DefinitionError: what was written does not hold together.
        """
        if self._sealed is None:
            with self._lock:
                if self._sealed is None:
                    self._sealed = seal(self.header, list(self._steps.values()))
        return self._sealed

    def _new_name(self, fn: Any, options: Mapping[str, Any], at: tuple[str, int]) -> str:
        """Decide how a step is called."""
        here = f" ({shown(at)})" if at[0] else ""
        if not callable(fn):
            raise DefinitionError(f"a step of {self.full_name}{here}: {fn!r} is no handler; pass a function")
        name: Any = options.get("name")
        if name is None:
            name = getattr(fn, "__name__", "<lambda>")
        if name == "<lambda>":
            raise DefinitionError(
                f"a step of {self.full_name}{here}: a lambda, partial or callable object has no name of its own; "
                'write step(…, name="…")'
            )
        check_name(name, f"a step of {self.full_name}{here}")
        whose = step_at(name, at)
        if name in RESERVED:
            raise DefinitionError(f"{whose}: no step is called {name!r}: as a parameter it means something else")
        if name in self._steps:
            first = shown(self._steps[name].at)
            raise Duplicate(
                f"{whose}: {self.full_name} already has a step {name!r}{f' ({first})' if first else ''}. "
                'One function in several steps: step(function, name="…") for each'
            )
        return str(name)

    def _policy(self, fn: Any, options: Mapping[str, Any], whose: str) -> StepPolicy:
        retry, timeout, system = options.get("retry"), options.get("timeout"), options.get("system")
        described = options.get("description")
        return StepPolicy(
            retry=self._retry if retry is None else check.retry_of(retry, whose),
            timeout=self._timeout if timeout is None else check.length(timeout, "timeout", whose),
            system=None if system is None else check.word(system, "system", whose),
            priority=check.priority(options.get("priority", 0), whose),
            config=check.config(options.get("config") or {}, whose),
            max_wait=check.length(options.get("max_wait"), "max_wait", whose),
            run_in=check.one_of(options.get("run_in", "auto"), "run_in", ("auto", "process"), whose),
            description=_first_line(fn) if described is None else check.text(described, "description", whose),
        )


def _refuse_handler(fn: Any, options: Mapping[str, Any], whose: str) -> None:
    """Refuse callables that are no handlers."""
    if isinstance(fn, type):
        raise DefinitionError(f"{whose}: {fn.__name__} is a class; pass a function, or an instance that can be called")
    function = function_of(fn)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(f"{whose}: it is a generator (it has a yield); return a list, or write more steps")
    if options.get("run_in") == "process" and kind_of(fn) == "async":
        raise DefinitionError(f'{whose}: run_in="process" is for plain functions; write def instead of async def')


def _first_line(fn: Any) -> str:
    """What the handler's docstring says first."""
    written = function_of(fn).__doc__ if inspect.isroutine(function_of(fn)) else None
    return (written or "").strip().partition("\n")[0]


def _serves(serves: Any, version: str, whose: str) -> tuple[str, ...]:
    if isinstance(serves, str) or not isinstance(serves, Sequence):
        raise DefinitionError(f'{whose}: serves={serves!r}: write a list of versions, e.g. serves=["1.0.0"]')
    checked = tuple(check_version(one, f"{whose}: serves") for one in serves)
    if version in checked:
        raise DefinitionError(f"{whose}: serves names its own version {version!r}; leave it out")
    return tuple(dict.fromkeys(checked))


def _model(context: Any, context_schema: Any, whose: str) -> Any:
    if context is None:
        return None
    if context_schema is not None:
        raise DefinitionError(f"{whose}: context= and context_schema= say the same twice; write one of them")
    is_model = isinstance(context, type) and isinstance(getattr(context, "model_fields", None), dict)
    origin = typing.get_origin(context) or context
    if is_model or (isinstance(origin, type) and dataclasses.is_dataclass(origin)) or is_typed_dict(origin):
        return context
    raise DefinitionError(
        f"{whose}: context={type_name(context)}: write a pydantic model, dataclass or TypedDict; "
        "leave it out where any dict will do"
    )


def _schema(schema: Any, whose: str) -> Mapping[str, Any] | None:
    if schema is None or isinstance(schema, Mapping):
        return schema
    raise DefinitionError(f"{whose}: context_schema={schema!r}: write a JSON Schema as a dict, or context= and a model")


def _identity(identity: Any, whose: str) -> Identity:
    if identity is None or identity == "context" or (callable(identity) and not isinstance(identity, type)):
        return identity  # type: ignore[no-any-return]
    raise DefinitionError(f'{whose}: identity={identity!r}: write "context", or a function of the context')
