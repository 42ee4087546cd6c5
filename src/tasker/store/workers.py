"""The worker rows: who lives, and what a dead one leaves. Statements only; `upkeep.rescue` has the rules."""

from __future__ import annotations

from tasker.states import TASK_FINAL
from tasker.store.sql import Sql

REGISTER = Sql(
    "insert into {workers} (id, state, epoch, heartbeat_at, started_at, host, boot, pidns, pid, pid_start, queues,"
    " templates, concurrency, free, version) values (:id, 'alive', 0, clock_timestamp(), clock_timestamp(), :host,"
    " :boot, :pidns, :pid, :pid_start, cast(cast(:queues as text) as json), cast(cast(:templates as text) as json),"
    " :concurrency, :concurrency, :version)",
    "insert into {workers} (id, state, epoch, heartbeat_at, started_at, host, boot, pidns, pid, pid_start, queues,"
    " templates, concurrency, free, version) values (:id, 'alive', 0, :server_now, :server_now, :host,"
    " :boot, :pidns, :pid, :pid_start, :queues, :templates, :concurrency, :concurrency, :version)",
)
BEAT = Sql(
    "update {workers} set heartbeat_at = clock_timestamp(), free = :free,"
    " templates = cast(cast(:templates as text) as json) where id = :id and state in ('alive', 'draining')"
    " returning extract(epoch from clock_timestamp())::float8, (select count(*) from {templates})",
    "update {workers} set heartbeat_at = :server_now, free = :free, templates = :templates"
    " where id = :id and state in ('alive', 'draining') returning heartbeat_at, (select count(*) from {templates})",
)
NEIGHBOURS = Sql(
    "select cast(id as text), boot, pidns, pid, pid_start,"
    " heartbeat_at < clock_timestamp() - make_interval(secs => cast(:timeout as float8))"
    " from {workers} where state in ('alive', 'draining') and id <> :id",
    "select id, boot, pidns, pid, pid_start, heartbeat_at < :server_now - :timeout"
    " from {workers} where state in ('alive', 'draining') and id <> :id",
)
NOW = Sql("select extract(epoch from clock_timestamp())::float8")
CHANGE_STATE = Sql("update {workers} set state = :state where id = :id and state in ('alive', 'draining')")

HOLD_DEAD = Sql(
    "select 1 from {workers} where id = :id and state in ('alive', 'draining') and (:gone or"
    " heartbeat_at < clock_timestamp() - make_interval(secs => cast(:timeout as float8))) for update skip locked",
    "select 1 from {workers} where id = :id and state in ('alive', 'draining')"
    " and (:gone or heartbeat_at < :server_now - :timeout)",
)
"""A later statement than its lock: an UPDATE alone would pass the fence of the dying worker by."""

STILL_DEAD = Sql(
    "select 1 from {workers} where id = :id and state in ('alive', 'draining') and (:gone or"
    " heartbeat_at < clock_timestamp() - make_interval(secs => cast(:timeout as float8)))",
)
"""The same without its lock: a row that is dead and locked is held by a backend of the dead worker."""

LOCK_OWNED = Sql(
    "select cast(id as text), state from {tasks} where owner = :id order by id for update",
    "select id, state from {tasks} where owner = :id order by id",
)
_FINAL = ", ".join(f"'{state}'" for state in sorted(TASK_FINAL))


def _freed(now: str) -> str:
    """What a task becomes that loses its owner: due at once; paused and final ones stay what they are."""
    return (
        "owner = null, waits_system = null,"
        f" state = case when state in ('paused', {_FINAL}) then state else 'waiting' end,"
        f" wake_at = case when state in ({_FINAL}) then null when state = 'paused' then wake_at else {now} end"
    )


_PG_NOW = "to_timestamp(cast(:now as float8))"
_CHARGED = (
    "crashes + case when crashes = 0 or exists (select 1 from {steps} s where s.task_id = {tasks}.id"
    " and s.state = 'in_progress') then 1 else 0 end"
)
FREE_CRASHED = Sql(
    f"update {{tasks}} set {_freed(_PG_NOW)}, crashes = {_CHARGED} where owner = :id",
    f"update {{tasks}} set {_freed(':now')}, crashes = {_CHARGED} where owner = :id",
)
ORPHANED = Sql(
    "select distinct cast(owner as text) from {tasks} t where owner is not null and not exists"
    " (select 1 from {workers} w where w.id = t.owner and w.state in ('alive', 'draining'))",
    "select distinct owner from {tasks} where owner is not null and not exists"
    " (select 1 from {workers} w where w.id = {tasks}.owner and w.state in ('alive', 'draining'))",
)
STUCK_BACKEND = Sql(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = :application and pid <>"
    " pg_backend_pid()"
)
"""A backend that is stuck in sending rows obeys no timeout; its worker is dead, so it is ended."""

HAND_BACK = Sql(
    f"update {{tasks}} set {_freed(_PG_NOW)} where owner = :me",
    f"update {{tasks}} set {_freed(':now')} where owner = :me",
)
