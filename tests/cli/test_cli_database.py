"""`tasker db`, `systems` and `events`."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from house import Cli, Project

from tasker import events
from tasker.store.migrate import head


def test_tables_are_created_once(empty_database_url: str, bare: Path, cli: Cli) -> None:
    """`db upgrade` creates the tables; a second time does no harm."""
    option = ("--database", empty_database_url)
    created = cli("db", "upgrade", *option)
    assert created.status == 0
    assert "tables created" in created.out
    again = cli.json("db", "upgrade", *option)
    assert (again["before"], again["version"]) == (head(), head())


def test_status_shows_version_size_and_counts(project: Project, cli: Cli) -> None:
    """`db status` has the version, the size and how many tasks there are by state."""
    project.ran()
    project.order()
    facts = cli.json("db", "status")
    assert (facts["version"], facts["head"], facts["up_to_date"]) == (head(), head(), True)
    assert facts["tasks"] == {"complete": 1, "pending": 1}
    assert facts["bytes"] > 10_000
    assert "2 tasks: 1 complete, 1 pending" in cli("db", "status").out


def test_without_tables_status_says_how_to_create_them(empty_postgresql_url: str, bare: Path, cli: Cli) -> None:
    """On PostgreSQL without tables `db status` exits with 1 and names the command; so does whatever needs them."""
    option = ("--database", empty_postgresql_url)
    status = cli("db", "status", *option)
    assert status.status == 1
    assert "no tables" in status.out
    assert "tasker db upgrade" in status.out
    needed = cli("task", "list", *option)
    assert needed.status == 1
    assert "has no Tasker tables. Create them:  tasker db upgrade" in needed.err
    assert f"tasker db upgrade --database {shlex.quote(empty_postgresql_url)}" in needed.err


def test_a_look_makes_no_database(bare: Path, cli: Cli) -> None:
    """What only reads leaves no empty file behind where there is none, and says which path it looked at."""
    for words in (("task", "list"), ("task", "why", "last"), ("workers",), ("systems",), ("db", "status")):
        answer = cli(*words)
        assert answer.status == 1
        assert f"there is no database at {bare / 'tasker.db'} yet" in answer.err
        assert "TASKER_DATABASE_URL is not set" in answer.err
    assert list(bare.iterdir()) == []


def test_a_system_is_held_and_released(project: Project, cli: Cli) -> None:
    """Systems of stored templates are listed; holding one names who, why and until when."""
    project.order()
    assert "✓ open" in cli("systems").out
    assert cli("systems", "hold", "fulfilment", "--until", "2h", "--reason", "incident", "--actor", "ann").status == 0
    (listed,) = cli.json("systems")
    assert (listed["name"], listed["held"], listed["actor"], listed["reason"]) == (
        "fulfilment",
        True,
        "ann",
        "incident",
    )
    assert listed["until"].endswith("Z")
    assert listed["templates"] == ["shop/fulfil_order"]
    assert "‖ held until" in cli("systems").out
    assert cli("systems", "release", "fulfilment").status == 0
    assert cli.json("systems")[0]["held"] is False


def test_a_misspelt_system_is_told(project: Project, cli: Cli) -> None:
    """Holding what no template names is done, with a word about the nearest name there is."""
    project.order()
    answer = cli("systems", "hold", "fulfilmnet")
    assert answer.status == 0
    assert "Did you mean 'fulfilment'?" in answer.err


@pytest.mark.parametrize("until", ["soon", "25:00", "2026-13-01"])
def test_a_moment_that_is_none_is_a_usage_error(lite_project: Project, cli: Cli, until: str) -> None:
    """A moment that cannot be read exits with 2 and shows how to write one."""
    lite_project.order()
    answer = cli("systems", "hold", "fulfilment", "--until", until)
    assert answer.status == 2
    assert f"{until!r} is no moment; write e.g. 2h, 18:30" in answer.err


def test_the_catalogue_of_events_is_complete(bare: Path, cli: Cli) -> None:
    """`tasker events` lists every event with its fields, and needs neither app nor database."""
    listed = {one["name"]: one for one in cli.json("events")}
    assert list(listed) == list(events.CATALOG)
    assert set(listed["step.retrying"]["fields"]) >= {"task_id", "step", "attempt", "due_at"}
    assert [one["name"] for one in cli.json("events", "worker")] == ["worker.started", "worker.stopped", "worker.lost"]
    assert "Did you mean 'step.failed'?" in cli("events", "step.fialed").err
    assert list(bare.iterdir()) == []
