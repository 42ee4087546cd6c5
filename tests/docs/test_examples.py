"""Every Python example in README.md and docs/ runs.

The blocks of one page are one program: they share their names and run in order, in a folder of their own, on SQLite.
A block with `title="shop/tasks.py"` is that file, and is imported where it stands; one called `test_….py` is run by
pytest. A block marked `no-run` is left out: for what blocks, or needs a host.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from markdown import PAGES, ROOT, Block, blocks, page_name


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page.read_text()) if block.title or is_python(block)]


def is_python(block: Block) -> bool:
    return block.language in ("python", "py") and "no-run" not in block.words


def is_test(block: Block) -> bool:
    return block.title is not None and Path(block.title).name.startswith("test_")


@pytest.mark.parametrize("page", [page for page in PAGES if any(map(is_python, runnable(page)))], ids=page_name)
def test_examples_run(page: Path, tmp_path: Path) -> None:
    """The examples of the page run from top to bottom."""
    found = runnable(page)
    program = write(found, tmp_path)
    run(page, tmp_path, str(program))
    tests = [block.title for block in found if block.title and is_test(block)]
    if tests:
        run(page, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)


def run(page: Path, folder: Path, *command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKER_")}
    path = os.pathsep.join([str(ROOT / "src"), str(folder)])
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=folder,
        env={**environment, "PYTHONPATH": path, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, f"{page_name(page)} (the line numbers are the page's)\n{done.stdout}\n{done.stderr}"


def write(found: list[Block], folder: Path) -> Path:
    """Write the page's program and files, each line where it is in the page, so that a traceback points there."""
    lines: list[str] = []
    for block in found:
        lines += [""] * (block.line - 1 - len(lines))
        if block.title is None:
            lines += block.code.splitlines()
            continue
        file = folder / block.title
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n" * (block.line - 1) + block.code if file.suffix == ".py" else block.code)
        if is_python(block) and not is_test(block):
            lines.append(f"__import__({'.'.join(Path(block.title).with_suffix('').parts)!r})")
    program = folder / "page.py"
    program.write_text("\n".join(lines) + "\n")
    return program
