"""Search: the one search language, `state:error step:report_tax age:>1h`, and the filters of `app.tasks`."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from tasker import payload
from tasker.errors import RequestError
from tasker.states import TaskState
from tasker.store import read
from tasker.store.read import Condition
from tasker.store.store import Store

FIELDS = ("state", "template", "step", "tag", "key", "queue", "worker", "error", "attempt", "age")
"""What a term may begin with."""

_COMPARED = re.compile(r"(>=|<=|>|<|)(\d+(?:\.\d+)?)([a-z]*)$")
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800, "": 1}


def conditions(
    store: Store,
    *,
    state: str | Sequence[str] | None = None,
    template: str | None = None,
    tag: str | None = None,
    annotation: tuple[str, Any] | None = None,
    q: str | None = None,
) -> list[Condition]:
    """Turn filters into conditions.

    Raises:
        RequestError: an unknown field or state, with the nearest spelling.
    """
    found = []
    if state is not None:
        found.append(_state(store, ",".join(state) if not isinstance(state, str) else state))
    if template is not None:
        found.append(_template(store, template))
    if tag is not None:
        found.append(read.of_tag(store, tag))
    if annotation is not None:
        kind, value = annotation
        found.append(read.of_annotation(kind, payload.encode(value)))
    return found + parse(store, q or "")


def parse(store: Store, q: str) -> list[Condition]:
    """Read the search language: terms with spaces between them, all of which must hold.

    `state:` is the task's; `step:` names a step that failed, waits or runs; several values have commas between them.
    """
    try:
        terms = shlex.split(q)
    except ValueError:
        raise RequestError(f"q={q!r}: a quotation mark is not closed") from None
    return [_term(store, term) for term in terms]


def _term(store: Store, term: str) -> Condition:
    field, colon, value = term.partition(":")
    if not colon or not value:
        raise RequestError(
            f"q: {term!r} is no term; write field:value with one of {', '.join(FIELDS)}, e.g. state:error age:>1h"
        )
    if field not in _TERMS:
        near = difflib.get_close_matches(field, FIELDS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise RequestError(f"q: no field {field!r}.{hint} Fields: {', '.join(FIELDS)}")
    return _TERMS[field](store, value)


def _state(store: Store, value: str) -> Condition:
    states = value.split(",")
    for state in states:
        if state not in TaskState.__members__.values():
            near = difflib.get_close_matches(state, [str(s) for s in TaskState], 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise RequestError(f"no task is ever {state!r}.{hint} States: {', '.join(TaskState)}")
    return read.of_states(states)


def _template(store: Store, value: str) -> Condition:
    name, _, version = value.partition("@")
    namespace, slash, short = name.partition("/")
    return read.of_template(namespace if slash else "default", short if slash else name, version or None)


def _attempt(store: Store, value: str) -> Condition:
    compare, number, unit = _compared("attempt", value)
    if unit or "." in number:
        raise RequestError(f"q: attempt:{value}: write a whole number, e.g. attempt:>3")
    return read.of_attempts(compare or "=", int(number))


def _age(store: Store, value: str) -> Condition:
    compare, number, unit = _compared("age", value)
    if unit not in _UNITS:
        raise RequestError(f"q: age:{value}: the unit must be one of s, m, h, d, w, e.g. age:>1h")
    return read.of_age(compare or ">=", store.clock.now() - float(number) * _UNITS[unit])


def _compared(field: str, value: str) -> tuple[str, str, str]:
    found = _COMPARED.match(value)
    if found is None:
        raise RequestError(f"q: {field}:{value} is not understood; write e.g. attempt:>3 or age:>1h")
    return found[1], found[2], found[3]


_TERMS: dict[str, Callable[[Store, str], Condition]] = {
    "state": _state,
    "template": _template,
    "step": lambda store, value: read.of_step(value, ("error", "waiting_for_retry", "in_progress")),
    "tag": read.of_tag,
    "key": lambda store, value: read.of_key(value),
    "queue": lambda store, value: read.of_queue(value),
    "worker": lambda store, value: read.of_worker(value),
    "error": read.of_error,
    "attempt": _attempt,
    "age": _age,
}
