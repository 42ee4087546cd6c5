"""Sealing: annotations are resolved and compared, once, before any task is enqueued."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    Secret,
    SecretBytes,
    SecretStr,
)

from tasker.errors import DefinitionError

if TYPE_CHECKING:
    from decimal import Decimal as Unseen


class ShopOrder(BaseModel):
    order_id: int
    total: Decimal = Decimal(0)
    lines: list[str] = []


class Narrow(BaseModel):
    order_id: int


class Reservation(BaseModel):
    reservation_id: str


class Plain:
    pass


def parent_and_child(pen: Any, returns: Any, wants: Any, fan_in: bool = False) -> None:
    """Write a step that returns one type and one that wants another, and seal."""

    def fetch_order() -> Any: ...
    def notify(fetch_order: Any) -> None: ...

    fetch_order.__annotations__["return"] = returns
    notify.__annotations__["fetch_order"] = wants
    pen.step(fetch_order)
    pen.step(notify, inputs={"fetch_order": ["fetch_order"]} if fan_in else {})
    pen.seal()


def test_types_that_do_not_meet_are_refused(pen: Any) -> None:
    """A parameter that needs a field its parent does not have is refused, with what to write instead."""

    @pen.step
    def fetch_order() -> ShopOrder: ...

    @pen.step
    def reserve_stock(fetch_order: ShopOrder) -> Reservation: ...

    @pen.step
    def notify(fetch_order: Reservation) -> None: ...

    with pytest.raises(DefinitionError) as refused:
        pen.seal()
    assert str(refused.value) == (
        "step 'notify': parameter 'fetch_order' is a Reservation and needs 'reservation_id', which ShopOrder (returned "
        "by step 'fetch_order') does not have. Annotate it ShopOrder, or take it from another step: "
        'inputs={"fetch_order": reserve_stock}'
    )


@pytest.mark.parametrize(
    ("returns", "wants"),
    [
        (ShopOrder, Narrow),
        (ShopOrder, ShopOrder | None),
        (ShopOrder | None, Narrow),
        (ShopOrder, dict[str, Any]),
        (ShopOrder, dict),
        (ShopOrder, Any),
        (dict[str, Any], ShopOrder),
        (Any, ShopOrder),
        (int, float),
        (float, int),
        (Decimal, float),
        (Decimal, str),
        (Decimal, Decimal),
        (datetime, str),
        (str, datetime),
        (int, timedelta),
        (timedelta, timedelta),
        (list[int], tuple[int, ...]),
        (set[int], list[int]),
        (list[ShopOrder], list[Reservation]),  # an empty list fits both
        (Literal["a"], str),
        (int | str, str),
        (Reservation | ShopOrder, Narrow),
    ],
)
def test_types_that_may_meet_are_fine(pen: Any, returns: Any, wants: Any) -> None:
    """A narrower model, a wider type, and all that some value can pass, is allowed."""
    parent_and_child(pen, returns, wants)


@pytest.mark.parametrize(
    ("returns", "wants", "said"),
    [
        (
            ShopOrder,
            list[int],
            "is a list[int] and wants a list, but ShopOrder (returned by step 'fetch_order') is an object",
        ),
        (int, ShopOrder, "is a ShopOrder and wants an object, but int (returned by step 'fetch_order') is an integer"),
        (str, int, "is an int and wants an integer, but str (returned by step 'fetch_order') is a string"),
        (list[int], str, "wants a string, but list[int]"),
        (bool, list[int], "is true or false"),
        (ShopOrder | None, Reservation, "needs 'reservation_id', which ShopOrder | None (returned by"),
        (ShopOrder, Reservation | None, "needs 'reservation_id'"),
        (
            int | str,
            list[int] | dict[str, int],
            "wants a list or an object, but int | str (returned by step 'fetch_order')",
        ),
        (Literal[1, "a"], list[int], "wants a list, but Literal[1, 'a']"),
        (date, ShopOrder, "is a string"),
    ],
)
def test_types_that_never_meet_are_refused(pen: Any, returns: Any, wants: Any, said: str) -> None:
    """Where no value can pass, because the kinds of JSON differ or a field is missing, sealing refuses."""
    with pytest.raises(DefinitionError) as refused:
        parent_and_child(pen, returns, wants)
    assert said in str(refused.value)


def test_a_field_of_another_kind_is_refused_with_its_path(pen: Any) -> None:
    """A field that the parent always writes as another kind than the child reads is refused."""

    class Total(BaseModel):
        total: list[int]

    class Outer(BaseModel):
        inner: Total

    class Giver(BaseModel):
        inner: ShopOrder

    said = "wants a list at 'inner.total', but Giver (returned by step 'fetch_order') has a string there"
    with pytest.raises(DefinitionError) as refused:
        parent_and_child(pen, Giver, Outer)
    assert said in str(refused.value)


def test_a_parent_that_returns_nothing_is_refused_as_data(pen: Any) -> None:
    """A step annotated `-> None` gives nothing to a parameter; the refusal says `after`."""
    with pytest.raises(DefinitionError, match=r'is nothing\. For order alone write after=\["fetch_order"\]'):
        parent_and_child(pen, None, ShopOrder)


def test_fan_in_is_compared_value_by_value(pen: Any) -> None:
    """A fan-in parameter reads a dict whose values are the parents' results."""
    parent_and_child(pen, ShopOrder, dict[str, Narrow | None], fan_in=True)


@pytest.mark.parametrize(
    ("wants", "said"),
    [
        (dict[str, Reservation], r"needs 'reservation_id'.*Annotate it dict\[str, ShopOrder\]"),
        (list[ShopOrder], "wants a list, but .* an object of results by step name"),
    ],
)
def test_a_fan_in_that_cannot_be_read_is_refused(pen: Any, wants: Any, said: str) -> None:
    """A fan-in whose values do not fit, or that is no dict, is refused."""
    with pytest.raises(DefinitionError, match=said):
        parent_and_child(pen, ShopOrder, wants, fan_in=True)


def test_models_that_change_what_they_read_are_not_judged(pen: Any) -> None:
    """A model with a validator that runs first, or with many aliases, may read anything."""
    parent_and_child(pen, str, Annotated[list[int], BeforeValidator(str.split)])


def test_a_field_read_under_several_names_is_not_judged(pen: Any) -> None:
    """A field with many aliases is not judged by its first one."""

    class Either(BaseModel):
        number: int = Field(validation_alias=AliasChoices("id", "order_id"))

    parent_and_child(pen, ShopOrder, Either)


def test_a_field_read_by_name_or_alias_may_come_by_name(pen: Any) -> None:
    """A model that also reads by field name is not refused for its alias."""

    class ByBoth(BaseModel):
        model_config = ConfigDict(populate_by_name=True)
        order_id: int = Field(alias="orderId")

    parent_and_child(pen, ShopOrder, ByBoth)


def test_a_context_parameter_is_compared_with_the_templates_model(a_template: Callable[..., Any]) -> None:
    """A handler may read less of the context than the model has, but nothing that it never has."""
    pen = a_template(context=ShopOrder)

    @pen.step
    def fine(context: Narrow) -> None: ...

    pen.seal()
    pen = a_template(context=ShopOrder)

    @pen.step
    def wrong(context: Reservation) -> None: ...

    with pytest.raises(
        DefinitionError, match=r"needs 'reservation_id', which ShopOrder \(the template's context\) does not have"
    ):
        pen.seal()


def test_a_name_that_exists_for_type_checkers_only_is_refused(pen: Any) -> None:
    """An annotation imported under `if TYPE_CHECKING` is refused with how to import it."""

    @pen.step
    def fetch_order(context: Any) -> Unseen: ...

    with pytest.raises(DefinitionError) as refused:
        pen.seal()
    said = str(refused.value)
    assert said.startswith("step 'fetch_order' (")
    assert said.endswith(
        "'Unseen' in its annotations does not exist at run time. Is it imported under \"if TYPE_CHECKING:\"? Import it "
        'plainly. (If ruff moved it: leave out "from __future__ import annotations" here, or ignore TC for this file.)'
    )


def test_an_annotation_that_cannot_be_evaluated_is_refused(pen: Any) -> None:
    """An annotation that raises is refused with the step's name."""

    @pen.step
    def fetch_order(context: 1 / 0) -> None: ...  # type: ignore[valid-type]

    with pytest.raises(DefinitionError, match=r"step 'fetch_order' .*cannot be evaluated: division by zero"):
        pen.seal()


def test_local_classes_are_found_in_the_decorators_scope(pen: Any) -> None:
    """Annotations written as strings may name classes that are local to the function that defines the template."""

    class Local(BaseModel):
        order_id: int

    @pen.step
    def fetch_order() -> Local: ...

    @pen.step
    def ship(fetch_order: Local) -> None: ...

    handler = pen.seal().handlers["ship"]
    given = handler.arguments({"fetch_order": "fetch_order"}, "{}", {"fetch_order": '{"order_id": 1}'}, None)
    assert given == {"fetch_order": Local(order_id=1)}


def test_types_that_json_does_not_know_are_refused(pen: Any) -> None:
    """A class that pydantic cannot read is refused, as a parameter and as a result."""

    def one(context: Plain) -> None: ...
    def two() -> Plain: ...

    for handler, said in ((one, "parameter 'context' is annotated Plain"), (two, "it returns Plain")):
        other = type(pen)()
        other.step(handler)
        with pytest.raises(DefinitionError, match=f"{said}, which cannot come from JSON"):
            other.seal()


def test_a_secret_in_the_context_is_refused(a_template: Callable[..., Any]) -> None:
    """A SecretStr in the context's model is refused, for it would be stored as asterisks."""

    class Order(BaseModel):
        order_id: int
        api_key: SecretStr

    pen = a_template(context=Order)
    pen.step(lambda: None, name="a")
    with pytest.raises(DefinitionError) as refused:
        pen.seal()
    assert str(refused.value) == (
        "Order.api_key is a SecretStr. It would be stored as '**********'. "
        "Put a reference in the context and fetch the secret in the handler."
    )


@dataclass
class Login:
    password: SecretBytes | None


class Outer(BaseModel):
    logins: dict[str, list[Login]]


def test_a_secret_deep_inside_is_found(a_template: Callable[..., Any]) -> None:
    """Secrets are found in nested models, dataclasses, unions and containers, and in what a step returns."""
    pen = a_template(context=Outer)
    pen.step(lambda: None, name="a")
    with pytest.raises(DefinitionError, match=r"Login\.password is a SecretBytes"):
        pen.seal()

    def fetch() -> list[Outer]: ...

    pen = a_template()
    pen.step(fetch)
    with pytest.raises(
        DefinitionError, match=r"Login\.password is a SecretBytes.*Return a reference from step 'fetch'"
    ):
        pen.seal()


def test_a_secret_of_any_type_is_found(a_template: Callable[..., Any]) -> None:
    """`Secret[int]` hides its value too, and pydantic's other types do not."""

    class Login(BaseModel):
        port: PositiveInt = 1
        pin: Secret[int]

    pen = a_template(context=Login)
    pen.step(lambda: None, name="a")
    with pytest.raises(DefinitionError, match=r"Login\.pin is a Secret\."):
        pen.seal()


def test_a_model_that_holds_itself_is_fine(a_template: Callable[..., Any]) -> None:
    """A recursive model is no endless loop."""
    pen = a_template(context=Tree)

    @pen.step
    def grow(context: Tree) -> Tree: ...

    @pen.step
    def cut(grow: Tree) -> list[Tree]: ...

    pen.seal()


class Tree(BaseModel):
    children: list[Tree] = []


def test_schemas_of_results_and_context_are_in_the_policy(a_template: Callable[..., Any]) -> None:
    """The JSON Schemas that people's values must fit are kept with the policy."""
    pen = a_template(context=ShopOrder)

    @pen.step
    def reserve() -> Reservation: ...

    @pen.step
    def mail() -> None: ...

    @pen.step
    def free(): ...  # type: ignore[no-untyped-def]

    policy = pen.seal().policy
    assert policy.context_schema is not None
    assert policy.context_schema["required"] == ["order_id"]
    assert policy.steps["reserve"].results_schema is not None
    assert policy.steps["reserve"].results_schema["required"] == ["reservation_id"]
    assert policy.steps["mail"].results_schema == {"type": "null"}
    assert policy.steps["free"].results_schema is None


def test_a_step_context_under_another_name_is_refused(pen: Any) -> None:
    """A StepContext that only the type checker knows by that name must be called `step`."""

    class Facts:
        __step_context__ = True

    @pen.step
    def first() -> None: ...

    @pen.step(inputs={"facts": first})
    def second(facts: Facts) -> None: ...

    with pytest.raises(DefinitionError, match="call it 'step'"):
        pen.seal()


def test_typed_dicts_of_both_modules_are_read(pen: Any) -> None:
    """A TypedDict of `typing` works on every Python, nested and optional keys included."""
    handler = _typed_dict_handler(pen)
    given = handler.arguments({"fetch": "fetch"}, "{}", {"fetch": '{"lines": [{"sku": "a"}]}'}, None)
    assert given == {"fetch": {"lines": [{"sku": "a"}]}}


class Line(typing.TypedDict):
    sku: str
    size: typing.NotRequired[int]


class Lines(typing.TypedDict, total=False):
    lines: list[Line] | None


def _typed_dict_handler(pen: Any) -> Any:
    @pen.step
    def fetch() -> Lines: ...

    @pen.step
    def ship(fetch: Lines) -> None: ...

    return pen.seal().handlers["ship"]


def test_a_thousand_steps_are_sealed_quickly(pen: Any) -> None:
    """Adapters and schemas are built once per annotation, not per step."""
    import time

    def load(context: ShopOrder) -> ShopOrder: ...

    for number in range(1_000):
        pen.step(load, name=f"load_{number}")
    started = time.perf_counter()
    pen.seal()
    assert time.perf_counter() - started < 1
