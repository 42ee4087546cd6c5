"""An app whose worker processes are killed by the tests; its handlers note each call in a file."""

from __future__ import annotations

import os

from tasker import StepContext, Tasker

app = Tasker(
    os.environ["FIRE_DATABASE"], concurrency=8, crash_limit=1_000, heartbeat_seconds=0.5, worker_timeout_seconds=3
)
fire = app.template("fire", namespace="test", result="last")


def note(step: StepContext) -> int:
    # One short append is atomic: the ledger of effects survives any kill.
    with open(os.environ["FIRE_LEDGER"], "a", buffering=1) as ledger:
        ledger.write(f"{step.task_id} {step.name}\n")
    return step.attempt


@fire.step
def first(step: StepContext) -> int:
    return note(step)


@fire.step(after=[first])
def left(step: StepContext) -> int:
    return note(step)


@fire.step(after=[first])
async def right(step: StepContext) -> int:
    return note(step)


@fire.step
def last(left: int, right: int, step: StepContext) -> list[int]:
    note(step)
    return [left, right]


if __name__ == "__main__":
    app.run()
