"""What goes into a handler and comes out of it: JSON text, through the annotations."""

from __future__ import annotations

import gc
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, BeforeValidator

from tasker.definition.signature import Handler, InvalidInput, InvalidResult


class ShopOrder(BaseModel):
    order_id: int
    total: Decimal = Decimal(0)


class Response:
    def json(self) -> None: ...


NOT_RETRIED = "Not retried: the call itself succeeded."


@pytest.fixture
def ship(pen: Any) -> Handler:
    """A handler with one of each kind of parameter."""

    @pen.step
    def fetch_order() -> ShopOrder | None: ...

    @pen.step
    def quote(): ...  # type: ignore[no-untyped-def]

    @pen.step(inputs={"order": fetch_order, "all": [fetch_order, quote], "maybe": fetch_order})
    def ship(context: dict[str, int], order: ShopOrder, maybe: ShopOrder | None, all: dict[str, Any], quote, step): ...  # type: ignore[no-untyped-def]

    handler: Handler = pen.seal().handlers["ship"]
    return handler


def arguments(handler: Handler, context: str = "{}", fetch_order: str | None = None, quote: str | None = None) -> Any:
    return handler.arguments(handler.sources, context, {"fetch_order": fetch_order, "quote": quote}, "facts")


def test_each_parameter_is_read_through_its_annotation(ship: Handler) -> None:
    """Inputs come from JSON text through the annotations; without one they are what JSON made of them."""
    given = arguments(ship, '{"a": 1}', '{"order_id": 17, "total": "1.50"}', "[1]")
    order = ShopOrder(order_id=17, total=Decimal("1.50"))
    assert given == {
        "context": {"a": 1},
        "order": order,
        "maybe": order,
        "all": {"fetch_order": {"order_id": 17, "total": "1.50"}, "quote": [1]},
        "quote": [1],
        "step": "facts",
    }


def test_no_parameters_no_work(pen: Any) -> None:
    """A handler without parameters gets none, whatever there is."""
    pen.step(lambda: None, name="a")
    assert pen.seal().handlers["a"].arguments({}, "{", {}, None) == {}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (
            {"fetch_order": '{"order_id": "x", "total": "y"}'},
            (
                "step 'ship': parameter 'order' (results of step 'fetch_order') does not fit ShopOrder: "
                "order_id: expected an integer, got 'x'; total: expected a decimal number, got 'y'"
            ),
        ),
        (
            {"context": '{"a": "x"}', "fetch_order": '{"order_id": 1}'},
            (
                "step 'ship': parameter 'context' (the context) does not fit dict[str, int]: "
                "a: expected an integer, got 'x'"
            ),
        ),
        (
            {},
            (
                "step 'ship': parameter 'order': step 'fetch_order' has no results, and ShopOrder does not allow None. "
                "Annotate it ShopOrder | None"
            ),
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused(ship: Handler, texts: dict[str, str], said: str) -> None:
    """What does not fit its annotation is refused with parameter, source and every fault."""
    with pytest.raises(InvalidInput) as refused:
        arguments(ship, **texts)
    assert str(refused.value) == said


def test_a_validator_that_raises_is_refused_input(pen: Any) -> None:
    """A validator that raises whatever it likes makes the input refused, and allows no None."""

    def broken(value: Any) -> Any:
        raise KeyError("rate")

    @pen.step
    def fetch() -> int: ...

    @pen.step
    def ship(fetch: Annotated[int, BeforeValidator(broken)]) -> None: ...

    sealed = pen.seal()
    handler = sealed.handlers["ship"]
    with pytest.raises(InvalidInput, match="KeyError: 'rate'"):
        handler.arguments({"fetch": "fetch"}, "{}", {"fetch": "1"}, None)
    assert not handler.accepts_none("fetch")


def test_the_policy_tells_which_parents_a_step_needs(pen: Any) -> None:
    """Parents whose results a handler cannot do without are in the policy, for processes without the code."""
    for name in ("a", "b", "c", "d"):
        pen.step(lambda: 1, name=name)

    @pen.step(inputs={"all": ["c", "d"]}, after=["d"])
    def ship(a: int, b: int | None, all: dict[str, int]) -> None: ...

    assert pen.seal().policy.steps["ship"].needs == ("a", "c", "d")


def test_who_allows_none_is_known(ship: Handler) -> None:
    """A parent without results is allowed where the parameter allows None, or says nothing."""
    allowed = {name: ship.accepts_none(name) for name in ("order", "maybe", "quote", "all", "context")}
    assert allowed == {"order": False, "maybe": True, "quote": True, "all": True, "context": True}


def test_a_fan_in_allows_none_by_its_values(pen: Any) -> None:
    """A fan-in allows a parent without results where its values do; a TypedDict may say so for each."""
    from typing_extensions import TypedDict

    class Offers(TypedDict):
        ask_dhl: int
        ask_ups: int | None

    for name in ("ask_dhl", "ask_ups"):
        pen.step(lambda: 1, name=name)
    both = ["ask_dhl", "ask_ups"]

    @pen.step(inputs={"strict": both, "lax": both, "each": both})
    def choose(strict: dict[str, int], lax: dict[str, int | None], each: Offers) -> None: ...

    handler = pen.seal().handlers["choose"]
    assert (handler.accepts_none("strict"), handler.accepts_none("lax"), handler.accepts_none("each")) == (
        False,
        True,
        False,
    )
    assert (handler.accepts_none("each", "ask_ups"), handler.accepts_none("each", "ask_dhl")) == (True, False)


def made(pen: Any, returns: Any) -> Handler:
    def fetch_order(): ...  # type: ignore[no-untyped-def]

    if returns is not ...:
        fetch_order.__annotations__["return"] = returns
    pen.step(fetch_order)
    handler: Handler = pen.seal().handlers["fetch_order"]
    return handler


@pytest.mark.parametrize(
    ("returns", "value", "text"),
    [
        (..., None, None),
        (..., {"a": 1}, '{"a":1}'),
        (..., ShopOrder(order_id=1), '{"order_id":1,"total":"0"}'),
        (None, None, None),
        (int | None, None, None),
        (Any, None, None),
        (ShopOrder, ShopOrder(order_id=1), '{"order_id":1,"total":"0"}'),
        (ShopOrder, {"order_id": 1}, '{"order_id":1}'),
        (Any, (1, 2), "[1,2]"),
        (int, 0, "0"),
        (str, "", '""'),
        (bool, False, "false"),
    ],
)
def test_results_become_json_text(pen: Any, returns: Any, value: Any, text: str | None) -> None:
    """What a handler returns is stored as JSON text; None is no results."""
    assert made(pen, returns).encode(value) == text


@pytest.mark.parametrize(
    ("returns", "value", "said"),
    [
        (
            ...,
            {"raw": Response()},
            "a Response at $.raw, which is not JSON. Return a model or plain values, e.g. response.json()",
        ),
        (Any, float("nan"), "NaN at $, which is not JSON. Use None or a string"),
        (None, 5, "an int, but is annotated -> None. Annotate what it returns, or return nothing"),
        (
            ShopOrder,
            None,
            "None, which does not fit its annotation ShopOrder. Return one, or annotate it ShopOrder | None",
        ),
        (
            ShopOrder,
            {"order_id": "x"},
            "a dict that does not fit its annotation ShopOrder: order_id: expected an integer, got 'x'",
        ),
        (int, "many", "a str that does not fit its annotation int: $: expected an integer, got 'many'"),
    ],
)
def test_results_that_cannot_be_stored_are_refused(pen: Any, returns: Any, value: Any, said: str) -> None:
    """A result that is not JSON, or does not fit its annotation, is refused in words, and not retried."""
    with pytest.raises(InvalidResult) as refused:
        made(pen, returns).encode(value)
    assert str(refused.value) == f"step 'fetch_order' returned {said}. {NOT_RETRIED}"


def test_a_coroutine_that_slipped_through_is_refused(pen: Any) -> None:
    """A decorator that hides an async function is found out, and the coroutine is closed without a warning."""

    async def later() -> int:
        return 1

    with pytest.raises(InvalidResult, match="its decorator hides that it is async"):
        made(pen, ...).encode(later())
    gc.collect()


def test_results_are_read_back_through_the_return_annotation(pen: Any) -> None:
    """Stored results come back as what the handler said it returns."""
    handler = made(pen, ShopOrder)
    assert handler.decode_results('{"order_id": 1}') == ShopOrder(order_id=1)
    assert handler.decode_results(None) is None


def test_results_without_annotation_are_read_as_json(pen: Any) -> None:
    """Without a return annotation results are what JSON made of them."""
    assert made(pen, ...).decode_results('{"order_id": 1}') == {"order_id": 1}
