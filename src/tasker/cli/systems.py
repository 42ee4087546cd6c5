"""`tasker systems`: what steps depend on outside: held or open; hold one, release one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasker.app.step import iso
from tasker.cli import parse
from tasker.cli.ask import Actor, Reason
from tasker.cli.command import alone, command
from tasker.cli.session import Session
from tasker.cli.view import moment
from tasker.cli.words import clock
from tasker.clock import as_datetime
from tasker.definition.spelling import did_you_mean

if TYPE_CHECKING:
    from tasker.app.tasker import Tasker

SystemName = Annotated[str, typer.Argument(metavar="NAME", help="As the steps call it: system=…")]


def add_to(app: typer.Typer) -> None:
    systems = typer.Typer(name="systems")
    alone(systems, "systems", example="tasker systems hold tax --until 2h --reason 'vendor incident 4711'")(
        list_systems
    )
    command(systems, "hold", example="tasker systems hold tax --until 2h --reason 'vendor incident 4711'")(hold)
    command(systems, "release", example="tasker systems release tax")(release)
    app.add_typer(systems)


def list_systems(session: Session) -> None:
    """List the systems that steps depend on, and which are held."""
    tasker, screen = session.existing(), session.screen
    found = _systems(tasker)
    if screen.json:
        screen.data([{**one, "until": iso(one["until"]), "changed_at": iso(one["changed_at"])} for one in found])
        return
    if not found:
        screen.say("no step depends on a system yet: template.step(system=…)")
        return
    from tasker.cli.screen import plain

    now = moment(tasker)
    rows = []
    for one in found:
        until = f" until {clock(one['until'], now)}" if one["until"] else ""
        state = plain(f"‖ held{until}", "yellow") if one["held"] else plain("✓ open", "green")
        rows.append(
            [
                plain(one["name"], "bold"),
                state,
                plain(one["actor"] if one["held"] else ""),
                plain(one["reason"] if one["held"] else ""),
                plain(", ".join(one["templates"])),
            ]
        )
    screen.table(("SYSTEM", "whole"), ("STATE", "whole"), "BY", "REASON", "USED BY", rows=rows)


def _systems(tasker: Tasker) -> list[dict[str, Any]]:
    """All systems by name: those in stored templates, and those somebody has held."""
    from tasker.store import read

    used = _used(tasker)
    rows = {row.name: row for row in read.all_systems(tasker.store)}
    now = tasker.store.clock.now()
    found = []
    for name in sorted({*used, *rows}):
        row = rows.get(name)
        facts: dict[str, Any] = {"held": False, "until": None, "reason": "", "actor": "", "changed_at": None}
        if row is not None:
            held = row.held and (row.until is None or row.until > now)
            facts = {"held": held, "until": as_datetime(row.until) if held else None}
            facts |= {"reason": row.reason, "actor": row.actor, "changed_at": as_datetime(row.changed_at)}
        found.append({"name": name, **facts, "templates": used.get(name, [])})
    return found


def _used(tasker: Tasker) -> dict[str, list[str]]:
    from tasker.app.shelf import read_templates

    used: dict[str, list[str]] = {}
    for row in read_templates(tasker.store):
        for step in json.loads(row.policy)["steps"].values():
            if step["system"] and row.full_name not in used.setdefault(step["system"], []):
                used[step["system"]].append(row.full_name)
    return used


def hold(
    session: Session,
    name: SystemName,
    until: Annotated[
        str | None, typer.Option(metavar="MOMENT", help="2h, 18:30, or ISO 8601; default: until released.")
    ] = None,
    reason: Reason = None,
    actor: Actor = None,
) -> None:
    """Start no step of a system any more, from at most 1 s after this returns."""
    tasker, screen = session.existing(), session.screen
    at = None if until is None else parse.moment(until)
    used = _used(tasker)
    if name not in used:
        screen.note(
            f"no stored template has a step with system {name!r}.{did_you_mean(name, used)} It is held all the same"
        )
    tasker.hold_system(name, at, reason=reason or "", actor=actor)
    if screen.json:
        screen.data({"name": name, "held": True, "until": iso(at)})
    screen.say(f"system {name} is held{f' until {clock(at)}' if at else ''}")
    screen.hint(f"let it go on:  tasker systems release {name}{session.flags}")


def release(session: Session, name: SystemName, reason: Reason = None, actor: Actor = None) -> None:
    """Let the steps of a held system start again, now."""
    tasker, screen = session.existing(), session.screen
    tasker.release_system(name, reason=reason or "", actor=actor)
    if screen.json:
        screen.data({"name": name, "held": False, "until": None})
    screen.say(f"system {name} is open")
