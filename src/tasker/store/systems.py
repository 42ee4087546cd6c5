"""The statements about systems: held or not, and who waits for one."""

from __future__ import annotations

from tasker.store.sql import Sql

CHANGE = Sql(
    "insert into {systems} (name, held, until, reason, actor, changed_at) values (:name, :held,"
    " to_timestamp(cast(:until as float8)), :reason, :actor, to_timestamp(cast(:now as float8)))"
    " on conflict (name) do update set held = excluded.held, until = excluded.until, reason = excluded.reason,"
    " actor = excluded.actor, changed_at = excluded.changed_at",
    "insert into {systems} (name, held, until, reason, actor, changed_at) values (:name, :held, :until, :reason,"
    " :actor, :now) on conflict (name) do update set held = excluded.held, until = excluded.until,"
    " reason = excluded.reason, actor = excluded.actor, changed_at = excluded.changed_at",
)
WAKE = Sql(
    "with waiting as materialized (select id from {tasks} where waits_system = :name order by id for update)"
    " update {tasks} t set poked = true, wake_at = to_timestamp(cast(:now as float8)) from waiting where t.id ="
    " waiting.id",
    "update {tasks} set poked = true, wake_at = :now where waits_system = :name",
)
