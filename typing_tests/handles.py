"""Handles: what a task knows, what people do to it, and what its steps left."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from define import Negatives, Scan, app, bathe, choose, develop, post, print_all, scan

from tasker import (
    ActionPending,
    InvalidContext,
    NotFound,
    Page,
    Problem,
    Reason,
    Step,
    StepState,
    Task,
    TaskFailed,
    TaskState,
    TaskTimeout,
    TransitionRefused,
)

task = app.task("0198c0de")
assert_type(task, Task)
assert_type(app.task(template="lab/develop", key="roll-17"), Task)

assert_type(task.id, str)
assert_type(task.template, str)
assert_type(task.state, TaskState)
assert_type(task.created, bool)
assert_type(task.created_at, datetime)
assert_type(task.started_at, datetime | None)
assert_type(task.finished_at, datetime | None)
assert_type(task.tags, tuple[str, ...])
assert_type(task.context, Any)
assert_type(task.error, Mapping[str, Any] | None)

assert_type(task.refresh(), Task)
assert_type(task.wait(timeout=30), Task)
assert_type(task.wait(timeout=timedelta(minutes=1)), Task)
assert_type(task.result(timeout=0.5), Any)
assert_type(task.why(), list[Reason])
assert_type(task.why()[0].until, datetime | None)
assert_type(task.as_dict(), dict[str, Any])
for entry in task.history():
    print(entry)

# Steps by function have the function's results, or None while there are none; by name any.
assert_type(task.steps[bathe], Step[Negatives])
assert_type(task.steps[bathe].results, Negatives | None)
assert_type(task.steps[scan].results, list[Scan] | None)
assert_type(task.steps[print_all].results, int | None)
assert_type(task.steps[choose].results, str | None)
assert_type(task.steps[post].results, None)
assert_type(task.steps["ask_post"], Step[Any])
assert_type(task.steps["ask_post"].state, StepState)
assert_type(task.steps["ask_post"].attempts, int)
assert_type(task.steps["ask_post"].due_at, datetime | None)
assert_type(list(task.steps), list[str])
assert_type([step.error for step in task.steps.values()], list[Mapping[str, Any] | None])
if task.state is TaskState.ERROR:
    print(task.error)

# People.
assert_type(task.cancel(reason="left twice", actor="ann"), Task)
assert_type(task.pause(), Task)
assert_type(task.resume(reason="the lamp is back"), Task)
assert_type(task.retry(), Task)
assert_type(task.retry(scan, max_attempts=3), Task)
assert_type(task.resolve(choose, "post", reason="decided by hand"), Task)
assert_type(task.skip("report", reason="no report needed"), Task)
assert_type(task.rerun(bathe, {"roll_id": 17}, reason="bad chemistry"), Task)
assert_type(app.operate("retry", q="state:error step:scan", reason="the lamp is back", dry_run=True), int)
app.hold_system("scanner", until=datetime.now(UTC) + timedelta(hours=1), reason="lamp", actor="ann")
app.release_system("scanner")

page = app.tasks(
    state="error", template="lab/develop", tag="eu", annotation=("carrier", "post"), q="attempt:>3 age:>1h", limit=50
)
assert_type(page, Page)
assert_type(page[0], Task)
assert_type(page.after, str | None)
assert_type(app.tasks(state=[TaskState.ERROR, "cancelled"], after=page.after), Page)

try:
    task.result(timeout=1)
except TaskFailed as failed:
    print(failed.task, [step.name for step in failed.steps])
except TaskTimeout as late:
    assert_type(late.reasons, list[Any])
    timeout: TimeoutError = late
except TransitionRefused as refused:
    assert_type(refused.allowed, tuple[str, ...])
except InvalidContext as invalid:
    assert_type(invalid.problems, list[Problem])
except (ActionPending, NotFound):
    pass


async def asynchronously() -> None:
    assert_type(await app.atask("0198c0de"), Task)
    assert_type(await app.atasks(state="error"), Page)
    assert_type(await task.arefresh(), Task)
    assert_type(await task.aresult(timeout=3), Any)
    assert_type(await task, Task)
    assert_type(await (await develop.aenqueue_many([]))[0], Task)
