"""Options of steps and templates: each acts or is refused, with what to write instead."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from tasker.definition.retry import Backoff, Retry
from tasker.definition.template import Draft
from tasker.errors import DefinitionError, NotFound, UnknownOption, UnknownParent


def handler() -> None:
    """Say hello.

    At length.
    """


OPTIONS = "Options: after, inputs, config, retry, timeout, system, priority, run_in, max_wait, name, description"


def test_every_option_of_a_step_acts(pen: Any) -> None:
    """What is said of a step is in its policy."""
    pen.step(
        handler,
        config={"carrier": "dhl", "sizes": (1, 2)},
        retry=Retry(max_attempts=5),
        timeout=timedelta(minutes=1),
        system="tax",
        priority=-3,
        max_wait=60,
        description="says hello",
        name="hello",
    )
    policy = pen.seal().policy.steps["hello"]
    assert policy.config == {"carrier": "dhl", "sizes": [1, 2]}
    assert (policy.retry.max_attempts, policy.timeout, policy.system, policy.priority) == (5, 60, "tax", -3)
    assert (policy.max_wait, policy.description, policy.run_in) == (60, "says hello", "auto")


def test_every_option_of_a_template_acts(a_template: Callable[..., Any]) -> None:
    """What is said of a template is in what it is sealed into."""
    pen = a_template(
        "fulfil_order",
        namespace="shop",
        version="1.1.0",
        serves=["1.0.0"],
        description="from paid to shipped",
        on_failure="stop",
        result="handler",
        identity="context",
        identity_window=timedelta(days=1),
        deadline=3600,
        queue="orders",
        priority=7,
        retry=Retry(max_attempts=9),
        timeout=10,
    )
    pen.step(handler)
    pen.step(handler, name="own", retry=Retry(), timeout=1)
    sealed = pen.seal()
    assert (sealed.ref, sealed.full_name, sealed.serves) == ("shop/fulfil_order@1.1.0", "shop/fulfil_order", ("1.0.0",))
    assert (sealed.shape.result, sealed.identity_window) == ("handler", 86_400)
    policy = sealed.policy
    assert (policy.on_failure, policy.deadline, policy.queue, policy.priority) == ("stop", 3600, "orders", 7)
    assert policy.description == "from paid to shipped"
    assert [(step.retry.max_attempts, step.timeout) for step in policy.steps.values()] == [(9, 10), (3, 1)]


def test_defaults_are_those_of_the_documentation(pen: Any) -> None:
    """Without options: three attempts, no limits, queue `default`, the docstring's first line."""
    pen.step(handler)
    sealed = pen.seal()
    step = sealed.policy.steps["handler"]
    assert (step.retry, step.timeout, step.system, step.priority, step.max_wait) == (Retry(), None, None, 0, None)
    assert (step.description, dict(step.config)) == ("Say hello.", {})
    assert (sealed.policy.on_failure, sealed.policy.queue, sealed.version) == ("finish_branches", "default", "0.1.0")


def test_a_habit_from_elsewhere_is_answered_with_what_to_write(pen: Any) -> None:
    """`max_retries=3` is answered with `Retry(max_attempts=4)` and all options."""
    with pytest.raises(UnknownOption) as refused:
        pen.step(handler, name="reserve_stock", max_retries=3)
    assert str(refused.value) == (
        "step 'reserve_stock': no option 'max_retries'. Write retry=Retry(max_attempts=4): attempts include the first. "
        + OPTIONS
    )


@pytest.mark.parametrize(
    ("option", "value", "advice"),
    [
        ("retries", 2, "max_attempts=3"),
        ("max_attempts", 5, "Write retry=Retry(max_attempts=5)"),
        ("retryable", False, "Write retry=Retry(retryable=False)"),
        ("backoff", 2, "Write retry=Retry(backoff=Backoff(first=…))"),
        ("depends_on", ["a"], "Write after=[…]"),
        ("time_limit", 5, "Write timeout=5"),
        ("bind", True, "StepContext"),
        ("timeuot", 5, "Did you mean 'timeout'?"),
        ("descripton", "x", "Did you mean 'description'?"),
    ],
)
def test_unknown_options_of_a_step_are_refused(pen: Any, option: str, value: Any, advice: str) -> None:
    """An option that means nothing is refused with its nearest spelling, or what to write for it."""
    with pytest.raises(UnknownOption) as refused:
        pen.step(handler, **{option: value})
    assert advice in str(refused.value)
    assert f"no option '{option}'" in str(refused.value)


def test_a_step_has_no_queue_of_its_own(pen: Any) -> None:
    """`queue` is an option of templates only, and of a step it is refused, not ignored."""
    with pytest.raises(UnknownOption, match="no option 'queue'"):
        pen.step(handler, queue="heavy")


def test_unknown_options_of_a_template_are_refused() -> None:
    """A template's keyword that means nothing is refused with its nearest spelling and the list."""
    with pytest.raises(UnknownOption, match=r"template 'x': no option 'on_error'.*Options: name, namespace, version"):
        Draft("x", on_error="stop")
    with pytest.raises(UnknownOption, match="Did you mean 'priority'"):
        Draft("x", prioritiy=5)


@pytest.mark.parametrize("priority", [101, -101, True, 1.0, "5", None])
def test_priorities_out_of_range_are_refused(pen: Any, priority: Any) -> None:
    """A priority is a whole number from -100 to 100, and True is none."""
    for write in (lambda: pen.step(handler, priority=priority), lambda: Draft("x", priority=priority)):
        with pytest.raises(DefinitionError, match="write a whole number from -100 to 100"):
            write()


@pytest.mark.parametrize("duration", [-1, math.nan, math.inf, "10", True, timedelta(seconds=-1)])
@pytest.mark.parametrize("option", ["timeout", "max_wait"])
def test_durations_of_a_step_are_checked(pen: Any, option: str, duration: Any) -> None:
    """A duration is a number of seconds or a timedelta, finite and not negative."""
    with pytest.raises(DefinitionError, match=f"step 'handler' .*{option}.*write seconds"):
        pen.step(handler, **{option: duration})


@pytest.mark.parametrize("option", ["timeout", "deadline", "identity_window"])
def test_durations_of_a_template_are_checked(option: str) -> None:
    """A template's durations are checked alike, and none of them may be 0."""
    with pytest.raises(DefinitionError, match=f"template 'x': {option}.*write seconds"):
        Draft("x", **{option: -1})
    with pytest.raises(DefinitionError, match=f"{option}=0 leaves no time"):
        Draft("x", **{option: 0})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retry": 3}, r"retry=3 is no Retry\. Write retry=Retry\(max_attempts=3\)"),
        ({"retry": Backoff()}, "is no Retry"),
        ({"config": ["a"]}, "write a dict"),
        ({"config": {"when": object()}}, r"config holds an object at \$\.when"),
        ({"config": {1: 2}}, "config holds the key 1"),
        ({"system": ""}, "system='': write a name"),
        ({"system": 5}, "system=5: write a name"),
        ({"run_in": "proces"}, 'write "auto" or "process". Did you mean \'process\''),
        ({"description": 5}, "description=5: write a string"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(pen: Any, options: dict[str, Any], said: str) -> None:
    """Each option of a step is checked where it is written, and the refusal says what to write."""
    with pytest.raises(DefinitionError, match=said):
        pen.step(handler, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "a/b"}, "template 'a/b': a name is"),
        ({"name": 5}, "a name is a string"),
        ({"namespace": ""}, "namespace '': a name is"),
        ({"version": 1.1}, 'write version="1.1"'),
        ({"version": "latest"}, "is no version"),
        ({"version": " 1.0"}, "holds spaces"),
        ({"serves": "1.0.0"}, r'write a list of versions, e\.g\. serves=\["1\.0\.0"\]'),
        ({"serves": ["0.1.0"]}, "its own version"),
        ({"serves": [1]}, "serves: version 1 is not a string"),
        ({"on_failure": "halt"}, 'write "finish_branches" or "stop"'),
        ({"queue": ""}, "queue='': write a name"),
        ({"retry": 5}, "is no Retry"),
        ({"result": 5}, "result=5"),
        ({"identity": "order_id"}, 'write "context", or a function'),
        ({"identity": 5}, 'write "context", or a function'),
        ({"context": int}, "context=int: write a pydantic model, dataclass or TypedDict"),
        ({"context": dict[str, int]}, "leave it out where any dict will do"),
        ({"context_schema": "object"}, "write a JSON Schema as a dict"),
        ({"description": None}, "description=None: write a string"),
    ],
)
def test_values_of_a_template_of_the_wrong_kind_are_refused(options: dict[str, Any], said: str) -> None:
    """Each option of a template is checked where it is written, and the refusal says what to write."""
    with pytest.raises(DefinitionError, match=said):
        Draft(**{"name": "x", **options})


def test_a_model_and_a_schema_are_refused_together() -> None:
    """`context` and `context_schema` say the same and are not written both."""

    class Order(BaseModel):
        order_id: int

    with pytest.raises(DefinitionError, match="say the same twice"):
        Draft("x", context=Order, context_schema={})


def test_config_cannot_be_changed_from_outside(pen: Any) -> None:
    """A step keeps its config as it was when the step was written."""
    config = {"sizes": [1]}
    pen.step(handler, config=config)
    config["sizes"].append(2)
    assert pen.seal().policy.steps["handler"].config == {"sizes": [1]}


def test_the_result_must_be_a_step(a_template: Callable[..., Any]) -> None:
    """A `result` that is no step is refused when the template is sealed, with its nearest spelling."""
    pen = a_template(result="handlr")
    pen.step(handler)
    with pytest.raises(UnknownParent, match=r"result='handlr' is not one of its steps\. Did you mean 'handler'"):
        pen.seal()


def test_a_template_without_steps_is_refused(pen: Any) -> None:
    """A template without steps cannot be sealed."""
    with pytest.raises(DefinitionError, match="template shop/fulfil_order has no steps"):
        pen.seal()


def test_no_step_is_added_after_sealing(pen: Any) -> None:
    """Once sealed a template takes no step, and sealing again gives the same."""
    pen.step(handler)
    sealed = pen.seal()
    with pytest.raises(DefinitionError, match="shop/fulfil_order is sealed"):
        pen.step(handler, name="late")
    assert pen.seal() is sealed


def test_an_unknown_step_is_not_found(pen: Any) -> None:
    """Asking for a step that does not exist gives its nearest spelling."""
    pen.step(handler)
    with pytest.raises(NotFound, match=r"shop/fulfil_order has no step 'handlr'\. Did you mean 'handler'"):
        pen.draft.steps_of("handlr")
    with pytest.raises(NotFound, match="has no step 'len'"):
        pen.draft.steps_of(len)


def test_run_in_process_needs_an_importable_plain_function(pen: Any) -> None:
    """A process handler is a plain function at the top level of its module."""
    pen.step(handler, run_in="process")
    assert pen.seal().handlers["handler"].kind == "process"


def test_an_async_process_handler_is_refused(pen: Any) -> None:
    """An async function has nothing to do in another process."""

    async def summarise() -> None: ...

    with pytest.raises(DefinitionError, match="write def instead of async def"):
        pen.step(summarise, run_in="process")


def test_a_local_process_handler_is_refused(pen: Any) -> None:
    """A function inside another one cannot be imported by another process."""

    def local() -> None: ...

    pen.step(local, run_in="process")
    with pytest.raises(DefinitionError, match="move it to the top level of its module"):
        pen.seal()
