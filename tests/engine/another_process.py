"""A worker process for tests that act on tasks it owns: `python another_process.py URL`; its long steps take 3 s."""

from __future__ import annotations

import asyncio
import sys
import time

from tasker import Backoff, Retry, StepContext, Tasker

LONG = 3.0
SETTINGS = {"env": "test", "sqlite_synchronous": "normal", "concurrency": 64, "grace_seconds": 0.1}


def make(database: str) -> Tasker:
    app = Tasker(database, **SETTINGS)  # type: ignore[arg-type]
    template = app.template("long", namespace="test")

    @template.step
    def thread(step: StepContext) -> str:
        end = time.monotonic() + LONG
        while time.monotonic() < end:
            if step.cancelled:
                step.annotate("thread", "was told")
                return "told"
            time.sleep(0.01)
        return "done"

    @template.step
    async def loop(step: StepContext) -> str:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            step.log.info("cancelled")
            raise
        return "done"

    @template.step(retry=Retry(max_attempts=2, backoff=Backoff.of([3_600])))
    def flaky(step: StepContext) -> int:
        if step.attempt == 1:
            raise ValueError("the first time")
        return step.attempt

    @template.step(after=[thread, loop])
    def last() -> str:
        return "last"

    return app


if __name__ == "__main__":
    make(sys.argv[1]).run()
