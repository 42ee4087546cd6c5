"""Why: an unfinished task always has a reason, in words that say who or what ends it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import hypothesis.strategies as st
import pytest
from bench import Bench, a_plan, complete, failed, waits
from hypothesis import given

from tasker.engine.why import CODES, Neighbour, Reason, Situation, why
from tasker.states import TASK_FINAL, TaskState

NOW = 1_000.0
ME = "01920f3a-0000-7000-8000-000000000001"


def a_worker(**facts: Any) -> Neighbour:
    """A live worker that serves everything and has free slots."""
    plain = Neighbour(ME, "web1:4711", ["default"], [1], 20, 5, NOW, "alive")
    return replace(plain, **facts)


def a_situation(bench: Bench | None = None, **facts: Any) -> Situation:
    """A task that is due, nobody owns, and a worker may take."""
    bench = bench or a_bench()
    if bench.run.state is TaskState.IN_PROGRESS and "owner" not in facts:
        bench.run.state = TaskState.WAITING
    plain = Situation(
        now=bench.now, owner=None, wake_at=bench.now, waits_system=None, run=bench.run, workers=[a_worker()]
    )
    return replace(plain, **facts)


def a_bench(**step: Any) -> Bench:
    return Bench(a_plan({"fetch": [], "tax": ["fetch"], "mail": ["fetch"]}, steps={"fetch": step, "tax": step}))


def parked(bench: Bench) -> Bench:
    """After fetch: tax failed and waits, mail is done."""
    bench.end("fetch", bench.begin("fetch"), complete())
    bench.end("mail", bench.begin("mail"), complete())
    bench.end("tax", bench.begin("tax"), failed())
    bench.settle()
    return bench


def only(situation: Situation, step: str | None = None) -> Reason:
    found = why(situation, step)
    assert len(found) == 1, found
    return found[0]


def codes(situation: Situation) -> list[str]:
    return [reason.code for reason in why(situation)]


def test_a_retry_that_is_due_later() -> None:
    """The step, its last error, the attempt and the moment are named; the moment as a value too."""
    bench = parked(a_bench())
    reason = only(a_situation(bench, wake_at=bench.now + 10))
    assert (reason.code, reason.step) == ("retry_due", "tax")
    assert re.match(r"step 'tax' failed \(attempt 1 of 3: broken\) and is tried again at .*, in 10 s", reason.text)
    assert reason.until == datetime.fromtimestamp(bench.now + 10, UTC)


def test_a_step_that_asked_to_wait() -> None:
    """A `Wait` is told with its own words, not as a failure."""
    bench = a_bench()
    bench.end("fetch", bench.begin("fetch"), waits(bench.now + 90))
    bench.settle()
    reason = only(a_situation(bench, wake_at=bench.now + 90))
    assert reason.code == "retry_due"
    assert re.match(r"step 'fetch' asked to be tried again at .*, in 90 s: not yet", reason.text)


def test_a_start_in_the_future() -> None:
    """A task enqueued for later says when it starts."""
    bench = a_bench()
    assert only(a_situation(bench, wake_at=NOW + 60)).text.startswith("it goes on at ")
    bench.run.state = TaskState.PENDING
    reason = only(a_situation(bench, wake_at=NOW + 3_600 * 5))
    assert reason.code == "starts_at"
    assert re.match(r"it starts at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d, in 5 h", reason.text)
    assert reason.until == datetime.fromtimestamp(NOW + 3_600 * 5, UTC)


def test_nobody_serves_the_queue() -> None:
    """The queue is named, and the command that would serve it."""
    reason = only(a_situation(workers=[], app="shop.tasks:app"))
    assert reason.code == "queue_unserved"
    assert reason.text.startswith("no live worker serves queue 'default'. Start one in another terminal:")
    assert "tasker worker --app shop.tasks:app" in reason.text
    bench = a_bench()
    bench.run.queue = "slow"
    assert "--queues slow" in only(a_situation(bench)).text


def test_a_silent_or_leaving_worker_serves_nothing() -> None:
    """Only live workers count: not the silent, not the dead, not one that drains."""
    for worker in (a_worker(heartbeat_at=NOW - 21), a_worker(state="dead"), a_worker(state="draining")):
        assert codes(a_situation(workers=[worker])) == ["queue_unserved"]


def test_nobody_knows_the_template() -> None:
    """The template with its version is named."""
    reason = only(a_situation(workers=[a_worker(templates=[7])]))
    assert reason.code == "template_unserved"
    assert reason.text.startswith("no live worker knows shop/fulfil_order@1.0.0 (1 serve queue 'default')")


def test_a_worker_knows_only_another_shape() -> None:
    """The same template with another shape does not serve the task: a handler is missing, `serves` may be the answer."""
    reason = only(a_situation(workers=[a_worker(templates=[7])], siblings=[1, 7]))
    assert reason.code == "handler_missing"
    assert "web1:4711 knows shop/fulfil_order, but not the shape" in reason.text
    assert "serves=[…]" in reason.text


def test_a_waiting_task_nobody_serves_says_both() -> None:
    """A retry due later does not hide that no worker will run it."""
    bench = parked(a_bench())
    assert codes(a_situation(bench, wake_at=bench.now + 10, workers=[])) == ["retry_due", "queue_unserved"]


def test_a_held_system() -> None:
    """The system, who holds it, why and until when are named, and how to release it."""
    bench = a_bench(system="tax_office")
    reason = only(a_situation(bench, wake_at=None, held={"tax_office": (NOW + 60, "outage", "ann")}))
    assert (reason.code, reason.step) == ("system_held", "fetch")
    assert re.match(
        r"step 'fetch' waits: system 'tax_office' is held until .* by ann: outage\. Release it:", reason.text
    )
    assert reason.until == datetime.fromtimestamp(NOW + 60, UTC)
    assert codes(a_situation(bench, wake_at=None, held={"other": (None, "", "")})) == ["starts_at"]


def test_paused() -> None:
    """Who paused it, how long ago, why, and how it goes on."""
    bench = a_bench()
    bench.act("pause")
    reason = only(a_situation(bench, wake_at=None, paused_by=("ann", "stocktaking", NOW - 7)))
    assert reason.code == "paused"
    assert reason.text == "paused by ann 7.0 s ago: stocktaking. Let it go on:  tasker task resume 000000000"


def test_a_running_step() -> None:
    """The worker, how long it runs and when it times out are named."""
    bench = a_bench(timeout=60.0)
    bench.begin("fetch")
    bench.now += 3
    reason = only(a_situation(bench, owner=ME, wake_at=None))
    assert (reason.code, reason.step) == ("running", "fetch")
    assert reason.text == "step 'fetch' runs at worker web1:4711 for 3.0 s (attempt 1); it times out after 60 s"
    assert reason.until == datetime.fromtimestamp(NOW + 60, UTC)


def test_an_owned_task_that_is_about_to_run() -> None:
    """Viable steps of an owned task run, or are about to, or wait for a slot of the owner."""
    situation = a_situation(owner=ME, wake_at=None)
    assert only(situation).text == "step 'fetch' runs at worker web1:4711, or is about to"
    reason = only(replace(situation, workers=[a_worker(free=0)]))
    assert reason.code == "slots_busy"
    assert reason.text == "step 'fetch' waits for a slot: all 20 of worker web1:4711 are busy"


def test_an_owned_task_whose_steps_are_over() -> None:
    """Between its last outcome and the owner's next turn it has a reason, too."""
    bench = a_bench()
    for name in ("fetch", "tax", "mail"):
        bench.end(name, bench.begin(name), complete())
    assert only(a_situation(bench, owner=ME)).code == "running"


def test_every_worker_is_full() -> None:
    """How many workers and slots there are, and how many tasks go first."""
    reason = only(a_situation(workers=[a_worker(free=0), a_worker(free=0)], ahead=12))
    assert reason.code == "queue_full"
    assert reason.text == "every live worker of queue 'default' is full (2 with 40 slots); 12 tasks go first"


def test_behind_others() -> None:
    """How many tasks go first."""
    reason = only(a_situation(ahead=3))
    assert (reason.code, reason.text) == ("priority", "it is due, behind 3 tasks of higher priority or longer waiting")


def test_due_now() -> None:
    """Nothing holds it up: within two seconds a worker takes it."""
    assert only(a_situation()).code == "starts_at"
    assert "within 2 s" in only(a_situation()).text


def test_a_suspect() -> None:
    """A task whose worker died while it ran waits for a worker that runs no other suspect."""
    bench = a_bench()
    bench.run.crashes = 2
    reason = only(a_situation(bench))
    assert reason.code == "suspect"
    assert reason.text.startswith("its worker died 2 times while it ran: it is started alone")


def test_an_open_action() -> None:
    """What was asked, by whom and since when; it comes first."""
    situation = a_situation(owner=ME, open_actions=[("cancel", "ann", NOW - 2)])
    assert codes(situation)[0] == "action_open"
    assert why(situation)[0].text.startswith("cancel by ann is open since 2.0 s ago; the owner applies it")


def test_a_silent_owner() -> None:
    """Since when it is silent, and when its tasks are rescued; a worker that is gone altogether, too."""
    situation = a_situation(owner=ME, workers=[a_worker(heartbeat_at=NOW - 25)])
    reason = only(situation)
    assert reason.code == "owner_silent"
    assert re.match(r"its worker web1:4711 is silent since .*; rescue is due now", reason.text)
    assert only(replace(situation, workers=[])).code == "owner_silent"
    dead = only(replace(situation, workers=[a_worker(state="dead")]))
    assert (dead.code, "rescue is due at" in dead.text) == ("owner_silent", True)


def test_a_parent_is_named_only_when_asked_for() -> None:
    """A step that waits for parents is no reason of the task; asked for, it names each of them."""
    bench = parked(a_bench())
    situation = a_situation(bench, wake_at=bench.now + 10)
    assert "parent" not in codes(situation)
    bench = a_bench()
    reason = only(a_situation(bench), "tax")
    assert (reason.code, reason.step) == ("parent", "tax")
    assert reason.text == "step 'tax' waits for its parent 'fetch', which is pending"
    bench.end("fetch", bench.begin("fetch"), failed(permanent=True))
    assert "it never will unless that is retried" in only(a_situation(bench), "tax").text


def test_a_finished_task_waits_for_nothing() -> None:
    """Its list of reasons is empty; so is that of a finished step."""
    bench = parked(a_bench())
    assert why(a_situation(bench), "fetch") == []
    bench.run.state = TaskState.COMPLETE
    assert why(a_situation(bench, wake_at=None)) == []


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """An unfinished task in any situation that rows can describe."""
    bench = a_bench(system=draw(st.sampled_from([None, "tax_office"])))
    if draw(st.booleans()):
        bench.end("fetch", bench.begin("fetch"), draw(st.sampled_from([complete(), failed(), waits(NOW + 5)])))
    if bench.run.viable and draw(st.booleans()):
        bench.begin(bench.plan.steps[min(bench.run.viable)].name)
    bench.run.state = draw(st.sampled_from([state for state in TaskState if state not in TASK_FINAL]))
    bench.run.crashes = draw(st.integers(0, 3))
    worker = st.builds(
        a_worker,
        id=st.sampled_from([ME, "other"]),
        queues=st.sampled_from([["default"], ["slow"]]),
        templates=st.sampled_from([[1], [2], []]),
        free=st.integers(0, 2),
        heartbeat_at=st.sampled_from([NOW, NOW - 60]),
        state=st.sampled_from(["alive", "draining", "dead"]),
    )
    until = draw(st.sampled_from([None, NOW + 60]))
    return Situation(
        now=bench.now + draw(st.sampled_from([0, 7])),
        owner=draw(st.sampled_from([None, ME])),
        wake_at=draw(st.sampled_from([None, NOW, NOW + 60])),
        waits_system=draw(st.sampled_from([None, "tax_office"])),
        run=bench.run,
        workers=draw(st.lists(worker, max_size=3)),
        siblings=draw(st.sampled_from([[], [1, 2]])),
        held=draw(st.sampled_from([{}, {"tax_office": (until, "outage", "ann")}])),
        open_actions=draw(st.sampled_from([[], [("cancel", "ann", NOW)]])),
        paused_by=draw(st.sampled_from([None, ("ann", "", NOW)])),
        ahead=draw(st.integers(0, 3)),
        app=draw(st.sampled_from(["", "shop:app"])),
    )


@given(situation=situations())
def test_no_unfinished_task_is_without_a_reason(situation: Situation) -> None:
    """Whatever the situation: at least one reason, with a known code and one readable line."""
    found = why(situation)
    assert found
    for reason in found:
        assert reason.code in CODES
        assert reason.text == str(reason)
        assert "\n" not in reason.text
        assert "None" not in reason.text
    for step in situation.run.plan.steps:
        state = situation.run.state_of(step.index)
        assert why(situation, step.name) or state in ("complete", "error")


def test_the_codes_are_those_of_the_semantics() -> None:
    """In the order in which the semantics lists them; those of later issues are not there yet."""
    assert list(CODES) == sorted(CODES, key=CODES.index)
    listed = (
        "retry_due, parent, template_unserved, queue_unserved, system_held, paused, running, priority, slots_busy, "
        "queue_full, suspect, action_open, owner_silent, starts_at, handler_missing"
    )
    assert ", ".join(CODES) == listed


@pytest.mark.parametrize(
    ("span", "words"),
    [(0.04, "0.0 s"), (9.9, "9.9 s"), (45, "45 s"), (600, "10 min"), (7_300, "2 h"), (200_000, "2 d")],
)
def test_spans_in_words(span: float, words: str) -> None:
    """Spans are told in the unit a person would use."""
    assert only(a_situation(wake_at=NOW + span)).text.endswith(f"in {words}")
