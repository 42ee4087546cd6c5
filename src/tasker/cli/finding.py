"""Finding: the user's app by its name, `module:attribute`; and what to say when there is none.

The working directory is on the import path, as with `python -m`. Files are searched on the error path only.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tasker.errors import ConfigError, TaskerError

if TYPE_CHECKING:
    from tasker.app.tasker import Tasker

_MADE = re.compile(r"^(\w+)\s*(?::[^=\n]+)?=\s*(?:tasker\.)?Tasker\(", re.MULTILINE)
_NOT_SEARCHED = {"node_modules", "site-packages", "__pycache__", "build", "dist"}
_DEPTH, _FILES, _LARGEST = 3, 2_000, 500_000


class ImportFailed(Exception):
    """The user's own module failed while it was imported; the `__cause__` is what it raised."""


def find_app(name: str) -> Tasker:
    """Import the app that `module:attribute` names, or the only one in `module`.

    Raises:
        ConfigError: there is no such module, or no app in it.
        ImportFailed: the module raised something.
    """
    from tasker.app.tasker import Tasker

    module_name, _, attribute = _as_module(name).partition(":")
    module = _import(module_name, name)
    if not attribute:
        return _only_one(module)
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Tasker):
        return found
    inside = ", ".join(f"{module_name}:{one}" for one in _apps(module)) or "none"
    if found is None:
        raise ConfigError(f"{module_name} has no {attribute!r}. Apps in it: {inside}")
    raise ConfigError(f"{name} is a {type(found).__name__}, not a Tasker. Apps in {module_name}: {inside}")


def _as_module(name: str) -> str:
    """A path will do for a module: shells complete `shop/tasks.py`."""
    path, colon, attribute = name.partition(":")
    if path.endswith(".py"):
        path = os.path.relpath(path)[: -len(".py")].replace(os.sep, ".")
    return f"{path}{colon}{attribute}"


def _import(module: str, asked: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            where = f"there is no module {error.name!r} in {here}"
            raise ConfigError(f"--app {asked}: {where}.{_suggestion(module)}") from None
        raise ImportFailed(asked) from error
    except TaskerError:
        raise
    except (Exception, SystemExit) as error:
        raise ImportFailed(asked) from error


def _apps(module: ModuleType) -> dict[str, Tasker]:
    from tasker.app.tasker import Tasker

    found: dict[str, Tasker] = {}
    for name, value in vars(module).items():
        if isinstance(value, Tasker) and value not in found.values():
            found[name] = value
    return found


def _only_one(module: ModuleType) -> Tasker:
    found = _apps(module)
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise ConfigError(f"--app {module.__name__}: there is no Tasker in it.{_suggestion(module.__name__)}")
    which = " or ".join(f"--app {module.__name__}:{name}" for name in found)
    raise ConfigError(f"--app {module.__name__}: there are {len(found)} apps in it. Say {which}")


def no_app() -> ConfigError:
    """What to say where no app is named anywhere."""
    return ConfigError(
        "no app. Say --app module:attr, set TASKER_APP, or add to pyproject.toml:  "
        f'[tool.tasker] app = "shop.tasks:app"   ({_looked_at()}).{_suggestion()}'
    )


def _looked_at() -> str:
    here = Path.cwd()
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            try:
                table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("tasker")
            except (tomllib.TOMLDecodeError, UnicodeDecodeError):
                return f"looked at {file}: it is not readable as TOML"
            return f"looked at {file}: {'no [tool.tasker]' if table is None else '[tool.tasker] has no app'}"
    return f"there is no pyproject.toml in {here} or above"


def _suggestion(asked: str = "") -> str:
    """An app in the files nearby, rather of the package that was asked for, as a sentence with a space before it."""
    found = list(_apps_nearby())
    akin = [one for one in found if asked and one[1].partition(".")[0] == asked.partition(".")[0]]
    for where, module, name in (akin or found)[:1]:
        return f" {where} here contains one: try --app {module}:{name}"
    return ""


def _apps_nearby() -> Iterator[tuple[Path, str, str]]:
    """(file, module, attribute) of apps that are made in files here."""
    for file in _python_files(Path.cwd()):
        try:
            found = _MADE.search(file.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
        if found is not None:
            where = file.relative_to(Path.cwd())
            yield where, ".".join(where.with_suffix("").parts).removesuffix(".__init__"), found[1]


def _python_files(root: Path) -> Iterator[Path]:
    """Python files near the working directory, the nearest first; libraries and hidden folders are left out."""
    seen, folders = 0, [(root, 0)]
    while folders:
        folder, depth = folders.pop(0)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _NOT_SEARCHED:
                continue
            if entry.is_dir(follow_symlinks=False):
                is_environment = os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
                if depth < _DEPTH and not is_environment:
                    folders.append((Path(entry.path), depth + 1))
            elif entry.name.endswith(".py") and entry.stat().st_size < _LARGEST and seen < _FILES:
                seen += 1
                yield Path(entry.path)
