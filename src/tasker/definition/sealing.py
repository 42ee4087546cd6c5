"""Sealing: from what was written to a finished template.

Annotations are resolved and compared here, once: a parent whose results can never be read by its child is an
error before any task is enqueued.

Before this: `tasker.definition.template` checked the names. After it: `tasker.definition.sealed` is what is left.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tasker.definition.annotations import function_of, resolved, type_name
from tasker.definition.context import AnyContext, ModelContext, SchemaContext
from tasker.definition.fit import Misfit, misfit
from tasker.definition.policy import StepPolicy
from tasker.definition.sealed import Header, Sealed
from tasker.definition.secrets import refuse_secrets
from tasker.definition.shape import Shape
from tasker.definition.signature import Handler, Typed, kind_of
from tasker.definition.spelling import did_you_mean, listed
from tasker.definition.wiring import WrittenStep, is_step_context
from tasker.errors import DefinitionError, UnknownParent
from tasker.payload import a


def seal(header: Header, written: Sequence[WrittenStep]) -> Sealed:
    """Finish a template: resolve and compare annotations, build adapters, shape and policy.

    Raises:
        DefinitionError: what was written does not hold together.
    """
    if not written:
        raise DefinitionError(f"template {header.full_name} has no steps; add one with its decorator, .step")
    shape = Shape(tuple(step.shape for step in written), _result(header, written))
    types = _Types()
    context = _context(header, types)
    handlers = {step.name: _handler(step, context, types) for step in written}
    for step in written:
        _compare(step, handlers, context, header)
    steps = {step.name: _policy(step.policy, handlers[step.name]) for step in written}
    policy = replace(header.policy, context_schema=context.schema(), steps=steps)
    return Sealed(
        namespace=header.namespace,
        name=header.name,
        version=header.version,
        serves=header.serves,
        shape=shape,
        policy=policy,
        handlers=handlers,
        identity_window=header.identity_window,
        identity=header.identity,
        context=context,
    )


class _Types:
    """One adapter per annotation: many steps share it."""

    def __init__(self) -> None:
        self._known: dict[Any, Typed] = {}

    def of(self, annotation: Any, whose: str) -> Typed:
        try:
            return self._known[annotation]
        except (KeyError, TypeError):
            pass
        from pydantic import PydanticUserError
        from pydantic.errors import PydanticUndefinedAnnotation

        try:
            made = Typed(annotation)
        except (PydanticUserError, PydanticUndefinedAnnotation, TypeError) as error:
            reason = str(error).splitlines()[0].removesuffix(".")
            raise DefinitionError(
                f"{whose} {type_name(annotation)}, which cannot come from JSON. Use a model or plain values ({reason})"
            ) from error
        with contextlib.suppress(TypeError):  # an annotation that cannot be hashed
            self._known[annotation] = made
        return made


def _result(header: Header, written: Sequence[WrittenStep]) -> str | None:
    names = [step.name for step in written]
    if header.result is not None and header.result not in names:
        asked = did_you_mean(header.result, names)
        whose = f"template {header.full_name}: result={header.result!r}"
        raise UnknownParent(f"{whose} is not one of its steps.{asked} Steps: {listed(names)}")
    return header.result


def _context(header: Header, types: _Types) -> AnyContext:
    if header.context_schema is not None:
        return SchemaContext(header.ref, header.context_schema)
    if header.context is None:
        return AnyContext(header.ref)
    refuse_secrets(header.context, "Put a reference in the context and fetch the secret in the handler.")
    typed = types.of(header.context, f"template {header.full_name}: context=")
    return ModelContext(header.ref, header.context, typed)


def _handler(step: WrittenStep, context: AnyContext, types: _Types) -> Handler:
    hints = resolved(step.fn, step.locals_, frozenset(step.steps), step.whose)
    if step.policy.run_in == "process":
        _refuse_unimportable(step)

    def typed(name: str, default: Typed | None = None) -> Typed:
        if name not in hints:
            return default or AnyContext.typed
        return types.of(hints[name], f"{step.whose}: parameter {name!r} is annotated")

    for name, hint in hints.items():
        if name != "return" and is_step_context(hint):
            said = f"parameter {name!r} is a StepContext under another name"
            raise DefinitionError(f"{step.whose}: {said}; call it 'step'")
    returns = None
    if "return" in hints and hints["return"] is not Any:
        instead = f"Return a reference from step {step.name!r}, and fetch the secret where it is used."
        refuse_secrets(hints["return"], instead)
        returns = types.of(hints["return"], f"{step.whose}: it returns")
    return Handler(
        fn=step.fn,
        kind="process" if step.policy.run_in == "process" else kind_of(step.fn),
        name=step.name,
        contexts=tuple((name, typed(name, context.typed)) for name in step.contexts),
        steps=step.steps,
        inputs=tuple((name, typed(name)) for name, _ in step.shape.inputs),
        sources=dict(step.shape.inputs),
        returns=returns,
    )


def _policy(policy: StepPolicy, handler: Handler) -> StepPolicy:
    """Add what only the annotations tell: the form of the results, and which parents may leave none."""
    needs = dict.fromkeys(parent for parameter, _ in handler.inputs for parent in handler.needed(parameter))
    schema = handler.returns.schema if handler.returns else None
    return replace(policy, results_schema=schema, needs=tuple(needs))


def _compare(step: WrittenStep, handlers: Mapping[str, Handler], context: AnyContext, header: Header) -> None:
    """Refuse a parameter that can read nothing of what its source writes."""
    handler = handlers[step.name]
    if header.context is not None:
        for parameter, typed in handler.contexts:
            if typed is not context.typed and (found := misfit(context.typed, typed)):
                said = _worded(found, f"{context.typed.name} (the template's context)")
                raise DefinitionError(f"{_whose(step, parameter, typed)} {said}. Annotate it {context.typed.name}")
    for parameter, typed in handler.inputs:
        source = handler.sources[parameter]
        for parent in (source,) if isinstance(source, str) else source:
            returns = handlers[parent].returns
            found = misfit(returns, typed, None if isinstance(source, str) else parent) if returns else None
            if returns and found:
                said = _worded(found, f"{returns.name} (returned by step {parent!r})")
                advice = _advice(found, parameter, typed, source, returns, step, handlers)
                raise DefinitionError(f"{_whose(step, parameter, typed)} {said}. {advice}")


def _worded(found: Misfit, giver: str) -> str:
    where = ".".join(found.path)
    if found.missing:
        needed = ", ".join(repr(".".join((*found.path, name))) for name in found.missing)
        return f"needs {needed}, which {giver} does not have"
    at = f" at {where!r}" if where else ""
    return f"wants {found.wants}{at}, but {giver} {'has' if where else 'is'} {found.gets}{' there' if where else ''}"


def _advice(
    found: Misfit,
    parameter: str,
    typed: Typed,
    source: Any,
    returns: Typed,
    step: WrittenStep,
    handlers: Mapping[str, Handler],
) -> str:
    if not isinstance(source, str):
        return f"Annotate it dict[str, {returns.name}]"
    if returns.is_none:
        return f'For order alone write after=["{source}"]'
    above = list(handlers)[: list(handlers).index(step.name)]
    fits = [name for name in above if (gives := handlers[name].returns) and gives.annotation == typed.annotation]
    other = f', or take it from another step: inputs={{"{parameter}": {fits[-1]}}}' if fits else ""
    return f"Annotate it {returns.name}{other}"


def _whose(step: WrittenStep, parameter: str, typed: Typed) -> str:
    return f"step {step.name!r}: parameter {parameter!r} is {a(typed.name)} and"


def _refuse_unimportable(step: WrittenStep) -> None:
    """Refuse a handler that another process could not import."""
    if kind_of(step.fn) == "async":
        raise DefinitionError(f'{step.whose}: run_in="process" is for plain functions; write def instead of async def')
    function = function_of(step.fn)
    there: Any = sys.modules.get(getattr(step.fn, "__module__", None) or "")
    for part in (getattr(step.fn, "__qualname__", None) or "?").split("."):
        there = getattr(there, part, None)
    if there is None or function_of(there) is not function or inspect.ismethod(step.fn):
        hint = "needs a function that another process can import; move it to the top level of its module"
        raise DefinitionError(f'{step.whose}: run_in="process" {hint}')
