"""`tasker worker`: be a worker process until SIGTERM or Ctrl-C. Logs to standard error, one event one line."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasker.cli import parse
from tasker.cli.command import command
from tasker.cli.session import Session
from tasker.cli.view import message_of
from tasker.cli.words import clock, due, ending, plural
from tasker.clock import as_datetime

if TYPE_CHECKING:
    from tasker.app.tasker import Tasker

_log = logging.getLogger("tasker.worker")

_CHATTY = ("httpx", "httpcore", "alembic", "asyncio")
"""Libraries of ours that tell of every call at INFO."""


def add_to(app: typer.Typer) -> None:
    command(app, "worker", example="tasker worker --app shop.tasks:app --concurrency 50 --queues default,mail")(worker)


def worker(
    session: Session,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Attempts that may run at once.")] = None,
    queues: Annotated[str | None, typer.Option(metavar="A,B", help="The queues to serve.")] = None,
) -> None:
    """Run tasks until SIGTERM or Ctrl-C: then what runs may end, and a second signal does not wait for it."""
    served = None if queues is None else parse.names(queues)
    app = session.app
    session.leave_log()
    log_lines(session.json, session.verbose)
    _subscribe(app, session.verbose)
    _introduce(session, app)
    app.run(queues=served, concurrency=concurrency)
    _log.info("stopped")


def log_lines(as_json: bool, verbose: int) -> None:
    """Log to standard error, unless the user's own module has set logging up already."""
    root = logging.getLogger()
    if root.handlers and not as_json:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLine() if as_json else _Line())
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.INFO if verbose > 1 else logging.WARNING)


class _Line(logging.Formatter):
    """Local time with offset, level, and what happened."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone().isoformat(sep=" ", timespec="milliseconds")
        name = "" if record.name.startswith("tasker") else f"{record.name}: "
        message = record.getMessage().replace("\n", " ⏎ ")
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{at} {record.levelname:<7} {name}{message}{trace}"


class _JsonLine(logging.Formatter):
    """One JSON object a line, time in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        facts: dict[str, Any] = {
            "at": at,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        return json.dumps(facts, ensure_ascii=False)


def _introduce(session: Session, app: Tasker) -> None:
    """Say where it works and what it serves."""
    from tasker import __version__

    drafts = app.registry.all()
    known = ", ".join(f"{draft.ref} ({plural(len(draft.steps), 'step')})" for draft in drafts)
    _log.info("tasker %s, pid %d; database from: %s", __version__, os.getpid(), session.source("database_url"))
    if known:
        _log.info("templates: %s", known)
    else:
        _log.warning("this app defines no template: nothing will run")


def _subscribe(app: Tasker, verbose: int) -> None:
    """Tell of what goes wrong; with -v of everything."""
    from tasker.events import CATALOG

    troubles = ("step.retrying", "step.failed", "task.failed", "worker.lost")
    wanted = CATALOG if verbose else troubles
    app.on(*wanted)(_tell)


def _tell(event: Any) -> None:
    whose = getattr(event, "step", None)
    task = getattr(event, "task_id", "")
    place = f"{event.template} …{ending(task)}{f' {whose}' if whose else ''}" if task else f"worker {event.worker}"
    level = (
        logging.WARNING
        if event.name in ("step.retrying", "step.failed", "task.failed", "worker.lost")
        else logging.INFO
    )
    _log.log(level, "%s %s%s", place, event.name.partition(".")[2], _more(event))


def _more(event: Any) -> str:
    said = []
    if getattr(event, "attempt", None):
        said.append(f"attempt {event.attempt}")
    if getattr(event, "error", None):
        said.append(message_of(event.error))
    at = as_datetime(getattr(event, "due_at", None) or getattr(event, "until", None))
    if at is not None:
        now = datetime.now(UTC)
        said.append(f"again {due(at, now)}" if event.name == "step.retrying" else f"until {clock(at, now)}")
    if getattr(event, "reason", None):
        said.append(str(event.reason))
    return f" ({', '.join(said)})" if said else ""
