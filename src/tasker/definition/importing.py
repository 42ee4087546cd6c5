"""Importing: handlers and classes that YAML names by their dotted path, from the modules it is allowed to use."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from tasker.definition.spelling import did_you_mean, listed
from tasker.errors import DefinitionError


def imported(path: Any, modules: Sequence[str], whose: str) -> Any:
    """Import what a dotted path names: "shop.handlers:fetch_order", or with a dot for the colon.

    Nothing is imported, and no module is reached through another one, unless it belongs to `modules`: a YAML
    file must not be able to call whatever is installed.

    Raises:
        DefinitionError: it is not allowed, or not there.
    """
    if not isinstance(path, str) or not path.strip(".:") or path.count(":") > 1:
        ruby = " (that is a Ruby class)" if "::" in str(path) else ""
        raise DefinitionError(f"{whose}: {path!r} is no dotted path{ruby}; write module:function")
    if not any(path == module or path.startswith((f"{module}.", f"{module}:")) for module in modules):
        allowed = listed(modules)
        raise DefinitionError(
            f"{whose}: {path!r} is not in a module that may be loaded. Allowed: {allowed}. "
            f'Add it: app.load(…, modules=["{path.partition(":")[0].partition(".")[0]}"])'
        )
    module, names = _module(path, whose)
    found: Any = module
    for name in names:
        if not hasattr(found, name):
            where = found.__name__ if isinstance(found, ModuleType | type) else type(found).__name__
            raise DefinitionError(f"{whose}: {where} has no {name!r}.{did_you_mean(name, vars(found))}")
        found = getattr(found, name)
        if isinstance(found, ModuleType):
            raise DefinitionError(f"{whose}: {path!r} goes through the module {found.__name__}; name its own path")
    return found


def _module(path: str, whose: str) -> tuple[ModuleType, list[str]]:
    """Import the module part of a path; the rest are names in it."""
    module, colon, rest = path.partition(":")
    if colon:
        return _import(module, whose), rest.split(".")
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            return importlib.import_module(name), parts[length:]
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise DefinitionError(f"{whose}: {path!r} cannot be imported: {error}") from error
        except Exception as error:
            raise DefinitionError(f"{whose}: {name!r} cannot be imported: {type(error).__name__}: {error}") from error
    raise DefinitionError(f"{whose}: there is no module for {path!r}; write module:function")


def _import(name: str, whose: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise DefinitionError(f"{whose}: {name!r} cannot be imported: {type(error).__name__}: {error}") from error
