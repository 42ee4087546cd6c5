"""Reader: what an app reads of tasks: rows, steps, reasons, history. Definition and rows are merged here."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tasker import payload
from tasker.app.shelf import StoredTemplate, plan_of, read_templates
from tasker.app.step import Steps, iso
from tasker.clock import as_datetime
from tasker.definition.shape import Shape
from tasker.definition.template import Draft
from tasker.engine.plan import Plan
from tasker.engine.run import TaskRun
from tasker.engine.why import Neighbour, Reason, Situation, why
from tasker.errors import InvalidContext, NotFound, RequestError
from tasker.store import read
from tasker.store.rows import Claimed, StoredStep

if TYPE_CHECKING:
    from tasker.app.task import Task
    from tasker.app.tasker import Tasker


class Reader:
    """Reads for one app; plans without code are read once."""

    def __init__(self, app: Tasker) -> None:
        self._app = app
        self._plans: dict[int, Plan] = {}
        self._templates: dict[int, StoredTemplate] = {}

    def row(self, task_id: str, missing: Any = None) -> Any:
        found = read.task(self._app.store, _valid(task_id))
        if found is None and missing is None:
            raise NotFound(
                f"task …{task_id[-9:]} is not in the database. If it was enqueued in a transaction"
                f" (connection=…), that "
                "has not committed, or was rolled back: wait after the commit"
            )
        return found if found is not None else missing

    def plan(self, template: int) -> Plan:
        """The plan of a template row, without code."""
        if template not in self._plans:
            self._templates = {row.id: row for row in read_templates(self._app.store)}
            if template in self._templates:
                self._plans[template] = plan_of(self._templates[template])
            else:
                self._plans[template] = self._own_plan(template)
        return self._plans[template]

    def _own_plan(self, template: int) -> Plan:
        """The plan of a template of this process whose row is not committed yet."""
        from tasker.app.shelf import row_of

        for draft in self._app.registry.all():
            row = row_of(draft.seal())
            if row.id == template:
                return plan_of(row)
        raise NotFound(f"there is no template row {template}")

    def shape(self, template: int) -> Shape:
        return self.plan(template).shape

    def steps(self, row: Any) -> Steps:
        return self._steps(row, {step.name: step for step in read.steps_of(self._app.store, row.id)})

    def steps_of_many(self, tasks: Sequence[Task]) -> dict[str, Steps]:
        """Task id → its steps, for many tasks in one look."""
        found: dict[str, dict[str, Any]] = {task.id: {} for task in tasks}
        for step in read.steps_of_many(self._app.store, list(found)):
            found[step.task_id][step.name] = step
        return {task.id: self._steps(task._row, found[task.id]) for task in tasks}

    def _steps(self, row: Any, rows: dict[str, Any]) -> Steps:
        def typed(fn: Callable[..., Any]) -> tuple[str, Callable[[str | None], Any]]:
            draft = self._draft(row.ref)
            name = draft.steps_of(fn)[0]
            return name, draft.seal().handlers[name].decode_results

        return Steps(self.shape(row.template), rows, typed)

    def budgets(self, row: Any) -> dict[str, int]:
        """How many attempts each step may have: what a person gave with a retry, else what its policy says."""
        given = {step.name: step.max_attempts for step in read.steps_of(self._app.store, row.id)}
        return {
            name: given.get(name) or (policy.retry.max_attempts if policy.retry.retryable else 1)
            for name, policy in self.plan(row.template).policy.steps.items()
        }

    def step_name(self, ref: str, fn: Callable[..., Any]) -> str:
        """The step of a template that a function is the handler of."""
        return self._draft(ref).steps_of(fn)[0]

    def _draft(self, ref: str) -> Draft:
        """The template's code: of that version, else of the newest, which may serve it."""
        try:
            return self._app.registry.get(ref)
        except NotFound:
            return self._app.registry.get(ref.partition("@")[0])

    def _refuse_large(self, text: str, what: str) -> None:
        size, limit = len(text.encode()), self._app.settings.max_payload_bytes
        if size > limit:
            raise RequestError(
                f"{what} have {size:,} bytes; the limit is {limit:,} (max_payload_bytes); nothing was changed. Store "
                "them elsewhere and give a reference"
            )

    def checked_results(self, row: Any, step: str, results: Any) -> str | None:
        """Results given by hand, as JSON text; they must fit the step's return annotation."""
        if results is None:
            return None
        try:
            text = payload.encode(results)
        except payload.NotJSON as error:
            raise RequestError(f"resolve: the results are not JSON: {error}") from None
        self._refuse_large(text, "resolve: the results")
        if not step:
            return text
        plan = self.plan(row.template)
        if step not in plan.graph.index:
            raise NotFound(f"{row.ref} has no step {step!r}; its steps: {', '.join(plan.graph.names)}")
        schema = plan.policy.steps[step].results_schema
        faults = _faults(schema, payload.decode(text)) if schema is not None else []
        if faults:
            raise RequestError(f"resolve: these results do not fit what step {step!r} returns: " + "; ".join(faults))
        return text

    def checked_context(self, row: Any, context: Any) -> str:
        """Another context for a rerun, as JSON text."""
        text = self._encoded_context(row, context)
        self._refuse_large(text, "rerun: the values of the context")
        return text

    def _encoded_context(self, row: Any, context: Any) -> str:
        try:
            return self._app.registry.get(row.ref).seal().encode_context(context)
        except NotFound:
            pass
        text = payload.encode(context)
        schema = self.plan(row.template).policy.context_schema
        faults = _faults(schema, payload.decode(text)) if schema is not None else []
        if faults:
            raise InvalidContext(
                f"rerun: this context does not fit {row.ref}; nothing was changed: " + "; ".join(faults)
            )
        return text

    def run(self, row: Any) -> TaskRun:
        """A TaskRun as the rows say, for reasons and previews."""
        claimed = Claimed(
            row.id, row.template, row.queue, row.priority, row.state, row.crashes, row.created_at, row.context
        )
        run = TaskRun(claimed, self.plan(row.template))
        run.load(_stored(step) for step in read.steps_of(self._app.store, row.id))
        return run

    def situation(self, task_id: str) -> Situation:
        store = self._app.store
        row = self.row(task_id)
        run = self.run(row)
        now = store.clock.now()
        siblings = [t.id for t in self._templates.values() if t.full_name == row.ref.partition("@")[0]]
        return Situation(
            now=now,
            owner=row.owner,
            wake_at=row.wake_at,
            waits_system=row.waits_system,
            run=run,
            workers=self.workers(row.owner),
            siblings=siblings,
            held={
                s.name: (s.until, s.reason, s.actor)
                for s in read.all_systems(store)
                if s.held and (s.until is None or s.until > now)
            },
            open_actions=[
                (a.what, a.actor, a.created_at) for a in read.actions_of(store, task_id) if a.state == "open"
            ],
            paused_by=self._paused_by(task_id) if row.state == "paused" else None,
            ahead=read.ahead(store, row.queue, row.template, row.priority, row.wake_at or now, now, 1_000)
            if row.owner is None and row.wake_at is not None and row.wake_at <= now
            else 0,
            timeout=self._app.settings.worker_timeout_seconds,
            crash_limit=self._app.settings.crash_limit,
            app=self._app.settings.app,
        )

    def why(self, task_id: str, step: str | None = None) -> list[Reason]:
        situation = self.situation(task_id)
        names = situation.run.plan.graph.index
        if step is not None and step not in names:
            raise NotFound(f"{situation.run.plan.ref} has no step {step!r}; its steps: {', '.join(names)}")
        return why(situation, step)

    def workers(self, owner: str | None = None) -> list[Neighbour]:
        """The workers that have not signed off, and `owner`, dead or not."""
        rows = read.all_workers(self._app.store)
        if owner is not None and owner not in {row.id for row in rows}:
            dead = read.worker(self._app.store, owner)
            rows = [*rows, *([] if dead is None else [dead])]
        return [
            Neighbour(
                row.id,
                f"{row.host}:{row.pid}",
                json.loads(row.queues),
                json.loads(row.templates),
                row.concurrency,
                row.free,
                row.heartbeat_at,
                row.state,
            )
            for row in rows
        ]

    def _paused_by(self, task_id: str) -> tuple[str, str, float] | None:
        pauses = [h for h in read.history_of(self._app.store, task_id) if h.what == "pause"]
        return (pauses[-1].actor, pauses[-1].reason, pauses[-1].at) if pauses else None

    def history(self, task_id: str) -> list[dict[str, Any]]:
        """Moves and actions, oldest first: the task's own times merged with the audit trail."""
        store, row = self._app.store, self.row(task_id)
        found = [
            _event(h.at, h.what, h.step, h.from_state, h.to_state, h.actor, h.reason)
            for h in read.history_of(store, task_id)
        ]
        found.append(_event(row.created_at, "enqueued", None, None, "pending", row.initiator, row.reason))
        if row.started_at is not None:
            found.append(_event(row.started_at, "started", None, "pending", "in_progress"))
        if row.finished_at is not None and row.state == "complete":
            found.append(_event(row.finished_at, "complete", None, "in_progress", "complete"))
        found += [
            _event(
                a.created_at,
                a.what,
                None,
                None,
                None,
                a.actor,
                a.reason,
                answer=a.state if a.state == "open" else f"refused: {a.answer}",
            )
            for a in read.actions_of(store, task_id)
            if a.state != "applied"
        ]
        found.sort(key=lambda entry: (entry["at"], entry["what"] != "enqueued"))
        return found

    def attempts(self, task_id: str, step: str | None = None) -> Sequence[Any]:
        return read.attempts_of(self._app.store, task_id, step)

    def annotations(self, task_id: str) -> list[tuple[str, Any]]:
        return [(a.type, payload.decode(a.value)) for a in read.annotations_of(self._app.store, task_id)]


def _event(
    at: float,
    what: str,
    step: str | None,
    before: str | None,
    after: str | None,
    actor: str = "",
    reason: str = "",
    answer: str = "",
) -> dict[str, Any]:
    facts = {
        "at": iso(as_datetime(at)),
        "what": what,
        "step": step,
        "from": before,
        "to": after,
        "actor": actor,
        "reason": reason,
    }
    return {**facts, "answer": answer} if answer else facts


def _stored(row: Any) -> StoredStep:
    return StoredStep(
        row.task_id,
        row.name,
        row.state,
        row.attempt,
        row.budget_from,
        row.uncounted,
        row.lost,
        row.generation,
        row.max_attempts,
        row.due_at,
        row.started_at,
        row.finished_at,
        row.wait_since,
        row.error,
        row.note,
        row.worker,
        False,
        row.results,
    )


def _valid(task_id: str) -> str:
    from uuid import UUID

    try:
        return str(UUID(task_id))
    except (ValueError, AttributeError, TypeError):
        raise NotFound(f"there is no task {task_id!r}: an id looks like 01920f3a-…") from None


def _faults(schema: Any, value: Any) -> list[str]:
    from jsonschema import Draft202012Validator

    found = Draft202012Validator(schema).iter_errors(value)
    return [f"{error.json_path}: {error.message}" for error in found]
