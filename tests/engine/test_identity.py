"""What makes two enqueues the same task."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from tasker import NotFound, RequestError, Tasker, Template
from tasker.testing import FakeClock, run_until_idle

Make = Callable[..., Template[Any]]


class Order(BaseModel):
    order_id: int
    note: str = ""


def work() -> None: ...


def test_every_enqueue_is_a_new_task_by_default(a_template: Make) -> None:
    """Without a key, the same context twice is two tasks."""
    template = a_template(work)
    first, second = template.enqueue({"a": 1}), template.enqueue({"a": 1})
    assert first.id != second.id
    assert (first.created, second.created) == (True, True)


def test_a_key_finds_the_first_task(a_template: Make, tasker: Tasker) -> None:
    """A second enqueue with the key returns the first task, also after it has finished."""
    template = a_template(work)
    first = template.enqueue({"a": 1}, idempotency_key="order-17")
    assert (first.created, template.enqueue({"a": 1}, idempotency_key="order-17").created) == (True, False)
    run_until_idle(tasker)
    again = template.enqueue({"a": 1}, idempotency_key="order-17")
    assert (again.id, again.created, again.state, again.idempotency_key) == (first.id, False, "complete", "order-17")
    assert len(tasker.tasks()) == 1


def test_a_task_is_found_by_its_key(a_template: Make, tasker: Tasker) -> None:
    """`app.task(template=…, key=…)`; a key that nobody has is `NotFound`."""
    template = a_template(work, name="fulfil", namespace="shop")
    first = template.enqueue(idempotency_key="order-17")
    assert tasker.task(template="shop/fulfil", key="order-17") == first
    assert tasker.task(template="shop/fulfil@0.1.0", key="order-17") == first
    with pytest.raises(NotFound, match="no task of shop/fulfil with key 'order-18'"):
        tasker.task(template="shop/fulfil", key="order-18")
    with pytest.raises(RequestError, match="say an id, or both"):
        tasker.task(key="order-17")


def test_another_context_finds_the_first_task_and_is_logged(a_template: Make, caplog: pytest.LogCaptureFixture) -> None:
    """The first task stands; both fingerprints are logged."""
    template = a_template(work)
    first = template.enqueue({"a": 1}, idempotency_key="k")
    with caplog.at_level(logging.WARNING, "tasker"):
        again = template.enqueue({"a": 2}, idempotency_key="k")
    assert (again.id, again.created, again.context) == (first.id, False, {"a": 1})
    assert "key 'k' was enqueued with another context before" in caplog.text
    caplog.clear()
    template.enqueue({"a": 1}, idempotency_key="k")
    assert "another context" not in caplog.text


def test_the_namespace_is_the_templates(a_template: Make) -> None:
    """The same key of another template is another task."""
    one, two = a_template(work), a_template(work)
    assert one.enqueue(idempotency_key="k").id != two.enqueue(idempotency_key="k").id


def test_the_version_is_not_part_of_the_identity(tasker: Tasker) -> None:
    """A webhook delivered again after a deploy finds the first task."""
    old, new = tasker.template("fulfil", version="1.0.0"), tasker.template("fulfil", version="2.0.0")
    for template in (old, new):
        template.step(work)
    first = old.enqueue(idempotency_key="k")
    assert new.enqueue(idempotency_key="k").id == first.id


def test_the_context_as_identity(a_template: Make) -> None:
    """`identity="context"`: equal after validation is the same, whatever the order of keys or missing defaults."""
    template = a_template(work, context=Order, identity="context")
    first = template.enqueue(Order(order_id=1))
    assert template.enqueue({"note": "", "order_id": 1}).id == first.id  # type: ignore[arg-type]
    assert template.enqueue(Order(order_id=1, note="b")).id != first.id


def test_a_function_as_identity(a_template: Make) -> None:
    """A function of the context, which gets the template's model."""
    template = a_template(work, context=Order, identity=lambda order: f"order-{order.order_id}")
    first = template.enqueue(Order(order_id=1))
    assert first.idempotency_key == "order-1"
    assert template.enqueue(Order(order_id=1, note="changed")).id == first.id
    assert template.enqueue(Order(order_id=2)).id != first.id
    assert template.enqueue(Order(order_id=1), idempotency_key="by-hand").id != first.id


def test_an_identity_that_fails_is_the_callers_error(a_template: Make) -> None:
    """A function that raises, or gives no text: nothing is stored."""
    template = a_template(work, identity=lambda context: context["missing"])
    with pytest.raises(RequestError, match="its identity= raised KeyError"):
        template.enqueue()
    with pytest.raises(RequestError, match="returned None; return a string"):
        a_template(work, identity=lambda context: None).enqueue()


def test_the_identity_window(a_template: Make, clock: FakeClock) -> None:
    """Within the window the first task is found, after it a new one begins, with a window of its own."""
    template = a_template(work, identity="context", identity_window=timedelta(hours=1))
    first = template.enqueue()
    clock.advance(3_599)
    assert template.enqueue().id == first.id
    clock.advance(2)
    second = template.enqueue()
    assert (second.id != first.id, second.created) == (True, True)
    clock.advance(3_599)
    assert template.enqueue().id == second.id


@pytest.mark.parametrize("key", ["", "a" * 501, "a\x00b", 17])
def test_a_key_that_is_none_is_refused(a_template: Make, key: Any) -> None:
    """Text of 1 to 500 characters."""
    with pytest.raises(RequestError, match="it must be text of 1 to 500 characters"):
        a_template(work).enqueue(idempotency_key=key)


def test_many_at_once_agree_on_one_task(a_template: Make, tasker: Tasker) -> None:
    """Eight threads enqueue the same key: one creates the task, all get it."""
    template, found = a_template(work), []
    start = threading.Barrier(8)

    def enqueue() -> None:
        start.wait()
        found.append(template.enqueue(idempotency_key="k"))

    threads = [threading.Thread(target=enqueue) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({task.id for task in found}) == 1
    assert [task.created for task in found].count(True) == 1
    assert len(tasker.tasks()) == 1


def test_enqueue_many(a_template: Make, tasker: Tasker) -> None:
    """Each with the key of its context; those that exist are found, in the order asked for."""
    template = a_template(work, context=Order)
    first = template.enqueue(Order(order_id=2), idempotency_key="order-2")
    tasks = template.enqueue_many(
        [Order(order_id=i) for i in (1, 2, 3, 1)], idempotency_key=lambda order: f"order-{order.order_id}", tags=["eu"]
    )
    assert [task.created for task in tasks] == [True, False, True, False]
    assert tasks[1] == first
    assert tasks[3] == tasks[0]
    assert len(tasker.tasks(tag="eu")) == 2
    run_until_idle(tasker)
    assert {task.refresh().state for task in tasks} == {"complete"}


def test_enqueue_many_is_all_or_none(a_template: Make, tasker: Tasker) -> None:
    """One wrong context, or one key that is none, and nothing is stored."""
    template = a_template(work, context=Order)
    with pytest.raises(RequestError):
        template.enqueue_many([Order(order_id=1), {"order_id": "x"}])  # type: ignore[list-item]
    with pytest.raises(RequestError, match="it must be text of 1 to 500"):
        template.enqueue_many(
            [Order(order_id=1), Order(order_id=2)], idempotency_key=lambda o: "k" if o.order_id == 1 else ""
        )
    with pytest.raises(RequestError, match="a function of the context"):
        template.enqueue_many([Order(order_id=1)], idempotency_key="k")  # type: ignore[arg-type]
    assert tasker.tasks() == []
    assert template.enqueue_many([]) == []


def test_ten_thousand_at_once(a_template: Make, tasker: Tasker) -> None:
    """A bulk enqueue larger than one statement stores all of them."""
    tasks = a_template(work).enqueue_many({"i": i} for i in range(10_001))
    assert len({task.id for task in tasks}) == 10_001
    with tasker.store.connection() as connection:
        assert connection.exec_driver_sql("select count(*) from tasker_tasks").scalar() == 10_001
