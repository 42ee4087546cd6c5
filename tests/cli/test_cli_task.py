"""Looking at tasks: which one is meant, lists, one task, one step, history."""

from __future__ import annotations

from datetime import datetime

import pytest
from house import Cli, Project


def test_a_list_shows_the_newest_first_with_what_to_look_at(project: Project, cli: Cli) -> None:
    """A line per task: the ending of its id, its state by symbol and word, its steps, and the one that failed."""
    done, failed = project.ran(), project.ran("tax", idempotency_key="order-17")
    answer = cli("task", "list")
    rows = answer.out.splitlines()[1:]
    assert answer.status == 0
    assert f"…{failed.id[-9:]}" in rows[0]
    assert "✗ error" in rows[0]
    assert "3/4" in rows[0]
    assert "order-17" in rows[0]
    assert "report_tax: the tax office is closed" in rows[0]
    assert f"…{done.id[-9:]}" in rows[1]
    assert "✓ complete" in rows[1]


def test_a_list_can_be_filtered_and_paged(project: Project, cli: Cli) -> None:
    """Filters narrow the list, `--after` goes on where the last one ended."""
    first, second, third = (project.order(tags=[tag]) for tag in ("eu", "us", "eu"))
    assert [one["id"] for one in cli.json("task", "list", "--tag", "eu")] == [third.id, first.id]
    assert [one["id"] for one in cli.json("task", "list", "--limit", "2")] == [third.id, second.id]
    assert [one["id"] for one in cli.json("task", "list", "--after", second.id)] == [first.id]
    assert cli.json("task", "list", "--q", "state:error") == []
    assert "no task matches" in cli("task", "list", "--state", "error").out


def test_a_list_for_programs_has_times_in_utc(project: Project, cli: Cli) -> None:
    """With `--json` a list holds the REST form without payloads and with its steps counted."""
    task = project.ran()
    (listed,) = cli.json("task", "list")
    assert listed["id"] == task.id
    assert listed["template"] == "shop/fulfil_order@1.1.0"
    assert (listed["state"], listed["steps_satisfied"], listed["steps_total"]) == ("complete", 4, 4)
    assert listed["created_at"].endswith("Z")
    assert "context" not in listed


def test_a_wrong_filter_is_refused_with_the_nearest_right_one(project: Project, cli: Cli) -> None:
    """A misspelt state or field names the nearest one and the list; exit status 1."""
    for words in (("--state", "eror"), ("--q", "stat:error")):
        answer = cli("task", "list", *words)
        assert answer.status == 1
        assert "Did you mean" in answer.err


@pytest.mark.parametrize("words", ["{id}", "{ending}", "…{ending}", "{upper}", "key:order-17", "last"])
def test_a_task_is_named_in_many_ways(project: Project, cli: Cli, words: str) -> None:
    """A TASK is an id, an ending of one, `key:KEY`, or `last`."""
    project.order()
    task = project.order(idempotency_key="order-17")
    name = words.format(id=task.id, ending=task.id[-6:], upper=task.id[-6:].upper())
    assert cli.json("task", "show", name)["id"] == task.id


def test_an_ending_of_several_tasks_lists_them(project: Project, cli: Cli) -> None:
    """What means several tasks is refused, and the whole ids are listed to choose from."""
    ids = [task.id for task in (project.order() for _ in range(40))]
    endings = [task_id[-1] for task_id in ids]
    twice = next(end for end in endings if endings.count(end) > 1)
    answer = cli("task", "show", twice)
    assert answer.status == 1
    assert f"{twice!r} means several tasks" in answer.err
    listed = [task_id for task_id in ids if task_id in answer.err]
    assert len(listed) > 1
    assert all(task_id.endswith(twice) for task_id in listed)


def test_a_key_of_several_templates_lists_them(project: Project, cli: Cli) -> None:
    """One key may belong to tasks of two templates: then both are listed."""
    one = project.order(idempotency_key="k")
    other = project.tasks.slow.enqueue({"file": "x"}, idempotency_key="k")
    answer = cli("task", "show", "key:k")
    assert answer.status == 1
    assert one.id in answer.err
    assert other.id in answer.err


def test_what_names_no_task_says_how_to_name_one(project: Project, cli: Cli) -> None:
    """An unknown id, key or word is refused in one line; a bare key is recognised."""
    assert "there is no task yet" in cli("task", "show", "last").err
    project.order(idempotency_key="order-17")
    assert "Did you mean key:order-17?" in cli("task", "show", "order-17").err
    assert "no task with key 'x'" in cli("task", "show", "key:x").err
    assert "A TASK is an id" in cli("task", "show", "nobody").err
    assert "no id of a task ends in" in cli("task", "show", "0000000").err
    unknown = cli("task", "show", "01920f3a-0000-7000-8000-000000000000")
    assert unknown.status == 1
    assert "not in the database" in unknown.err


def test_a_task_is_shown_whole(project: Project, cli: Cli) -> None:
    """`task show` has the whole id, who asked and why, context, facts, every step with its attempts, and results."""
    task = project.ran(initiator="web", source_system="shop", reason="paid", tags=["eu"], priority=5)
    out = cli("task", "show", "last").out
    for words in (task.id, "✓ complete", "by web, from shop, because paid", "eu", "priority 5", "carrier", '"dhl"'):
        assert words in out, out
    for step in ("fetch_order", "reserve_stock", "report_tax", "send_mail"):
        assert step in out
    assert "1/5" in out
    assert "4 of 4 satisfied" in out
    assert "1.9" in out


def test_secrets_are_masked(project: Project, cli: Cli) -> None:
    """Values of keys in `settings.redact` are masked in contexts, results and errors, for people and for programs."""
    project.ran("tax")
    for words in (("show", "last"), ("show", "last", "report_tax"), ("show", "last", "fetch_order"), ("why", "last")):
        for form in ((), ("--json",)):
            answer = cli("task", *words, *form)
            assert answer.status == 0
            shown = answer.out.replace('details={"password": "hush-hush"}', "")  # the author's own line of code
            assert "hush-hush" not in shown.replace('details={\\"password\\": \\"hush-hush\\"}', ""), shown
    shown = cli.json("task", "show", "last")
    assert shown["context"] == {"order_id": 17, "trouble": "tax", "api_key": "***"}
    assert shown["steps"][0]["results"] == {"sku": "lamp", "access_token": "***"}


def test_a_step_is_shown_with_every_attempt(project: Project, cli: Cli) -> None:
    """`task show TASK STEP` has each attempt with its code, message and traceback."""
    task = project.ran("busy")
    task.retry()
    project.ran()
    out = cli("task", "show", task.id, "reserve_stock").out
    assert "attempt 1 failed" in out
    assert "attempt 2 failed" in out
    assert "http_503: 503 Service Unavailable" in out
    assert "in reserve_stock" in out
    facts = cli.json("task", "show", task.id, "reserve_stock")
    assert (facts["attempts"], facts["max_attempts"]) == (2, 5)
    assert [tried["attempt"] for tried in facts["tried"]] == [1, 2]


def test_an_unknown_step_names_the_steps_there_are(project: Project, cli: Cli) -> None:
    """A step that the template does not have is refused with the list of those it has."""
    project.order()
    for command in ("show", "why"):
        answer = cli("task", command, "last", "report_taxes")
        assert answer.status == 1
        assert "fetch_order, reserve_stock, report_tax, send_mail" in answer.err


def test_history_tells_who_did_what_and_why(project: Project, cli: Cli) -> None:
    """`task history` has moves and people's actions, the oldest first, with actor and reason."""
    project.ran("tax", initiator="web")
    cli("task", "skip", "last", "report_tax", "--reason", "not due", "--actor", "ann")
    told = [
        (entry["what"], entry["step"], entry["actor"], entry["reason"]) for entry in cli.json("task", "history", "last")
    ]
    assert told[0] == ("enqueued", None, "web", "")
    assert ("skip", "report_tax", "ann", "not due") in told
    assert told.index(("skip", "report_tax", "ann", "not due")) > [what for what, *_ in told].index("error")
    assert "not due" in cli("task", "history", "last").out


def test_times_are_local_with_offset(project: Project, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """People read the time of where they are, with its offset."""
    import time

    task = project.ran()
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        local = task.created_at.astimezone()
        assert isinstance(local, datetime)
        assert local.strftime("%H:%M:%S+05:30") in cli("task", "show", "last").out
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_pipe_gets_whole_lines(project: Project, cli: Cli) -> None:
    """Where no terminal is, a task is one line, however long, without colours."""
    project.ran("tax", idempotency_key="k" * 120)
    out = cli("task", "list").out
    assert len(out.splitlines()) == 2
    assert "k" * 120 in out
    assert "\x1b" not in out


def test_a_narrow_terminal_keeps_ids_whole(project: Project, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """On 40 columns the ending of the id and the state stay whole; the rest goes on lines of its own."""
    monkeypatch.setenv("COLUMNS", "40")
    task = project.ran("tax")
    rows = cli("task", "list").out.splitlines()
    assert rows[0].split() == [f"…{task.id[-9:]}", "✗", "error"]
    assert max(map(len, rows)) <= 40
