"""The line itself: options anywhere, help, finding the app, errors, statuses."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from house import Cli, Project

from tasker.cli import finding, parse
from tasker.cli.root import app as root

MAKES_APP = "from tasker import Tasker\napp = Tasker()\n"


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and group, as words."""
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


ALL = list(commands(typer.main.get_command(root)))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_help_ends_with_an_example(cli: Cli, path: tuple[str, ...]) -> None:
    """`--help` exits with 0 and ends with a line to copy."""
    answer = cli(*path, "--help")
    assert answer.status == 0
    last = [line.strip() for line in answer.out.splitlines() if line.strip()][-1]
    assert last.startswith("Example:  tasker ") or any(
        line.strip().startswith("Example:  tasker ") for line in answer.out.splitlines()[-4:]
    )


def test_the_commands_are_those_of_the_reference() -> None:
    """What is not built yet does not exist."""
    tasks = (
        "list", "show", "history", "why", "watch",
        "retry", "resolve", "skip", "rerun", "cancel", "pause", "resume",
    )  # fmt: skip
    assert {" ".join(path) for path in ALL} == {
        "", "demo", "worker", "enqueue", "workers", "events", "doctor",
        "task", *(f"task {name}" for name in tasks),
        "template", "template list", "template show", "template graph", "template check",
        "systems", "systems hold", "systems release", "db", "db upgrade", "db status",
    }  # fmt: skip


def test_help_comes_at_once() -> None:
    """`tasker --help` imports neither the database nor anything else it does not need."""
    code = (
        "import sys\nfrom tasker.cli import main\nmain(['--help'])\n"
        "print([name for name in sys.modules if name in sys.argv[1:]])"
    )
    heavy = ("sqlalchemy", "alembic", "psycopg", "httpx", "jsonschema", "yaml")
    began = time.monotonic()
    out = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True).stdout
    assert time.monotonic() - began < 5
    assert out.splitlines()[-1] == "[]"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_shared_options_are_taken_anywhere(lite_project: Project, cli: Cli, place: int) -> None:
    """`--json` and `--database` are understood before the command, between its words, and behind."""
    lite_project.order()
    words = ["task", "list"]
    words[place:place] = ["--json", "--database", lite_project.database]
    assert len(json.loads(cli(*words).out)) == 1


def test_the_last_one_said_counts(lite_project: Project, cli: Cli, bare: Path) -> None:
    """Where an option is said twice, the one nearer to the end counts."""
    lite_project.order()
    answer = cli(
        "--database", f"sqlite:///{bare}/none.db", "task", "list", "--json", "--database", lite_project.database
    )
    assert len(answer.json) == 1


def test_no_app_anywhere(bare: Path, cli: Cli) -> None:
    """Where no app is named, all ways to name one are told, and an app in the files nearby is found."""
    (bare / "shop").mkdir()
    (bare / "shop" / "__init__.py").touch()
    (bare / "shop" / "tasks.py").write_text(MAKES_APP)
    answer = cli("enqueue", "shop/fulfil_order")
    assert answer.status == 1
    assert answer.err.strip() == (
        "tasker: no app. Say --app module:attr, set TASKER_APP, or add to pyproject.toml:  "
        f'[tool.tasker] app = "shop.tasks:app"   (there is no pyproject.toml in {bare} or above). '
        "shop/tasks.py here contains one: try --app shop.tasks:app"
    )
    (bare / "pyproject.toml").write_text("[project]\n")
    assert f"(looked at {bare / 'pyproject.toml'}: no [tool.tasker])" in cli("worker").err
    (bare / "pyproject.toml").write_text("[tool.tasker]\nqueues = 'default'\n")
    assert "[tool.tasker] has no app" in cli("worker").err


@pytest.mark.parametrize("name", ["shop.tasks:app", "shop.tasks", "shop/tasks.py", "shop/tasks.py:app"])
def test_an_app_is_named_in_many_ways(
    lite_project: Project, cli: Cli, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`module:attribute`, a module with one app in it, or its path."""
    monkeypatch.delenv("TASKER_APP")
    assert cli("template", "list", "--app", name).status == 0
    assert cli("--app", name, "template", "list").status == 0


def test_the_app_of_pyproject_is_used(lite_project: Project, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """`[tool.tasker] app` of the nearest pyproject.toml names the app."""
    monkeypatch.delenv("TASKER_APP")
    lite_project.write("pyproject.toml", '[tool.tasker]\napp = "shop.tasks:app"\n')
    assert cli("template", "show", "shop/slow").status == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere:app", "there is no module 'nowhere'"),
        ("shop.tsks:app", "try --app shop.tasks:app"),
        ("shop.tasks:ap", "shop.tasks has no 'ap'. Apps in it: shop.tasks:app"),
        ("shop.tasks:fulfil", "is a Template, not a Tasker. Apps in shop.tasks: shop.tasks:app"),
        ("shop", "there is no Tasker in it. shop/tasks.py here contains one: try --app shop.tasks:app"),
        ("two", "there are 2 apps in it. Say --app two:one or --app two:other"),
    ],
)
def test_a_wrong_name_says_the_right_one(lite_project: Project, cli: Cli, name: str, says: str) -> None:
    """A misspelt module or attribute is refused in one line with what is there."""
    lite_project.write("two.py", "from tasker import Tasker\none, other = Tasker(), Tasker()\n")
    answer = cli("template", "list", "--app", name)
    assert answer.status == 1
    assert says in answer.err
    assert len(answer.err.splitlines()) == 1


def test_a_module_that_raises_is_shown_by_its_own_lines(bare: Path, cli: Cli) -> None:
    """The traceback of a user's module has the user's lines only."""
    (bare / "broken.py").write_text("def inner():\n    raise KeyError('nope')\n\ninner()\n")
    answer = cli("worker", "--app", "broken:app")
    assert answer.status == 1
    assert 'broken.py", line 4' in answer.err
    assert 'broken.py", line 2, in inner' in answer.err
    assert "KeyError: 'nope'" in answer.err
    assert "tasker/cli" not in answer.err
    assert "importlib" not in answer.err
    (bare / "lacks.py").write_text("import no_such_library\n")
    assert "No module named 'no_such_library'" in cli("worker", "--app", "lacks").err
    (bare / "unfinished.py").write_text("def (:\n")
    assert 'unfinished.py", line 1' in cli("worker", "--app", "unfinished").err


def test_a_definition_error_points_at_the_users_line(bare: Path, cli: Cli) -> None:
    """What Tasker refuses while the user's module is imported is one line, with file and line."""
    (bare / "wrong.py").write_text(f"{MAKES_APP}t = app.template('t')\n@t.step\ndef a(b: int) -> int: ...\n")
    answer = cli("worker", "--app", "wrong:app")
    assert answer.status == 1
    assert answer.err.startswith("tasker: step 'a' (wrong.py:4): parameter 'b'")
    assert len(answer.err.splitlines()) == 1


def test_verbose_shows_the_traceback(lite_project: Project, cli: Cli) -> None:
    """With `-v` an error of Tasker's comes with its traceback."""
    assert "Traceback" not in cli("task", "show", "last").err
    assert "Traceback" in cli("-v", "task", "show", "last").err


def test_a_bug_is_shown_whole(lite_project: Project, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected is shown with its traceback; exit status 1."""
    lite_project.order()

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("tasker.app.tasker.Tasker.tasks", broken)
    answer = cli("task", "list")
    assert answer.status == 1
    assert "Traceback" in answer.err
    assert "RuntimeError: a bug" in answer.err


@pytest.mark.parametrize(
    "words", [("task", "lst"), ("task", "why"), ("task", "list", "--bad"), ("task", "list", "--limit", "0")]
)
def test_what_is_not_understood_exits_with_2(cli: Cli, bare: Path, words: tuple[str, ...]) -> None:
    """A wrong word, option or value is a usage error that points to the help."""
    answer = cli(*words)
    assert answer.status == 2
    assert "See:  tasker task" in answer.err


@pytest.mark.parametrize("words", [(), ("task",), ("template",), ("db",)])
def test_a_group_alone_shows_its_help(cli: Cli, bare: Path, words: tuple[str, ...]) -> None:
    """A group without a command lists what there is."""
    answer = cli(*words)
    assert "Usage:" in answer.out
    assert answer.err == ""


def test_errors_are_json_where_a_program_reads(cli: Cli, bare: Path) -> None:
    """With `--json` an error is one JSON object on standard error."""
    for words, kind in ((("task", "list"), "NotFound"), (("task", "lst"), "UsageError"), (("worker",), "ConfigError")):
        answer = cli(*words, "--json")
        assert answer.out == ""
        assert json.loads(answer.err)["error"]["type"] == kind


def test_a_closed_pipe_is_quiet(lite_project: Project) -> None:
    """Whoever stops reading early gets no traceback."""
    for words in (["events"], ["events", "--json"], ["--help"]):
        process = lite_project.start(*words)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        process.wait(30)


def test_the_version_is_told(cli: Cli) -> None:
    """`tasker --version` names it."""
    import tasker

    assert cli("--version").out == f"tasker {tasker.__version__}\n"


def test_a_symbol_that_a_terminal_lacks_is_no_fault(lite_project: Project) -> None:
    """On an ASCII terminal symbols are replaced."""
    lite_project.ran()
    process = lite_project.start("task", "list", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "complete" in out


def test_libraries_and_hidden_folders_are_not_searched(bare: Path) -> None:
    """An app is looked for in the project's own files only."""
    for folder in (".hidden", "node_modules", "env"):
        (bare / folder).mkdir()
        (bare / folder / "tasks.py").write_text(MAKES_APP)
    (bare / "env" / "pyvenv.cfg").touch()
    assert "contains one" not in str(finding.no_app())
    (bare / "src").mkdir()
    (bare / "src" / "jobs.py").write_text("import tasker\nmine: tasker.Tasker = tasker.Tasker()\n")
    assert str(finding.no_app()).endswith("src/jobs.py here contains one: try --app src.jobs:mine")


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("1.5s", 1.5), ("5m", 300), ("2 h", 7_200), ("1d", 86_400)])
def test_durations_are_read(text: str, seconds: float) -> None:
    """A number means seconds; units are s, m, h, d and w."""
    assert parse.span(text) == seconds


def test_moments_are_read() -> None:
    """A moment is a time of day to come, a duration from now, or ISO 8601, local where no offset is given."""
    from datetime import datetime, timedelta

    now = datetime.now().astimezone()
    assert timedelta() < parse.moment("00:00") - now <= timedelta(days=1)
    assert abs(parse.moment("2h") - now - timedelta(hours=2)) < timedelta(seconds=10)
    assert parse.moment("2199-01-01T12:00+02:00").timestamp() == parse.moment("2199-01-01T10:00Z").timestamp()
    assert parse.moment("2199-01-01 12:00").utcoffset() is not None
