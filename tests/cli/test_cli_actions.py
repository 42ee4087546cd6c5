"""Stepping in: on one task, and on all that match a query."""

from __future__ import annotations

import pytest
from house import Cli, Project

from support import until


def test_a_failed_task_is_retried(project: Project, cli: Cli) -> None:
    """`task retry` opens it again, with a larger budget if one is given, and says what it is now."""
    task = project.ran("tax")
    answer = cli(
        "task", "retry", "last", "report_tax", "--max-attempts", "7", "--reason", "tax is back", "--actor", "ann"
    )
    assert answer.status == 0
    assert "retried: shop/fulfil_order@1.1.0" in answer.out
    assert "· pending" in answer.out
    assert project.app.reader.budgets(project.app.reader.row(task.id))["report_tax"] == 7
    last = task.history()[-1]
    assert (last["what"], last["actor"], last["reason"]) == ("retry", "ann", "tax is back")


def test_what_makes_no_sense_is_refused_in_one_line(project: Project, cli: Cli) -> None:
    """An action that the state does not allow exits with 1, says what is allowed, and shows no traceback."""
    project.ran()
    answer = cli("task", "retry", "last", "fetch_order")
    assert answer.status == 1
    assert answer.err.startswith("tasker: ")
    assert len(answer.err.splitlines()) == 1
    assert "one may: rerun" in cli("task", "cancel", "last", "--reason", "x").err


def test_a_step_is_resolved_by_hand(project: Project, cli: Cli) -> None:
    """Results given by hand fit the step's return annotation or are refused; with them the task goes on."""
    task = project.ran("tax")
    refused = cli("task", "resolve", "last", "report_tax", "--results", '"much"', "--reason", "x")
    assert refused.status == 1
    assert "do not fit what step 'report_tax' returns" in refused.err
    assert cli("task", "resolve", "last", "report_tax", "--results", "19.5", "--reason", "by phone").status == 0
    project.ran()
    assert task.refresh().result() == 19.5


def test_a_failed_task_is_resolved_as_a_whole(project: Project, cli: Cli) -> None:
    """Without a step the failed task itself is resolved."""
    project.ran("tax")
    assert cli.json("task", "resolve", "last", "--reason", "done elsewhere")["state"] == "resolved_manually"


def test_a_step_is_skipped(project: Project, cli: Cli) -> None:
    """`task skip` declares a step not needed; where a child needs its results, it is refused and names the child."""
    project.ran("busy")
    refused = cli("task", "skip", "last", "fetch_order", "--reason", "x")
    assert refused.status == 1
    assert cli("task", "skip", "last", "reserve_stock", "--reason", "in stock").status == 0
    project.ran()
    assert cli.json("task", "show", "last")["state"] == "complete"


def test_a_rerun_shows_the_steps_first(project: Project, cli: Cli) -> None:
    """`task rerun` names the steps that would run again, and does nothing unless told to go on."""
    task = project.ran()
    asked = cli("task", "rerun", "last", "reserve_stock", "--reason", "broken")
    assert asked.status == 2
    assert "2 steps would run again: reserve_stock, report_tax" in asked.err
    assert "--yes" in asked.err
    assert task.refresh().state == "complete"
    done = cli("task", "rerun", "last", "reserve_stock", "--reason", "broken", "--yes", "--context", '{"order_id": 18}')
    assert done.status == 0
    assert task.refresh().state == "pending"
    assert task.context["order_id"] == 18


def test_pause_resume_and_cancel(project: Project, cli: Cli) -> None:
    """They move the task, and name the new state."""
    project.order()
    assert "‖ paused" in cli("task", "pause", "last").out
    assert "↻ waiting" in cli("task", "resume", "last").out
    assert "⊘ cancelled" in cli("task", "cancel", "last", "--reason", "duplicate").out


@pytest.mark.parametrize(
    "words", [("cancel", "last"), ("resolve", "last"), ("skip", "last", "report_tax"), ("rerun", "last", "fetch_order")]
)
def test_a_missing_reason_is_a_usage_error_without_a_terminal(
    project: Project, cli: Cli, words: tuple[str, ...]
) -> None:
    """Where nobody can be asked, the option is named and the exit status is 2; nothing was done."""
    task = project.ran("tax")
    before = task.history()
    answer = cli("task", *words)
    assert answer.status == 2
    assert "--reason" in answer.err
    assert task.history() == before


def test_on_a_terminal_the_reason_is_asked_for(project: Project) -> None:
    """Somebody at a terminal is asked why, and the answer is in the history."""
    task = project.order()
    terminal = project.terminal("task", "cancel", "last")
    until(lambda: terminal.shows("Why cancel?"))
    terminal.type("duplicate")
    until(terminal.ended)
    assert terminal.process.returncode == 0, terminal.text
    assert task.history()[-1]["reason"] == "duplicate"


def test_on_a_terminal_consent_is_asked_for(project: Project) -> None:
    """Somebody who says no has done nothing: exit status 1."""
    project.ran("tax")
    terminal = project.terminal("task", "retry", "--q", "state:error")
    until(lambda: terminal.shows("Retry 1 task?"))
    terminal.type("n")
    until(terminal.ended)
    assert terminal.process.returncode == 1
    assert terminal.shows("nothing was done")
    assert len(project.app.tasks(state="error")) == 1


def test_many_are_counted_first(project: Project, cli: Cli) -> None:
    """`--q --dry-run` only counts; without `--yes` and without a terminal nothing is done, and the count is told."""
    for _ in range(3):
        project.ran("tax")
    project.ran()
    query = ("--q", "state:error step:report_tax")
    assert "3 tasks would be touched by retry" in cli("task", "retry", *query, "--dry-run").out
    assert cli.json("task", "retry", *query, "--dry-run")["matched"] == 3
    asked = cli("task", "retry", *query)
    assert asked.status == 2
    assert "Retry 3 tasks?" in asked.err
    assert len(project.app.tasks(state="error")) == 3


@pytest.mark.parametrize(
    ("action", "state", "after"),
    [("retry", "error", "pending"), ("pause", "waiting", "paused"), ("cancel", "waiting", "cancelled")],
)
def test_many_are_acted_on(project: Project, cli: Cli, action: str, state: str, after: str) -> None:
    """`--q` with `--yes` acts on all that match and on no other."""
    some = [project.ran({"error": "tax", "waiting": "busy"}[state]) for _ in range(3)]
    other = project.ran()
    done = cli.json("task", action, "--q", f"state:{state}", "--yes", "--reason", "all of them")
    assert (done["done"], done["pending"], done["refused"]) == (3, 0, [])
    assert [str(task.refresh().state) for task in some] == [after] * 3
    assert other.refresh().state == "complete"


def test_refusals_among_many_are_told(project: Project, cli: Cli) -> None:
    """What refuses the action is left as it is and named; exit status 1 if nothing at all was done."""
    project.ran()
    answer = cli("task", "resume", "--q", "state:complete", "--yes")
    assert answer.status == 1
    assert "0 tasks done" in answer.out
    assert "refused …" in answer.out
    assert "no task matches" in cli("task", "resume", "--q", "state:paused", "--yes").out


def test_a_task_and_a_query_contradict_each_other(lite_project: Project, cli: Cli) -> None:
    """One says either a TASK or `--q`; an empty query would mean every task and is refused."""
    lite_project.order()
    assert cli("task", "retry").status == 2
    assert cli("task", "retry", "last", "--q", "state:error").status == 2
    assert cli("task", "retry", "last", "--dry-run").status == 2
    empty = cli("task", "retry", "--q", " ", "--yes")
    assert empty.status == 1
    assert "would match every task" in empty.err


def test_a_database_is_enough_to_operate(project: Project, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking and operating need no code, only `--database`: results by hand are still checked."""
    task = project.ran("tax")
    monkeypatch.delenv("TASKER_APP")
    monkeypatch.delenv("TASKER_DATABASE_URL")
    option = ("--database", project.database)
    assert "report_tax" in cli("task", "why", "last", *option).out
    refused = cli("task", "resolve", "last", "report_tax", "--results", "[]", "--reason", "x", *option)
    assert "do not fit" in refused.err
    assert cli("task", "retry", "last", *option).status == 0
    assert task.refresh().state == "pending"
