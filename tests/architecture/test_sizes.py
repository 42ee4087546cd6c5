"""Every file reads in one sitting: sizes, a docstring at the top, and nothing of one person's machine."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PYTHON = sorted(path for folder in ("src", "tests", "typing_tests") for path in (ROOT / folder).rglob("*.py"))

MODULE_LINES = 400
FUNCTION_LINES = 60


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring: what it says to callers is no part of its size."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        assert first.end_lineno is not None
        lines -= first.end_lineno - first.lineno + 1
    return lines


def test_modules_are_short() -> None:
    """No module of the package is longer than 400 lines."""
    long = {name(path): count for path in SOURCES if (count := len(path.read_text().splitlines())) > MODULE_LINES}
    assert long == {}


def test_functions_are_short() -> None:
    """No function of the package is longer than 60 lines; migrations are lists."""
    long = {
        f"{name(path)}:{function.lineno} {function.name}": count
        for path in SOURCES
        if path.parent.name != "versions"
        for function in functions(ast.parse(path.read_text()))
        if (count := lines_of_code(function)) > FUNCTION_LINES
    }
    assert long == {}


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_modules_say_what_they_are_for(path: Path) -> None:
    """Every Python file begins with a docstring, but for empty ones."""
    tree = ast.parse(path.read_text())
    assert not tree.body or ast.get_docstring(tree)


def test_tests_state_facts() -> None:
    """Every test has a docstring: the behaviour, as a fact."""
    silent = [
        f"{name(path)}:{function.lineno} {function.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for function in functions(ast.parse(path.read_text()))
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert silent == []


def test_no_file_knows_a_home() -> None:
    """No file in the repository names a folder of somebody's machine."""
    home = re.compile(rb"/(?:home|Users)/\w+|/root/|C:\\\\Users")
    found = [
        path
        for path in tracked()
        if path != "tests/architecture/test_sizes.py" and home.search((ROOT / path).read_bytes())
    ]
    assert found == []


def tracked() -> list[str]:
    """The repository's files: git's list, or all but what tools leave behind."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        return [path for path in listed.split("\0") if path and (ROOT / path).is_file()]
    except (OSError, subprocess.CalledProcessError):
        kept = ("src", "tests", "typing_tests", "docs", "scripts", "requirements")
        return [str(path.relative_to(ROOT)) for part in kept for path in (ROOT / part).rglob("*") if path.is_file()]
