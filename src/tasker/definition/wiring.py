"""Wiring: what each parameter of a handler is bound to, decided where the step is written.

Only names are looked at here; annotations are resolved when the template is sealed.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasker.definition.annotations import function_of, raw
from tasker.definition.place import defined_below, shown
from tasker.definition.policy import StepPolicy
from tasker.definition.shape import Source, StepShape
from tasker.definition.spelling import did_you_mean, listed, nearest
from tasker.errors import DefinitionError, Duplicate, UnknownOption, UnknownParent

Ref = str | Callable[..., Any]
"""A step as people name it: by its name, or by its function."""


@dataclass(frozen=True)
class WrittenStep:
    """A step as it was written, before annotations are looked at.

    Attributes:
        fn: its handler, unchanged.
        shape: name, parents, inputs.
        policy: all its options.
        contexts: parameters that get the context.
        steps: parameters that get the `StepContext`.
        locals_: what its annotations may name besides globals.
        at: file and line.
    """

    fn: Callable[..., Any]
    shape: StepShape
    policy: StepPolicy
    contexts: tuple[str, ...]
    steps: tuple[str, ...]
    locals_: Mapping[str, Any]
    at: tuple[str, int]

    @property
    def name(self) -> str:
        return self.shape.name

    @property
    def whose(self) -> str:
        return step_at(self.name, self.at)


def step_at(name: str, at: tuple[str, int]) -> str:
    """Name a step for an error: "step 'fetch_order' (shop/tasks.py:12)"."""
    where = shown(at)
    return f"step {name!r} ({where})" if where else f"step {name!r}"


class Steps(dict[str, WrittenStep]):
    """The steps of a template by name, found by their functions too."""

    def __init__(self) -> None:
        super().__init__()
        self._by_function: dict[Any, list[str]] = {}

    def add(self, step: WrittenStep) -> None:
        """Take one more step in."""
        self[step.name] = step
        self._by_function.setdefault(_key(step.fn), []).append(step.name)

    def of(self, fn: Any) -> list[str]:
        """All steps that this function runs in."""
        return list(self._by_function.get(_key(fn), ()))


def _key(fn: Any) -> Any:
    # Python makes a new object at each access of a bound method; those of one instance are equal.
    return fn if inspect.ismethod(fn) else id(fn)


class Above:
    """The steps above one that is being written: whom it may name."""

    def __init__(self, steps: Steps, name: str, at: tuple[str, int]) -> None:
        self.steps, self.name, self.at = steps, name, at

    @property
    def whose(self) -> str:
        return step_at(self.name, self.at)

    def one(self, ref: Any, where: str) -> str:
        """Find the step that `ref` names.

        Args:
            ref: a name, or a function.
            where: for the refusal, "after names", or "parameter 'x' is bound to".
        """
        if isinstance(ref, str):
            return self._known(ref, where)
        if not callable(ref):
            raise DefinitionError(f"{self.whose}: {where} {ref!r}; write a step's name or its function")
        names = self.steps.of(ref)
        if len(names) > 1:
            which = " or ".join(f'"{name}"' for name in names[:4])
            raise DefinitionError(
                f"{self.whose}: {where} {_called(ref)!r}, which runs in several steps; name one by string: {which}"
            )
        return names[0] if names else self._wrapped(ref, where)

    def _wrapped(self, ref: Any, where: str) -> str:
        """Find the step of a function that was decorated once more after it became a step."""
        name = self._known(_called(ref), where)
        if function_of(ref) is not function_of(self.steps[name].fn):
            said = f"{self.whose}: {where} a function {name!r} that is not the handler of step {name!r}"
            raise UnknownParent(f'{said}. If that step is meant, name it by string: "{name}"')
        return name

    def _known(self, name: str, where: str) -> str:
        if name == self.name:
            raise Duplicate(f"{self.whose}: it depends on itself; {where} {name!r}")
        if name in self.steps:
            return name
        self.refuse_if_below(name)
        asked = did_you_mean(name, self.steps)
        said = f"{self.whose}: {where} {name!r}, which is not a step defined above"
        raise UnknownParent(f"{said}.{asked} Steps above: {listed(self.steps)}")

    def refuse_if_below(self, name: str) -> None:
        """Refuse a step that the same file defines further down."""
        line = None if nearest(name, self.steps) == name else defined_below(name, self.at)
        if line is not None:
            raise UnknownParent(
                f'{self.whose}: {name!r} is not defined yet (there is a "def {name}" at line {line}). '
                "Move it above: a step may name only steps above it."
            )


def refuse_unread(fn: Any, parents: Sequence[str], above: Above) -> None:
    """Refuse a ready handler whose `{results.…}` names a step that does not come before it."""
    reads = getattr(fn, "reads", ()) if isinstance(getattr(fn, "options", None), dict) else ()
    before, todo = set(parents), list(parents) if reads else []
    while todo:
        for parent in above.steps[todo.pop()].shape.parents:
            if parent not in before:
                before.add(parent)
                todo.append(parent)
    for name in reads:
        if name not in before:
            above.refuse_if_below(name)
            known = name in above.steps
            asked = f" Add it: after=[{name!r}]" if known else did_you_mean(name, above.steps)
            said = f"{above.whose}: it reads results.{name}, but no step {name!r} comes before it"
            raise UnknownParent(f"{said}.{asked} Steps before: {listed(n for n in above.steps if n in before)}")


def parameters(fn: Callable[..., Any], whose: str) -> list[str]:
    """List the parameters of a handler that Tasker fills in.

    Raises:
        DefinitionError: it takes `*args`, `**kwargs` or parameters without names, or its signature is hidden.
    """
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        raise DefinitionError(f"{whose}: {fn!r} does not tell its parameters; write a def that calls it") from None
    given = fn.keywords if isinstance(fn, functools.partial) else {}
    names = []
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise DefinitionError(
                f"{whose}: it takes {stars}{parameter.name}, but a handler's parameters are its dependencies. "
                "Name each one; if a decorator hides them, write functools.wraps in it."
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise DefinitionError(f'{whose}: parameter {parameter.name!r} is positional-only; leave out the "/"')
        if parameter.name not in given:
            names.append(parameter.name)
    return names


def wire(
    fn: Callable[..., Any], inputs: Mapping[str, Any], above: Above
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, Source], ...]]:
    """Bind every parameter: by `inputs`, as the step's own facts, as the context, or to the step of its name.

    Returns:
        Parameters that get the context; those that get the `StepContext`; (parameter, source) of the others.
    """
    names = parameters(fn, above.whose)
    for given in inputs:
        if given not in names:
            asked = did_you_mean(str(given), names)
            raise UnknownOption(
                f"{above.whose}: inputs names {given!r}, which is no parameter of it.{asked} "
                f"Parameters: {listed(names)}"
            )
    hints = raw(fn)
    contexts, steps, wired = [], [], []
    for name in names:
        if name in inputs:
            wired.append((name, _source(inputs[name], name, above)))
        elif name == "step" or is_step_context(hints.get(name)):
            steps.append(name)
        elif name == "context":
            contexts.append(name)
        else:
            wired.append((name, _same_name(fn, name, above)))
    return tuple(contexts), tuple(steps), tuple(wired)


def is_step_context(annotation: Any) -> bool:
    """Whether an annotation, resolved or not, is `StepContext`."""
    if isinstance(annotation, str):
        return annotation.strip("'\" ").rpartition(".")[2] == "StepContext"
    return bool(getattr(annotation, "__step_context__", False))


def after_names(after: Any, above: Above) -> tuple[str, ...]:
    """The steps that `after=` names, each once."""
    refs = [after] if isinstance(after, str) or callable(after) else after
    if not isinstance(refs, Sequence):
        raise DefinitionError(f"{above.whose}: after={after!r}: write a list of steps, e.g. after=[fetch_order]")
    return tuple(dict.fromkeys(above.one(ref, "after names") for ref in refs))


def _source(given: Any, parameter: str, above: Above) -> Source:
    where = f"inputs binds {parameter!r} to"
    if isinstance(given, str) or callable(given):
        return above.one(given, where)
    if not isinstance(given, Sequence) or not given:
        raise DefinitionError(f"{above.whose}: {where} {given!r}; write a step, or a list of steps")
    names = tuple(above.one(ref, where) for ref in given)
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise Duplicate(f"{above.whose}: {where} step {twice!r} twice; results come by step name, so once is enough")
    return names


def _same_name(fn: Callable[..., Any], name: str, above: Above) -> str:
    if name == above.name:
        raise Duplicate(f"{above.whose}: it depends on itself: parameter {name!r} has the step's own name")
    if name in above.steps:
        return name
    if name in ("self", "cls"):
        raise UnknownParent(
            f"{above.whose}: parameter {name!r}: a method is a handler only once it is bound. "
            f"Register it on an instance: template.step(instance.{_called(fn)})"
        )
    above.refuse_if_below(name)
    near = nearest(name, [*above.steps, "context", "step"])
    asked = f" Did you mean {near!r}?" if near else ""
    other = near if near in above.steps else next(reversed(list(above.steps)), None)
    example = f' To use another name: inputs={{"{name}": {other}}}' if other else ""
    raise UnknownParent(
        f"{above.whose}: parameter {name!r} is neither 'context', 'step' nor a step defined above.{asked} "
        f"Steps above: {listed(above.steps)}.{example}"
    )


def _called(fn: Any) -> str:
    return str(getattr(fn, "__name__", None) or getattr(function_of(fn), "__name__", None) or repr(fn))
