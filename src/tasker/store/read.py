"""Read: what people and programs ask about tasks. Core SELECTs; keyset pages, no counting scans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, literal_column, or_, select

from tasker.states import TASK_FINAL
from tasker.store import schema
from tasker.store.schema import (
    actions,
    attempts,
    history,
    identities,
    steps,
    systems,
    tasks,
    templates,
    workers,
)
from tasker.store.store import Store

Condition = ColumnElement[bool]
"""One condition of a search."""

_FULL = select(
    tasks,
    (templates.c.namespace + "/" + templates.c.name + "@" + templates.c.version).label("ref"),
).join(templates, templates.c.id == tasks.c.template)


def task(store: Store, task_id: str) -> Any | None:
    """One task's row, with `ref`."""
    rows = store.read(_FULL.where(tasks.c.id == task_id))
    return rows[0] if rows else None


def tasks_ending(store: Store, ending: str, limit: int = 2) -> list[str]:
    """Ids that end so: ids of one minute begin alike, their endings differ."""
    text = _text_id()
    found = store.read(
        select(text).where(text.like(f"%{_escaped(ending)}", escape="\\")).order_by(tasks.c.id.desc()).limit(limit)
    )
    return [row[0] for row in found]


def last_task(store: Store) -> str | None:
    rows = store.read(select(_text_id()).order_by(tasks.c.id.desc()).limit(1))
    return rows[0][0] if rows else None


def task_of_key(store: Store, namespace: str, template: str, key: str) -> str | None:
    found = store.read(
        select(identities.c.task_id).where(
            identities.c.namespace == namespace, identities.c.template == template, identities.c.key == key
        )
    )
    return found[0][0] if found else None


def tasks_of_key(store: Store, key: str) -> list[str]:
    """Tasks with that key, of any template."""
    return [row[0] for row in store.read(select(identities.c.task_id).where(identities.c.key == key).limit(2))]


def steps_of(store: Store, task_id: str) -> list[Any]:
    return store.read(select(steps).where(steps.c.task_id == task_id))


def steps_of_many(store: Store, task_ids: Sequence[str]) -> list[Any]:
    return store.read(select(steps).where(steps.c.task_id.in_(task_ids)))


def attempts_of(store: Store, task_id: str, step: str | None = None) -> list[Any]:
    found = select(attempts).where(attempts.c.task_id == task_id).order_by(attempts.c.step, attempts.c.attempt)
    return store.read(found if step is None else found.where(attempts.c.step == step))


def history_of(store: Store, task_id: str) -> list[Any]:
    return store.read(select(history).where(history.c.task_id == task_id).order_by(history.c.at, history.c.id))


def actions_of(store: Store, task_id: str) -> list[Any]:
    return store.read(select(actions).where(actions.c.task_id == task_id).order_by(actions.c.seq))


def annotations_of(store: Store, task_id: str) -> list[Any]:
    return store.read(
        select(schema.annotations).where(schema.annotations.c.task_id == task_id).order_by(schema.annotations.c.id)
    )


def all_workers(store: Store, states: Sequence[str] = ("alive", "draining")) -> list[Any]:
    return store.read(select(workers).where(workers.c.state.in_(states)).order_by(workers.c.started_at))


def any_worker_ever(store: Store) -> bool:
    return bool(store.read(select(workers.c.id).limit(1)))


def worker(store: Store, worker_id: str) -> Any | None:
    found = store.read(select(workers).where(workers.c.id == worker_id))
    return found[0] if found else None


def all_systems(store: Store) -> list[Any]:
    return store.read(select(systems).order_by(systems.c.name))


def owned_by(store: Store, worker_id: str) -> list[str]:
    return [row[0] for row in store.read(select(tasks.c.id).where(tasks.c.owner == worker_id).limit(1_000))]


def count_owned(store: Store) -> dict[str, int]:
    """Owner → how many tasks it holds; owners that are dead too."""
    found = select(tasks.c.owner, func.count()).where(tasks.c.owner.is_not(None)).group_by(tasks.c.owner)
    return {row[0]: row[1] for row in store.read(found)}


def running_steps(store: Store, worker_id: str) -> int:
    """How many steps are known to run at a worker."""
    found = select(func.count()).where(steps.c.worker == worker_id, steps.c.state == "in_progress")
    return int(store.read(found)[0][0])


def ahead(store: Store, queue: str, template: int, priority: int, wake_at: float, now: float, most: int) -> int:
    """How many due tasks of this queue go first; counted up to `most`."""
    first = (
        select(literal_column("1"))
        .where(
            tasks.c.queue == queue,
            tasks.c.owner.is_(None),
            tasks.c.wake_at <= now,
            or_(tasks.c.priority > priority, and_(tasks.c.priority == priority, tasks.c.wake_at < wake_at)),
        )
        .limit(most)
        .subquery()
    )
    return int(store.read(select(func.count()).select_from(first))[0][0])


def find(store: Store, conditions: Sequence[Condition], limit: int, after: str | None) -> list[Any]:
    """Tasks that meet all conditions, newest first, after the one with that id."""
    found: Select[Any] = _FULL.where(*conditions)
    if after is not None:
        found = found.where(tasks.c.id < after)
    return store.read(found.order_by(tasks.c.id.desc()).limit(limit))


def count_states(store: Store) -> dict[str, int]:
    return dict(store.read(select(tasks.c.state, func.count()).group_by(tasks.c.state)))


def count_unfinished_of(store: Store, template: int) -> int:
    """How many unfinished tasks have this shape."""
    found = select(func.count()).where(tasks.c.template == template, tasks.c.state.not_in(sorted(TASK_FINAL)))
    return int(store.read(found)[0][0])


def count_unfinished(store: Store) -> list[tuple[int, str, int]]:
    """(template, queue, how many) of the unfinished tasks."""
    found = (
        select(tasks.c.template, tasks.c.queue, func.count())
        .where(tasks.c.state.not_in(sorted(TASK_FINAL)))
        .group_by(tasks.c.template, tasks.c.queue)
    )
    return [(row[0], row[1], row[2]) for row in store.read(found)]


# conditions of a search


def of_states(states: Sequence[str]) -> Condition:
    return tasks.c.state.in_(states)


def of_template(namespace: str, name: str, version: str | None) -> Condition:
    chosen = select(templates.c.id).where(templates.c.namespace == namespace, templates.c.name == name)
    return tasks.c.template.in_(chosen if version is None else chosen.where(templates.c.version == version))


def of_tag(store: Store, tag: str) -> Condition:
    if store.dialect == "sqlite":
        each = func.json_each(tasks.c.tags).table_valued("value")
        return exists(select(literal_column("1")).select_from(each).where(each.c.value == tag))
    each = func.json_array_elements_text(tasks.c.tags).table_valued("value")
    return exists(select(literal_column("1")).select_from(each).where(each.c.value == tag))


def of_annotation(kind: str, value: str) -> Condition:
    """`value`: JSON text as it was stored."""
    stored = schema.annotations.c
    same = and_(stored.task_id == tasks.c.id, stored.type == kind, _text(stored.value) == value)
    return exists(select(literal_column("1")).where(same))


def of_step(name: str, failed_or_waiting: Sequence[str]) -> Condition:
    same = and_(steps.c.task_id == tasks.c.id, steps.c.name == name, steps.c.state.in_(failed_or_waiting))
    return exists(select(literal_column("1")).where(same))


def of_error(store: Store, code: str) -> Condition:
    field = (
        func.json_extract(steps.c.error, "$.code")
        if store.dialect == "sqlite"
        else func.json_extract_path_text(steps.c.error, "code")
    )
    live = ("error", "waiting_for_retry", "in_progress")
    return exists(
        select(literal_column("1")).where(steps.c.task_id == tasks.c.id, steps.c.state.in_(live), field == code)
    )


def of_key(key: str) -> Condition:
    return tasks.c.idempotency_key == key


def of_queue(queue: str) -> Condition:
    return tasks.c.queue == queue


def of_worker(worker_id: str) -> Condition:
    return tasks.c.owner.in_(
        select(workers.c.id).where(_text(workers.c.id).like(f"%{_escaped(worker_id)}", escape="\\"))
    )


def of_attempts(compare: str, number: int) -> Condition:
    used = steps.c.attempt - steps.c.budget_from - steps.c.uncounted
    return exists(select(literal_column("1")).where(steps.c.task_id == tasks.c.id, used.op(compare)(number)))


def of_age(compare: str, moment: float) -> Condition:
    """`compare` is of the age: older (`>`) means created before the moment."""
    return tasks.c.created_at.op({">": "<", "<": ">", ">=": "<=", "<=": ">="}[compare])(moment)


def _text_id() -> ColumnElement[str]:
    return _text(tasks.c.id)


def _text(column: Any) -> ColumnElement[str]:
    from sqlalchemy import Text, cast

    return cast(column, Text)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
