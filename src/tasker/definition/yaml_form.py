"""YAML form: templates written as files.

A file says what `template` and `step` say, by the same names, but that `after` is called `depends_on`. Steps may
stand in any order; they are put into one that a `tasker.definition.template.Draft` takes. `environments`
changes values of the base for one environment.

Before this: `tasker.definition.yaml_text` read the files. After it: the drafts are like any other.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tasker.definition import options as check
from tasker.definition.annotations import raw
from tasker.definition.graph import Graph
from tasker.definition.importing import imported
from tasker.definition.retry import Backoff, Retry
from tasker.definition.spelling import RESERVED, check_name, did_you_mean, listed, nearest
from tasker.definition.template import Draft
from tasker.definition.wiring import is_step_context, parameters, step_at
from tasker.definition.yaml_legacy import is_legacy, translated
from tasker.definition.yaml_text import Document, Lined, Patterns, documents
from tasker.errors import CycleError, DefinitionError, Duplicate, UnknownOption, UnknownParent

Ready = Mapping[str, Callable[..., Callable[..., Any]]]

_ENVIRONMENTS = ("development", "test", "production")
_TOP = (*check.TEMPLATE_OPTIONS, "steps", "environments")
_RETRY = ("max_attempts", "backoff", "retryable", "permanent", "max_retry_after")
_BACKOFF = ("first", "factor", "cap", "jitter")
_HABITS: check.Habits = {
    "after": lambda value: f"Write depends_on: {value if isinstance(value, list) else [value]}",
    "max_retries": lambda value: f"Write retry: {{max_attempts: {value + 1 if isinstance(value, int) else 4}}}",
    "max_attempts": lambda value: f"Write retry: {{max_attempts: {value}}}",
    "backoff": lambda value: "Write retry: {backoff: {first: 0.5}}",
    "handler_class": lambda value: f"Write handler: {value}",
    "handler_config": lambda value: "Write config: {…}",
    "dependent_system": lambda value: f"Write system: {value}",
}


def load(patterns: Patterns, *, modules: Sequence[str], env: str, ready: Ready) -> list[Draft]:
    """Read templates from YAML files.

    Args:
        patterns: paths relative to the working directory, `*` and `**` allowed.
        modules: handlers are imported from these (and what is inside them), from nowhere else.
        env: which section of `environments` is merged over the base.
        ready: ready handlers by their key: `{"http": http, "command": command}`.

    Raises:
        DefinitionError: with file and line.
    """
    if isinstance(modules, str):
        raise DefinitionError(f'modules={modules!r}: write a list, e.g. modules=["{modules}"]')
    return [_Form(document, list(modules), env, ready).draft() for document in documents(patterns)]


class _Form:
    """One document on its way to a draft."""

    def __init__(self, document: Document, modules: list[str], env: str, ready: Ready) -> None:
        self.document = translated(document) if is_legacy(document.data) else document
        self.modules, self.env, self.ready = modules, env, ready
        self.whose = self.document.whose()
        self.step_keys = (*map(_yaml_name, check.STEP_OPTIONS), "handler", *ready)

    def draft(self) -> Draft:
        data = self._merged()
        self._check_keys(data)
        given = {key: value for key, value in data.items() if key not in ("steps", "environments")}
        if "name" not in given:
            raise DefinitionError(f"{self.whose}: a template needs a name; write name: …")
        self._check_versions(given)
        for key in ("context", "identity"):
            if key in given and given[key] != "context":
                given[key] = imported(given[key], self.modules, f"{self.whose}: {key}")
        if "retry" in given:
            given["retry"] = self._retry(given["retry"], self.whose)
        try:
            draft = Draft(**given)
        except DefinitionError as error:
            raise type(error)(f"{self.whose}: {error}") from error
        self._add_steps(draft, data.get("steps") or [])
        return draft

    # Environments

    def _merged(self) -> Mapping[Any, Any]:
        """Merge the section of this environment over the base; the others are checked too."""
        base = self.document.data
        self._check_steps(base.get("steps"))
        sections = base.get("environments") or {}
        if not isinstance(sections, Mapping):
            raise DefinitionError(f"{self.whose}: environments is a mapping: development: {{…}}")
        known = dict.fromkeys([*_ENVIRONMENTS, self.env])
        for name, section in sections.items():
            if name not in known:
                asked = did_you_mean(str(name), known)
                said = f"no environment is called {name!r}, so that its section would do nothing"
                raise UnknownOption(f"{self.whose}: {said}.{asked} Environments: {listed(known)}")
            if section is not None:
                self._check_section(section, base, str(name))
        section = sections.get(self.env)
        return base if section is None else _over(base, section)

    def _check_section(self, section: Any, base: Mapping[Any, Any], name: str) -> None:
        whose = f"{self.document.whose(section)}: environments: {name}"
        if not isinstance(section, Mapping):
            raise DefinitionError(f"{whose}: write what differs, e.g. steps: [{{name: …, timeout: 5}}]")
        for key in ("name", "namespace", "version", "environments"):
            if key in section:
                raise UnknownOption(f"{whose}: {key!r} is the same in every environment; write it above")
        self._check_keys(section)
        self._check_steps(section.get("steps"))
        names = [str(step.get("name")) for step in base.get("steps") or []]
        for step in section.get("steps") or []:
            if str(step.get("name")) not in names:
                asked = did_you_mean(str(step.get("name")), names)
                said = f"{self.document.whose(step)}: environments: {name}: there is no step {step.get('name')!r}"
                raise UnknownParent(f"{said}.{asked} Steps: {listed(names)}")

    # Keys

    def _check_keys(self, data: Mapping[Any, Any]) -> None:
        check.refuse_unknown(data, _TOP, self.document.whose(data), _HABITS, "key")
        for step in data.get("steps") or []:
            if isinstance(step, Mapping):
                check.refuse_unknown(step, self.step_keys, self._step_whose(step), _HABITS, "key")

    def _check_steps(self, steps: Any) -> None:
        if steps is None:
            return
        if not isinstance(steps, list):
            raise DefinitionError(f"{self.whose}: steps is a list: - name: …")
        seen: dict[str, Any] = {}
        for step in steps:
            if not isinstance(step, Mapping) or "name" not in step:
                raise DefinitionError(f"{self.document.whose(step)}: each step is a mapping with a name: - name: …")
            name = check_name(step["name"], f"{self.document.whose(step)}: step")
            if name in seen:
                first = self.document.whose(seen[name])
                raise Duplicate(f"{self._step_whose(step)}: there is already a step {name!r} ({first})")
            seen[name] = step

    def _check_versions(self, given: Mapping[Any, Any]) -> None:
        version = given.get("version")
        if version is not None and not isinstance(version, str):
            text = self.document.data.written.get("version", str(version))
            raise DefinitionError(
                f'{self.whose}: version {text} is a number in YAML, and 1.10 would be 1.1; write version: "{text}"'
            )

    def _step_whose(self, step: Any) -> str:
        return step_at(str(step.get("name")), self.document.at(step))

    # Steps

    def _add_steps(self, draft: Draft, steps: list[Any]) -> None:
        handlers = {step["name"]: self._handler(step) for step in steps}
        parents = [(step["name"], self._parents(step, handlers)) for step in steps]
        try:
            order = Graph.of(parents).order
        except CycleError as error:
            raise CycleError(f"{self.whose}: template {draft.name!r}: {error}", error.circle) from None
        for number in order:
            step = steps[number]
            options = {_python_name(key): step[key] for key in step if key not in ("handler", *self.ready)}
            if "retry" in options:
                options["retry"] = self._retry(options["retry"], self._step_whose(step))
            draft.add(handlers[step["name"]], options, caller=None, at=self.document.at(step))

    def _handler(self, step: Mapping[Any, Any]) -> Callable[..., Any]:
        whose = self._step_whose(step)
        kinds = [key for key in ("handler", *self.ready) if key in step]
        if len(kinds) != 1:
            said = (
                f"has {' and '.join(kinds)}; write one of them"
                if kinds
                else "has no handler; write handler: module:function"
            )
            others = "" if kinds else "".join(f", or {key}: {{…}}" for key in self.ready)
            raise DefinitionError(f"{whose}: it {said}{others}")
        if kinds[0] != "handler":
            return self._ready_handler(kinds[0], step[kinds[0]], whose)
        found = imported(step["handler"], self.modules, f"{whose}: handler")
        if isinstance(found, type):
            try:
                found = found()
            except TypeError as error:
                raise DefinitionError(
                    f"{whose}: handler {step['handler']!r} is a class that needs arguments: {error}"
                ) from error
        if not callable(found):
            raise DefinitionError(f"{whose}: handler {step['handler']!r} cannot be called; name a function")
        return found  # type: ignore[no-any-return]

    def _ready_handler(self, key: str, given: Any, whose: str) -> Callable[..., Any]:
        maker = self.ready[key]
        declared = inspect.signature(maker).parameters
        known = [name for name, parameter in declared.items() if parameter.kind is not parameter.VAR_KEYWORD]
        if not isinstance(given, Mapping):
            raise DefinitionError(f"{whose}: {key} is a mapping of {listed(known)}")
        check.refuse_unknown(given, known, f"{whose}: {key}", {}, "key")
        try:
            return maker(**given)
        except DefinitionError as error:
            raise type(error)(f"{whose}: {key}: {error}") from error
        except (TypeError, ValueError) as error:
            raise DefinitionError(f"{whose}: {key}: {error}") from error

    def _parents(self, step: Mapping[Any, Any], handlers: Mapping[str, Any]) -> list[str]:
        """All steps that this one names: in `depends_on`, in `inputs`, and by its handler's parameters."""
        whose, inputs = self._step_whose(step), step.get("inputs") or {}
        if not isinstance(inputs, Mapping):
            raise DefinitionError(f"{whose}: inputs is a mapping: inputs: {{order: fetch-order}}")
        named = [("depends_on", one) for one in _listed_names(step.get("depends_on"))]
        named += [(f"inputs: {key}", one) for key, given in inputs.items() for one in _listed_names(given)]
        for where, name in named:
            if name not in handlers:
                asked = did_you_mean(str(name), handlers)
                raise UnknownParent(
                    f"{whose}: {where} names {name!r}, which is no step.{asked} Steps: {listed(handlers)}"
                )
        handler = handlers[step["name"]]
        hints = raw(handler)
        free = [p for p in parameters(handler, whose) if p not in inputs and not is_step_context(hints.get(p))]
        for parameter in free:
            if parameter not in handlers and parameter not in RESERVED:
                raise self._unknown_parameter(parameter, handlers, whose)
        return [*(name for _, name in named), *(p for p in free if p in handlers)]

    def _unknown_parameter(self, parameter: str, handlers: Mapping[str, Any], whose: str) -> UnknownParent:
        near = nearest(parameter, handlers)
        other = near or next(iter(handlers))
        asked = f" Did you mean {near!r}?" if near else ""
        return UnknownParent(
            f"{whose}: parameter {parameter!r} of its handler is neither 'context', 'step' nor a step.{asked} "
            f"Steps: {listed(handlers)}. To use another name: inputs: {{{parameter}: {other}}}"
        )

    # Retry

    def _retry(self, given: Any, whose: str) -> Retry:
        if not isinstance(given, Mapping):
            raise DefinitionError(f"{whose}: retry is a mapping: retry: {{max_attempts: 5}}")
        check.refuse_unknown(given, _RETRY, f"{whose}: retry", {}, "key")
        made = dict(given)
        if "backoff" in made:
            made["backoff"] = self._backoff(made["backoff"], whose)
        if "permanent" in made:
            names = made["permanent"] if isinstance(made["permanent"], list) else [made["permanent"]]
            allowed = [*self.modules, "builtins"]
            paths = [name if "." in str(name) or ":" in str(name) else f"builtins:{name}" for name in names]
            made["permanent"] = tuple(imported(path, allowed, f"{whose}: retry: permanent") for path in paths)
        try:
            return Retry(**made)
        except DefinitionError as error:
            raise DefinitionError(f"{whose}: {error}") from error

    def _backoff(self, given: Any, whose: str) -> Backoff:
        try:
            if isinstance(given, list):
                return Backoff.of(given)
            if isinstance(given, str):
                return Backoff.by(imported(given, self.modules, f"{whose}: retry: backoff"))
            if isinstance(given, Mapping):
                check.refuse_unknown(given, _BACKOFF, f"{whose}: retry: backoff", {}, "key")
                return Backoff(**given)
        except UnknownOption:
            raise
        except DefinitionError as error:
            raise DefinitionError(str(error) if str(error).startswith(whose) else f"{whose}: {error}") from error
        raise DefinitionError(
            f"{whose}: retry: backoff is {{first: 0.5, factor: 2, cap: 300}}, a list, or module:function"
        )


def _over(base: Lined, section: Mapping[Any, Any]) -> Lined:
    """Merge a section over the base: mappings key by key, steps by name, all else replaced."""
    made = _deep(base, {key: value for key, value in section.items() if key != "steps"})
    changes = {step["name"]: step for step in section.get("steps") or []}
    made["steps"] = [_deep(step, changes.get(step["name"], {})) for step in base.get("steps") or []]
    return made


def _deep(base: Mapping[Any, Any], over: Mapping[Any, Any]) -> Lined:
    made = base.with_values(base) if isinstance(base, Lined) else Lined(base)
    for key, value in over.items():
        there: Any = made.get(key)
        both = isinstance(there, Mapping) and isinstance(value, Mapping)
        made[key] = _deep(there, value) if both else value
    return made


def _listed_names(given: Any) -> list[Any]:
    return [] if given is None else list(given) if isinstance(given, list | tuple) else [given]


def _yaml_name(option: str) -> str:
    return "depends_on" if option == "after" else option


def _python_name(key: str) -> str:
    return "after" if key == "depends_on" else key
