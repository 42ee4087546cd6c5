"""Config: the settings, and where each value came from.

Keyword of `Tasker(…)`, else environment, else `[tool.tasker]` of the nearest pyproject.toml, else default. Read at
first use, not at import.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from tasker.errors import ConfigError

_log = logging.getLogger("tasker")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as the reference shows it."""

    name: str
    type: str
    default: Any
    unit: str
    effect: str

    @property
    def variable(self) -> str:
        return f"TASKER_{self.name.upper()}"


def _setting(default: Any, kind: str, effect: str, unit: str = "") -> Any:
    return field(default=default, metadata={"kind": kind, "unit": unit, "effect": effect})


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one app, with `sources`: where each value came from."""

    database_url: str = _setting(
        "",
        "url",
        "Where tasks live; default: `tasker.db` beside pyproject.toml, else in the working directory. Must be"
        " set in production.",
    )
    app: str = _setting("", "text", "Where the command line finds the app: `module:attribute`.")
    env: str = _setting(
        "development",
        "development|test|production",
        "How strict Tasker is about changed shapes and missing settings; which `environments` of YAML apply.",
    )
    schema: str = _setting("", "text", "The PostgreSQL schema of the tables; default: the connection's own.")
    sqlite_synchronous: str = _setting(
        "full",
        "full|normal",
        "SQLite's durability: with `normal` a power cut may lose the last commits, a killed process never.",
    )
    concurrency: int = _setting(
        20,
        "count",
        "Attempts that may run at once in one process, of all kinds together; 0: this process only enqueues.",
    )
    queues: tuple[str, ...] = _setting(("default",), "names", "The queues a worker serves.")
    heartbeat_seconds: float = _setting(5.0, "seconds", "How often a worker says that it lives.", "s")
    worker_timeout_seconds: float = _setting(
        20.0, "seconds", "Silence after which a worker is taken for dead; also bounds statements.", "s"
    )
    crash_limit: int = _setting(3, "count", "Deaths of its worker after which a step is stopped with `worker_lost`.")
    grace_seconds: float = _setting(30.0, "seconds", "How long a stopping worker waits for running steps.", "s")
    max_payload_bytes: int = _setting(1_048_576, "bytes", "The largest context or result.", "bytes")
    redact: tuple[str, ...] = _setting(
        ("password", "secret", "token", "api_key", "authorization"),
        "names",
        "Keys whose values the command line and logs mask.",
    )
    sources: Mapping[str, str] = field(default_factory=dict)
    base: Path = field(default_factory=Path.cwd)

    @property
    def production(self) -> bool:
        return self.env == "production"


def catalogue() -> list[Setting]:
    """Every setting, for the reference and for `tasker doctor`."""
    return [
        Setting(f.name, f.metadata["kind"], f.default, f.metadata["unit"], f.metadata["effect"])
        for f in fields(Settings)
        if f.metadata
    ]


_KINDS = {setting.name: setting.type for setting in catalogue()}


def read(
    keywords: Mapping[str, Any], environment: Mapping[str, str] = os.environ, start: Path | None = None
) -> Settings:
    """Read the settings from their sources.

    Args:
        keywords: of `Tasker(…)`; None means not said.
        start: where to look for pyproject.toml; default the working directory, then its parents.

    Raises:
        ConfigError: an unknown key, a value of another type, or no database in production.
    """
    pyproject, table = _pyproject(start or Path.cwd())
    _refuse_unknown(table, f"{pyproject}: [tool.tasker]")
    _tell_unknown(environment)
    values: dict[str, Any] = {}
    sources = {}
    for setting in catalogue():
        name = setting.name
        if keywords.get(name) is not None:
            values[name], sources[name] = keywords[name], "keyword of Tasker()"
        elif environment.get(setting.variable):
            values[name], sources[name] = environment[setting.variable], setting.variable
        elif name in table:
            values[name], sources[name] = table[name], f"{pyproject} [tool.tasker]"
        else:
            sources[name] = "default"
            continue
        values[name] = _convert(name, values[name], sources[name])
    base = pyproject.parent if pyproject else Path.cwd()
    if "database_url" not in values:
        values["database_url"] = _default_database(values.get("env", "development"), base)
    elif "pyproject" not in sources["database_url"]:
        base = Path.cwd()
    return Settings(**values, sources=sources, base=base)


def _default_database(env: str, base: Path) -> str:
    if env == "production":
        raise ConfigError(
            "database_url is not set. In production it must be: set TASKER_DATABASE_URL, "
            "e.g. postgresql://user:password@host/database"
        )
    path = base / "tasker.db"
    _log.info("TASKER_DATABASE_URL is not set: using %s", path)
    return f"sqlite:///{path}"


def _pyproject(start: Path) -> tuple[Path | None, Mapping[str, Any]]:
    """The nearest pyproject.toml, and its `[tool.tasker]` table."""
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        with contextlib.suppress(PermissionError):  # where this user may not look there is nothing for it
            if not file.is_file():
                continue
            try:
                table = tomllib.loads(file.read_text()).get("tool", {}).get("tasker", {})
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise ConfigError(f"{file} is not readable as TOML: {error}") from None
            return file, table
    return None, {}


def refuse_unknown_keyword(keywords: Mapping[str, Any]) -> None:
    """Refuse a keyword of `Tasker(…)` that is no setting."""
    _refuse_unknown(keywords, "Tasker()")


def _refuse_unknown(keys: Mapping[str, Any], where: str) -> None:
    for key in keys:
        if key not in _KINDS:
            near = difflib.get_close_matches(key.lower().removeprefix("tasker_"), _KINDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{where}: no setting {key!r}.{hint} Settings: {', '.join(_KINDS)}")


_told: set[str] = set()


def _tell_unknown(environment: Mapping[str, str]) -> None:
    """The environment is shared: an unknown variable is told once, not refused."""
    known = {f"TASKER_{name.upper()}" for name in _KINDS}
    for variable in environment:
        if variable.startswith("TASKER_") and variable not in known and variable not in _told:
            _told.add(variable)
            near = difflib.get_close_matches(variable, known, 1)
            _log.warning("%s is no setting of Tasker.%s", variable, f" Did you mean {near[0]}?" if near else "")


def _convert(name: str, value: Any, source: str) -> Any:
    kind = _KINDS[name]
    try:
        if kind in ("count", "bytes"):
            return _count(name, value)
        if kind == "seconds":
            return _seconds(value)
        if kind == "names":
            return _names(value)
        if "|" in kind and str(value) not in kind.split("|"):
            raise ValueError(f"it must be {' or '.join(kind.split('|'))}")
        if not isinstance(value, str):
            raise ValueError("it must be text")
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name}={value!r} ({source}): {error}") from None
    return value


def _count(name: str, value: Any) -> int:
    number = int(value)
    least = 0 if name == "concurrency" else 1
    if isinstance(value, bool) or number < least or (isinstance(value, float) and number != value):
        raise ValueError(f"it must be a whole number of at least {least}")
    return number


def _seconds(value: Any) -> float:
    number = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if isinstance(value, bool) or not 0 <= number < float("inf"):
        raise ValueError("it must be a number of seconds")
    return number


def _names(value: Any) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise ValueError("it must be names, with commas between them")
    names = tuple(part.strip() for part in parts if part.strip())
    if not names:
        raise ValueError("it must name at least one")
    return names
