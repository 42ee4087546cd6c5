"""`task why`: what a task waits for, how it ended, and the line that helps."""

from __future__ import annotations

import pytest
from house import Cli, Project


def test_without_a_worker_it_says_how_to_start_one(project: Project, cli: Cli) -> None:
    """A task that nobody serves names its queue and gives the line that starts a worker."""
    project.order()
    out = cli("task", "why", "last").out
    assert "no live worker serves queue 'default'" in out
    assert "tasker worker --app shop.tasks:app" in out


def test_a_retry_says_when_and_how_to_be_faster(project: Project, cli: Cli) -> None:
    """A step that waits for its retry names attempt, error and moment, and the line that tries it now."""
    task = project.ran("busy")
    out = cli("task", "why", "last").out
    assert "reserve_stock" in out
    assert "attempt 1 of 5: 503 Service Unavailable" in out
    assert f"try it now:  tasker task retry {task.id[-9:]} reserve_stock" in out
    (reason,) = [one for one in cli.json("task", "why", "last")["reasons"] if one["code"] == "retry_due"]
    assert reason["step"] == "reserve_stock"
    assert reason["until"].endswith("Z")


def test_a_step_says_which_parent_it_waits_for(project: Project, cli: Cli) -> None:
    """Asked about a step, the parent that is not satisfied is named, and how to ask about that."""
    task = project.ran("busy")
    out = cli("task", "why", task.id, "report_tax").out
    assert "waits for its parent 'reserve_stock', which is waiting_for_retry" in out
    assert f"tasker task why {task.id[-9:]} reserve_stock" in out


def test_a_held_system_and_a_pause_name_who_and_why(project: Project, cli: Cli) -> None:
    """Who holds a system or paused a task is named, with the reason and the line that ends it."""
    task = project.ran("busy")
    task.retry()
    project.app.hold_system("fulfilment", reason="incident 4711", actor="ann")
    out = cli("task", "why", "last").out
    assert "system 'fulfilment' is held by ann: incident 4711" in out
    assert "tasker systems release fulfilment" in out
    task.pause(reason="look first", actor="bob")
    out = cli("task", "why", "last").out
    assert "paused by bob" in out
    assert "look first" in out
    assert f"tasker task resume {task.id[-9:]}" in out


def test_a_failed_task_says_where_it_failed_and_what_helps(project: Project, cli: Cli) -> None:
    """How it ended: the failed step with attempts, code, message and the line of code; and every command that helps."""
    task = project.ran("tax")
    end = task.id[-9:]
    out = cli("task", "why", "last").out
    assert "✗ report_tax  failed at attempt 1 of 3 (closed)" in out
    assert "the tax office is closed" in out
    assert "in report_tax:  raise PermanentError" in out
    for line in (
        f"tasker task retry {end}",
        f"tasker task show {end} report_tax",
        f"tasker task resolve {end} report_tax --results",
        f"tasker task skip {end} report_tax --reason",
        f"tasker task rerun {end} report_tax --reason",
    ):
        assert line in out
    (failed,) = cli.json("task", "why", "last")["failed"]
    assert failed["name"] == "report_tax"


def test_steps_that_never_ran_are_named(project: Project, cli: Cli) -> None:
    """A task that was cancelled says by whom and why."""
    task = project.order()
    task.cancel(reason="duplicate", actor="ann")
    out = cli("task", "why", "last").out
    assert "by ann: duplicate" in out
    assert f'tasker task rerun {task.id[-9:]} fetch_order --reason "…"' in out


def test_a_complete_task_says_so(project: Project, cli: Cli) -> None:
    """A complete task says when it ended and how long it took; a complete step, too."""
    project.ran()
    out = cli("task", "why", "last").out
    assert "✓ complete" in out
    assert "after it was created" in out
    assert cli.json("task", "why", "last")["reasons"] == []
    assert "✓ complete" in cli("task", "why", "last", "fetch_order").out


def test_a_failed_step_is_explained_alone(project: Project, cli: Cli) -> None:
    """Asked about the failed step, its error is told; asked about one after a failed one, that this is why."""
    project.ran("tax")
    assert "the tax office is closed" in cli("task", "why", "last", "report_tax").out
    task = project.ran("busy")
    task.retry(max_attempts=1)
    project.ran()
    assert task.refresh().state == "error"
    out = cli("task", "why", task.id, "report_tax").out
    assert "'reserve_stock', which is error: it never will unless that is retried" in out


@pytest.mark.parametrize("before", [True, False])
def test_suggested_commands_repeat_the_options(lite_project: Project, cli: Cli, before: bool) -> None:
    """A line to copy has the `--database` of the call, whether that was said before or after the command."""
    task = lite_project.ran("tax")
    option = ("--database", lite_project.database)
    out = cli(*option, "task", "why", "last").out if before else cli("task", "why", "last", *option).out
    assert f"tasker task retry {task.id[-9:]} --database {lite_project.database}" in out


def test_a_password_is_never_repeated(project: Project, cli: Cli) -> None:
    """A database URL with a password is not part of a suggested line."""
    from tasker.cli.session import Session

    session = Session()
    session.take(None, "postgresql://ann:secret@db/shop", False, 0)
    assert "secret" not in session.flags
