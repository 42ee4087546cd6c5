"""Enqueuer: from a context and options to a stored task, on our connection or the host's."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tasker import payload
from tasker.app.line import OwnLine, line_of, on_commit
from tasker.app.shelf import StoredTemplate, read_templates, row_of, store_template, stored_of
from tasker.app.task import Task
from tasker.clock import as_datetime, moment, seconds
from tasker.definition.sealed import Sealed
from tasker.definition.template import Draft
from tasker.engine.enqueue import Line, enqueue, enqueue_many
from tasker.errors import InvalidContext, RequestError, UnknownOption
from tasker.events import TaskEnqueued
from tasker.ids import new_id
from tasker.states import TaskState
from tasker.store import tasks as s
from tasker.store.tasks import Identity, NewTask

if TYPE_CHECKING:
    from tasker.app.tasker import Tasker

_log = logging.getLogger("tasker")

OPTIONS = (
    "initiator",
    "source_system",
    "reason",
    "tags",
    "priority",
    "queue",
    "idempotency_key",
    "run_at",
    "delay",
    "connection",
)


class Enqueuer:
    """Stores new tasks for one app."""

    def __init__(self, app: Tasker) -> None:
        self._app = app
        self._rows: dict[int, StoredTemplate] = {}
        self._stored: set[int] = set()

    def enqueue(self, draft: Draft, context: Any, options: Mapping[str, Any]) -> Task:
        """Store one task, or find the one with its identity."""
        _refuse_unknown(options)
        sealed = draft.seal()
        new, identity = self._new(sealed, context, options, options.get("idempotency_key"))
        connection = options.get("connection")
        store, now = self._app.store, new.created_at
        if connection is None:
            self._store_template(sealed)
            task_id, created = store.retrying(lambda turn: enqueue(OwnLine(turn, store.dialect), new, identity, now))
            self._announce([(new, sealed.ref)] if created else [])
        else:
            line = line_of(connection, store)
            self._template_for(line, sealed)
            task_id, created = enqueue(line, new, identity, now)
            if created:
                on_commit(connection, lambda: self._announce([(new, sealed.ref)]), self._app.ring)
        if created:
            return Task(self._app, _row(new, sealed.ref), created=True)
        return self._found(task_id, new, connection)

    def enqueue_many(
        self, draft: Draft, contexts: Sequence[Any], key: Callable[[Any], str] | None, options: Mapping[str, Any]
    ) -> list[Task]:
        """Store many tasks, all or none."""
        _refuse_unknown(options)
        if key is not None and not callable(key):
            raise RequestError("enqueue_many: idempotency_key is a function of the context, e.g. lambda order: …")
        sealed = draft.seal()
        made = [self._new(sealed, one, options, key(one) if key else None) for one in contexts]
        if not made:
            return []
        new = [task for task, _ in made]
        identities = [identity for _, identity in made]
        connection, store = options.get("connection"), self._app.store

        def work(line: Line) -> list[tuple[str, bool]]:
            return enqueue_many(line, new, identities if any(identities) else None, new[0].created_at)

        if connection is None:
            self._store_template(sealed)
            stored = store.retrying(lambda turn: work(OwnLine(turn, store.dialect)))
        else:
            line = line_of(connection, store)
            self._template_for(line, sealed)
            stored = line.savepoint(lambda: work(line))
        created = [task for task, (_, is_new) in zip(new, stored, strict=True) if is_new]

        def told() -> None:
            self._announce([(task, sealed.ref) for task in created])

        if connection is None:
            told()
        else:
            on_commit(connection, told, self._app.ring)
        return [
            Task(self._app, _row(task, sealed.ref), created=True) if is_new else self._found(task_id, task, connection)
            for task, (task_id, is_new) in zip(new, stored, strict=True)
        ]

    def _new(
        self, sealed: Sealed, context: Any, options: Mapping[str, Any], key: str | None
    ) -> tuple[NewTask, Identity | None]:
        text = sealed.encode_context({} if context is None else context)
        limit = self._app.settings.max_payload_bytes
        if len(text) * 4 > limit and (size := len(text.encode())) > limit:
            raise InvalidContext(
                f"{sealed.ref}: the context has {size:,} bytes; the limit is {limit:,} (max_payload_bytes);"
                f" nothing was "
                "stored. Store it elsewhere and pass a reference"
            )
        now = self._app.store.clock.now()
        policy = sealed.policy
        wake_at = _starts(options, now)
        if policy.deadline is not None:
            wake_at = min(wake_at, now + policy.deadline)
        key = _key(key) or sealed.identity_of(context, text)
        priority = options.get("priority")
        new = NewTask(
            id=str(new_id()),
            template=self._row(sealed).id,
            queue=_word(options.get("queue"), "queue") or policy.queue,
            priority=policy.priority if priority is None else _priority(priority),
            state=TaskState.PENDING,
            wake_at=wake_at,
            context=text,
            idempotency_key=key,
            initiator=_text(options, "initiator"),
            source_system=_text(options, "source_system"),
            reason=_text(options, "reason"),
            tags=payload.encode(_tags(options.get("tags") or ())),
            created_at=now,
        )
        if key is None:
            return new, None
        until = None if sealed.identity_window is None else now + sealed.identity_window
        return new, Identity(sealed.namespace, sealed.name, key, new.id, until)

    def _row(self, sealed: Sealed) -> StoredTemplate:
        found = self._rows.get(id(sealed))
        if found is None:
            strict = self._app.settings.production
            found = stored_of(sealed, read_templates(self._app.store)) if strict else row_of(sealed)
            self._rows[id(sealed)] = found
        return found

    def _store_template(self, sealed: Sealed) -> None:
        """Its row is written before its first task, in a transaction of its own, and then remembered."""
        row = self._row(sealed)
        if row.id not in self._stored:
            store_template(self._app.store, row)
            self._stored.add(row.id)

    def _template_for(self, line: Line, sealed: Sealed) -> None:
        """On SQLite the host may hold the only write lock: the row goes along with its transaction."""
        row = self._row(sealed)
        if row.id in self._stored:
            return
        if line.dialect == "postgresql":
            self._store_template(sealed)
        else:
            line.run(s.STORE_TEMPLATE, {**row._asdict(), "now": self._app.store.clock.now()})

    def _announce(self, created: Sequence[tuple[NewTask, str]]) -> None:
        """After the commit: wake a worker, tell who listens."""
        if self._app.bus.wants(TaskEnqueued):
            self._app.bus.publish([TaskEnqueued(task.id, ref) for task, ref in created])
        if created:
            self._app.ring()

    def _found(self, task_id: str, new: NewTask, connection: Any) -> Task:
        if connection is not None:
            # The first task may be part of the host's own transaction, which only its connection sees.
            return Task(self._app, self._app.reader.row(task_id, missing=_row(new._replace(id=task_id), "")))
        task = Task(self._app, self._app.reader.row(task_id))
        if payload.fingerprint(payload.canonical(task.context)) != payload.fingerprint(
            payload.canonical(payload.decode(new.context))
        ):
            _log.warning(
                "%s: key %r was enqueued with another context before (%s…, now %s…); the first task …%s stands",
                task.template,
                new.idempotency_key,
                payload.fingerprint(payload.canonical(task.context))[:12],
                payload.fingerprint(payload.canonical(payload.decode(new.context)))[:12],
                task.id[-9:],
            )
        return task


class _Row:
    """A task row that was just written, as a reader would give it."""

    def __init__(self, new: NewTask, ref: str) -> None:
        self.__dict__.update(new._asdict())
        self.ref, self.owner, self.poked, self.crashes, self.waits_system = ref, None, False, 0, None
        self.result = self.error = self.started_at = self.finished_at = None


def _row(new: NewTask, ref: str) -> _Row:
    return _Row(new, ref)


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    import difflib

    for key in options:
        if key not in OPTIONS:
            near = difflib.get_close_matches(key, OPTIONS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UnknownOption(f"enqueue: no option {key!r}.{hint} Options: {', '.join(OPTIONS)}")


def _starts(options: Mapping[str, Any], now: float) -> float:
    run_at, delay = options.get("run_at"), options.get("delay")
    if run_at is not None and delay is not None:
        raise RequestError("enqueue: run_at and delay say the same twice; give one of them")
    if run_at is not None:
        if not isinstance(run_at, datetime):
            raise RequestError(f"enqueue: run_at={run_at!r}: it must be an aware datetime; for a pause write delay=")
        return moment(run_at, "run_at")
    if delay is None:
        return now
    try:
        pause = seconds(delay)
        as_datetime(now + pause)
    except (TypeError, ValueError, OverflowError):
        pause = math.nan
    if isinstance(delay, bool) or not 0 <= pause < math.inf:
        raise RequestError(f"enqueue: delay={delay!r}: it must be a number of seconds or a timedelta, not negative")
    return now + pause


def _priority(priority: Any) -> int:
    if isinstance(priority, bool) or not isinstance(priority, int) or not -100 <= priority <= 100:
        raise RequestError(
            f"enqueue: priority={priority!r}: it must be a whole number from -100 to 100; higher goes first"
        )
    return priority


def _tags(tags: Any) -> list[str]:
    if isinstance(tags, str) or not all(isinstance(tag, str) and tag for tag in tags):
        raise RequestError(f'enqueue: tags={tags!r}: write a list of words, e.g. tags=["eu"]')
    return list(dict.fromkeys(tags))


def _key(key: Any) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str) or not 0 < len(key) <= 500 or "\x00" in key:
        raise RequestError(f"enqueue: idempotency_key={key!r}: it must be text of 1 to 500 characters")
    return key


def _word(word: Any, what: str) -> str | None:
    if word is not None and (not isinstance(word, str) or not word or "," in word or "\x00" in word):
        raise RequestError(f"enqueue: {what}={word!r}: it must be a name")
    return word


def _text(options: Mapping[str, Any], name: str) -> str:
    value = options.get(name) or ""
    if not isinstance(value, str) or "\x00" in value:
        raise RequestError(f"enqueue: {name}={value!r}: it must be text")
    return value
