"""The claim's plan: its cost grows neither with waiting tasks nor with those of templates that nobody here knows."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import insert, text

from tasker import Tasker
from tasker.store import schema, statements
from tasker.store.turn import Turn

WAITING, UNKNOWN, DUE = 30_000, 20_000, 100
KNOWN = [("default", 1), ("default", 2)]


@pytest.fixture
def app(database_url: str) -> Any:
    app = Tasker(database_url, sqlite_synchronous="normal")
    yield app
    app.store.close()


def fill(app: Tasker) -> float:
    """Many tasks that wait for tomorrow, many of an unknown template that are due, few that are ours and due."""
    now = app.store.clock.now()
    rows = [
        {
            "id": f"00000000-0000-7000-8000-{n:012d}",
            "template": 1 if n < WAITING or n >= WAITING + UNKNOWN else 99,
            "queue": "default",
            "priority": n % 3,
            "state": "pending",
            "wake_at": now + 86_400 if n < WAITING else now - 60,
            "context": "{}",
            "tags": "[]",
            "created_at": now,
        }
        for n in range(WAITING + UNKNOWN + DUE)
    ]
    with app.store.engine.begin() as connection:
        if app.store.dialect == "sqlite":
            connection.exec_driver_sql("begin immediate")
        connection.execute(insert(schema.tasks), rows)
        if app.store.dialect == "sqlite":
            connection.exec_driver_sql("commit")
        connection.execute(text("analyze"))
    return now


def plan(app: Tasker, sql: str, parameters: Any) -> str:
    explain = "explain query plan " if app.store.dialect == "sqlite" else "explain (analyze, costs off, timing off) "
    with app.store.connection() as connection:
        return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(explain + sql, parameters))


def test_a_claim_probes_the_index_of_due_tasks(app: Tasker) -> None:
    """Claiming and peeking go through the index of due tasks; no statement reads the whole table."""
    now = fill(app)
    with app.store.turn() as turn:
        known = turn._known(KNOWN)
    facts = {**known, "me": None, "now": now, "room": 10, "limit": 3, "alone": False, "queue": "default"}
    wanted = [statements.PEEK]
    wanted += [statements.LEVELS, statements.DUE] if app.store.dialect == "sqlite" else [statements.CLAIM]
    for sql in wanted:
        seen = plan(app, app.store.compiled(sql), {**facts, "template": 1, "priority": 0})
        assert "tasker_tasks_due" in seen, seen
        assert "Seq Scan on tasker_tasks" not in seen, seen
        assert not re.search(r"SCAN (t|tasker_tasks)\b(?! USING INDEX tasker_tasks_due)", seen), seen


def test_a_claim_takes_only_what_is_due_and_known(app: Tasker) -> None:
    """A claim takes due tasks of the templates it is asked for, highest priority first, at most its room."""
    now = fill(app)
    me = "00000000-0000-7000-8000-00000000000a"
    with app.store.turn() as turn:
        claimed = _claim(turn, me, now)
        turn.commit()
    assert len(claimed) == 10
    assert {task.template for task in claimed} == {1}
    assert {task.priority for task in claimed} == {2}


def _claim(turn: Turn, me: str, now: float) -> Any:
    return turn.claim(me, KNOWN, 10, now, 3, False)
