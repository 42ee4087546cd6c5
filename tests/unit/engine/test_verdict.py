"""The verdict: what the steps of a task add up to, rule by rule, in the semantics' order."""

from __future__ import annotations

from bench import Bench, a_plan, a_retry, complete, failed, waits

from tasker.engine.changes import Changes
from tasker.engine.verdict import KEEP, announce, decide, hand_back
from tasker.events import StepFailed, TaskCancelled, TaskCompleted, TaskFailed, TaskWaiting
from tasker.states import TaskState
from tasker.store.rows import LetGo


def run(bench: Bench, name: str, outcome: object) -> None:
    bench.end(name, bench.begin(name), outcome)  # type: ignore[arg-type]


def test_an_independent_branch_goes_on() -> None:
    """A final error stops only its descendants: the other branch runs to its end, then the task is in error."""
    bench = Bench(a_plan({"a": [], "a2": ["a"], "b": [], "b2": ["b"]}))
    run(bench, "a", failed(permanent=True))
    assert bench.settle() == "on"
    run(bench, "b", complete())
    assert bench.viable() == {"b2"}
    run(bench, "b2", complete())
    assert bench.settle() == "error"
    assert bench.run.error == {"code": "failed_steps", "message": "step 'a' failed: broken", "steps": ["a"]}
    assert bench.states()["a2"] == "pending"


def test_the_error_names_all_failed_steps() -> None:
    """A task's error counts the failed steps and names them in definition order."""
    bench = Bench(a_plan({"a": [], "b": []}))
    run(bench, "b", failed(permanent=True))
    run(bench, "a", failed(permanent=True))
    assert bench.settle() == "error"
    assert bench.run.error == {
        "code": "failed_steps",
        "message": "2 steps failed, first 'a': broken",
        "steps": ["a", "b"],
    }


def test_stop_cancels_what_has_not_started() -> None:
    """With `on_failure="stop"` a final error cancels what waits or never started; what runs ends and is recorded."""
    bench = Bench(a_plan({"a": [], "b": [], "late": [], "b2": ["b"], "a2": ["a"]}, on_failure="stop"))
    run(bench, "late", failed())
    number = bench.begin("b")
    run(bench, "a", failed(permanent=True))
    assert bench.settle() == "on"
    bench.end("b", number, complete())
    assert bench.settle() == "error"
    assert {name: row.state for name, row in bench.rows.items()} == {
        "a": "error",
        "b": "complete",
        "late": "cancelled",
        "b2": "cancelled",
        "a2": "cancelled",
    }


def test_after_a_stop_nothing_is_tried_again() -> None:
    """A step that ran while another failed for good ends with this attempt: it is neither retried nor waits."""
    plan = a_plan({"a": [], "b": [], "c": []}, on_failure="stop", steps={"b": {"retry": a_retry(5)}})
    bench = Bench(plan)
    b, c = bench.begin("b"), bench.begin("c")
    run(bench, "a", failed(permanent=True))
    bench.end("b", b, failed())
    bench.end("c", c, waits(bench.now + 60))
    assert bench.settle() == "error"
    assert bench.states() == {"a": "error", "b": "error", "c": "cancelled"}


def test_retry_of_the_failed_step_while_another_runs_opens_what_was_stopped() -> None:
    """A step repaired by hand while its task still runs brings the stopped steps back: the task is never stuck."""
    bench = Bench(a_plan({"a": [], "b": [], "join": ["a", "b"]}, on_failure="stop"))
    b = bench.begin("b")
    run(bench, "a", failed(permanent=True))
    assert bench.settle() == "on"
    bench.act("resolve", step="a", results="1")
    bench.end("b", b, complete())
    assert bench.viable() == {"join"}
    run(bench, "join", complete())
    assert bench.settle() == "complete"


def test_a_passed_deadline_cancels_what_is_left() -> None:
    """At its deadline a task is in error `deadline`; running, waiting and pending steps are cancelled."""
    bench = Bench(a_plan({"a": [], "b": [], "c": ["a"]}, deadline=60.0))
    run(bench, "b", failed())
    bench.begin("a")
    bench.now += 60
    assert bench.settle() == "error"
    assert bench.run.error is not None
    assert bench.run.error["code"] == "deadline"
    assert {name: row.state for name, row in bench.rows.items()} == dict.fromkeys("abc", "cancelled")


def test_complete_before_the_deadline_is_complete_after_it() -> None:
    """A task all of whose steps are satisfied does not fail by its deadline."""
    bench = Bench(a_plan({"a": []}, deadline=60.0))
    run(bench, "a", complete())
    bench.now += 100
    assert bench.settle() == "complete"


def test_a_paused_task_is_let_go_when_nothing_runs() -> None:
    """Paused: what runs ends and is recorded, nothing starts, then it is let go until its deadline."""
    bench = Bench(a_plan({"a": [], "b": ["a"]}, deadline=60.0))
    number = bench.begin("a")
    bench.act("pause")
    assert bench.settle() == "on"
    bench.end("a", number, complete())
    assert bench.settle() == "park"
    assert (bench.state, bench.wake_at) == ("paused", bench.created_at + 60)


def test_a_paused_task_without_deadline_never_wakes_by_itself() -> None:
    """Its `wake_at` is null."""
    bench = Bench(a_plan({"a": []}))
    bench.act("pause")
    bench.settle()
    assert bench.let_go is not None
    assert bench.let_go.wake_at is None


def test_a_parked_task_wakes_at_the_earliest_due_step() -> None:
    """An early branch is never delayed by a late one; the deadline counts too."""
    bench = Bench(a_plan({"a": [], "b": []}, deadline=500.0))
    run(bench, "a", waits(bench.now + 300))
    run(bench, "b", waits(bench.now + 100))
    assert bench.settle() == "park"
    assert bench.wake_at == bench.now + 100

    bench = Bench(a_plan({"a": []}, deadline=50.0))
    run(bench, "a", waits(bench.now + 300))
    bench.settle()
    assert bench.wake_at == bench.created_at + 50


def test_a_short_wait_is_kept_by_the_owner() -> None:
    """A task due again within two seconds is not parked: its retry starts within 50 ms of its moment."""
    bench = Bench(a_plan({"a": []}))
    run(bench, "a", waits(bench.now + KEEP))
    assert decide(bench.run, bench.now, bench.changes()) is None
    assert decide(bench.run, bench.now, bench.changes(), keep=0.0) is not None
    bench = Bench(a_plan({"a": []}))
    run(bench, "a", waits(bench.now + KEEP + 0.1))
    assert decide(bench.run, bench.now, bench.changes()) is not None


def test_handing_back_leaves_a_paused_task_paused() -> None:
    """What a leaving worker gives up is due at once, but for a paused task."""
    bench = Bench(a_plan({"a": []}))
    assert hand_back(bench.run, bench.now)[1:3] == ("waiting", bench.now)
    bench.act("pause")
    assert hand_back(bench.run, bench.now)[1:3] == ("paused", None)


def test_held_steps_of_two_systems_are_kept_by_the_owner() -> None:
    """Parked it could only wait for one of them: the release of the other would not wake it."""
    bench = Bench(a_plan({"a": [], "b": []}, steps={"a": {"system": "tax"}, "b": {"system": "shop"}}))
    bench.run.held, bench.run.viable = {0: "tax", 1: "shop"}, set()
    assert decide(bench.run, bench.now, bench.changes()) is None
    bench.run.held = {0: "tax"}
    gone = decide(bench.run, bench.now, bench.changes())
    assert gone is not None
    assert (gone.wake_at, gone.waits_system) == (None, "tax")


def test_what_is_announced() -> None:
    """One event says what a task became: completed, failed with its steps, cancelled, waiting until when."""
    bench = Bench(a_plan({"a": []}))

    def told(state: TaskState, wake_at: float | None = None) -> list[object]:
        changes = Changes(None, lambda: 0, lambda kind: True)
        announce(bench.run, LetGo(bench.run.id, state, wake_at, None, None, None, True), changes)
        return list(changes.events)

    bench.run.error = {"code": "failed_steps", "message": "broken", "steps": ["a"]}
    facts = {"task_id": bench.run.id, "template": bench.plan.ref}
    assert told(TaskState.COMPLETE) == [TaskCompleted(**facts)]
    assert told(TaskState.ERROR) == [TaskFailed(**facts, steps=("a",), error=bench.run.error)]
    assert told(TaskState.CANCELLED) == [TaskCancelled(**facts)]
    assert told(TaskState.WAITING, 5.0) == [TaskWaiting(**facts, until=5.0)]
    assert told(TaskState.PAUSED) == []


def test_a_step_lost_for_the_last_time_is_a_failed_step() -> None:
    """At the crash limit the lost step is in error `worker_lost`, is told so, and stops what it stops."""
    bench = Bench(a_plan({"a": [], "b": ["a"], "c": []}, on_failure="stop"))
    for _ in range(3):
        bench.begin("a")
        bench.mark("a")
        bench.crash()
        bench.claim()
    assert bench.crashes == 3
    assert bench.states() == {"a": "error", "b": "cancelled", "c": "cancelled"}
    row = bench.rows["a"]
    assert '"code": "worker_lost"' in (row.error or "")
    assert (row.attempt, row.uncounted, row.lost) == (3, 3, 3)
    assert [event.step for event in bench.events if isinstance(event, StepFailed)] == ["a"]
    assert bench.settle() == "error"


def test_a_lost_attempt_is_free() -> None:
    """An attempt lost with its worker uses up nothing, also with `retryable=False`."""
    bench = Bench(a_plan({"a": []}, steps={"a": {"retry": a_retry(1, retryable=False)}}))
    bench.begin("a")
    bench.mark("a")
    bench.crash()
    bench.claim()
    assert bench.viable() == {"a"}
    assert bench.attempts == {("a", 1): "lost"}
    run(bench, "a", complete())
    assert bench.settle() == "complete"


def test_an_unwritten_start_leaves_no_trace() -> None:
    """The number of an attempt whose start was never committed is used again."""
    bench = Bench(a_plan({"a": []}))
    assert bench.begin("a") == 1
    bench.crash()
    bench.claim()
    assert bench.attempts == {}
    assert bench.begin("a") == 1


def test_a_late_outcome_does_not_end_the_next_attempt() -> None:
    """An outcome counts only for the attempt it belongs to, also while the next one runs."""
    bench = Bench(a_plan({"a": []}))
    first = bench.begin("a")
    bench.end("a", first, failed())
    bench.now += 10
    bench.run.due(0, bench.now)
    second = bench.begin("a")
    assert bench.end("a", first, complete("1")) == []
    assert bench.states() == {"a": "in_progress"}
    bench.end("a", second, complete("2"))
    assert bench.rows["a"].results == "2"
