"""What a person may do to a task, by the state it is in; the same rules serve owned and unowned tasks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bench import Bench, a_plan, a_retry, complete, failed, skipped, waits

from tasker.engine.actions import ACTIONS
from tasker.errors import NotFound, TransitionRefused
from tasker.events import StepResolved, StepSkipped, TaskPaused, TaskResolved, TaskResumed


def a_bench(on_failure: str = "finish_branches", **step: object) -> Bench:
    """fetch → tax → report; `report` cannot do without the results of `tax`."""
    steps = {"report": {"needs": ("tax",)}, "tax": step}
    return Bench(a_plan({"fetch": [], "tax": ["fetch"], "report": ["tax"]}, on_failure=on_failure, steps=steps))


def run(bench: Bench, name: str, outcome: object) -> None:
    bench.end(name, bench.begin(name), outcome)  # type: ignore[arg-type]
    bench.settle()


def in_error() -> Bench:
    bench = a_bench()
    run(bench, "fetch", complete())
    run(bench, "tax", failed(permanent=True))
    return bench


def waiting() -> Bench:
    bench = a_bench(retry=a_retry(3, pause=60))
    run(bench, "fetch", complete())
    run(bench, "tax", failed())
    return bench


def running() -> Bench:
    bench = a_bench()
    run(bench, "fetch", complete())
    bench.begin("tax")
    return bench


def completed() -> Bench:
    bench = a_bench()
    for name in ("fetch", "tax", "report"):
        run(bench, name, complete())
    return bench


def cancelled() -> Bench:
    bench = running()
    bench.act("cancel")
    bench.settle()
    return bench


def paused() -> Bench:
    bench = waiting()
    bench.act("pause")
    return bench


def resolved() -> Bench:
    bench = in_error()
    bench.act("resolve")
    return bench


TASKS: dict[str, Callable[[], Bench]] = {
    "running": running,
    "waiting": waiting,
    "paused": paused,
    "complete": completed,
    "error": in_error,
    "cancelled": cancelled,
    "resolved": resolved,
}
ASKED = {
    "cancel": {},
    "pause": {},
    "resume": {},
    "retry": {},
    "retry step": {"step": "tax"},
    "resolve": {},
    "resolve step": {"step": "tax", "results": "1"},
    "skip": {"step": "report"},
    "rerun": {"step": "fetch"},
}
BECOMES = {
    # What the task becomes; None: refused. (An owned task goes on at once: in_progress.)
    "running": ["cancelled", "paused", None, None, None, None, "in_progress", "in_progress", "in_progress"],
    "waiting": ["cancelled", "paused", None, "waiting", "waiting", None, "waiting", "waiting", "waiting"],
    "paused": ["cancelled", "paused", "waiting", "paused", "paused", None, "paused", "paused", "paused"],
    "complete": [None, None, None, None, None, None, None, None, "pending"],
    "error": [None, None, None, "pending", "pending", "resolved_manually", "pending", "pending", "pending"],
    "cancelled": ["cancelled", None, None, None, None, None, None, None, "pending"],
    "resolved": [None, None, None, None, None, None, None, None, "pending"],
}
CASES = [(task, asked, becomes) for task, row in BECOMES.items() for asked, becomes in zip(ASKED, row, strict=True)]


@pytest.mark.parametrize(("task", "asked", "becomes"), CASES, ids=[f"{asked} of {task}" for task, asked, _ in CASES])
def test_every_action_in_every_state(task: str, asked: str, becomes: str | None) -> None:
    """Each action leads where it should, or is refused saying what the state is and what may be done instead."""
    bench = TASKS[task]()
    before = dict(bench.rows)
    if becomes is not None:
        bench.act(asked.split()[0], **ASKED[asked])
        assert bench.state == becomes
        return
    with pytest.raises(TransitionRefused) as caught:
        bench.act(asked.split()[0], **ASKED[asked])
    refusal = caught.value
    assert refusal.wanted == asked.split()[0]
    assert refusal.now in str(refusal)
    assert refusal.allowed
    assert all(word in str(refusal) for word in refusal.allowed)
    assert bench.rows == before


def test_the_table_above_names_every_action() -> None:
    """No action is missing from the table of cases."""
    assert {asked.split()[0] for asked in ASKED} == set(ACTIONS)


def test_pausing_twice_is_nothing() -> None:
    """Moving to the state one is in is a no-op: no second fact, no second event, the first word stands."""
    bench = paused()
    assert bench.act("pause") == "it is paused already"
    assert len([event for event in bench.events if isinstance(event, TaskPaused)]) == 1


def test_retry_begins_the_budget_anew() -> None:
    """A retried step has all its attempts again; attempt numbers go on counting for life."""
    bench = a_bench(retry=a_retry(2, pause=1))
    run(bench, "fetch", complete())
    for _ in range(2):
        run(bench, "tax", failed())
        bench.now += 1
        if bench.state == "waiting":
            bench.claim()
            bench.run.due(1, bench.now)
    assert bench.state == "error"
    bench.act("retry", step="tax")
    bench.claim()
    assert bench.run.step(1).used == 0
    assert bench.begin("tax") == 3
    assert bench.run.step(1).used == 1


def test_retry_of_a_waiting_step_makes_it_due_now() -> None:
    """It keeps the attempts it has used, and is due at once."""
    bench = waiting()
    bench.act("retry", step="tax")
    assert bench.rows["tax"].due_at == bench.now
    assert bench.rows["tax"].state == "waiting_for_retry"
    assert bench.run.step(1).used == 1


def test_retry_may_give_more_attempts() -> None:
    """`retry(step, max_attempts=10)` is this step's budget from then on."""
    bench = in_error()
    bench.act("retry", step="tax", max_attempts=10)
    assert bench.rows["tax"].max_attempts == 10
    bench.claim()
    run(bench, "tax", failed())
    assert bench.states()["tax"] == "waiting_for_retry"


def test_retry_without_a_step_retries_all_that_failed() -> None:
    """All failed steps are opened; those that are fine are left alone."""
    bench = Bench(a_plan({"a": [], "b": [], "c": []}))
    run(bench, "a", failed(permanent=True))
    run(bench, "b", complete())
    run(bench, "c", failed(permanent=True))
    assert bench.act("retry") == "retrying a, c"
    assert bench.states() == {"a": "pending", "b": "complete", "c": "pending"}


def test_retry_of_a_complete_step_points_to_rerun() -> None:
    """What is complete is not retried; the refusal says what a rerun would run again, and how to say it."""
    bench = in_error()
    with pytest.raises(TransitionRefused, match=r"step 'fetch' .* is complete; from complete one may: rerun") as caught:
        bench.act("retry", step="fetch")
    assert "It and 2 steps after it would run again" in str(caught.value)
    assert 'tasker task rerun 000000000 fetch --reason "…"' in str(caught.value)


def test_a_step_that_a_child_needs_cannot_be_skipped() -> None:
    """The refusal names the child whose parameter does not allow None, and what to do instead."""
    bench = in_error()
    with pytest.raises(TransitionRefused, match="step 'report' needs its results") as caught:
        bench.act("skip", step="tax")
    assert "Resolve it with results instead" in str(caught.value)
    with pytest.raises(TransitionRefused, match="cannot be resolved without results: step 'report' needs"):
        bench.act("resolve", step="tax")
    with pytest.raises(TransitionRefused, match="resolved without results"):
        bench.act("resolve", step="tax", results="null")


def test_resolve_gives_a_step_its_results() -> None:
    """A resolved step satisfies its children, keeps the person's words, and is told."""
    bench = in_error()
    bench.act("resolve", step="tax", results='{"paid": true}')
    assert (bench.rows["tax"].state, bench.rows["tax"].results, bench.rows["tax"].note) == (
        "resolved_manually",
        '{"paid": true}',
        "because",
    )
    assert bench.rows["tax"].error is None
    bench.claim()
    assert bench.viable() == {"report"}
    assert [event.step for event in bench.events if isinstance(event, StepResolved)] == ["tax"]


def test_skip_tells_and_satisfies() -> None:
    """A skipped step lets its task go on; skipping the last one open completes it."""
    bench = in_error()
    bench.act("resolve", step="tax", results="1")
    bench.act("skip", step="report")
    assert [event.step for event in bench.events if isinstance(event, StepSkipped)] == ["report"]
    bench.claim()
    assert bench.settle() == "complete"


def test_a_running_step_can_be_resolved() -> None:
    """It does not run any more as far as the task is concerned; the late outcome is dropped."""
    bench = running()
    bench.act("resolve", step="tax", results="1")
    assert not bench.run.running
    assert bench.end("tax", 1, failed()) == []
    assert bench.states()["tax"] == "resolved_manually"


def test_rerun_opens_a_step_and_all_after_it() -> None:
    """A new generation of the step and its descendants begins, with a new budget; what is before stays."""
    bench = completed()
    bench.act("rerun", step="tax")
    assert bench.states() == {"fetch": "complete", "tax": "pending", "report": "pending"}
    assert [bench.rows[name].generation for name in ("fetch", "tax", "report")] == [0, 1, 1]
    assert bench.rows["tax"].results is None
    bench.claim()
    assert bench.begin("tax") == 2


def test_rerun_while_a_descendant_runs() -> None:
    """A running descendant is given up: its outcome belongs to an earlier generation and is dropped."""
    bench = running()
    bench.act("rerun", step="fetch")
    assert bench.viable() == {"fetch"}
    assert bench.end("tax", 1, complete()) == []
    run(bench, "fetch", complete())
    assert bench.viable() == {"tax"}


def test_rerun_of_a_step_that_is_not_over_is_refused() -> None:
    """There is nothing to run again yet."""
    with pytest.raises(TransitionRefused, match="step 'tax' .* is in_progress: there is nothing to run again yet"):
        running().act("rerun", step="tax")
    with pytest.raises(TransitionRefused, match="step 'report' .* is pending"):
        running().act("rerun", step="report")


def test_rerun_with_another_context() -> None:
    """The context edited with a rerun is the task's from then on."""
    bench = completed()
    bench.act("rerun", step="fetch", context='{"order_id": 2}')
    assert bench.run.context == '{"order_id": 2}'


def test_an_unknown_step_is_named_with_those_there_are() -> None:
    """The refusal lists the steps."""
    with pytest.raises(NotFound, match="has no step 'taxes'; its steps: fetch, tax, report"):
        in_error().act("retry", step="taxes")


def test_resolving_a_whole_task() -> None:
    """Only a task in error is resolved as a whole; with the results a person gave."""
    bench = in_error()
    bench.act("resolve", results='{"by": "hand"}')
    assert bench.run.result == '{"by": "hand"}'
    assert [event.task_id for event in bench.events if isinstance(event, TaskResolved)] == [bench.run.id]
    with pytest.raises(TransitionRefused, match="only a task in error can be resolved as a whole; name a step"):
        waiting().act("resolve")


def test_resume_tells() -> None:
    """A resumed task waits, due now."""
    bench = paused()
    bench.act("resume")
    assert bench.state == "waiting"
    assert len([event for event in bench.events if isinstance(event, TaskResumed)]) == 1


def test_a_persons_retry_forgives_crashes() -> None:
    """After a retry the task is no suspect any more: a poisoned step may be tried again when it is mended."""
    bench = a_bench()
    for _ in range(3):
        bench.begin("fetch")
        bench.mark("fetch")
        bench.crash()
        bench.claim()
    assert bench.settle() == "error"
    bench.act("retry", step="fetch")
    assert bench.run.crashes == 0


def test_skipping_by_handler_where_a_child_needs_results_is_an_error() -> None:
    """`Skip` from a handler whose child does not allow None: `invalid_result`, naming the child, not retried."""
    bench = a_bench()
    run(bench, "fetch", complete())
    run(bench, "tax", skipped())
    assert bench.state == "error"
    assert bench.run.error is not None
    assert "step 'report' needs its results" in bench.run.error["message"]


def test_cancel_while_it_waits() -> None:
    """A waiting step is cancelled with its task; nothing is due any more."""
    bench = a_bench()
    run(bench, "fetch", waits(bench.now + 60))
    bench.act("cancel")
    assert {row.name: row.state for row in bench.rows.values()} == dict.fromkeys(
        ("fetch", "tax", "report"), "cancelled"
    )
