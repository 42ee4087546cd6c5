"""Enqueue's statements: identity and task in one statement on PostgreSQL, in one savepoint on SQLite.

Any connection will do, an autocommit one too. The template's row is written before, by a transaction of Tasker's own.
"""

from __future__ import annotations

from typing import NamedTuple

from tasker.store import schema
from tasker.store.sql import Rows, Sql


class NewTask(NamedTuple):
    """One row of `tasks` as enqueue makes it."""

    id: str
    template: int
    queue: str
    priority: int
    state: str
    wake_at: float
    context: str
    idempotency_key: str | None
    initiator: str
    source_system: str
    reason: str
    tags: str
    created_at: float


class Identity(NamedTuple):
    """One row of `identities`."""

    namespace: str
    template: str
    key: str
    task_id: str
    until: float | None


_COLUMNS = ", ".join(NewTask._fields)
_PG_VALUES = {
    "wake_at": "to_timestamp(cast(:wake_at as float8))",
    "created_at": "to_timestamp(cast(:created_at as float8))",
    "context": "cast(cast(:context as text) as json)",
    "tags": "cast(cast(:tags as text) as json)",
    "id": "cast(:id as uuid)",
}
_VALUES = ", ".join(_PG_VALUES.get(name, f":{name}") for name in NewTask._fields)
_INSERT = f"insert into {{tasks}} ({_COLUMNS})"
_CLAIM_KEY = (
    "on conflict (namespace, template, key) do update set task_id = excluded.task_id, until = excluded.until"
    " where old.until <= {now}"
)

INSERT = Sql(
    f"{_INSERT} values ({_VALUES}) returning cast(id as text)",
    f"{_INSERT} values ({', '.join(':' + name for name in NewTask._fields)}) returning id",
)
INSERT_WITH_KEY = Sql(
    "with i as (insert into {identities} as old (namespace, template, key, task_id, until)"
    " values (:namespace, :template_name, :key, :id, to_timestamp(cast(:until as float8)))"
    f" {_CLAIM_KEY.replace('{now}', 'to_timestamp(cast(:now as float8))')} returning task_id)"
    f" {_INSERT} select {_VALUES} from i returning cast(id as text)",
)
CLAIM_KEY = Sql(
    "",
    "insert into {identities} as old (namespace, template, key, task_id, until)"
    f" values (:namespace, :template_name, :key, :id, :until) {_CLAIM_KEY.replace('{now}', ':now')} returning task_id",
)
TASK_OF_KEY = Sql(
    "select cast(task_id as text) from {identities} where namespace = :namespace and template = :template_name"
    " and key = :key",
    "select task_id from {identities} where namespace = :namespace and template = :template_name and key = :key",
)
INSERT_MANY = Rows(schema.tasks, NewTask._fields)

STORED_TEMPLATES = Sql(
    "select id, namespace, name, version, fingerprint, shape::text, policy::text from {templates}"
    " order by created_at, id",
    "select id, namespace, name, version, fingerprint, shape, policy from {templates} order by created_at, id",
)
STORE_TEMPLATE = Sql(
    "insert into {templates} as old (id, namespace, name, version, fingerprint, shape, policy, created_at)"
    " values (:id, :namespace, :name, :version, :fingerprint, cast(cast(:shape as text) as json),"
    " cast(cast(:policy as text) as json), to_timestamp(cast(:now as float8)))"
    " on conflict (id) do update set policy = excluded.policy where old.policy::text <> excluded.policy::text",
    "insert into {templates} as old (id, namespace, name, version, fingerprint, shape, policy, created_at)"
    " values (:id, :namespace, :name, :version, :fingerprint, :shape, :policy, :now)"
    " on conflict (id) do update set policy = excluded.policy where old.policy <> excluded.policy",
)
