"""A heart with nothing it could do waits: its turns do not follow each other at once."""

from __future__ import annotations

from collections.abc import Callable

from lone import Lone

from tasker import Retry, Tasker

Workers = Callable[..., Lone]


def test_a_worker_without_templates_waits(a_worker: Workers) -> None:
    """Where no template is known there is nothing to claim, and the heart waits, rung or not."""
    worker = a_worker()
    worker.claim()
    assert worker.waits()


def test_a_worker_whose_slots_are_full_waits(app: Tasker, a_worker: Workers) -> None:
    """A slot is held by a thread beyond its timeout and nothing is owned: a task that is due makes no busy loop."""
    slow = app.template("slow", retry=Retry(max_attempts=1))
    slow.step(lambda: 1, name="hang", timeout=0.05)
    first, worker = slow.enqueue(), a_worker(concurrency=1)
    worker.claim()
    for _ in range(100):
        if not worker.heart.runs:
            break
        worker.turn(0.05)
    slow.enqueue()
    worker.claim()
    assert (str(first.refresh().state), worker.heart.busy, worker.heart.runs) == ("error", 1, {})
    assert worker.waits()
