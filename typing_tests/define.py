"""Defining: a template knows its context; `step` gives every function back as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypedDict, assert_type

from pydantic import BaseModel

from tasker import Backoff, PermanentError, Retry, RetryableError, Skip, StepContext, Tasker, Template, Wait
from tasker.handlers import command, http


class Roll(BaseModel):
    """A film to be developed, as a pydantic model."""

    roll_id: int
    push: int = 0


@dataclass
class Sheet:
    """A contact sheet, as a dataclass."""

    frames: int


class Parcel(TypedDict):
    """A parcel, as a TypedDict."""

    address: str


class Negatives(BaseModel):
    frames: list[str]


class Scan(BaseModel):
    frame: str
    bytes: int


class LampBroken(Exception): ...


app = Tasker("sqlite:////var/lib/lab/tasker.db", concurrency=4, queues=["lab"], grace_seconds=timedelta(minutes=1))

develop = app.template(
    "develop",
    namespace="lab",
    version="2.1.0",
    serves=["2.0.0"],
    context=Roll,
    description="From a roll to prints in the post",
    on_failure="stop",
    result="post",
    identity=lambda roll: f"roll-{roll.roll_id}",
    identity_window=timedelta(days=30),
    deadline=timedelta(days=7),
    queue="lab",
    priority=10,
    retry=Retry(max_attempts=5, backoff=Backoff(first=0.5, cap=timedelta(minutes=5)), permanent=(LampBroken,)),
    timeout=30,
)
assert_type(develop, Template[Roll])
assert_type(app.template("contact_sheet", context=Sheet), Template[Sheet])
assert_type(app.template("send", context=Parcel), Template[Parcel])
assert_type(app.template("sweep"), Template[dict[str, Any]])
assert_type(app.template("strict", context_schema={"type": "object"}), Template[dict[str, Any]])
assert_type(app.load("lab/*.yaml", modules=["lab"]), list[Template[dict[str, Any]]])
assert_type(develop.ref, str)
assert_type(develop.check(), None)

assert_type(Backoff.of([1, timedelta(seconds=5), 30.0]), Backoff)
assert_type(Backoff.by(lambda attempt: attempt * 2.0), Backoff)


@develop.step
def bathe(context: Roll) -> Negatives:
    if context.push > 3:
        raise PermanentError("pushed too far", code="too_far", details={"push": context.push})
    return Negatives(frames=["1", "1A"])


@develop.step(system="scanner", retry=Retry(retryable=False), timeout=timedelta(seconds=10), priority=-5)
async def scan(bathe: Negatives, step: StepContext) -> list[Scan]:
    if step.attempt > 1:
        raise RetryableError("the scanner is warm", retry_after=timedelta(seconds=3))
    return [Scan(frame=frame, bytes=1) for frame in bathe.frames]


@develop.step(inputs={"negatives": bathe}, after=[scan, "bathe"], config={"paper": "matt"}, max_wait=timedelta(days=1))
def print_all(negatives: Negatives, step: StepContext) -> int | None:
    if step.config["paper"] == "none":
        raise Skip("nobody wants prints")
    if not negatives.frames:
        raise Wait(timedelta(hours=1), "paper is on its way")
    return len(negatives.frames)


def ask(bathe: Negatives, step: StepContext) -> float:
    return float(step.config["carrier"] == "post")


carriers = ["post", "pigeon"]
for carrier in carriers:
    develop.step(ask, name=f"ask_{carrier}", config={"carrier": carrier}, run_in="process")


@develop.step(inputs={"offers": [f"ask_{carrier}" for carrier in carriers]}, description="The cheapest carrier")
def choose(offers: dict[str, float | None]) -> str:
    return min(offers, key=lambda name: offers[name] or 0.0)


@develop.step(name="post", after=[choose])
def post() -> None: ...


# A function is what it was: called in a unit test, shared by two templates, typed.
assert_type(bathe(Roll(roll_id=1)), Negatives)
assert_type(choose({"post": 4.5}), str)
shared: Callable[[Roll], Negatives] = app.template("proof", context=Roll).step(bathe)
named: Callable[[Negatives, StepContext], float] = develop.step(ask, name="ask_again")


async def by_hand(step: StepContext) -> None:
    assert_type(await scan(Negatives(frames=[]), step), list[Scan])


# Ready handlers are steps like others.
develop.step(http("POST", "https://lab.example/{context.roll_id}", json={"n": "{results.print_all}"}), name="report")
develop.step(command(["convert", "{context.roll_id}.tif"], env={"LANG": "C"}, retry_exit=(75, 111)), name="convert")


def facts(step: StepContext) -> None:
    """What a handler may know and say."""
    assert_type(step.task_id, str)
    assert_type(step.attempt, int)
    assert_type(step.max_attempts, int)
    assert_type(step.idempotency_key, str)
    assert_type(step.config, Mapping[str, Any])
    assert_type(step.remaining, float | None)
    assert_type(step.cancelled, bool)
    assert_type(step.heartbeat(), None)
    step.progress(0.5, "half of the frames")
    step.annotate("carrier", {"name": "post"})
    step.log.info("bathed")
    step.results("bathe")
    step.results(bathe)


mode: Literal["finish_branches", "stop"] = "stop"
assert_type(app.template("choosy", on_failure=mode), Template[dict[str, Any]])
