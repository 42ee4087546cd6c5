"""Checks: what `tasker doctor` looks at, one after the other; each says what it found and what to do."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from tasker.app.deploy import live_workers
from tasker.cli.finding import ImportFailed, no_app
from tasker.cli.session import Session, refuse_missing_file
from tasker.cli.words import ago, clock, plural, size, span
from tasker.clock import as_datetime
from tasker.errors import ConfigError, DefinitionError, NotFound, StoreError, TaskerError
from tasker.store import health, migrate, read

if TYPE_CHECKING:
    from tasker.app.tasker import Tasker
    from tasker.store.store import Store

_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.s3fs", "glusterfs")
_LONG_WAL, _LITTLE_ROOM = 256_000_000, 200_000_000
_CLOCK_APART = 1.0
"""Seconds between this host's clock and the database's that are worth a word."""
_PER_WORKER = 8
"""Connections that one worker may hold on PostgreSQL: heart, ears, bell, and a pool of five."""


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True)
class Check:
    """What one look found."""

    name: str
    level: Level
    text: str
    advice: str = ""


def ok(name: str, text: str) -> Check:
    return Check(name, Level.OK, text)


def warning(name: str, text: str, advice: str = "") -> Check:
    return Check(name, Level.WARNING, text, advice)


def fault(name: str, text: str, advice: str = "") -> Check:
    return Check(name, Level.FAULT, text, advice)


def check_all(session: Session) -> Iterator[Check]:
    """Look at everything; what depends on something that is at fault is left out."""
    yield from _python()
    try:
        yield from _app(session)
        session.settings.base  # noqa: B018 — read, or refused
    except ImportFailed as error:
        cause = error.__cause__
        yield fault("app", f"{error} could not be imported: {type(cause).__name__}: {cause}")
        return
    except ConfigError as error:
        yield fault("settings", str(error))
        return
    except TaskerError as error:
        yield fault("app", str(error))
        return
    yield from _database(session, session.tasker)


def _python() -> Iterator[Check]:
    yield ok("python", f"{sys.version.split()[0]} at {sys.executable}")


def _app(session: Session) -> Iterator[Check]:
    if session.named_app() is None:
        hint = str(no_app()).removeprefix("no app. ")
        yield warning("app", "none is named: enough to look and to operate, not to enqueue or work", hint)
        return
    app = session.app
    drafts = app.registry.all()
    yield ok("app", f"{session.named_app()} with {plural(len(drafts), 'template')}")
    for draft in drafts:
        try:
            draft.seal()
        except DefinitionError as error:
            yield fault("template", str(error))
    yield from _variables(app)


def _variables(app: Tasker) -> Iterator[Check]:
    """`${VAR}` that a worker would refuse to start without."""
    from tasker.definition import environment

    for draft in app.registry.all():
        try:
            sealed = draft.seal()
        except DefinitionError:
            continue
        for name, step in sealed.policy.steps.items():
            written = [step.config, getattr(sealed.handlers[name].fn, "options", None)]
            for variable in environment.unset(written, os.environ):
                text = f"step {name!r} of {draft.ref} needs ${{{variable}}}, which is not set here"
                yield warning("template", text, "A worker does not start without it")


def _database(session: Session, tasker: Tasker) -> Iterator[Check]:
    try:
        refuse_missing_file(tasker)
    except NotFound as error:
        yield warning("database", str(error), "The first enqueue or worker creates it")
        return
    store: Store | None = None
    try:
        store = tasker._open(check=False)
        yield ok("database", f"{store.name}, {_reach(store)}")
        yield from _tables(session, store)
        if migrate.current(store) == migrate.head():
            yield from _contents(session, tasker)
    except (StoreError, ConfigError) as error:
        yield fault("database", str(error))
    finally:
        if store is not None:
            store.close()


def _reach(store: Store) -> str:
    began = time.monotonic()
    migrate.current(store)
    return f"answers in {(time.monotonic() - began) * 1000:.0f} ms"


def _tables(session: Session, store: Store) -> Iterator[Check]:
    try:
        migrate.check(store)
        yield ok("tables", f"version {migrate.head()}, {size(health.size(store))}")
    except StoreError as error:
        yield fault("tables", str(error).replace("tasker db upgrade", f"tasker db upgrade{session.flags}"))
    yield from (_sqlite if store.dialect == "sqlite" else _postgresql)(store)


def _sqlite(store: Store) -> Iterator[Check]:
    assert store.path is not None
    folder = store.path.parent
    try:
        health.try_to_write(store)
        if not os.access(folder, os.W_OK):
            raise StoreError(f"the folder {folder} is not writable, and SQLite keeps files beside the database")
        yield ok("writable", f"yes, {size(shutil.disk_usage(folder).free)} free")
    except (StoreError, OSError) as error:
        yield fault("writable", str(error), f"Who runs this must be able to write {store.path} and its folder")
    if shutil.disk_usage(folder).free < _LITTLE_ROOM:
        yield warning(
            "disk", f"{size(shutil.disk_usage(folder).free)} free at {folder}", "A full disk stops every worker"
        )
    facts = health.sqlite_facts(store)
    if facts.journal_mode == "wal":
        yield ok("sqlite", f"{facts.library}, journal in WAL mode, synchronous {_synchronous(facts.synchronous)}")
    else:
        advice = "tasker db upgrade switches it on; on a network file system SQLite cannot"
        yield fault("sqlite", f"journal mode is {facts.journal_mode!r}, not WAL", advice)
    if facts.wal_bytes > _LONG_WAL:
        advice = "A reader that never ends its transaction keeps it from being folded back"
        yield warning("sqlite", f"the -wal file has grown to {size(facts.wal_bytes)}", advice)
    if facts.file_system in _NETWORK:
        advice = "Put the file on a local disk, or use PostgreSQL: locks and WAL do not hold across hosts"
        yield fault("sqlite", f"{store.path} is on a network file system ({facts.file_system})", advice)


def _synchronous(level: int) -> str:
    return {0: "off", 1: "normal", 2: "full", 3: "extra"}.get(level, str(level))


def _postgresql(store: Store) -> Iterator[Check]:
    facts = health.postgres_facts(store)
    if facts.read_only:
        yield fault("writable", "the server only reads: a standby, or so configured", "Name the primary server")
    else:
        yield ok("writable", "yes")
    free = facts.max_connections - facts.used
    text = (
        f"PostgreSQL {facts.version}: {facts.used} of {facts.max_connections} connections used, {facts.ours} by Tasker"
    )
    if free < _PER_WORKER:
        yield warning(
            "pool", text, f"A worker holds up to {_PER_WORKER}: raise max_connections, or use a pooler for the rest"
        )
    else:
        yield ok("pool", text)
    store.measure_clock()
    apart = store.clock.now() - time.time()
    if abs(apart) > _CLOCK_APART:
        ahead = "behind" if apart > 0 else "ahead of"
        yield warning(
            "clock",
            f"this host is {span(abs(apart))} {ahead} the database",
            "Tasker goes by the database's; logs do not",
        )
    else:
        yield ok("clock", f"{abs(apart) * 1000:.0f} ms from the database's")


def _contents(session: Session, tasker: Tasker) -> Iterator[Check]:
    looks: list[Callable[[Session, Tasker], Iterator[Check]]] = [_first_worker, _unserved, _dead, _held]
    for look in looks:
        yield from look(session, tasker)


def _first_worker(session: Session, tasker: Tasker) -> Iterator[Check]:
    """Two files where one was meant (text no. 2 of the first ten minutes)."""
    store = tasker.store
    if store.path is None or read.any_worker_ever(store) or read.last_task(store) is None:
        return
    unset = (
        "TASKER_DATABASE_URL is not set, so each working directory has a file of its own. "
        if tasker.settings.sources.get("database_url") == "default"
        else ""
    )
    path = Path(store.path).resolve()
    advice = f"{unset}Set it to the same absolute path for both, e.g. sqlite:///{path}"
    yield warning("workers", f"No worker has ever opened {store.path}.", advice)


def _unserved(session: Session, tasker: Tasker) -> Iterator[Check]:
    """Unfinished tasks that no live worker would take."""
    live = live_workers(tasker)
    if live:
        yield ok("workers", f"{len(live)} alive: {', '.join(worker.place for worker in live[:5])}")
    waiting = read.count_unfinished(tasker.store)
    for template, queue, count in waiting:
        if any(template in worker.templates and queue in worker.queues for worker in live):
            continue
        whose = tasker.reader.plan(template).ref
        here = any(queue in worker.queues for worker in live)
        why = f"no live worker knows {whose}" if here else f"no live worker serves queue {queue!r}"
        app = tasker.settings.app or "module:attr"
        options = "" if queue == "default" else f" --queues {queue}"
        yield warning(
            "tasks", f"{plural(count, 'unfinished task')} of {whose}: {why}", f"tasker worker --app {app}{options}"
        )
    if not waiting:
        yield ok("tasks", "none is unfinished")


def _dead(session: Session, tasker: Tasker) -> Iterator[Check]:
    """Workers that are silent or gone, with tasks in their hands."""
    store = tasker.store
    live = {worker.id for worker in live_workers(tasker)}
    places = {row.id: row for row in read.all_workers(store, ("alive", "draining", "stopped", "dead"))}
    now = as_datetime(store.clock.now())
    assert now is not None
    for owner, count in read.count_owned(store).items():
        if owner in live:
            continue
        row = places.get(owner)
        seen = as_datetime(row.heartbeat_at) if row is not None else None
        words = (
            f"worker {row.host}:{row.pid} was last seen {ago(seen, now)}"
            if row is not None and seen
            else "a worker that is gone"
        )
        advice = (
            "Any live worker frees them"
            if live
            else f"Start a worker, it frees them:  tasker worker --app {tasker.settings.app or 'module:attr'}"
        )
        yield warning("workers", f"{words} and holds {plural(count, 'task')}", advice)


def _held(session: Session, tasker: Tasker) -> Iterator[Check]:
    now = tasker.store.clock.now()
    for row in read.all_systems(tasker.store):
        if row.held and (row.until is None or row.until > now):
            until = as_datetime(row.until)
            words = (
                f"system {row.name!r} is held by {row.actor or 'somebody'}{f' until {clock(until)}' if until else ''}"
            )
            yield warning(
                "systems",
                f"{words}{f': {row.reason}' if row.reason else ''}",
                f"tasker systems release {row.name}{session.flags}",
            )
