"""What a step gets and what it leaves: inputs, context, config, results large and small, annotations, progress."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from support import until
from tasker import ConfigError, InvalidContext, NotFound, StepContext, Task, Tasker, Template
from tasker.testing import crash_at, run_until_idle

Run = Callable[..., Task]
Make = Callable[..., Template[Any]]
LARGE = 200_000


class Order(BaseModel):
    order_id: int
    currency: str = "EUR"


class Kind(Enum):
    GIFT = "gift"


@dataclass
class Line:
    sku: str
    price: Decimal


def test_results_go_to_parameters_called_like_the_step(run: Run, a_template: Make) -> None:
    """A parameter called like a step above gets its results, read through its annotation."""

    def fetch() -> dict[str, Any]:
        return {"sku": "A1", "price": "19.90"}

    def tax(fetch: Line) -> Decimal:
        return fetch.price / 10

    task = run(a_template(fetch, tax))
    assert task.result(timeout=0) == {"tax": "1.99"}


def test_inputs_bind_one_or_several_steps(run: Run, a_template: Make) -> None:
    """`inputs=` gives a step's results under another name, or those of several by step name."""
    template = a_template()

    def ask(step: StepContext) -> str:
        return f"{step.config['carrier']} says {step.name}"

    for carrier in ("dhl", "ups"):
        template.step(ask, name=f"ask_{carrier}", config={"carrier": carrier})

    @template.step(inputs={"first": "ask_dhl", "offers": ["ask_dhl", "ask_ups"]})
    def choose(first: str, offers: dict[str, str]) -> Any:
        return [first, offers]

    assert run(template).result(timeout=0) == {
        "choose": ["dhl says ask_dhl", {"ask_dhl": "dhl says ask_dhl", "ask_ups": "ups says ask_ups"}]
    }


def test_after_orders_without_data(run: Run, a_template: Make) -> None:
    """`after=` waits for a step and takes nothing from it."""
    order: list[str] = []
    template = a_template()

    @template.step
    def first() -> None:
        order.append("first")

    @template.step(after=[first])
    def second() -> None:
        order.append("second")

    assert run(template).state == "complete"
    assert order == ["first", "second"]


def test_the_context_as_the_templates_model(run: Run, a_template: Make) -> None:
    """`context` is the template's model unless annotated otherwise; defaults were applied and stored."""
    template = a_template(context=Order)

    @template.step
    def typed(context: Order) -> str:
        return f"{type(context).__name__} {context.order_id} {context.currency}"

    @template.step
    def plain(context: dict[str, Any], step: StepContext) -> Any:
        return [context, step.context]

    task = run(template, Order(order_id=17))
    stored = {"order_id": 17, "currency": "EUR"}
    assert task.context == stored
    assert task.result(timeout=0) == {"typed": "Order 17 EUR", "plain": [stored, stored]}


def test_a_wrong_context_is_refused_with_every_fault(tasker: Tasker, a_template: Make) -> None:
    """Nothing is stored; each fault has its path."""
    template = a_template(context=Order)
    template.step(lambda: None, name="work")
    with pytest.raises(InvalidContext) as caught:
        template.enqueue({"order_id": "many", "currency": 3})  # type: ignore[arg-type]
    assert sorted(problem.path for problem in caught.value.problems) == ["currency", "order_id"]
    assert all(problem.path in str(caught.value) for problem in caught.value.problems)
    assert tasker.tasks() == []


def test_a_context_that_is_too_large_is_refused(tasker: Tasker, a_template: Make) -> None:
    """More than `max_payload_bytes`: the size and the limit are named, nothing is stored."""
    template = a_template()
    template.step(lambda: None, name="work")
    with pytest.raises(InvalidContext, match=r"the context has 2,000,008 bytes; the limit is 1,048,576"):
        template.enqueue({"a": "x" * 2_000_000})
    assert tasker.tasks() == []


def test_inputs_are_what_came_back_from_json(run: Run, a_template: Make) -> None:
    """What a test sees, a retry on another machine sees: tuples are lists, unless the reader says otherwise."""
    at = datetime(2026, 2, 1, 12, tzinfo=UTC)

    def fetch() -> Any:
        return {
            "pair": (1, 2),
            "when": at,
            "pause": timedelta(minutes=1),
            "price": Decimal("19.90"),
            "id": UUID(int=7),
            "kind": Kind.GIFT,
            "raw": b"ab",
        }

    def plain(fetch: Any) -> Any:
        return fetch

    def typed(fetch: dict[str, Any]) -> str:
        return type(fetch["pair"]).__name__

    template = a_template(fetch, plain, typed)
    task = run(template)
    results = task.steps["plain"].results
    assert results["pair"] == [1, 2]
    assert results["price"] == "19.90"
    assert results["kind"] == "gift"
    assert results["id"] == str(UUID(int=7))
    assert datetime.fromisoformat(results["when"].replace("Z", "+00:00")) == at
    assert task.steps["typed"].results == "list"


def test_results_by_function_are_typed(run: Run, a_template: Make) -> None:
    """`task.steps[fn].results` is read back through the return annotation; by name it is JSON; None while there is none."""

    def fetch() -> Line:
        return Line("A1", Decimal("19.90"))

    def never() -> Line:
        raise ValueError("no")

    template = a_template(fetch, never)
    task = run(template)
    assert task.steps[fetch].results == Line("A1", Decimal("19.90"))
    assert task.steps["fetch"].results == {"sku": "A1", "price": "19.90"}
    assert task.steps[never].results is None
    assert list(task.steps) == ["fetch", "never"]
    with pytest.raises(KeyError, match="no step 'fetched'; steps: fetch, never"):
        _ = task.steps["fetched"]


def test_the_result_is_the_named_step_or_all_leaves(run: Run, a_template: Make) -> None:
    """With `result=` it is that step's results; else a dict of all leaves by name, also of one."""

    def one() -> int:
        return 1

    def two(one: int) -> int:
        return 2

    def three(one: int) -> int:
        return 3

    assert run(a_template(one, two, three)).result(timeout=0) == {"two": 2, "three": 3}
    assert run(a_template(one, two, three, result="one")).result(timeout=0) == 1


def test_large_results_are_passed_on(run: Run, a_template: Make) -> None:
    """Results beyond 64 KiB are dropped from memory and fetched by whoever needs them: child, ancestor, process."""

    def fetch() -> str:
        return "ä" * LARGE

    def small() -> int:
        return 1

    def child(fetch: str, small: int) -> int:
        return len(fetch) + small

    async def achild(fetch: str) -> int:
        return len(fetch)

    def grandchild(child: int, step: StepContext) -> list[int]:
        return [len(step.results("fetch")), step.results("small"), child]

    task = run(a_template(fetch, small, child, achild, grandchild))
    assert task.steps["grandchild"].results == [LARGE, 1, LARGE + 1]
    assert task.steps["achild"].results == LARGE
    assert len(task.steps["fetch"].results) == LARGE


def test_large_results_outlive_a_worker(run: Run, a_template: Make) -> None:
    """After a rescue they are read from their row, not from a memory that is gone."""

    def fetch() -> str:
        return "x" * LARGE

    def child(fetch: str) -> int:
        return len(fetch)

    with crash_at("child", when="before"):
        task = run(a_template(fetch, child))
    assert task.steps["child"].results == LARGE


def test_only_ancestors_results_can_be_read(run: Run, a_template: Make) -> None:
    """`step.results` of a step that does not come before is refused: it may not be durable yet."""

    def one() -> int:
        return 1

    def other(step: StepContext) -> str:
        with pytest.raises(LookupError, match="step 'one' does not come before step 'other'"):
            step.results("one")
        with pytest.raises(LookupError):
            step.results("nobody")
        return "fine"

    assert run(a_template(one, other)).steps["other"].results == "fine"


def test_large_contexts(run: Run, a_template: Make) -> None:
    """A context of half a megabyte reaches every handler, also after a rescue."""

    def length(context: dict[str, str]) -> int:
        return len(context["text"])

    assert run(a_template(length), {"text": "ä" * LARGE}).steps["length"].results == LARGE
    with crash_at("length"):
        assert run(a_template(length), {"text": "x" * LARGE}).steps["length"].results == LARGE


def test_config_is_filled_in_when_the_step_runs(
    run: Run, a_template: Make, tasker: Tasker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`${VAR}` is stored as written and filled in by the worker; a default stands in where it is not set."""
    template = a_template()

    @template.step(config={"url": "${SHOP_URL:-http://localhost}", "token": "Bearer ${SHOP_TOKEN}"})
    def call(step: StepContext) -> Any:
        return dict(step.config)

    monkeypatch.setenv("SHOP_TOKEN", "s3cret")
    task = run(template)
    assert task.steps["call"].results == {"url": "http://localhost", "token": "Bearer s3cret"}
    with tasker.store.connection() as connection:
        policies = connection.exec_driver_sql("select policy from tasker_templates").fetchall()
    assert "s3cret" not in str(policies)
    assert "${SHOP_TOKEN}" in str(policies)


def test_a_worker_does_not_start_without_its_variables(
    a_template: Make, tasker: Tasker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unset variable is an error at the worker's start, naming the step and the variable; enqueuing needs none."""
    monkeypatch.delenv("SHOP_TOKEN", raising=False)
    template = a_template()
    template.step(lambda: None, name="call", config={"token": "${SHOP_TOKEN}"})
    template.enqueue()
    with pytest.raises(ConfigError, match=r"step 'call' of default/template_1@.*\$\{SHOP_TOKEN\} is not set"):
        run_until_idle(tasker)


def test_annotations(run: Run, a_template: Make, tasker: Tasker) -> None:
    """Facts attached by handlers are stored with the outcome, also of an attempt that failed, and found again."""

    def ship(step: StepContext) -> None:
        step.annotate("carrier", "dhl")
        step.annotate("box", {"kg": 2})
        if step.attempt == 1:
            raise ValueError("again")

    template = a_template(ship)
    task = run(template)
    run_another = run(template)
    assert task.annotations() == [("carrier", "dhl"), ("box", {"kg": 2})] * 2
    assert {found.id for found in tasker.tasks(annotation=("box", {"kg": 2}))} == {task.id, run_another.id}
    assert tasker.tasks(annotation=("carrier", "ups")) == []


def test_progress_is_shown_while_it_runs(live: Tasker) -> None:
    """A fraction and words, as the handler reported them last; only fractions from 0 to 1."""
    template, go_on = live.template("long"), threading.Event()

    @template.step
    def work(step: StepContext) -> None:
        with pytest.raises(ValueError, match="a fraction from 0 to 1"):
            step.progress(50)
        step.progress(0.5, "half of it")
        go_on.wait(10)

    with live.worker():
        task = template.enqueue()
        until(lambda: task.refresh().steps["work"].progress)
        assert task.steps["work"].progress == {"fraction": 0.5, "text": "half of it"}
        assert task.steps["work"].state == "in_progress"
        go_on.set()
        task.wait(10)


def test_a_missing_task(tasker: Tasker) -> None:
    """An id that is none, and one that nobody has, are `NotFound`."""
    for unknown in ("17", "01920f3a-0000-7000-8000-000000000001"):
        with pytest.raises(NotFound):
            tasker.task(unknown)
