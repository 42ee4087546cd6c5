"""The context of a task: checked against the template, every fault at once, defaults applied."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import TypedDict

from tasker.errors import DefinitionError, InvalidContext, Problem, RequestError


class Line(BaseModel):
    sku: str
    size: int = 1


class Order(BaseModel):
    order_id: int
    customer: str = "anonymous"
    lines: list[Line] = []


class Bulk(Order):
    pallets: int = 3


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    order_id: int
    customer: str


class Free(BaseModel):
    model_config = ConfigDict(extra="ignore")
    order_id: int
    customer: str = ""


@dataclass
class Plain:
    order_id: int
    customer: str = "anonymous"


class Typed(TypedDict, total=False):
    order_id: int
    customer: str


def encoder(a_template: Callable[..., Any], **options: Any) -> Callable[[Any], str]:
    pen = a_template(version="1.1.0", **options)
    pen.step(lambda: None, name="a")
    encode: Callable[[Any], str] = pen.seal().encode_context
    return encode


def problems(encode: Callable[[Any], str], value: Any) -> dict[str, str]:
    with pytest.raises(InvalidContext) as refused:
        encode(value)
    return {problem.path: problem.message for problem in refused.value.problems}


def test_every_fault_is_said_at_once(a_template: Callable[..., Any]) -> None:
    """A wrong context names the model, all faults with their paths, and the nearest field."""
    encode = encoder(a_template, context=Order)
    with pytest.raises(InvalidContext) as refused:
        encode({"order_id": "seventeen", "custmer": "x"})
    assert str(refused.value) == (
        "shop/fulfil_order@1.1.0 wants an Order; nothing was stored. 2 faults:\n"
        "  order_id: expected an integer, got 'seventeen'\n"
        "  custmer: no such field; did you mean 'customer'?"
    )
    assert refused.value.problems[0] == Problem("order_id", "expected an integer, got 'seventeen'")


def test_one_fault_is_said_in_the_singular(a_template: Callable[..., Any]) -> None:
    """One fault is "1 fault", with the path into lists and objects."""
    with pytest.raises(InvalidContext, match=r"1 fault:\n  lines\.1\.sku: is missing$"):
        encoder(a_template, context=Order)({"order_id": 1, "lines": [{"sku": "a"}, {}]})


@pytest.mark.parametrize("model", [Strict, Order])
def test_a_misspelt_field_is_one_fault(a_template: Callable[..., Any], model: Any) -> None:
    """A field that is missing because it was misspelt is said once."""

    class Needs(model):  # type: ignore[misc]
        customer: str

    found = problems(encoder(a_template, context=Needs), {"order_id": 1, "custmer": "x"})
    assert found == {"custmer": "no such field; did you mean 'customer'?"}


def test_a_field_that_the_model_ignores_is_ignored(a_template: Callable[..., Any]) -> None:
    """A key like no field is dropped, as the model does; one that says `extra="ignore"` drops misspelt ones too."""
    assert json.loads(encoder(a_template, context=Order)({"order_id": 1, "webhook": 5}))["order_id"] == 1
    assert json.loads(encoder(a_template, context=Free)({"order_id": 1, "custmer": "x"})) == {
        "order_id": 1,
        "customer": "",
    }


def test_a_field_that_the_model_forbids_is_refused(a_template: Callable[..., Any]) -> None:
    """A model with `extra="forbid"` refuses every unknown key."""
    found = problems(encoder(a_template, context=Strict), {"order_id": 1, "customer": "x", "webhook": 5})
    assert found == {"webhook": "no such field"}


@pytest.mark.parametrize(
    ("context", "value"),
    [
        (Order, Order(order_id=17)),
        (Order, {"order_id": 17}),
        (Order, {"order_id": "17"}),
        (Plain, Plain(17)),
        (Plain, {"order_id": 17}),
    ],
)
def test_defaults_are_applied_and_stored(a_template: Callable[..., Any], context: Any, value: Any) -> None:
    """A model, dataclass or dict is stored whole, with defaults, as the model's types."""
    stored = json.loads(encoder(a_template, context=context)(value))
    assert (stored["order_id"], stored["customer"]) == (17, "anonymous")


def test_a_typed_dict_is_checked(a_template: Callable[..., Any]) -> None:
    """A TypedDict context is a dict whose keys are checked."""
    encode = encoder(a_template, context=Typed)
    assert encode({"order_id": 17}) == '{"order_id":17}'
    assert problems(encode, {"order_id": "x", "custmer": "y"}) == {
        "order_id": "expected an integer, got 'x'",
        "custmer": "no such field; did you mean 'customer'?",
    }


def test_a_subclass_keeps_its_fields(a_template: Callable[..., Any]) -> None:
    """An instance of a subclass is stored with the fields of its own class."""
    assert json.loads(encoder(a_template, context=Order)(Bulk(order_id=1)))["pallets"] == 3


def test_an_instance_made_without_validation_is_checked(a_template: Callable[..., Any]) -> None:
    """An instance that would not read back is refused with its faults."""
    encode = encoder(a_template, context=Order)
    assert problems(encode, Order.model_construct(order_id="x")) == {"order_id": "expected an integer, got 'x'"}
    assert problems(encoder(a_template, context=Plain), Plain("x")) == {  # type: ignore[arg-type]
        "order_id": "expected an integer, got 'x'"
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "expected an Order, got an int"),
        ([1], "expected an Order, got a list"),
        ("{}", "expected an Order, got a str"),
        (Line(sku="a"), "expected an Order, got a Line"),
    ],
)
def test_another_type_is_refused(a_template: Callable[..., Any], value: Any, message: str) -> None:
    """Neither an instance of the model nor a mapping: refused as a whole."""
    assert problems(encoder(a_template, context=Order), value) == {"$": message}


@pytest.mark.parametrize("value", [None, {}])
def test_no_context_is_an_empty_one(a_template: Callable[..., Any], value: Any) -> None:
    """Enqueuing without a context means {}: fine where nothing is required, else refused."""
    assert encoder(a_template)(value) == "{}"
    assert problems(encoder(a_template, context=Order), value) == {"order_id": "is missing"}


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({"lines": [float("nan")]}, "lines.0", "NaN, which is not JSON. Use None or a string"),
        ({"raw": object()}, "raw", "an object, which is not JSON. Return a model or plain values"),
        ({1: 2}, "$", "the key 1, which is not a string. Write str(key), or annotate it dict[int, …]"),
        ([1], "$", "expected an object, got a list"),
        (5, "$", "expected an object, got an int"),
    ],
)
def test_a_free_context_is_an_object_of_json(
    a_template: Callable[..., Any], value: Any, path: str, message: str
) -> None:
    """Without a model a context is any JSON object, and nothing else."""
    assert problems(encoder(a_template), value) == {path: message}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("a", "x", "expected an integer, got 'x'"),
        ("a", 1.5, "expected an integer, got 1.5"),
        ("b", "x", "expected a decimal number, got 'x'"),
        ("c", "soon", "expected a date and time, got 'soon'"),
        ("d", "blue", "expected one of 'red' or 'green', got 'blue'"),
        ("e", 5, "expected a list, got 5"),
        ("f", 5, "expected an object, got 5"),
        ("g", -1, "Input should be greater than 0, got -1"),
        ("h", "odd", "must be even, got 'odd'"),
        ("i", 5, "expected a string, got 5"),
        ("j", "maybe", "expected true or false, got 'maybe'"),
        ("i", list(range(100)), f"expected a string, got {repr(list(range(100)))[:79]}…"),
    ],
)
def test_faults_are_worded_alike(a_template: Callable[..., Any], field: str, value: Any, message: str) -> None:
    """What was expected, what was there, shortened."""

    class Everything(BaseModel):
        a: int = 0
        b: Decimal = Decimal(0)
        c: datetime | None = None
        d: Literal["red", "green"] = "red"
        e: list[int] = []
        f: Line | None = None
        g: int = Field(1, gt=0)
        h: str = ""
        i: str = ""
        j: bool = True

        @field_validator("h")
        @classmethod
        def even(cls, text: str) -> str:
            if len(text) % 2:
                raise ValueError("must be even")
            return text

    assert problems(encoder(a_template, context=Everything), {field: value}) == {field: message}


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["order_id"],
    "additionalProperties": False,
    "properties": {
        "order_id": {"type": "integer"},
        "customer": {"type": "string", "default": "anonymous"},
        "carrier": {"enum": ["dhl", "ups"], "default": "dhl"},
        "mail": {"type": ["string", "null"], "format": "email"},
        "lines": {
            "type": "array",
            "items": {"type": "object", "required": ["sku"], "properties": {"size": {"type": "integer", "default": 1}}},
        },
    },
}


def test_a_json_schema_fills_in_defaults(a_template: Callable[..., Any]) -> None:
    """Defaults of a JSON Schema are applied and stored, in nested objects too."""
    stored = json.loads(encoder(a_template, context_schema=SCHEMA)({"order_id": 17, "lines": [{"sku": "a"}]}))
    assert stored == {"order_id": 17, "customer": "anonymous", "carrier": "dhl", "lines": [{"sku": "a", "size": 1}]}


def test_a_default_satisfies_required(a_template: Callable[..., Any]) -> None:
    """A field that is required and has a default is filled in before it is missed."""
    schema = {"required": ["a"], "properties": {"a": {"default": {"b": []}}}}
    encode = encoder(a_template, context_schema=schema)
    assert encode({}) == encode(None) == '{"a":{"b":[]}}'


def test_a_json_schema_reports_every_fault(a_template: Callable[..., Any]) -> None:
    """All faults of a JSON Schema are said at once, in the same words as a model's."""
    given = {"order_id": "seventeen", "custmer": "x", "carrier": "tnt", "mail": "nobody", "lines": [{}]}
    found = problems(encoder(a_template, context_schema=SCHEMA), given)
    assert found == {
        "order_id": "expected an integer, got 'seventeen'",
        "custmer": "no such field; did you mean 'customer'?",
        "carrier": "expected one of 'dhl', 'ups', got 'tnt'",
        "mail": "'nobody' is not a 'email'",
        "lines.0.sku": "is missing",
    }


def test_a_given_context_is_not_changed(a_template: Callable[..., Any]) -> None:
    """Applying defaults leaves the caller's dict alone."""
    given = {"order_id": 1}
    encoder(a_template, context_schema=SCHEMA)(given)
    assert given == {"order_id": 1}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "objekt"}, "context_schema is no JSON Schema: type: 'objekt' is not"),
        ({"a": object()}, "context_schema holds"),
    ],
)
def test_a_broken_json_schema_is_refused(a_template: Callable[..., Any], schema: Any, said: str) -> None:
    """What is no JSON Schema is refused when the template is sealed."""
    with pytest.raises(DefinitionError, match=said):
        encoder(a_template, context_schema=schema)


def test_a_schema_is_never_fetched_from_the_network(a_template: Callable[..., Any]) -> None:
    """A reference to another document is an error, not a request."""
    with pytest.raises(DefinitionError, match=r"refers to 'http://127\.0\.0\.1:9/schema\.json', which is not in it"):
        encoder(a_template, context_schema={"$ref": "http://127.0.0.1:9/schema.json"})
    inside = {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "integer"}}}
    assert problems(encoder(a_template, context_schema=inside), {"a": "x"}) == {"a": "expected an integer, got 'x'"}


def test_a_validator_that_raises_is_a_fault(a_template: Callable[..., Any]) -> None:
    """A validator of the model's that raises something else than ValueError refuses the context as a whole."""

    class Fragile(BaseModel):
        order_id: int

        @field_validator("order_id")
        @classmethod
        def broken(cls, order_id: int) -> int:
            raise KeyError("rate")

    assert problems(encoder(a_template, context=Fragile), {"order_id": 1}) == {"$": "KeyError: 'rate'"}


def test_identity_is_nothing_by_default(a_template: Callable[..., Any]) -> None:
    """Without `identity=` every enqueue is a new task."""
    pen = a_template()
    pen.step(lambda: None, name="a")
    assert pen.seal().identity_of({}, "{}") is None


def test_identity_by_context_is_its_hash(a_template: Callable[..., Any]) -> None:
    """`identity="context"` is the same for equal contexts, however they are written."""
    pen = a_template(context=Order, identity="context")
    pen.step(lambda: None, name="a")
    sealed = pen.seal()
    keys = {
        sealed.identity_of(value, sealed.encode_context(value))
        for value in (
            {"order_id": 1, "customer": "x"},
            {"customer": "x", "order_id": "1"},
            Order(order_id=1, customer="x"),
        )
    }
    assert len(keys) == 1
    assert sealed.identity_of({}, sealed.encode_context({"order_id": 2})) not in keys


@pytest.mark.parametrize(
    ("identity", "key"), [(lambda order: order.order_id, "17"), (lambda order: f"order-{order.order_id}", "order-17")]
)
def test_identity_by_function_gets_the_model(a_template: Callable[..., Any], identity: Any, key: str) -> None:
    """A function of the context gets the model, also where a dict was enqueued."""
    pen = a_template(context=Order, identity=identity)
    pen.step(lambda: None, name="a")
    sealed = pen.seal()
    for value in ({"order_id": 17}, Order(order_id=17)):
        assert sealed.identity_of(value, sealed.encode_context(value)) == key


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        (lambda order: None, "returned None; return a string"),
        (lambda order: "", "returned ''"),
        (lambda order: True, "returned True"),
        (lambda order: order["x"], "raised KeyError: 'x'"),
    ],
)
def test_identity_that_is_no_key_is_refused(a_template: Callable[..., Any], identity: Any, said: str) -> None:
    """A function that raises, or returns no key, is refused at enqueue."""
    pen = a_template(identity=identity)
    pen.step(lambda: None, name="a")
    with pytest.raises(RequestError, match=said):
        pen.seal().identity_of({}, "{}")
