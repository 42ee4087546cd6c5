"""An app for worker processes that tests kill, stop and drain; `python workshop.py URL FOLDER [settings as JSON]`.

Handlers note what they do in FOLDER/ledger, and wait for FOLDER/open where a test decides when they end.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tasker import StepContext, Tasker

SETTINGS: dict[str, Any] = {
    "env": "test",
    "sqlite_synchronous": "normal",
    "concurrency": 8,
    "heartbeat_seconds": 0.3,
    "worker_timeout_seconds": 2,
    "grace_seconds": 1,
}


def in_a_process(step: StepContext) -> int:
    """For `run_in="process"`, which needs what can be imported: its process."""
    return os.getpid()


def end_the_process(step: StepContext) -> int:
    """Ends its process at the first attempt."""
    if step.attempt == 1:
        os._exit(9)
    return step.attempt


def hang_in_a_process(step: StepContext) -> None:
    """Never ends by itself."""
    while True:
        time.sleep(1)


def make(database: str, folder: Path, **settings: Any) -> Tasker:
    """The app; every process that calls this has the same templates."""
    app = Tasker(database, **{**SETTINGS, **settings})

    def note(step: StepContext) -> None:
        # One short append is atomic: no kill tears a line.
        with open(folder / "ledger", "a", buffering=1) as ledger:
            ledger.write(f"{step.template} {step.task_id} {step.name} {os.getpid()}\n")

    def is_open() -> bool:
        return (folder / "open").exists()

    quick = app.template("quick", namespace="test", result="third")

    @quick.step
    def first(step: StepContext) -> int:
        note(step)
        return 1

    @quick.step
    async def second(first: int, step: StepContext) -> int:
        note(step)
        return first + 1

    @quick.step
    def third(second: int, step: StepContext) -> int:
        note(step)
        return second + 1

    gated = app.template("gated", namespace="test", result="after")

    @gated.step
    def hold(step: StepContext) -> int:
        note(step)
        while not is_open():
            time.sleep(0.01)
        return os.getpid()

    @gated.step
    def after(hold: int, step: StepContext) -> int:
        note(step)
        return hold

    patient = app.template("patient", namespace="test", result="listen")

    @patient.step
    async def listen(step: StepContext) -> int:
        note(step)
        while not is_open():
            await asyncio.sleep(0.01)
        return step.attempt

    poison = app.template("poison", namespace="test")

    @poison.step
    def drink(step: StepContext) -> None:
        note(step)
        os._exit(7)

    return app


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]), **json.loads(sys.argv[3])).run()
