"""Old shapes: whether today's handlers can run them, and the registry of versions."""

from __future__ import annotations

from typing import Any

import pytest

from tasker.definition.policy import Policy, StepPolicy
from tasker.definition.registry import Registry
from tasker.definition.retry import Backoff, Retry
from tasker.definition.shape import Shape, StepShape
from tasker.definition.template import Draft
from tasker.errors import Duplicate, NotFound


def today(pen: Any) -> Any:
    @pen.step
    def fetch_order() -> int: ...

    @pen.step
    def ask_dhl() -> int: ...

    @pen.step(inputs={"order": fetch_order, "offers": [ask_dhl]})
    def report_tax(order: int, offers: dict[str, int]) -> None: ...

    return pen.seal()


TAX = StepShape("report_tax", inputs=(("order", "fetch_order"), ("offers", ("fetch_order",))))


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((StepShape("fetch_order"), TAX), None),
        ((StepShape("fetch_order"),), None),
        ((StepShape("fetch_order"), StepShape("ask_ups")), "step 'ask_ups' has no handler here"),
        (
            (StepShape("fetch_order"), StepShape("report_tax", inputs=(("offers", ("fetch_order",)),))),
            "step 'report_tax': its handler wants 'order', which that shape does not give",
        ),
        (
            (StepShape("fetch_order"), StepShape("report_tax", inputs=(("order", ("fetch_order",)), TAX.inputs[1]))),
            "step 'report_tax': that shape gives its handler 'order' from several steps",
        ),
    ],
)
def test_a_stored_shape_can_be_served_or_not(pen: Any, steps: tuple[StepShape, ...], reason: str | None) -> None:
    """An old shape is served when each of its steps has a handler that gets all it wants."""
    assert today(pen).can_serve(Shape(steps)) == reason


def test_a_handler_gets_inputs_along_the_old_graph(pen: Any) -> None:
    """Under an old shape a parameter comes from the step that the old shape names."""
    sealed = today(pen)
    given = sealed.handlers["report_tax"].arguments(dict(TAX.inputs), "{}", {"fetch_order": "1"}, None)
    assert given == {"order": 1, "offers": {"fetch_order": 1}}


def test_a_policy_comes_back_from_the_database() -> None:
    """A policy read without the code has all its numbers; classes and functions are dropped."""
    steps = {
        "plain": StepPolicy(
            retry=Retry(5, Backoff(first=0.5)), timeout=3, config={"a": [1]}, results_schema={"type": "null"}
        ),
        "listed": StepPolicy(retry=Retry(backoff=Backoff.of([1, 5]))),
        "coded": StepPolicy(retry=Retry(backoff=Backoff.by(float), permanent=(ValueError,))),
    }
    policy = Policy("stop", "orders", 5, 60, "text", {"type": "object"}, steps)
    back = Policy.from_json(policy.to_json())
    assert back.steps["plain"] == steps["plain"]
    assert back.steps["listed"] == steps["listed"]
    assert back.steps["coded"] == StepPolicy()
    assert (back.on_failure, back.queue, back.priority, back.deadline) == ("stop", "orders", 5, 60)
    assert '"permanent":["builtins:ValueError"]' in policy.to_json()
    assert Policy.from_json(back.to_json()) == back


def registry(*refs: str) -> Registry:
    made = Registry()
    for ref in refs:
        name, _, version = ref.partition("@")
        namespace, _, name = name.rpartition("/")
        made.add(Draft(name, namespace=namespace or "default", version=version))
    return made


@pytest.mark.parametrize(
    ("versions", "newest"),
    [
        (["1.9", "1.10"], "1.10"),
        (["1.10", "1.9"], "1.10"),
        (["1.0", "1.0rc1"], "1.0"),
        (["1.0", "1.0.post1"], "1.0.post1"),
        (["2026.11.0", "9.0"], "2026.11.0"),
    ],
)
def test_the_newest_version_is_the_default(versions: list[str], newest: str) -> None:
    """Without a version a name means the newest, by the order of PEP 440 and not by string."""
    assert registry(*(f"shop/fulfil@{version}" for version in versions)).get("shop/fulfil").version == newest


def test_templates_are_found_by_name_and_version() -> None:
    """A name without namespace is in `default`; a version may follow."""
    made = registry("fulfil@1.0", "shop/fulfil@1.0", "shop/fulfil@2.0")
    assert made.get("fulfil").ref == "default/fulfil@1.0"
    assert made.get("shop/fulfil@1.0").ref == "shop/fulfil@1.0"
    assert [draft.ref for draft in made.all()] == ["default/fulfil@1.0", "shop/fulfil@1.0", "shop/fulfil@2.0"]


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("shop/fulfill_order", "there is no template 'shop/fulfill_order'. Did you mean 'shop/fulfil_order'?"),
        ("fulfil_order", "Did you mean 'shop/fulfil_order'?"),
        ("zzz", "there is no template 'zzz'. Templates: shop/fulfil_order, nightly"),
        ("shop/fulfil_order@3", "shop/fulfil_order has no version '3'. Versions: 1.0"),
    ],
)
def test_an_unknown_template_is_not_found(ref: str, said: str) -> None:
    """A template that does not exist is not found, with the nearest spelling or the versions there are."""
    with pytest.raises(NotFound) as refused:
        registry("shop/fulfil_order@1.0", "nightly@1.0").get(ref)
    assert said in str(refused.value)


def test_the_same_template_twice_is_refused() -> None:
    """Namespace, name and version are taken once."""
    with pytest.raises(Duplicate, match=r"there is already a template shop/fulfil@1\.0"):
        registry("shop/fulfil@1.0", "shop/fulfil@1.0")
