"""Many steps in one task, and many tasks at once: fan-in fires once, whatever the order."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable

from tasker import Backoff, Retry, StepContext, Tasker

Apps = Callable[..., Tasker]


def test_a_join_of_a_thousand_parents_fires_once(an_app: Apps) -> None:
    """One step fans out to 1,000, half of them async; the join starts once, with all 1,000 results."""
    app = an_app(concurrency=50)
    calls: list[int] = []
    fan = app.template("fan", result="join")

    @fan.step
    def seed() -> int:
        return 1

    def thread(seed: int) -> int:
        return seed

    async def loop(seed: int) -> int:
        return seed

    names = [f"part_{i}" for i in range(1_000)]
    for i, name in enumerate(names):
        fan.step(loop if i % 2 else thread, name=name)

    @fan.step(inputs={"parts": names})
    def join(parts: dict[str, int]) -> int:
        calls.append(len(parts))
        return sum(parts.values())

    with app.worker():
        assert fan.enqueue().result(timeout=60) == 1_000
    assert calls == [1_000]


def test_joins_of_many_tasks_fire_once_each(an_app: Apps) -> None:
    """Under load, with parents that fail at random and are tried again, each join runs once, after all its parents."""
    app = an_app(concurrency=16)
    joins: Counter[str] = Counter()
    lock, rng = threading.Lock(), random.Random(5)
    diamond = app.template("diamond", retry=Retry(max_attempts=20, backoff=Backoff(first=0.01, factor=1)))

    def flaky() -> int:
        if rng.random() < 0.3:
            raise RuntimeError("now and then")
        return 1

    names = [f"part_{i}" for i in range(8)]
    for name in names:
        diamond.step(flaky, name=name)

    @diamond.step(inputs={"parts": names})
    def join(parts: dict[str, int], step: StepContext) -> int:
        with lock:
            joins[step.task_id] += 1
        return sum(parts.values())

    with app.worker():
        tasks = diamond.enqueue_many([{}] * 60)
        assert [task.result(timeout=60) for task in tasks] == [{"join": 8}] * 60
    assert joins == {task.id: 1 for task in tasks}
