"""`tasker task show TASK STEP`: one step with every attempt of it."""

from __future__ import annotations

import json
from typing import Any

from tasker.app.step import iso
from tasker.cli.screen import labelled
from tasker.cli.session import Session
from tasker.cli.task import headline, payload
from tasker.cli.view import View, message_of, step_words
from tasker.cli.words import clock, colour, ending, span, symbol
from tasker.clock import as_datetime
from tasker.errors import NotFound
from tasker.states import STEP_SATISFIED


def show_step(session: Session, view: View, name: str) -> None:
    """Show what a step did: state, results, and each attempt with its error."""
    if name not in view.task.steps:
        raise NotFound(f"{view.task.template} has no step {name!r}; its steps: {', '.join(view.task.steps)}")
    step, screen = view.task.steps[name], session.screen
    attempts = [_attempt(row) for row in session.tasker.reader.attempts(view.task.id, name)]
    if screen.json:
        facts = step.as_dict()
        for each in (facts, *attempts):
            each["error"] = session.mask(each["error"])
        facts = {**facts, "results": session.mask(facts["results"]), "max_attempts": view.budgets[name]}
        screen.data({"task": view.task.id, **facts, "tried": attempts})
        return
    from tasker.cli.screen import plain

    screen.say(headline(view), "", plain(f"  {symbol(step.state)} {name}  {step.state}", colour(step.state)))
    words = step_words(view, step)
    if words:
        screen.say(labelled("", words))
    parents = ", ".join(view.shape.step(name).parents)
    screen.say(labelled("after", parents or "nothing: it is a first step"))
    if step.state in STEP_SATISFIED:
        screen.say(labelled("results", payload(session, step.results, lines=60)))
    for attempt in attempts:
        _show_attempt(session, attempt)
    if step.error is not None and all(one["attempt"] != step.error.get("attempt") for one in attempts):
        last = {"attempt": step.error.get("attempt"), "ended": "failed", "error": step.error}
        _show_attempt(session, {**last, "started_at": iso(step.started_at), "finished_at": iso(step.finished_at)})
    screen.hint("")
    screen.hint(f"the whole task:  tasker task show {ending(view.task.id)}{session.flags}")


def _attempt(row: Any) -> dict[str, Any]:
    return {
        "attempt": row.attempt,
        "ended": row.ended,
        "started_at": iso(as_datetime(row.started_at)),
        "finished_at": iso(as_datetime(row.finished_at)),
        "retry_at": iso(as_datetime(row.retry_at)),
        "error": None if row.error is None else json.loads(row.error),
    }


def _show_attempt(session: Session, attempt: dict[str, Any]) -> None:
    from datetime import datetime

    from tasker.cli.screen import plain

    began, ended = (
        datetime.fromisoformat(at) if at else None for at in (attempt["started_at"], attempt["finished_at"])
    )
    when = f", {clock(began)}" if began else ""
    length = f", took {span(ended - began)}" if began and ended else ""
    session.screen.say("", plain(f"  attempt {attempt['attempt']} {attempt['ended']}{when}{length}", "bold"))
    error = attempt["error"]
    if not error:
        return
    session.screen.say(plain(f"    {error.get('code', '')}: {message_of(error)}", "red"))
    trace = str(error.get("traceback") or "").rstrip()
    if trace:
        session.screen.say(plain("\n".join(f"    {line}" for line in trace.split("\n")), "dim"))
    if error.get("details"):
        session.screen.say(labelled("details", payload(session, error["details"])))
