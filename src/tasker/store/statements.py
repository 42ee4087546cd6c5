"""The statements of a turn, both databases side by side. `{tasks}` is the table's name with its schema.

On SQLite the lock clauses vanish (a write transaction is alone) and arrays come as JSON.
"""

from __future__ import annotations

from tasker.states import STEP_FINAL
from tasker.store import schema
from tasker.store.rows import AnnotationRow, AttemptRow, HistoryRow, StepRow
from tasker.store.sql import Rows, Sql

_FINAL = ", ".join(f"'{state}'" for state in sorted(STEP_FINAL))
_LARGE = 65_536
"""Characters of results beyond which an owner reads them only when a step needs them."""

FENCE = Sql(
    "select 1 / count(*) from (select 1 from {workers} where id = :me and state in ('alive', 'draining')"
    " and epoch = :epoch for key share) f",
    "select 1 from {workers} where id = :me and state in ('alive', 'draining') and epoch = :epoch",
)
LOCK_SYSTEMS = Sql("select name from {systems} where name = any(:names) order by name for share")
LOCK_TASKS = Sql("select id from {tasks} where id = any(cast(:ids as uuid[])) order by id for no key update")

_SET_STEP = ", ".join(f"{name} = excluded.{name}" for name in StepRow._fields if name not in ("task_id", "name"))
WRITE_STEPS = Rows(
    schema.steps,
    StepRow._fields,
    f"on conflict (task_id, name) do update set {_SET_STEP}"
    f" where (old.state not in ({_FINAL}) and excluded.attempt >= old.attempt"
    " and not (excluded.attempt = old.attempt and old.state = 'waiting_for_retry' and excluded.state <> 'cancelled'))"
    " or excluded.generation > old.generation",
)
PUT_STEPS = Rows(schema.steps, StepRow._fields, f"on conflict (task_id, name) do update set {_SET_STEP}")
WRITE_ATTEMPTS = Rows(schema.attempts, AttemptRow._fields, "on conflict do nothing")
WRITE_HISTORY = Rows(schema.history, HistoryRow._fields, "on conflict do nothing")
WRITE_ANNOTATIONS = Rows(schema.annotations, AnnotationRow._fields, "on conflict do nothing")

PUT_TASK = Sql(
    "update {tasks} set state = :state, context = coalesce(cast(cast(:context as text) as json), context),"
    " result = cast(cast(:result as text) as json), error = cast(cast(:error as text) as json),"
    " finished_at = to_timestamp(cast(:finished_at as float8)), wake_at = to_timestamp(cast(:wake_at as float8)),"
    " waits_system = null, crashes = coalesce(cast(:crashes as int), crashes) where id = :id",
    "update {tasks} set state = :state, context = coalesce(:context, context), result = :result, error = :error,"
    " finished_at = :finished_at, wake_at = :wake_at, waits_system = null,"
    " crashes = coalesce(:crashes, crashes) where id = :id",
)
CALM = Sql(
    "update {tasks} set crashes = 0 where id = any(cast(:ids as uuid[])) and owner = :me",
    "update {tasks} set crashes = 0 where id in (select value from json_each(:ids)) and owner = :me",
)
"""A settled attempt: the task is no suspect any more."""

_MAY_GO = (
    "not {t}poked and ({v}waits_system is null or exists (select 1 from {{systems}} where name ="
    " {v}waits_system and held))"
)
LET_GO = Sql(
    "update {tasks} t set owner = null, state = v.state, wake_at = to_timestamp(v.wake_at),"
    " waits_system = v.waits_system, finished_at = coalesce(t.finished_at, to_timestamp(v.finished_at)),"
    " error = cast(v.error as json),"
    " crashes = case when v.calm then 0 else t.crashes end"
    " from unnest(cast(:id as uuid[]), cast(:state as text[]), cast(:wake_at as float8[]),"
    " cast(:waits_system as text[]), cast(:finished_at as float8[]), cast(:error as text[]), cast(:calm as boolean[]))"
    " as v(id, state, wake_at, waits_system, finished_at, error, calm)"
    f" where t.id = v.id and t.owner = :me and {_MAY_GO.format(t='t.', v='v.').replace('{{', '{').replace('}}', '}')}"
    " returning cast(t.id as text)",
    "update {tasks} set owner = null, state = :state, wake_at = :wake_at, waits_system = :waits_system,"
    " finished_at = coalesce(finished_at, :finished_at), error = :error,"
    " crashes = case when :calm then 0 else crashes end"
    f" where id = :id and owner = :me and {_MAY_GO.format(t='', v=':').replace('{{', '{').replace('}}', '}')}"
    " returning id",
)

_DUE = "t.queue = l.queue and t.template = l.template and t.owner is null and t.wake_at is not null"
_KNOWN = {
    "postgresql": "select * from unnest(cast(:queues as text[]), cast(:templates as bigint[]))",
    "sqlite": "select json_extract(value, '$[0]'), json_extract(value, '$[1]') from json_each(:known)",
}


def _levels(dialect: str) -> str:
    """The priorities in use, one index probe each: a backlog of one priority or template hides no other."""
    return (
        f"known(queue, template) as ({_KNOWN[dialect]}), level(queue, template, priority) as ("
        f"select l.queue, l.template, (select max(t.priority) from {{tasks}} t where {_DUE}) from known l union all"
        f" select l.queue, l.template, (select max(t.priority) from {{tasks}} t where {_DUE} and t.priority <"
        f" l.priority)"
        " from level l where l.priority is not null)"
    )


_SMALL_CONTEXT = 8_192
_CLAIMED = {
    "postgresql": "cast(t.id as text), t.template, t.queue, t.priority, t.state, t.crashes,"
    f" extract(epoch from t.created_at)::float8, case when length(t.context::text) <= {_SMALL_CONTEXT}"
    " then t.context::text end",
    "sqlite": "id, template, queue, priority, state, crashes, created_at,"
    f" case when length(context) <= {_SMALL_CONTEXT} then context end",
}
_HEALTHY = "(t.crashes = 0 or t.crashes < :limit - 1)"
_LAST_STRIKE = (
    "t.crashes > 0 and t.crashes >= :limit - 1 and t.owner is null and t.wake_at <= {now} order by t.id limit 1"
)
"""A worker runs at most one task at a time whose worker's next death would be its last."""

_OWN = (
    "owner = :me, state = case when t.state = 'paused' then 'paused' else 'in_progress' end, waits_system = null,"
    " started_at = coalesce(t.started_at, {now})"
)
_PG_NOW = "to_timestamp(cast(:now as float8))"

CLAIM = Sql(
    f"with recursive {_levels('postgresql')},"
    " alone as materialized (select t.id from {tasks} t join known k on k.queue = t.queue and k.template = t.template"
    f" where cast(:alone as boolean) and {_LAST_STRIKE.replace('{now}', _PG_NOW)} for update of t skip locked),"
    " candidate as materialized (select x.id, l.priority, x.wake_at from level l, lateral (select t.id, t.wake_at"
    f" from {{tasks}} t where {_DUE} and t.priority = l.priority and t.wake_at <= {_PG_NOW} and {_HEALTHY}"
    " order by t.wake_at limit :room) x where l.priority is not null),"
    " c as materialized (select t.id from candidate join {tasks} t on t.id = candidate.id"
    f" where t.owner is null and t.wake_at <= {_PG_NOW} and {_HEALTHY}"
    " order by candidate.priority desc, candidate.wake_at"
    " limit greatest(0, :room - (select count(*) from alone)) for update of t skip locked)"
    f" update {{tasks}} t set {_OWN.replace('{now}', _PG_NOW)}"
    " where t.id in (select id from c union all select id from alone)"
    f" returning {_CLAIMED['postgresql']}, t.started_at = {_PG_NOW}",
)
LEVELS = Sql(
    "", f"with recursive {_levels('sqlite')} select queue, template, priority from level where priority is not null"
)
ALONE = Sql(
    "",
    f"with known(queue, template) as ({_KNOWN['sqlite']}) select t.id, t.priority, t.wake_at from {{tasks}} t"
    f" join known k on k.queue = t.queue and k.template = t.template where {_LAST_STRIKE.replace('{now}', ':now')}",
)
DUE = Sql(
    "",
    "select t.id, t.priority, t.wake_at from {tasks} t where t.queue = :queue and t.template = :template"
    " and t.priority = :priority and t.owner is null and t.wake_at is not null and t.wake_at <= :now"
    f" and {_HEALTHY} order by t.wake_at limit :room",
)
TAKE = Sql(
    "",
    f"update {{tasks}} as t set {_OWN.replace('{now}', ':now')} where id = :id returning {_CLAIMED['sqlite']},"
    f" started_at = :now",
)


def _peek(dialect: str, moment: str) -> str:
    return (
        f"with recursive {_levels(dialect)} select {moment} from (select (select min(t.wake_at) from {{tasks}} t"
        f" where {_DUE} and t.priority = l.priority) as wake_at from level l where l.priority is not null) w"
    )


PEEK = Sql(_peek("postgresql", "extract(epoch from min(w.wake_at))::float8"), _peek("sqlite", "min(w.wake_at)"))
NEWS = Sql(
    "update {tasks} set poked = false where owner = :me and poked returning cast(id as text)",
    "update {tasks} set poked = false where owner = :me and poked returning id",
)
HELD = Sql(
    "select name, extract(epoch from until)::float8 from {systems} where held"
    f" and (until is null or until > {_PG_NOW})",
    "select name, until from {systems} where held and (until is null or until > :now)",
)

_STORED = ("task_id", "name", "state", "attempt", "budget_from", "uncounted", "lost", "generation", "max_attempts")
_STORED_PG = (
    ", ".join(f"cast({name} as text)" if name == "task_id" else name for name in _STORED)
    + "".join(f", extract(epoch from {name})::float8" for name in ("due_at", "started_at", "finished_at", "wait_since"))
    + ", error::text, note, cast(worker as text), coalesce(length(results::text), 0) > "
    + f"{_LARGE}, case when length(results::text) <= {_LARGE} then results::text end"
)
_STORED_LITE = (
    ", ".join(_STORED)
    + ", due_at, started_at, finished_at, wait_since, error, note, worker,"
    + f" coalesce(length(results), 0) > {_LARGE}, case when length(results) <= {_LARGE} then results end"
)
READ_STEPS = Sql(
    f"select {_STORED_PG} from {{steps}} where task_id = any(cast(:ids as uuid[]))",
    f"select {_STORED_LITE} from {{steps}} where task_id in (select value from json_each(:ids))",
)
_ACTION = "what, {params}, actor, reason, {created_at}"
OPEN_ACTIONS = Sql(
    "select cast(id as text), cast(task_id as text), what, params::text, actor, reason,"
    " extract(epoch from created_at)::float8 from {actions}"
    " where task_id = any(cast(:ids as uuid[])) and state = 'open' order by task_id, seq for update",
    "select id, task_id, what, params, actor, reason, created_at from {actions}"
    " where task_id in (select value from json_each(:ids)) and state = 'open' order by task_id, seq",
)
ANSWER = Sql(
    "update {actions} set state = :state, answer = :answer, answered_at = to_timestamp(cast(:answered_at as float8))"
    " where id = :id and state = 'open'",
    "update {actions} set state = :state, answer = :answer, answered_at = :answered_at where id = :id and state"
    " = 'open'",
)
READ_RESULTS = Sql(
    "select name, results::text from {steps} where task_id = :task_id and name = any(:ids)",
    "select name, results from {steps} where task_id = :task_id and name in (select value from json_each(:ids))",
)
READ_CONTEXTS = Sql(
    "select cast(id as text), context::text from {tasks} where id = any(cast(:ids as uuid[]))",
    "select id, context from {tasks} where id in (select value from json_each(:ids))",
)

HOLD_WORKER = Sql(
    "select state, epoch from {workers} where id = :me for update", "select state, epoch from {workers} where id = :me"
)
RAISE_EPOCH = Sql("update {workers} set epoch = :epoch where id = :me")
OWNED = Sql(
    f"update {{tasks}} t set poked = false where owner = :me returning {_CLAIMED['postgresql']}",
    f"update {{tasks}} set poked = false where owner = :me returning {_CLAIMED['sqlite']}",
)

LOCK_TASK = Sql(
    "select cast(id as text), template, queue, priority, state, crashes, extract(epoch from created_at)::float8,"
    " context::text, cast(owner as text), extract(epoch from wake_at)::float8 from {tasks} where id = :id for update",
    "select id, template, queue, priority, state, crashes, created_at, context, owner, wake_at from {tasks}"
    " where id = :id",
)
FIND_ACTION = Sql("select state, answer from {actions} where id = :id")
ADD_ACTION = Sql(
    "insert into {actions} (id, task_id, seq, what, params, actor, reason, state, answer, created_at, answered_at)"
    " values (:id, :task_id, (select coalesce(max(seq), 0) + 1 from {actions} where task_id = :task_id), :what,"
    " cast(cast(:params as text) as json), :actor, :reason, :state, :answer,"
    " to_timestamp(cast(:created_at as float8)),"
    " case when :state = 'open' then null else to_timestamp(cast(:created_at as float8)) end)",
    "insert into {actions} (id, task_id, seq, what, params, actor, reason, state, answer, created_at, answered_at)"
    " values (:id, :task_id, (select coalesce(max(seq), 0) + 1 from {actions} where task_id = :task_id), :what,"
    " :params, :actor, :reason, :state, :answer, :created_at, case when :state = 'open' then null else"
    " :created_at end)",
)
POKE = Sql(
    f"update {{tasks}} set poked = true, wake_at = least(coalesce(wake_at, {_PG_NOW}), {_PG_NOW}) where id = :id",
    "update {tasks} set poked = true, wake_at = min(coalesce(wake_at, :now), :now) where id = :id",
)
