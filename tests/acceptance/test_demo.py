"""The demo, as somebody runs it who has only just installed Tasker."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from tasker import demo
from tasker.demo.services.systems import NAMES


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary directories of the demo are made here."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_every_order_arrives_once(place: Path) -> None:
    """Through failing systems and a killed worker, all ledgers agree, and the impossible order says why it failed."""
    shown = io.StringIO()
    assert demo.run(orders=25, console=Console(file=shown, width=200)) == 0
    text = shown.getvalue()
    for words in (
        "killed (SIGKILL) halfway",
        "orders    25: 24 complete, 1 error",
        "no. 13    error: reserve_stock: gramophone is no longer made: it can never be shipped (discontinued)",
        "all four ledgers agree: 24 orders, everything done exactly once",
    ):
        assert words in text, text
    repeated = re.search(r"repeated  (\d+) requests", text)
    assert repeated is not None
    assert int(repeated[1]) > 0
    assert list(place.iterdir()) == []


def test_what_it_made_can_be_kept(place: Path) -> None:
    """With `keep` the database, the ledgers and the logs stay, and their place is told."""
    shown = io.StringIO()
    assert demo.run(orders=2, keep=True, console=Console(file=shown, width=200)) == 0
    [kept] = place.iterdir()
    assert str(kept) in shown.getvalue()
    assert {f"{name}.db" for name in (*NAMES, "tasker")} <= {path.name for path in kept.iterdir()}


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(place: Path, asked: signal.Signals) -> None:
    """Ctrl-C or SIGTERM end every process that was started, and the directory goes."""
    running = subprocess.Popen(
        [sys.executable, "-c", "import sys, tasker.demo; sys.exit(tasker.demo.run())"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    with running.stdout:
        for line in running.stdout:
            if "started" in line:
                break
        running.send_signal(asked)
        running.stdout.read()
    assert running.wait(15) == 130
    assert _still_running(place) == []
    assert list(place.iterdir()) == []


def _still_running(place: Path) -> list[str]:
    """Command lines of processes that were started for this demo: all were told its directory."""
    found: list[str] = []
    for _ in range(20):
        found = [line for line in _command_lines() if str(place) in line]
        if not found:
            break
        time.sleep(0.1)
    return found


def _command_lines() -> list[str]:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if str(os.getpid()) not in line]


def test_there_must_be_an_order() -> None:
    """Nothing is started for no orders."""
    with pytest.raises(ValueError, match="at least one"):
        demo.run(orders=0)
