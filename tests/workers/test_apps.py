"""Workers within a host's process: started and stopped as hosts do it, several apps on one database."""

from __future__ import annotations

import threading
from collections.abc import Callable

from support import until
from tasker import Tasker
from tasker.store.sql import Sql

Apps = Callable[..., Tasker]


def test_start_and_stop_may_come_twice(an_app: Apps) -> None:
    """Starting twice makes one worker; stopping twice, or what was never started, is fine; and it starts again."""
    app = an_app()
    one = app.template("one")
    one.step(lambda: 1, name="one")
    app.stop()
    for _ in range(2):
        app.start(), app.start()
        alive = app.store.ask(Sql("select count(*) from {workers} where state = 'alive'"))[0][0]
        assert (alive, one.enqueue().result(timeout=10)) == (1, {"one": 1})
        app.stop(), app.stop()
        assert app.store.ask(Sql("select count(*) from {workers} where state <> 'stopped'"))[0][0] == 0


def test_threads_of_a_worker_end_with_it(an_app: Apps) -> None:
    """After a stop no thread of Tasker's is left but those that tell events and ring for other processes."""
    before = set(threading.enumerate())
    app = an_app()
    one = app.template("one")
    one.step(lambda: 1, name="plain")

    @one.step
    async def loop() -> int:
        return 1

    with app.worker():
        one.enqueue().result(timeout=10)
    kept = ("tasker-events", "tasker-bell")
    until(lambda: not [t for t in threading.enumerate() if t not in before and t.name not in kept])


def test_an_app_that_only_enqueues_starts_no_worker(an_app: Apps) -> None:
    """With concurrency=0 `start` does nothing; another app on the same database runs the task."""
    web, back = an_app(concurrency=0), an_app()
    for app in (web, back):
        app.template("one").step(lambda: 1, name="one")
    web.start()
    task = web.enqueue("one")
    assert not web.serving.busy
    with back.worker():
        assert task.result(timeout=10) == {"one": 1}


def test_two_apps_with_one_name_and_two_graphs(an_app: Apps) -> None:
    """Two apps give one template name different graphs: each task runs along the graph it was enqueued with, and only
    where its handlers are; elsewhere it waits and says so."""
    short, long = an_app(), an_app()
    one, two = short.template("order"), long.template("order")
    one.step(lambda: "short", name="only")
    two.step(lambda: "long", name="a")
    two.step(lambda a: f"{a} and longer", name="b")
    first, second = one.enqueue(), two.enqueue()
    with long.worker():
        assert second.result(timeout=10) == {"b": "long and longer"}
        again = one.enqueue()
        assert [reason.code for reason in again.why()] == ["handler_missing"]
    assert [str(task.refresh().state) for task in (first, again)] == ["pending", "pending"]
    with short.worker():
        assert [task.result(timeout=10) for task in (first, again)] == [{"only": "short"}] * 2


def test_a_task_keeps_its_graph_under_newer_code(an_app: Apps) -> None:
    """In development the same version may change its graph: a task enqueued before runs to its end along the old one,
    with the new handlers, also when its template became known to the worker only after its start."""
    old, new = an_app(), an_app()
    was, now = old.template("order"), new.template("order")
    was.step(lambda: 1, name="a")
    now.step(lambda: 2, name="a")
    now.step(lambda a: a + 1, name="b")
    early = was.enqueue()
    with new.worker():
        late = was.enqueue()
        assert [task.result(timeout=10) for task in (early, late, now.enqueue())] == [{"a": 2}, {"a": 2}, {"b": 3}]


def test_a_worker_takes_only_its_queues(an_app: Apps) -> None:
    """A task of another queue stays and says that no live worker serves it."""
    app = an_app()
    one = app.template("one")
    one.step(lambda: 1, name="one")
    mail, usual = one.enqueue(queue="mail"), one.enqueue()
    with app.worker():
        usual.result(timeout=10)
        assert [reason.code for reason in mail.refresh().why()] == ["queue_unserved"]
    with app.worker(queues=["mail"]):
        assert mail.result(timeout=10) == {"one": 1}
