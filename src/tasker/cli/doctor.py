"""`tasker doctor`: look at all that can be wrong, and say what to do about it.

The checks are in `checks`; this shows them, with the settings and where each came from.
"""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

import typer

from tasker.cli.command import command
from tasker.cli.redact import hidden
from tasker.cli.session import Session
from tasker.cli.words import plural
from tasker.errors import ConfigError

if TYPE_CHECKING:
    from tasker.cli.checks import Check
    from tasker.config import Settings

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "fault": ("✗", "bold red")}
_PACKAGES = ("sqlalchemy", "psycopg", "pydantic", "alembic")


def add_to(app: typer.Typer) -> None:
    command(app, "doctor", example="tasker doctor --app shop.tasks:app")(doctor)


def doctor(session: Session) -> None:
    """Check settings, app, database, workers and clock. Exit status 1 if something is at fault."""
    from tasker.cli.checks import Level, check_all

    checks = list(check_all(session))
    table = _settings(session)
    if session.json:
        found = [{**vars(check), "level": str(check.level)} for check in checks]
        session.screen.data({"checks": found, "settings": table, "versions": versions()})
    else:
        _show(session, checks, table)
    if any(check.level is Level.FAULT for check in checks):
        raise typer.Exit(1)


def versions() -> dict[str, str | None]:
    """What Tasker runs with; None: not installed."""
    import tasker

    found: dict[str, str | None] = {"tasker": tasker.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def _settings(session: Session) -> list[dict[str, Any]]:
    """Each setting with its value and source; nothing where they cannot be read (a check says so)."""
    from tasker import config

    try:
        settings = session.settings
    except Exception:  # the app does not load: what is known without it
        try:
            settings = config.read({"database_url": session.database, "app": session.app_name})
        except ConfigError:
            return []
    return [_setting(session, settings, one.name) for one in config.catalogue()]


def _setting(session: Session, settings: Settings, name: str) -> dict[str, Any]:
    value, source = getattr(settings, name), session.source(name, settings)
    if name == "database_url":
        value = hidden(value)
    return {"name": name, "value": list(value) if isinstance(value, tuple) else value, "source": source}


def _show(session: Session, checks: list[Check], table: list[dict[str, Any]]) -> None:
    from rich.text import Text

    from tasker.cli import screen as s

    screen = session.screen
    for check in checks:
        mark, tone = _MARKS[check.level]
        screen.say(Text.assemble((f"{mark} {check.level:<8}", tone), (f" {check.name:<10}", "bold"), f" {check.text}"))
        if check.advice:
            screen.say(s.plain(f"{'':22}{check.advice}", "dim"))
    rows = [
        [
            s.plain(one["name"]),
            s.plain(", ".join(one["value"]) if isinstance(one["value"], list) else str(one["value"])),
            s.plain(one["source"], "dim"),
        ]
        for one in table
    ]
    screen.say("")
    screen.table(("SETTING", "whole"), "VALUE", "SOURCE", rows=rows)
    screen.say("")
    screen.say("  ".join(f"{name} {version or 'not installed'}" for name, version in versions().items()))
    counts = [sum(check.level == level for check in checks) for level in ("fault", "warning")]
    screen.say(f"{plural(counts[0], 'fault')}, {plural(counts[1], 'warning')}")
