"""Legacy YAML: the keys of the earlier Tasker's files, turned into those of this one.

Only what acts here is taken; a key of that form that has no meaning any more is refused like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasker.definition.options import Habits, refuse_unknown
from tasker.definition.spelling import did_you_mean
from tasker.definition.yaml_text import Document, Lined
from tasker.errors import Duplicate, UnknownParent

_MARKS = ("step_templates", "namespace_name", "named_steps", "default_dependent_system")
_TOP = {"namespace_name": "namespace", "schema": "context_schema", "step_templates": "steps"}
_STEP = {"handler_class": "handler", "handler_config": "config", "dependent_system": "system"}
_TOP_KEYS = (
    "name",
    "namespace_name",
    "version",
    "description",
    "schema",
    "default_dependent_system",
    "named_steps",
    "step_templates",
    "environments",
)
_STEP_KEYS = (
    "name",
    "description",
    "handler_class",
    "handler_config",
    "depends_on_step",
    "depends_on_steps",
    "default_retry_limit",
    "default_retryable",
    "dependent_system",
)


def _gone(reason: str) -> Any:
    return lambda value: f"It does nothing here: {reason}. Delete it."


_GONE: Habits = {
    "task_handler_class": _gone("a template needs no class"),
    "module_namespace": _gone("handler_class is a whole dotted path"),
    "concurrent": _gone("steps without a parent in common always run side by side"),
    "custom_events": _gone("subscribe to the events of tasker.events"),
    "skippable": _gone("a person may skip any step"),
}


def is_legacy(data: Mapping[Any, Any]) -> bool:
    """Whether a document is in the earlier Tasker's form."""
    return any(key in data for key in _MARKS)


def translated(document: Document) -> Document:
    """Turn a document into the present form.

    Raises:
        UnknownOption: a key that did nothing there, or does nothing here.
    """
    data = document.data
    known = data.get("named_steps")
    made = _top(document, data, str(data.get("name", "")))
    sections = data.get("environments")
    if isinstance(sections, Mapping):
        made["environments"] = {
            name: _top(document, section, f"environments: {name}") if isinstance(section, Lined) else section
            for name, section in sections.items()
        }
    system = made.pop("default_dependent_system", None)
    for step in made.get("steps") or []:
        if system is not None and isinstance(step, dict):
            step.setdefault("system", system)
        if known is not None and step.get("name") not in known:
            asked = did_you_mean(str(step.get("name")), map(str, known))
            raise UnknownParent(f"{document.whose(step)}: step {step.get('name')!r} is not in named_steps.{asked}")
    return Document(document.path, made)


def _top(document: Document, data: Lined, name: str) -> Lined:
    whose = f"{document.whose(data)}: template {name!r}"
    refuse_unknown(data, _TOP_KEYS, whose, _GONE, "key")
    made = data.with_values({_TOP.get(key, key): value for key, value in data.items() if key != "named_steps"})
    steps = made.get("steps")
    if isinstance(steps, list):
        made["steps"] = [_step(document, step) if isinstance(step, Lined) else step for step in steps]
    return made


def _step(document: Document, data: Lined) -> Lined:
    whose = f"step {data.get('name')!r} ({document.whose(data)})"
    refuse_unknown(data, _STEP_KEYS, whose, _GONE, "key")
    made = data.with_values(
        {_STEP.get(key, key): value for key, value in data.items() if key in ("name", "description", *_STEP)}
    )
    one, many = data.get("depends_on_step"), data.get("depends_on_steps")
    if one is not None and many and one in many:
        raise Duplicate(f"{whose}: depends_on_step and depends_on_steps both name {one!r}; leave one out")
    if one is not None or many is not None:
        made["depends_on"] = [*([] if one is None else [one]), *(many or [])]
    retry = {"default_retry_limit": "max_attempts", "default_retryable": "retryable"}
    if any(key in data for key in retry):
        made["retry"] = {new: data[old] for old, new in retry.items() if old in data}
    return made
