"""Environment: `${VAR}` and `${VAR:-default}` in what a template says, filled in where the step runs.

A definition is stored as it is written, so that no secret reaches the database and all hosts store the same.
`$${VAR}` stands for the text `${VAR}` itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tasker.errors import ConfigError

_VARIABLE = re.compile(r"\$(?P<literal>\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<has>:-(?P<default>[^}]*))?\}")


def fill(value: Any, env: Mapping[str, str]) -> Any:
    """Fill in variables in every string of a value.

    Args:
        value: as JSON made it; it is not changed.
        env: usually `os.environ`; an empty variable counts as unset where there is a default, as in a shell.

    Raises:
        ConfigError: a variable is not set and has no default.

    Example:
        >>> fill({"url": "${SHOP_URL:-http://localhost:9000}/orders"}, {})
        {'url': 'http://localhost:9000/orders'}
    """
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _value(found, env), value) if "$" in value else value
    if isinstance(value, Mapping):
        return {key: fill(part, env) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [fill(part, env) for part in value]
    return value


def unset(value: Any, env: Mapping[str, str]) -> list[str]:
    """List the variables that `fill` would miss, each once, in order of their names.

    Example:
        >>> unset(["${A}", {"b": "${B:-}", "c": "${C} ${A}"}], {"C": "1"})
        ['A']
    """
    if isinstance(value, str):
        found = (one for one in _VARIABLE.finditer(value) if one["name"] and one["has"] is None)
        return sorted({one["name"] for one in found if one["name"] not in env})
    if isinstance(value, Mapping):
        return unset(list(value.values()), env)
    if isinstance(value, list | tuple):
        return sorted({name for part in value for name in unset(part, env)})
    return []


def _value(found: re.Match[str], env: Mapping[str, str]) -> str:
    name = found["name"]
    if name is None:
        return found["literal"]
    if found["has"] is not None:
        return env.get(name) or found["default"]
    if name not in env:
        raise ConfigError(
            f"the environment has no {name}, which ${{{name}}} asks for. Set it, or write ${{{name}:-default}}"
        )
    return env[name]
