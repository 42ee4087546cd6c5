"""What type checkers must refuse: an ignore that is not needed fails the check."""

from __future__ import annotations

from define import Parcel, Roll, Sheet, app, bathe, develop

from tasker import Retry, Tasker, events

# Another template's context.
develop.enqueue(Sheet(frames=1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
develop.enqueue()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
develop.enqueue_many([Sheet(frames=1)])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
parcel = app.template("parcel", context=Parcel)
parcel.enqueue({"addres": ""})  # type: ignore[typeddict-item, typeddict-unknown-key]  # pyright: ignore[reportArgumentType]

# Options that do not exist, or are of the wrong kind.
develop.enqueue(Roll(roll_id=1), priorty=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
develop.step(bathe, timeot=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
develop.step(timeout="10 s")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
app.template("x", on_failure="ignore")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Retry(max_attemps=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
app.operate("delete", q="state:error", reason="")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Tasker(concurency=4)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# People say why.
app.task("1").cancel()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# A template has no list of steps to change.
develop.steps = []  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


@app.on(events.TaskFailed)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def tell(event: events.StepRetrying) -> None: ...
