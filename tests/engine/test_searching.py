"""Finding tasks: filters, the search language, pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tasker import Backoff, PermanentError, RequestError, Retry, StepContext, Task, Tasker, Template
from tasker.testing import FakeClock, run_until_idle


@pytest.fixture
def tasks(tasker: Tasker, clock: FakeClock) -> dict[str, Task]:
    """One task of each kind: failed, waiting, done, fresh (of another template and queue)."""
    fulfil: Template[Any] = tasker.template("fulfil", namespace="shop")

    @fulfil.step(retry=Retry(max_attempts=5, backoff=Backoff.of([10, 10, 10_000])))
    def charge(context: dict[str, Any], step: StepContext) -> None:
        step.annotate("carrier", "dhl")
        if context["how"] == "failed":
            raise PermanentError("no", code="no_order")
        if context["how"] == "waiting":
            raise ValueError("again")

    fulfil.step(lambda: None, name="mail", after=[charge])
    report: Template[Any] = tasker.template("report", version="2.0.0", queue="slow")
    report.step(lambda: None, name="work")
    found = {
        "failed": fulfil.enqueue({"how": "failed"}, tags=["eu", "b2b"], idempotency_key="order-1"),
        "waiting": fulfil.enqueue({"how": "waiting"}, tags=["us"]),
        "done": fulfil.enqueue({"how": "done"}, tags=["eu"]),
    }
    run_until_idle(tasker, until=clock.now + timedelta(minutes=30))
    found["fresh"] = report.enqueue()
    for task in found.values():
        task.refresh()
    return found


@pytest.fixture
def find(tasker: Tasker, tasks: dict[str, Task]) -> Callable[..., list[str]]:
    """What a search finds, by the names of `tasks`, newest first."""
    names = {task.id: name for name, task in tasks.items()}

    def find(**filters: Any) -> list[str]:
        return [names[task.id] for task in tasker.tasks(**filters)]

    return find


def test_filters(find: Callable[..., list[str]]) -> None:
    """By state, template, tag and annotation; all of them must hold; newest first."""
    assert find() == ["fresh", "done", "waiting", "failed"]
    assert find(state="error") == ["failed"]
    assert find(state=["error", "complete"]) == ["done", "failed"]
    assert find(template="shop/fulfil") == ["done", "waiting", "failed"]
    assert find(template="shop/fulfil@0.1.0", tag="eu") == ["done", "failed"]
    assert find(template="report@2.0.0") == ["fresh"]
    assert find(template="report@1.0.0") == []
    assert find(annotation=("carrier", "dhl")) == ["done", "waiting", "failed"]
    assert find(annotation=("carrier", "ups")) == []
    assert find(tag="e") == []


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("state:error", ["failed"]),
        ("state:error,complete", ["done", "failed"]),
        ("template:shop/fulfil", ["done", "waiting", "failed"]),
        ("template:report@2.0.0", ["fresh"]),
        ("step:charge", ["waiting", "failed"]),
        ("step:charge state:error", ["failed"]),
        ("step:mail", []),
        ("tag:eu", ["done", "failed"]),
        ("tag:eu tag:b2b", ["failed"]),
        ("key:order-1", ["failed"]),
        ("queue:slow", ["fresh"]),
        ("error:no_order", ["failed"]),
        ("error:exception", ["waiting"]),
        ("attempt:>2", ["waiting"]),
        ("attempt:3", ["waiting"]),
        ("attempt:>=1", ["done", "waiting", "failed"]),
        ("attempt:<2", ["done", "failed"]),
        ("age:>20m", ["done", "waiting", "failed"]),
        ("age:>20min state:error", ["failed"]),
        ("age:<1h", ["fresh", "done", "waiting", "failed"]),
        ("age:<=60", ["fresh"]),
        ("age:>1d", []),
        ('"tag:eu"', ["done", "failed"]),
        ("", ["fresh", "done", "waiting", "failed"]),
    ],
)
def test_the_search_language(find: Callable[..., list[str]], q: str, found: list[str]) -> None:
    """Each field of the language, and several together."""
    assert find(q=q) == found


@pytest.mark.parametrize(
    ("q", "words"),
    [
        ("sate:error", "no field 'sate'. Did you mean 'state'"),
        ("state:eror", "no task is ever 'eror'. Did you mean 'error'"),
        ("error", "'error' is no term; write field:value"),
        ("state:", "is no term"),
        ("attempt:many", "attempt:many is not understood; write e.g. attempt:>3"),
        ("attempt:>1h", "write a whole number"),
        ("age:>1y", "the unit must be one of s, m, h, d, w"),
        ("age:old", "age:old is not understood"),
        ('tag:"eu', "a quotation mark is not closed"),
    ],
)
def test_a_search_that_is_not_understood(find: Callable[..., list[str]], q: str, words: str) -> None:
    """Refused with what was meant, or what to write."""
    with pytest.raises(RequestError) as caught:
        find(q=q)
    assert words in str(caught.value)


def test_pages(tasker: Tasker, a_template: Callable[..., Template[Any]]) -> None:
    """Newest first, each task once; `after` of a page continues, and is None at the end."""
    template = a_template()
    template.step(lambda: None, name="work")
    ids = [task.id for task in template.enqueue_many([{"i": i} for i in range(7)])]
    found, after = [], None
    while True:
        page = tasker.tasks(limit=3, after=after)
        found += [task.id for task in page]
        after = page.after
        if after is None:
            break
    assert found == ids[::-1]
    assert tasker.tasks(limit=7).after is None


@pytest.mark.parametrize("limit", [0, 1_001, True, "10", 2.5])
def test_a_limit_out_of_range(tasker: Tasker, limit: Any) -> None:
    """From 1 to 1,000."""
    with pytest.raises(RequestError, match="a whole number from 1 to 1,000"):
        tasker.tasks(limit=limit)


@pytest.mark.parametrize("text", ["%", "_", "'", '"', "\\", "eu%", "'; drop table tasker_tasks; --"])
def test_signs_mean_nothing(tasker: Tasker, tasks: dict[str, Task], text: str) -> None:
    """What is looked for is taken as it is, never as a pattern or as SQL."""
    assert tasker.tasks(tag=text) == []
    assert tasker.tasks(annotation=(text, text)) == []
    assert tasker.tasks(template=f"shop/{text}") == []
    assert len(tasker.tasks()) == 4


def test_by_worker(tasker: Tasker, tasks: dict[str, Task]) -> None:
    """`worker:` finds what a worker owns, by the ending of its id."""
    worker = tasker.serving.make(queues=["slow"])
    worker.heart.run_once(0)
    assert [task.id for task in tasker.tasks(q=f"worker:{worker.heart.me[-8:]}")] == [tasks["fresh"].id]
    assert tasker.tasks(q="worker:nobody") == []
    assert tasker.tasks(q="worker:%") == []
    tasker.serving.end(worker)
