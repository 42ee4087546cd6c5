"""Why: what an unfinished task waits for, in words a tired operator understands. Pure.

Every unfinished task has at least one reason; each names somebody or some moment able to end it. If none can be
given, that is a bug.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tasker.clock import as_datetime
from tasker.engine.run import TaskRun
from tasker.states import STEP_SATISFIED, TASK_FINAL, StepState, TaskState

CODES = (
    "retry_due",
    "parent",
    "template_unserved",
    "queue_unserved",
    "system_held",
    "paused",
    "running",
    "priority",
    "slots_busy",
    "queue_full",
    "suspect",
    "action_open",
    "owner_silent",
    "starts_at",
    "handler_missing",
)
"""All codes there are."""


@dataclass(frozen=True)
class Reason:
    """One reason why a task is not finished.

    Attributes:
        code: one of `CODES`.
        text: for people.
        step: the step it is about; None for the task as a whole.
        until: the moment that ends it, where one is known.
    """

    code: str
    text: str
    step: str | None = None
    until: datetime | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A worker as `why` sees it: who serves what, and whether it is silent."""

    id: str
    place: str
    queues: Sequence[str]
    templates: Sequence[int]
    concurrency: int
    free: int
    heartbeat_at: float
    state: str


@dataclass(frozen=True, slots=True)
class Situation:
    """All that can hold a task up, as it was read.

    Attributes:
        siblings: template rows of the same name, other shapes of it.
        held: held system → (until, reason, actor).
        open_actions: (what, actor, created_at).
        paused_by: (actor, reason, at).
        ahead: how many due tasks go first.
        timeout: the worker timeout, seconds.
        app: what the command line calls the app.
    """

    now: float
    owner: str | None
    wake_at: float | None
    waits_system: str | None
    run: TaskRun
    workers: Sequence[Neighbour] = ()
    siblings: Sequence[int] = ()
    held: Mapping[str, tuple[float | None, str, str]] = field(default_factory=dict)
    open_actions: Sequence[tuple[str, str, float]] = ()
    paused_by: tuple[str, str, float] | None = None
    ahead: int = 0
    timeout: float = 20.0
    crash_limit: int = 3
    app: str = ""


def why(situation: Situation, step: str | None = None) -> list[Reason]:
    """Name every reason; with `step` the reasons of that step, its parents too."""
    run = situation.run
    if step is not None:
        return _of_step(situation, step)
    if run.state in TASK_FINAL and situation.owner is None:
        return []
    reasons = [
        Reason(
            "action_open",
            f"{what} by {actor} is open since {_ago(situation.now - at)} ago; the owner applies it in its next turn",
        )
        for what, actor, at in situation.open_actions
    ]
    if run.state is TaskState.PAUSED:
        reasons += _paused(situation)
    elif situation.owner is None:
        reasons += _unowned(situation)
    reasons += _owned(situation) if situation.owner is not None else []
    return reasons or [Reason("starts_at", "it is due now; a worker takes it at its next look, within 2 s")]


def _paused(situation: Situation) -> list[Reason]:
    who, reason, at = situation.paused_by or ("somebody", "", situation.now)
    words = f"paused by {who} {_ago(situation.now - at)} ago" + (f": {reason}" if reason else "")
    return [Reason("paused", f"{words}. Let it go on:  tasker task resume {situation.run.id[-9:]}")]


def _unowned(situation: Situation) -> list[Reason]:
    run, now = situation.run, situation.now
    waits = _retries(situation) + _held(situation)
    if waits and (situation.wake_at is None or situation.wake_at > now):
        return waits + _service(situation, only_missing=True)
    if situation.wake_at is not None and situation.wake_at > now:
        moment, verb = as_datetime(situation.wake_at), "starts" if run.state is TaskState.PENDING else "goes on"
        starts = Reason(
            "starts_at", f"it {verb} at {_clock(situation.wake_at)}, in {_ago(situation.wake_at - now)}", None, moment
        )
        return [starts, *_service(situation, only_missing=True)]
    return waits + _service(situation, only_missing=False)


def _retries(situation: Situation) -> list[Reason]:
    """Steps that wait for a moment; those that are due and only wait for their system are not among them."""
    run, held = situation.run, situation.held
    found = sorted(run.waiting.items(), key=lambda item: item[1])
    return [
        _retry(situation, i, at) for i, at in found if at > situation.now or run.plan.steps[i].policy.system not in held
    ]


def _retry(situation: Situation, i: int, at: float) -> Reason:
    run, now = situation.run, situation.now
    s, step = run.step(i), run.plan.steps[i]
    most = s.max_attempts or step.policy.retry.max_attempts
    moment = f"at {_clock(at)}, in {_ago(at - now)}" if at > now else "now"
    if s.wait_since is not None:
        words = f"step {step.name!r} asked to be tried again {moment}" + (f": {s.note}" if s.note else "")
    else:
        words = (
            f"step {step.name!r} failed (attempt {s.used} of {most}: {_message(s.error)}) and is tried again {moment}"
        )
    return Reason("retry_due", words, step.name, as_datetime(at))


def _held(situation: Situation) -> list[Reason]:
    reasons = []
    due = [i for i, at in situation.run.waiting.items() if at <= situation.now]
    for i in sorted([*situation.run.viable, *due]):
        step = situation.run.plan.steps[i]
        if step.policy.system is not None and step.policy.system in situation.held:
            until, reason, actor = situation.held[step.policy.system]
            words = f"step {step.name!r} waits: system {step.policy.system!r} is held"
            words += f" until {_clock(until)}" if until is not None else ""
            words += f" by {actor}" if actor else ""
            words += f": {reason}" if reason else ""
            words += f". Release it:  tasker systems release {step.policy.system}"
            reasons.append(Reason("system_held", words, step.name, as_datetime(until)))
    return reasons


def _service(situation: Situation, *, only_missing: bool) -> list[Reason]:
    """Whether a live worker serves its queue and template, and has room."""
    run, app = situation.run, situation.app or "module:attribute"
    live = [w for w in situation.workers if w.state != "draining" and not _silent(situation, w)]
    here = [w for w in live if run.queue in w.queues]
    if not here:
        words = f"no live worker serves queue {run.queue!r}."
        queues = "" if run.queue == "default" else f" --queues {run.queue}"
        start = (
            f" Start one in another terminal:  tasker worker --app {app}{queues}   (or, in this process:"
            f" with app.worker(): …)"
        )
        return [Reason("queue_unserved", words + start)]
    knowing = [w for w in here if run.plan.template_id in w.templates]
    if not knowing:
        akin = [w for w in here if set(w.templates) & set(situation.siblings)]
        if akin:
            words = (
                f"worker {akin[0].place} knows {run.plan.ref.partition('@')[0]}, but not the shape this"
                f" task was enqueued with: a step has no handler there. Start a worker with the code of"
                f" {run.plan.ref}, or say serves=[…]"
            )
            return [Reason("handler_missing", words)]
        words = (
            f"no live worker knows {run.plan.ref} ({len(here)} serve queue {run.queue!r}). Start one whose"
            f" app defines it:  tasker worker --app {app}"
        )
        return [Reason("template_unserved", words)]
    return [] if only_missing else _due(situation, knowing)


def _due(situation: Situation, knowing: Sequence[Neighbour]) -> list[Reason]:
    run = situation.run
    if run.crashes >= situation.crash_limit - 1 and run.crashes:
        return [
            Reason(
                "suspect",
                f"its worker died {run.crashes} times while it ran: it is started alone, as soon as a worker"
                f" has no other suspect",
            )
        ]
    if not any(w.free for w in knowing):
        slots = sum(w.concurrency for w in knowing)
        words = f"every live worker of queue {run.queue!r} is full ({len(knowing)} with {slots} slots)"
        return [Reason("queue_full", words + (f"; {situation.ahead} tasks go first" if situation.ahead else ""))]
    if situation.ahead:
        return [Reason("priority", f"it is due, behind {situation.ahead} tasks of higher priority or longer waiting")]
    return []


def _owned(situation: Situation) -> list[Reason]:
    run = situation.run
    owner = next((w for w in situation.workers if w.id == situation.owner), None)
    if owner is None or _silent(situation, owner):
        return [_owner_silent(situation, owner)]
    reasons = [_running(situation, i, owner) for i in sorted(run.running)]
    reasons += _retries(situation) + _held(situation)
    ready = [i for i in sorted(run.viable) if run.plan.steps[i].policy.system not in situation.held]
    if ready and run.state is not TaskState.PAUSED:
        names = ", ".join(repr(run.plan.steps[i].name) for i in ready[:3]) + (" …" if len(ready) > 3 else "")
        if owner.free:
            reasons.append(
                Reason(
                    "running",
                    f"{_steps(ready)} {names} runs at worker {owner.place}, or is about to",
                    run.plan.steps[ready[0]].name,
                )
            )
        else:
            reasons.append(
                Reason(
                    "slots_busy",
                    f"{_steps(ready)} {names} waits for a slot: all {owner.concurrency} of worker {owner.place}"
                    f" are busy",
                    run.plan.steps[ready[0]].name,
                )
            )
    if not reasons:
        reasons.append(Reason("running", f"worker {owner.place} owns it and settles it in its next turn"))
    return reasons


def _owner_silent(situation: Situation, owner: Neighbour | None) -> Reason:
    if owner is None:
        return Reason(
            "owner_silent", "its worker is gone; its neighbours free it at their next look, within the worker timeout"
        )
    rescue = owner.heartbeat_at + situation.timeout
    due = (
        f"rescue is due at {_clock(rescue)}" if rescue > situation.now else "rescue is due now: any live worker does it"
    )
    return Reason(
        "owner_silent",
        f"its worker {owner.place} is silent since {_clock(owner.heartbeat_at)}; {due}",
        None,
        as_datetime(rescue),
    )


def _running(situation: Situation, i: int, owner: Neighbour) -> Reason:
    run = situation.run
    s, step = run.step(i), run.plan.steps[i]
    since = _ago(situation.now - s.started_at) if s.started_at is not None else "a moment"
    words = f"step {step.name!r} runs at worker {owner.place} for {since} (attempt {s.attempt})"
    if step.policy.timeout is not None and s.started_at is not None:
        words += f"; it times out after {step.policy.timeout:g} s"
        return Reason("running", words, step.name, as_datetime(s.started_at + step.policy.timeout))
    return Reason("running", words, step.name)


def _of_step(situation: Situation, name: str) -> list[Reason]:
    run = situation.run
    i = run.plan.index(name)
    state = run.state_of(i)
    if state in STEP_SATISFIED or state in (StepState.ERROR, StepState.CANCELLED):
        return []
    missing = [p for p in run.plan.graph.parents[i] if run.state_of(p) not in STEP_SATISFIED]
    if missing:
        return [_parent(run, name, p) for p in missing]
    mine = [reason for reason in why(situation) if reason.step in (name, None)]
    return mine or [Reason("starts_at", f"step {name!r} may run; its task is looked at within 2 s", name)]


def _parent(run: TaskRun, name: str, parent: int) -> Reason:
    state = run.state_of(parent)
    words = f"step {name!r} waits for its parent {run.plan.steps[parent].name!r}, which is {state}"
    return Reason(
        "parent", words + (": it never will unless that is retried" if state is StepState.ERROR else ""), name
    )


def _silent(situation: Situation, worker: Neighbour) -> bool:
    return worker.state not in ("alive", "draining") or situation.now - worker.heartbeat_at > situation.timeout


def _message(error: Any) -> str:
    facts = json.loads(error) if isinstance(error, str) else error or {}
    text = " ".join(str(facts.get("message") or facts.get("code") or "no message").split())
    return text if len(text) <= 160 else text[:159] + "…"


def _steps(ready: Sequence[int]) -> str:
    return "step" if len(ready) == 1 else f"{len(ready)} steps:"


def _clock(at: float) -> str:
    """Local time with offset, for people."""
    return datetime.fromtimestamp(at).astimezone().isoformat(sep=" ", timespec="seconds")


def _ago(span: float) -> str:
    """A duration in words."""
    span = max(0.0, span)
    if span < 120:
        return f"{span:.1f} s" if span < 10 else f"{span:.0f} s"
    if span < 7_200:
        return f"{span / 60:.0f} min"
    return f"{span / 3_600:.0f} h" if span < 172_800 else f"{span / 86_400:.0f} d"
