"""`tasker worker`: a worker process, and `tasker workers`, which lists them."""

from __future__ import annotations

import json
from pathlib import Path

from house import Cli, Project, stopped

from support import until


def test_a_worker_runs_tasks_until_sigterm(project: Project, cli: Cli) -> None:
    """It says where it works and what it serves, runs tasks, and ends with status 0 after SIGTERM."""
    worker = project.worker()
    enqueued = cli("enqueue", "shop/fulfil_order", '{"order_id": 17}', "--wait", "--timeout", "30s")
    assert enqueued.status == 0, enqueued.err
    assert json.loads(enqueued.out) == 1.9
    status, log = stopped(worker)
    text = "\n".join(log)
    assert status == 0, text
    assert "shop/fulfil_order@1.1.0 (4 steps)" in text
    assert "serves default on" in text
    assert log[-1].endswith("stopped")


def test_troubles_are_logged_a_line_each(project: Project) -> None:
    """A failed attempt is one line with task, step, attempt and message; times are local with offset."""
    worker = project.worker()
    task = project.order("tax")
    task.wait(30)
    _, log = stopped(worker)
    (line,) = [line for line in log if "report_tax failed" in line]
    assert f"shop/fulfil_order@1.1.0 …{task.id[-9:]} report_tax failed (attempt 1, the tax office is closed)" in line
    assert "WARNING" in line
    assert line[:10] in str(task.finished_at.astimezone()) if task.finished_at else False


def test_the_log_can_be_json(project: Project) -> None:
    """With `--json` every line of the log is a JSON object."""
    worker = project.worker("--json", "-v")
    project.order().wait(30)
    _, log = stopped(worker)
    messages = [json.loads(line)["message"] for line in log]
    assert any("fetch_order completed" in message for message in messages)


def test_queues_and_concurrency_are_what_was_said(project: Project, cli: Cli) -> None:
    """`--queues` and `--concurrency` are what `tasker workers` shows of it."""
    worker = project.worker("--queues", "mail, default", "--concurrency", "3")
    (listed,) = cli.json("workers")
    assert listed["queues"] == ["mail", "default"]
    assert listed["concurrency"] == 3
    assert listed["place"].endswith(f":{worker.pid}")
    assert listed["templates"] == ["shop/fulfil_order@1.1.0", "shop/slow@0.1.0"]
    assert "alive" in cli("workers").out
    stopped(worker)
    assert cli.json("workers") == []
    assert "no worker is alive" in cli("workers").out
    assert [one["state"] for one in cli.json("workers", "--all")] == ["stopped"]


def test_a_silent_worker_is_shown_as_silent(project: Project, cli: Cli) -> None:
    """A worker without a heartbeat for longer than the worker timeout is listed as silent, with the tasks it holds."""
    worker = project.worker()
    gate = project.folder / "gate"
    task = project.tasks.slow.enqueue({"file": str(gate)})
    until(lambda: task.refresh().state == "in_progress")
    worker.kill()
    worker.wait()
    option = {"TASKER_WORKER_TIMEOUT_SECONDS": "0.5", "TASKER_HEARTBEAT_SECONDS": "0.1"}

    def silent() -> bool:
        listing = project.start("workers", "--json", env=option)
        out = listing.communicate(timeout=30)[0]
        return [(one["state"], one["tasks"]) for one in json.loads(out)] == [("silent", 1)]

    until(silent, within=30)


def test_a_worker_that_cannot_start_says_why_in_one_line(lite_project: Project, cli: Cli) -> None:
    """No folder, no such app, a template that does not hold together: one line, no traceback, exit status 1."""
    nowhere = cli("worker", "--database", "sqlite:////nowhere/at/all/tasker.db")
    assert nowhere.status == 1
    assert "tasker: /nowhere/at/all/tasker.db cannot be created" in nowhere.err
    lite_project.write(
        "wrong.py",
        "from tasker import Tasker\napp = Tasker()\nt = app.template('t')\n"
        "@t.step\ndef a() -> int: ...\n@t.step\ndef b(a: list[int]) -> None: ...\n",
    )
    wrong = cli("worker", "--app", "wrong:app")
    assert wrong.status == 1
    assert "step 'b'" in wrong.err
    assert "Traceback" not in wrong.err


def test_a_worker_warns_of_tasks_it_leaves_alone(project: Project, tmp_path: Path) -> None:
    """At its start a worker tells of unfinished tasks of older versions that nobody will serve."""
    project.order()
    file = project.folder / "shop" / "tasks.py"
    file.write_text(file.read_text().replace('version="1.1.0"', 'version="2.0.0"'))
    worker = project.worker()
    _, log = stopped(worker)
    (line,) = [line for line in log if "unfinished task" in line]
    assert "1 unfinished task of shop/fulfil_order@1.1.0 in queue 'default'" in line
    assert 'serves=["1.1.0"]' in line
