"""`tasker enqueue`: new tasks, and their results."""

from __future__ import annotations

import json

import pytest
from house import Cli, Project


def test_a_task_is_stored(project: Project, cli: Cli) -> None:
    """The id is printed, and all that was said of the task is stored with it."""
    options = {
        "--priority": "5", "--queue": "mail", "--reason": "paid", "--initiator": "web", "--source-system": "shop",
        "--key": "order-17",
    }  # fmt: skip
    words = [word for pair in options.items() for word in pair]
    answer = cli("enqueue", "shop/fulfil_order", '{"order_id": 17}', "--tag", "eu", "--tag", "new", *words)
    assert answer.status == 0
    (task,) = project.app.tasks()
    assert task.id in answer.out
    assert "shop/fulfil_order@1.1.0" in answer.out
    assert (task.priority, task.queue, task.reason, task.initiator, task.source_system) == (
        5,
        "mail",
        "paid",
        "web",
        "shop",
    )
    assert (task.tags, task.idempotency_key) == (("eu", "new"), "order-17")


def test_a_key_finds_the_first_task(project: Project, cli: Cli) -> None:
    """A second enqueue with the same key says that the task is there already, and is no fault."""
    words = ("enqueue", "shop/fulfil_order", '{"order_id": 17}', "--key", "order-17")
    first, second = cli.json(*words), cli.json(*words)
    assert (first["created"], second["created"]) == (True, False)
    assert first["id"] == second["id"]
    assert "there already" in cli(*words).out


@pytest.mark.parametrize("how", ["argument", "file", "stdin"])
def test_a_context_comes_from_a_file_or_standard_input(lite_project: Project, cli: Cli, how: str) -> None:
    """A context is JSON on the line, `@file`, or `-`."""
    text = '{"order_id": 18}'
    lite_project.write("order.json", text)
    word = {"argument": text, "file": "@order.json", "stdin": "-"}[how]
    assert cli("enqueue", "shop/fulfil_order", word, stdin=text).status == 0
    assert lite_project.app.tasks()[0].context["order_id"] == 18


def test_a_later_start_is_kept(lite_project: Project, cli: Cli) -> None:
    """`--delay` and `--run-at` say when; `why` knows it."""
    cli("enqueue", "shop/fulfil_order", '{"order_id": 1}', "--delay", "2h")
    assert "it starts at" in cli("task", "why", "last").out
    cli("enqueue", "shop/fulfil_order", '{"order_id": 1}', "--run-at", "2199-01-01T00:00+01:00")
    (reason, *_) = cli.json("task", "why", "last")["reasons"]
    assert reason["until"] == "2198-12-31T23:00:00Z"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("shop/fulfil_order", "{order_id: 17}"), "is not JSON"),
        (("shop/fulfil_order", "@nowhere.json"), "nowhere.json cannot be read"),
        (("shop/fulfil_order", "{}", "--delay", "soon"), "'soon' is no duration"),
        (("shop/fulfil_order", "{}", "--run-at", "soon"), "'soon' is no moment"),
        (("shop/fulfil_order", "{}", "--priority", "101"), "--priority"),
        (("shop/fulfil_order", "{}", "--timeout", "5"), "say --wait too"),
    ],
)
def test_what_is_not_understood_is_a_usage_error(
    lite_project: Project, cli: Cli, words: tuple[str, ...], says: str
) -> None:
    """A word that means nothing exits with 2, in one line that says how to write it; nothing is stored."""
    answer = cli("enqueue", *words)
    assert answer.status == 2
    assert says in answer.err
    assert len(answer.err.splitlines()) == 1
    assert lite_project.app.tasks() == []


def test_a_wrong_context_lists_every_fault(project: Project, cli: Cli) -> None:
    """All faults are told, in words and as JSON; exit status 1; nothing is stored."""
    words = ("enqueue", "shop/fulfil_order", '{"order_id": "seventeen", "truoble": "x"}')
    answer = cli(*words)
    assert answer.status == 1
    assert answer.err.startswith("tasker: shop/fulfil_order@1.1.0 wants an Order; nothing was stored.")
    assert "order_id: expected an integer, got 'seventeen'" in answer.err
    error = json.loads(cli(*words, "--json").err)["error"]
    assert error["type"] == "InvalidContext"
    assert "order_id" in [problem["path"] for problem in error["problems"]]
    assert project.app.tasks() == []


def test_an_unknown_template_names_the_nearest(project: Project, cli: Cli) -> None:
    """A misspelt template is refused with the nearest name."""
    answer = cli("enqueue", "shop/fulfil_odrer")
    assert answer.status == 1
    assert "Did you mean 'shop/fulfil_order'?" in answer.err


def test_waiting_prints_the_results(project: Project, cli: Cli) -> None:
    """`--wait` prints the results as JSON, and nothing else, on standard output; exit status 0."""
    with project.app.worker():
        process = project.start("enqueue", "shop/fulfil_order", '{"order_id": 17}', "--wait", "--timeout", "30s")
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out) == 1.9
    assert "enqueued" in err


def test_waiting_for_what_fails_exits_with_1(project: Project, cli: Cli) -> None:
    """A task that fails ends the wait with status 1 and says why, without a traceback."""
    with project.app.worker():
        process = project.start("enqueue", "shop/fulfil_order", '{"order_id": 17, "trouble": "tax"}', "--wait")
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert "ended in error: step 'report_tax': the tax office is closed" in err
    assert "Traceback" not in err


def test_a_wait_that_takes_too_long_says_why(project: Project, cli: Cli) -> None:
    """`--timeout` ends the wait with status 1; the message is why: no worker is there."""
    answer = cli("enqueue", "shop/fulfil_order", '{"order_id": 17}', "--wait", "--timeout", "0.05s")
    assert answer.status == 1
    assert "still pending after 0.05 s: no live worker serves queue 'default'" in answer.err
    assert "tasker worker --app shop.tasks:app" in answer.err
