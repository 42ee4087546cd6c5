"""`tasker doctor`: each thing that can be wrong is found and says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from house import Cli, Project

from tasker.cli import checks
from tasker.cli.redact import hidden
from tasker.store import health, read
from tasker.store.sql import Sql


def found(cli: Cli, *words: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The exit status, and the checks by name."""
    answer = cli("doctor", "--json", *words)
    by_name: dict[str, list[dict[str, Any]]] = {}
    for check in answer.json["checks"]:
        by_name.setdefault(check["name"], []).append(check)
    return answer.status, by_name


def test_a_healthy_house_has_no_fault(project: Project, cli: Cli) -> None:
    """With app, tables and nothing unfinished every check is ok, and every setting has a source."""
    project.ran()
    answer = cli("doctor", "--json")
    assert answer.status == 0
    levels = {check["name"]: check["level"] for check in answer.json["checks"]}
    assert levels.pop("workers", "warning") == "warning"  # none was ever started
    assert set(levels.values()) == {"ok"}, answer.json["checks"]
    sources = {one["name"]: one["source"] for one in answer.json["settings"]}
    assert sources["database_url"] == "TASKER_DATABASE_URL"
    assert sources["heartbeat_seconds"] == "keyword of Tasker()"
    assert sources["queues"] == "default"
    assert set(answer.json["versions"]) >= {"tasker", "python", "sqlalchemy", "psycopg"}
    people = cli("doctor")
    assert "0 faults" in people.out
    assert "TASKER_APP" in people.out


def test_options_of_the_line_are_named_as_sources(project: Project, cli: Cli) -> None:
    """What was said on the line is shown as such."""
    answer = cli("doctor", "--json", "--app", "shop.tasks:app", "--database", project.database)
    sources = {one["name"]: one["source"] for one in answer.json["settings"]}
    assert (sources["app"], sources["database_url"]) == ("--app", "--database")


def test_unfinished_tasks_without_a_worker_are_found(project: Project, cli: Cli) -> None:
    """Each template and queue with unfinished tasks and no live worker is named, with the line that starts one."""
    project.order(queue="mail")
    status, by_name = found(cli)
    assert status == 0
    (check,) = by_name["tasks"]
    assert check["level"] == "warning"
    assert "1 unfinished task of shop/fulfil_order@1.1.0: no live worker serves queue 'mail'" in check["text"]
    assert check["advice"] == "tasker worker --app shop.tasks:app --queues mail"
    project.worker("--queues", "mail")
    _, by_name = found(cli)
    assert "1 alive" in by_name["workers"][0]["text"]


def test_two_files_where_one_was_meant(
    bare: Path, lite_project: Project, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with tasks that no worker ever opened is named with its absolute path, and why that may be."""
    monkeypatch.delenv("TASKER_DATABASE_URL")
    lite_project.order()
    _, by_name = found(cli)
    (check,) = by_name["workers"]
    path = bare / "tasker.db"
    assert check["text"] == f"No worker has ever opened {path}."
    assert check["advice"] == (
        "TASKER_DATABASE_URL is not set, so each working directory has a file of its own. "
        f"Set it to the same absolute path for both, e.g. sqlite:///{path}"
    )


def test_a_dead_worker_with_tasks_is_found(project: Project, cli: Cli) -> None:
    """Tasks in the hands of a worker that is silent are told, with what frees them."""
    task, store = project.order(), project.app.store
    worker = project.app.serving.make()
    worker.start()
    project.app.serving.end(worker)
    lost = Sql("update {tasks} set owner = :owner where id = :id")
    (gone,) = [row.id for row in read.all_workers(store, ["stopped"])]
    store.retrying(lambda turn: turn.send(lost, {"owner": gone, "id": task.id}))
    _, by_name = found(cli)
    assert any("holds 1 task" in check["text"] for check in by_name["workers"]), by_name
    assert any("Start a worker, it frees them" in check["advice"] for check in by_name["workers"])


def test_a_held_system_is_not_forgotten(project: Project, cli: Cli) -> None:
    """A system that is held is a warning, with the line that releases it."""
    project.app.hold_system("tax", reason="incident", actor="ann")
    _, by_name = found(cli)
    (check,) = by_name["systems"]
    assert check["text"] == "system 'tax' is held by ann: incident"
    assert check["advice"] == "tasker systems release tax"


def test_missing_tables_are_a_fault(empty_postgresql_url: str, bare: Path, cli: Cli) -> None:
    """PostgreSQL without tables: a fault with the command that creates them; exit status 1."""
    status, by_name = found(cli, "--database", empty_postgresql_url)
    assert status == 1
    (check,) = by_name["tables"]
    assert check["level"] == "fault"
    assert "tasker db upgrade --database" in check["text"]


def test_a_database_that_is_away_is_a_fault(bare: Path, cli: Cli) -> None:
    """A server that does not answer is a fault in one line."""
    status, by_name = found(cli, "--database", "postgresql://127.0.0.1:1/shop")
    assert status == 1
    assert by_name["database"][0]["level"] == "fault"
    assert "PostgreSQL says" in by_name["database"][0]["text"]


def test_no_file_yet_is_a_warning_and_none_is_made(bare: Path, cli: Cli) -> None:
    """Where there is no SQLite file yet, that is said, and it is not made."""
    status, by_name = found(cli)
    assert status == 0
    assert by_name["database"][0]["level"] == "warning"
    assert list(bare.iterdir()) == []


def test_postgresql_is_asked_for_connections_and_clock(postgresql_url: str, bare: Path, cli: Cli) -> None:
    """On PostgreSQL connections in use and the difference of the clocks are told."""
    _, by_name = found(cli, "--database", postgresql_url)
    assert "connections used" in by_name["pool"][0]["text"]
    assert by_name["clock"][0]["level"] == "ok"


def test_a_crowded_server_is_a_warning(
    postgresql_url: str, bare: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When fewer connections are left than a worker may hold, that is a warning."""
    monkeypatch.setattr(checks, "_PER_WORKER", 1_000_000)
    _, by_name = found(cli, "--database", postgresql_url)
    assert by_name["pool"][0]["level"] == "warning"


def test_a_server_that_only_reads_is_a_fault(postgresql_url: str, bare: Path, cli: Cli) -> None:
    """A database in which nothing can be written is a fault."""
    import psycopg

    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'alter database "{name}" set default_transaction_read_only = on')
    status, by_name = found(cli, "--database", postgresql_url)
    assert status == 1
    assert by_name["writable"][0]["level"] == "fault"


def test_a_network_file_system_is_a_fault(
    sqlite_url: str, bare: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's locks do not hold across hosts: a file on such a file system is a fault."""
    monkeypatch.setattr(health, "file_system", lambda path: "nfs4")
    status, by_name = found(cli, "--database", sqlite_url)
    assert status == 1
    assert any("network file system (nfs4)" in check["text"] for check in by_name["sqlite"])


def test_the_file_system_is_that_of_the_longest_mount_point(tmp_path: Path) -> None:
    """A path is on the mount point that is the longest above it."""
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/a / ext4 rw 0 0\nserver:/x /srv nfs4 rw 0 0\n/dev/b /srv/shop xfs rw 0 0\n")
    assert health.file_system("/srv/shop/tasker.db", str(mounts)) == "xfs"
    assert health.file_system("/srv/shopping/tasker.db", str(mounts)) == "nfs4"
    assert health.file_system("/opt/tasker.db", str(mounts)) == "ext4"
    assert health.file_system("/opt/tasker.db", str(tmp_path / "none")) == ""


def test_a_file_that_cannot_be_written_is_a_fault(sqlite_url: str, bare: Path, cli: Cli, tmp_path: Path) -> None:
    """A SQLite file that refuses a write is a fault that names the path."""
    import sqlite3

    path = tmp_path / "tasker.db"
    with sqlite3.connect(path) as connection:
        connection.execute("begin")
    connection.close()
    path.write_bytes(path.read_bytes()[:18] + b"\x03\x03" + path.read_bytes()[20:])  # a format this library only reads
    status, by_name = found(cli, "--database", sqlite_url)
    assert status == 1
    assert any(check["level"] == "fault" for checks_ in by_name.values() for check in checks_)


def test_an_app_that_does_not_load_is_a_fault(bare: Path, cli: Cli) -> None:
    """A module that raises, and a template that does not hold together, are faults that say so."""
    (bare / "raises.py").write_text("1 / 0\n")
    status, by_name = found(cli, "--app", "raises:app")
    assert status == 1
    assert "ZeroDivisionError" in by_name["app"][0]["text"]
    (bare / "wrong.py").write_text(
        "from tasker import Tasker\napp = Tasker()\nt = app.template('t')\n"
        "@t.step\ndef a() -> int: ...\n@t.step\ndef b(a: list[int]) -> None: ...\n"
    )
    status, by_name = found(cli, "--app", "wrong:app")
    assert status == 1
    assert "step 'b'" in by_name["template"][0]["text"]


def test_a_variable_that_is_not_set_is_found(sqlite_url: str, bare: Path, cli: Cli) -> None:
    """`${VAR}` in a step's config that a worker would refuse to start without is a warning."""
    (bare / "needs.py").write_text(
        "from tasker import Tasker\napp = Tasker()\nt = app.template('t')\n"
        "def a(): ...\nt.step(a, config={'url': '${NO_SUCH_URL}'})\n"
    )
    _, by_name = found(cli, "--app", "needs:app", "--database", sqlite_url)
    assert "needs ${NO_SUCH_URL}" in by_name["template"][0]["text"]


def test_a_wrong_setting_is_a_fault(bare: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that cannot be read is a fault that names it and its source."""
    monkeypatch.setenv("TASKER_CONCURRENCY", "many")
    status, by_name = found(cli)
    assert status == 1
    assert "concurrency='many' (TASKER_CONCURRENCY)" in by_name["settings"][0]["text"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:secret@db:5432/shop", "postgresql://ann:***@db:5432/shop"),
        ("postgresql://ann@db/shop", "postgresql://ann@db/shop"),
        ("sqlite:////srv/a@b/tasker.db", "sqlite:////srv/a@b/tasker.db"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    """A database URL is shown without its password."""
    assert hidden(url) == shown
