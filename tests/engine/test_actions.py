"""What people do to tasks that nobody owns: through the database, with who and why in the history."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from support import raised_by
from tasker import (
    ActionPending,
    InvalidContext,
    NotFound,
    PermanentError,
    RequestError,
    StepContext,
    Task,
    Tasker,
    Template,
    TransitionRefused,
)
from tasker.testing import FakeClock, run_until_idle

Run = Callable[..., Task]
Make = Callable[..., Template[Any]]


class Order(BaseModel):
    order_id: int


class Receipt(BaseModel):
    number: int


class Shop:
    """fetch → charge → mail, where `charge` fails as long as `down`."""

    def __init__(self, tasker: Tasker) -> None:
        self.tasker, self.down, self.calls = tasker, True, list[str]()
        template = self.template = tasker.template("fulfil", namespace="shop", context=Order)

        @template.step
        def fetch(context: Order, step: StepContext) -> int:
            self.calls.append(step.idempotency_key.partition(":")[2])
            return context.order_id

        @template.step
        def charge(fetch: int, step: StepContext) -> Receipt:
            self.calls.append(step.idempotency_key.partition(":")[2])
            if self.down:
                raise PermanentError("the bank is down")
            return Receipt(number=fetch + 100)

        @template.step
        def mail(charge: Receipt, step: StepContext) -> str:
            self.calls.append(step.idempotency_key.partition(":")[2])
            return f"receipt {charge.number}"

        self.fetch, self.charge, self.mail = fetch, charge, mail

    def failed(self) -> Task:
        return self.run(self.template.enqueue(Order(order_id=1)))

    def run(self, task: Task) -> Task:
        run_until_idle(self.tasker)
        return task.refresh()


@pytest.fixture
def shop(tasker: Tasker) -> Shop:
    return Shop(tasker)


def actions(task: Task) -> list[tuple[Any, ...]]:
    return [
        (entry["what"], entry["step"], entry["from"], entry["to"], entry["actor"], entry["reason"])
        for entry in task.history()
        if entry["what"] not in ("enqueued", "started", "complete", "error")
    ]


def test_retry(shop: Shop) -> None:
    """A retried task goes on where it failed; what was complete is not run again."""
    task = shop.failed()
    shop.down = False
    assert task.retry(reason="the bank is back", actor="ann").state == "pending"
    assert shop.run(task).result(timeout=0) == {"mail": "receipt 101"}
    assert shop.calls == ["fetch:0", "charge:0", "charge:0", "mail:0"]
    assert actions(task) == [("retry", None, "error", "pending", "ann", "the bank is back")]


def test_retry_with_more_attempts(shop: Shop, a_template: Make, tasker: Tasker) -> None:
    """`retry(step, max_attempts=10)` gives this step of this task another budget."""

    def flaky() -> None:
        raise ValueError("again")

    task = a_template(flaky).enqueue()
    shop.run(task)
    assert task.steps["flaky"].attempts == 3
    assert shop.run(task.retry("flaky", max_attempts=10)).steps["flaky"].attempts == 10
    assert task.steps["flaky"].number == 13
    for wrong in (0, -1, True):
        with pytest.raises(RequestError, match="a whole number of at least 1"):
            task.retry("flaky", max_attempts=wrong)


def test_the_actor_is_the_user_unless_said(shop: Shop) -> None:
    """Who is not named is the user of the operating system."""
    task = shop.failed()
    task.retry("charge")
    assert [entry["actor"] for entry in task.history() if entry["what"] == "retry"] == [getpass.getuser()]


def test_resolve_a_step_with_results(shop: Shop) -> None:
    """Results by hand fit the step's annotation and go to its children; by function they are typed."""
    task = shop.failed()
    task.resolve(shop.charge, {"number": 7}, reason="charged by phone", actor="ann")
    assert task.steps[shop.charge].results == Receipt(number=7)
    assert task.steps["charge"].state == "resolved_manually"
    assert task.steps["charge"].note == "charged by phone"
    assert shop.run(task).result(timeout=0) == {"mail": "receipt 7"}
    assert actions(task) == [("resolve", "charge", "error", "pending", "ann", "charged by phone")]


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ({"number": "seven"}, r"do not fit what step 'charge' returns: \$\.number: 'seven' is not of type 'integer'"),
        ({}, "'number' is a required property"),
        (object(), "the results are not JSON"),
    ],
)
def test_results_by_hand_that_do_not_fit(shop: Shop, results: Any, words: str) -> None:
    """Refused with what does not fit; nothing is changed."""
    task = shop.failed()
    with pytest.raises(RequestError, match=words):
        task.resolve("charge", results, reason="by hand")
    assert task.refresh().state == "error"


def test_resolve_and_skip_without_results(shop: Shop) -> None:
    """Where a child needs them it is refused, naming the child; the last step may be skipped."""
    task = shop.failed()
    for act in (lambda: task.skip("charge", reason="no"), lambda: task.resolve("charge", reason="no")):
        refusal = raised_by(act, TransitionRefused)
        assert "step 'mail' needs its results (its parameter does not allow None)" in str(refusal)
    task.skip("mail", reason="no mail wanted")
    shop.down = False
    task.retry("charge")
    assert shop.run(task).state == "complete"
    assert task.steps["mail"].state == "skipped"


def test_refusals_are_recorded(shop: Shop) -> None:
    """What was refused is in the history, with the answer."""
    task = shop.failed()
    with pytest.raises(TransitionRefused) as caught:
        task.resume(actor="ann")
    entry = task.history()[-1]
    assert (entry["what"], entry["actor"]) == ("resume", "ann")
    assert entry["answer"] == f"refused: {caught.value}"


def test_the_whole_task_resolved(shop: Shop) -> None:
    """A failed task declared done, with its results or without; `result()` gives them."""
    task = shop.failed()
    assert task.resolve(results={"by": "hand"}, reason="done elsewhere").state == "resolved_manually"
    assert task.result(timeout=0) == {"by": "hand"}
    assert task.error is None
    other = shop.failed()
    other.resolve(reason="done elsewhere")
    assert other.result(timeout=0) == {}
    assert other.why() == []


def test_rerun_begins_a_new_generation(shop: Shop) -> None:
    """A step and all after it run again with a new idempotency key; what will run is shown before."""
    shop.down = False
    task = shop.failed()
    assert task.state == "complete"
    assert task.would_rerun("charge") == ["charge", "mail"]
    shop.calls.clear()
    assert shop.run(task.rerun("charge", reason="wrong amount", actor="ann")).state == "complete"
    assert shop.calls == ["charge:1", "mail:1"]
    assert actions(task)[0] == ("rerun", "charge", "complete", "pending", "ann", "wrong amount")
    assert (task.steps["charge"].attempts, task.steps["charge"].number) == (1, 2)


def test_rerun_with_another_context(shop: Shop) -> None:
    """The context is checked as at an enqueue, stored, and what runs again gets it."""
    shop.down = False
    task = shop.failed()
    with pytest.raises(InvalidContext):
        task.rerun("fetch", {"order_id": "many"}, reason="typo")
    assert task.refresh().context == {"order_id": 1}
    task.rerun(shop.fetch, Order(order_id=5), reason="typo")
    assert task.context == {"order_id": 5}
    assert shop.run(task).result(timeout=0) == {"mail": "receipt 105"}


@pytest.mark.parametrize("end", ["complete", "error", "cancelled", "resolved_manually"])
def test_rerun_opens_every_final_state(shop: Shop, end: str) -> None:
    """Complete, failed, cancelled or resolved: from there it runs again."""
    shop.down = end != "complete"
    task = shop.template.enqueue(Order(order_id=1)) if end == "cancelled" else shop.failed()
    if end == "cancelled":
        task.cancel(reason="mistake")
    if end == "resolved_manually":
        task.resolve(reason="mistake")
    assert task.state == end
    shop.down = False
    assert shop.run(task.rerun("fetch", reason="again")).result(timeout=0) == {"mail": "receipt 101"}


def test_cancel(shop: Shop) -> None:
    """At once: pending steps are cancelled and never start; the history knows who and why; twice is nothing."""
    task = shop.template.enqueue(Order(order_id=1))
    assert task.cancel(reason="duplicate", actor="ann").state == "cancelled"
    finished = task.finished_at
    assert {step.state for step in task.steps.values()} == {"cancelled"}
    assert task.cancel(reason="again").finished_at == finished
    assert shop.run(task).state == "cancelled"
    assert shop.calls == []
    assert actions(task) == [("cancel", None, "pending", "cancelled", "ann", "duplicate")]


def test_pause_and_resume(shop: Shop) -> None:
    """Nothing starts while it is paused; why() says who and why; resumed it is due now."""
    shop.down = False
    task = shop.template.enqueue(Order(order_id=1))
    assert task.pause(reason="stocktaking", actor="ann").state == "paused"
    shop.run(task)
    assert (task.state, shop.calls) == ("paused", [])
    assert "by ann" in task.why()[0].text
    assert "stocktaking" in task.why()[0].text
    assert task.resume(actor="bob").state == "waiting"
    assert shop.run(task).state == "complete"
    assert [(what, actor) for what, _, _, _, actor, _ in actions(task)] == [("pause", "ann"), ("resume", "bob")]


def test_what_one_may_do_while_it_is_paused(shop: Shop) -> None:
    """A paused task can be repaired; it stays paused until it is resumed."""
    task = shop.template.enqueue(Order(order_id=1))
    task.pause()
    task.skip("mail", reason="no mail")
    task.resolve("charge", {"number": 7}, reason="by phone")
    assert shop.run(task).state == "paused"
    assert shop.run(task.resume()).state == "complete"
    assert shop.calls == ["fetch:0"]


def test_reasons_are_required(shop: Shop) -> None:
    """Cancel, resolve, skip and rerun say why; text without NUL."""
    task = shop.failed()
    for act in (
        lambda: task.cancel(reason=""),
        lambda: task.resolve("charge", {"number": 1}, reason="  "),
        lambda: task.skip("mail", reason=""),
        lambda: task.rerun("fetch", reason=""),
    ):
        assert "needs a reason, for those who read the history later" in str(raised_by(act, RequestError))
    with pytest.raises(RequestError, match="without NUL"):
        task.retry(reason="a\x00b")


def test_a_step_or_task_that_is_not_there(shop: Shop, tasker: Tasker) -> None:
    """`NotFound`, naming the steps there are."""
    task = shop.failed()
    for act in (
        lambda: task.retry("charges"),
        lambda: task.skip("charges", reason="x"),
        lambda: task.resolve("charges", 1, reason="x"),
        lambda: task.rerun("charges", reason="x"),
        lambda: task.would_rerun("charges"),
        lambda: task.why("charges"),
    ):
        assert "has no step 'charges'; its steps: fetch, charge, mail" in str(raised_by(act, NotFound))


def test_an_owner_that_does_not_answer(shop: Shop, tasker: Tasker, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ActionPending` after five seconds: the action stays recorded, and is applied after the rescue."""
    from tasker.app import operator
    from tasker.upkeep.rescue import rescue

    monkeypatch.setattr(operator, "PATIENCE", 0.1)
    task = shop.template.enqueue(Order(order_id=1))
    worker = tasker.serving.make()
    worker.heart.run_once(0)  # it claims, and then never turns again
    with pytest.raises(
        ActionPending, match=r"cancel of task .* is recorded, but its owner has not answered in 0\.1 s"
    ) as caught:
        task.cancel(reason="duplicate", actor="ann")
    assert caught.value.task == task
    assert task.refresh().state == "in_progress"
    assert task.why()[0].code == "action_open"
    assert task.history()[-1]["answer"] == "open"
    assert rescue(tasker.store, worker.heart.me, gone=True, timeout=0) == [task.id]
    assert shop.run(task).state == "cancelled"
    assert shop.calls == [] or shop.calls == ["fetch:0"]
    tasker.serving.end(worker)


def test_the_end_of_a_cancelled_task_is_when_it_was_cancelled(
    shop: Shop, tasker: Tasker, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner lets it go a turn later; that is not its end."""
    from tasker.app import operator

    monkeypatch.setattr(operator, "PATIENCE", 0.05)
    task = shop.template.enqueue(Order(order_id=1))
    worker = tasker.serving.make()
    worker.heart.run_once(0)
    with pytest.raises(ActionPending):
        task.cancel(reason="duplicate")
    worker.heart.run_once(0)
    finished = task.refresh().finished_at
    assert (task.state, finished) == ("cancelled", clock.now)
    clock.advance(5)
    worker.heart.run_once(0)
    assert task.refresh().finished_at == finished
    assert tasker.tasks(q=f"worker:{worker.heart.me}") == []
    tasker.serving.end(worker)


def test_operate_in_bulk(shop: Shop, tasker: Tasker) -> None:
    """All that match: counted first with `dry_run`, then acted on; those that refuse are left as they are."""
    failed = [shop.failed() for _ in range(3)]
    pending = shop.template.enqueue(Order(order_id=9))
    query = "state:error step:charge"
    assert tasker.operate("retry", q=query, reason="bank is back", actor="ann", dry_run=True) == 3
    assert {task.refresh().state for task in failed} == {"error"}
    shop.down = False
    assert tasker.operate("retry", q=query, reason="bank is back", actor="ann") == 3
    run_until_idle(tasker)
    assert {task.refresh().state for task in [*failed, pending]} == {"complete"}
    assert tasker.operate("retry", q=query, reason="bank is back") == 0
    assert tasker.operate("pause", q="template:shop/fulfil", reason="x") == 0
    waiting = shop.template.enqueue(Order(order_id=9), tags=["eu"])
    assert tasker.operate("pause", q="tag:eu", reason="stop") == 1
    assert tasker.operate("resume", q="tag:eu", reason="go") == 1
    assert tasker.operate("cancel", q="tag:eu", reason="no") == 1
    assert waiting.refresh().state == "cancelled"


def test_operate_on_more_than_a_page(a_template: Make, tasker: Tasker) -> None:
    """Every task that matches is acted on, also when the action takes it out of the match."""
    template = a_template()
    template.step(lambda: None, name="work")
    template.enqueue_many([{"i": i} for i in range(1_001)])
    assert tasker.operate("cancel", q="state:pending", reason="mistake", dry_run=True) == 1_001
    assert tasker.operate("cancel", q="state:pending", reason="mistake") == 1_001
    assert tasker.tasks(state="pending") == []


@pytest.mark.parametrize(
    ("action", "q", "reason", "words"),
    [
        ("resolve", "state:error", "x", "no action 'resolve'; it is one of retry, cancel, pause, resume"),
        ("cancel", "  ", "x", "q is empty and would match every task"),
        ("cancel", "state:error", "", "cancel needs a reason"),
        ("cancel", "sate:error", "x", "no field 'sate'. Did you mean 'state'"),
    ],
)
def test_bulk_actions_that_are_refused(tasker: Tasker, action: Any, q: str, reason: str, words: str) -> None:
    """An action that is none for many, an empty query, a missing reason, a field that is none."""
    with pytest.raises(RequestError, match=words):
        tasker.operate(action, q=q, reason=reason)


def test_a_repeated_action_finds_its_own_answer(shop: Shop, tasker: Tasker) -> None:
    """An action's id is the client's: asked again after a lost answer it is not done twice."""
    from tasker.ids import new_id
    from tasker.upkeep.operate import operate

    task, action = shop.failed(), str(new_id())
    for _ in range(2):
        asked = operate(tasker.store, tasker.reader.plan, task.id, "retry", {}, "ann", "again", action_id=action)
        assert (asked.state, asked.answer) == ("applied", "retrying charge")
    assert [what for what, *_ in actions(task)] == ["retry"]


def test_what_is_given_by_hand_is_bounded_too(shop: Shop, a_template: Make) -> None:
    """Results and contexts of people obey `max_payload_bytes` like those of handlers."""

    def broken() -> Any:
        raise PermanentError("no")

    task = shop.run(a_template(broken).enqueue())
    for act in (
        lambda: task.resolve("broken", "x" * 2_000_000, reason="large"),
        lambda: task.rerun("broken", {"a": "x" * 2_000_000}, reason="large"),
    ):
        assert "the limit is 1,048,576 (max_payload_bytes)" in str(raised_by(act, RequestError))
    assert task.refresh().state == "error"
