"""`task watch`: a task followed to its end."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path
from typing import Any

from house import Cli, Project
from rich.console import Console

from support import until
from tasker.cli.tree import drawn
from tasker.cli.view import look
from tasker.cli.watch import Told


def shown(view: Any, height: int = 40, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    console.print(drawn(view, height))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_finished_task_ends_the_watch_with_its_outcome(project: Project, cli: Cli) -> None:
    """Exit status 0 when the task is complete, 1 when it failed, with a line per step and for the task."""
    project.ran()
    answer = cli("task", "watch", "last")
    assert answer.status == 0
    assert "✓ fetch_order  complete" in answer.out
    assert "✓ task is complete" in answer.out
    failed = project.ran("tax")
    answer = cli("task", "watch", "last")
    assert answer.status == 1
    assert "✗ report_tax  error, attempt 1 of 3, the tax office is closed" in answer.out
    assert f"tasker task why {failed.id[-9:]}" in answer.err


def test_a_change_is_told_once(project: Project) -> None:
    """What was told is not told again; a retry's moment, a new state and a new reason are news."""
    task, told = project.order("busy"), Told()

    def news() -> list[str]:
        return list(told.news(look(project.app, task.id)))

    first = news()
    assert first[0].endswith(task.id)
    assert any("no live worker serves queue" in line for line in first)
    assert first[-1] == "· task is pending"
    assert news() == []
    project.ran("busy")
    second = news()
    assert any(line.startswith("↻ reserve_stock  waiting_for_retry, attempt 1 of 5, again in") for line in second)
    assert "✓ send_mail  complete" in " ".join(second)
    assert second[-1] == "↻ task is waiting"
    assert news() == []
    task.pause()
    assert any("paused by" in line for line in news())


def test_the_tree_shows_state_by_symbol_and_word(project: Project) -> None:
    """Each step stands under its parent with symbol and word; a retry counts down; the reasons stand below."""
    task = project.ran("busy")
    text = shown(look(project.app, task.id))
    lines = text.splitlines()
    assert lines[0].startswith("↻ waiting  shop/fulfil_order@1.1.0")
    assert "2 of 4 steps" in lines[0]
    assert "└─ ✓ fetch_order  complete" in text
    assert "   ├─ ↻ reserve_stock  waiting_for_retry  attempt 1 of 5, again in" in text
    assert "   │  └─ · report_tax  pending" in text
    assert "no live worker serves queue 'default'" in text


def test_a_large_graph_is_folded(project: Project) -> None:
    """Of more steps than there are lines only the lively ones are shown, and the rest are counted."""
    wide = project.app.template("wide", namespace="shop")
    wide.step(_fail, name="bad")
    for number in range(300):
        wide.step(_fine, name=f"fine_{number}")
    task = wide.enqueue()
    project.ran()
    text = shown(look(project.app, task.id), height=20)
    assert len(text.splitlines()) <= 20
    assert "✗ bad" in text or "↻ bad" in text
    assert "301 steps" in text
    assert "✓ 300 complete" in text


def test_long_lines_do_not_wrap(project: Project) -> None:
    """On a narrow terminal a step keeps to its line, so that the tree stays a tree."""
    task = project.ran("busy")
    view = look(project.app, task.id)
    tree = [line for line in shown(view, width=40).splitlines() if "─" in line]
    assert len(tree) == 4
    assert all(len(line) <= 40 for line in tree)


def test_a_program_gets_a_value_per_change(project: Project, cli: Cli) -> None:
    """With `--json` each change is one line of JSON with the whole task and its reasons."""
    task = project.ran()
    answer = cli("task", "watch", "last", "--json")
    values = [json.loads(line) for line in answer.out.splitlines()]
    assert [value["state"] for value in values] == ["complete"]
    assert values[0]["id"] == task.id
    assert values[0]["reasons"] == []


def test_a_running_task_is_followed_to_its_end(project: Project, tmp_path: Path) -> None:
    """From another process: started, its progress, and the end, with exit status 0."""
    gate = tmp_path / "gate"
    project.tasks.slow.enqueue({"file": str(gate)})
    with project.app.worker():
        watch = project.start("task", "watch", "last")
        assert watch.stdout is not None
        seen: list[str] = []
        while not any("50%" in line for line in seen):
            seen.append(watch.stdout.readline())
            assert seen[-1], "".join(seen)
        gate.touch()
        rest, errors = watch.communicate(timeout=30)
    assert watch.returncode == 0, errors
    assert "▶ wait_for_file  in_progress" in "".join(seen)
    assert "half of it" in "".join(seen)
    assert "✓ wait_for_file  complete" in rest
    assert "✓ task is complete" in rest


def test_ctrl_c_leaves_the_live_tree_cleanly(project: Project) -> None:
    """On a terminal Ctrl-C ends the watch with status 130, without a traceback, the cursor shown again."""
    project.order()
    terminal = project.terminal("task", "watch", "last")
    until(lambda: terminal.shows("Ctrl-C leaves; the task goes on"))
    terminal.process.send_signal(signal.SIGINT)
    until(terminal.ended)
    assert terminal.process.returncode == 130
    assert not terminal.shows("Traceback")
    assert terminal.text.rfind("\x1b[?25h") > terminal.text.rfind("\x1b[?25l")


def _fine() -> None: ...


def _fail() -> None:
    raise ValueError("no")
