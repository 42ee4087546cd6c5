"""Fields in strings: what they read, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from tasker.errors import DefinitionError, PermanentError, UnknownOption
from tasker.handlers.placeholders import Facts, Text, compiled, filled, refuse_unknown

RESULTS: dict[str, Any] = {
    "fetch_order": {"total": 12.5, "paid": True, "note": None, "lines": [{"sku": "tea"}, {"sku": "pot"}], "2": "two"},
    "ask.dhl-express": {"price": 7},
    "skipped": None,
}
FACTS = Facts({"order_id": 17, "customer": {"name": "Müller & Söhne"}}, RESULTS.__getitem__)


def fill(text: str) -> str:
    return Text.parse(text, "url").fill(FACTS)


def refusal(text: str) -> PermanentError:
    with pytest.raises(PermanentError) as raised:
        fill(text)
    assert raised.value.code == "invalid_input"
    return raised.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("order {context.order_id}", "order 17"),
        ("{context[order_id]}", "17"),
        ("{context.customer.name}", "Müller & Söhne"),
        ("{results.fetch_order.lines[1].sku}", "pot"),
        ("{results.fetch_order.lines.0.sku}", "tea"),
        ("{results.fetch_order.2}", "two"),
        ("{results.fetch_order.total:.2f}", "12.50"),
        ("{context.order_id:05d}", "00017"),
        ("{results.fetch_order.paid}", "true"),
        ("{results.fetch_order.lines}", '[{"sku": "tea"}, {"sku": "pot"}]'),
        ("{results[ask.dhl-express].price}", "7"),
        ('{{"literal": {context.order_id}}}', '{"literal": 17}'),
    ],
)
def test_fields_read_keys_and_indices(text: str, expected: str) -> None:
    """A field is replaced by the value at its path, spelt as JSON spells it; doubled braces are braces."""
    assert fill(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{context.order}", ["context has no 'order'.", "Did you mean 'order_id'?", "It has: order_id, customer"]),
        ("{results.fetch_order.totl}", ["results.fetch_order has no 'totl'.", "Did you mean 'total'?", "lines"]),
        ("{results.fetch_order.lines[2]}", ["results.fetch_order.lines is a list of 2; there is no [2]"]),
        ("{results.fetch_order.lines[-1]}", ["there is no [-1]"]),
        ("{results.fetch_order.total.cents}", ["results.fetch_order.total is a number, and has no 'cents'"]),
        ("{results.fecth_order.total}", ["there is no step 'fecth_order' before this step"]),
        ("{results.skipped.id}", ["results.skipped is null (the step was skipped, or left no results)"]),
        ("{results.fetch_order.note}", ["it is null, which has no text"]),
        ("{context.customer:.2f}", ["an object cannot be formatted as '.2f'"]),
    ],
)
def test_a_field_that_is_not_there_is_named(text: str, words: list[str]) -> None:
    """An unknown field is a permanent error that names the field and what there is."""
    error = refusal(text)
    assert str(error).startswith(f"field {text.split(':')[0].rstrip('}')}}}: ")
    for each in words:
        assert each in str(error)


def test_the_field_is_in_the_details() -> None:
    """The error carries the field's name for programs."""
    assert refusal("a {context.nope} b").details == {"field": "context.nope"}


@pytest.mark.parametrize("name", ["__class__", "order_id.__class__", "customer.__init__", "order_id.real", "keys"])
def test_attributes_are_out_of_reach(name: str) -> None:
    """A field reads keys of JSON values and never an attribute of a Python object."""
    refusal(f"{{context.{name}}}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{contxt.order_id}", "Did you mean 'context'?"),
        ("{order_id}", "neither of 'context' nor of 'results'"),
        ("{}", "neither of 'context' nor of 'results'"),
        ("{0}", "neither of 'context' nor of 'results'"),
        ("{context.a]b}", "neither of 'context' nor of 'results'"),
        ("{results}", "names no step"),
        ("{context.a!r}", "no !r"),
        ("{context.a:{context.b}}", "no fields in it"),
        ("{context.a", "Literal braces are written {{ and }}"),
        ("a } b", "Literal braces are written {{ and }}"),
    ],
)
def test_a_wrong_field_is_refused_at_definition(text: str, words: str) -> None:
    """What can never be filled is refused where it is written, naming the option and the field."""
    with pytest.raises(DefinitionError) as raised:
        Text.parse(text, "http(): url")
    assert str(raised.value).startswith("http(): url: ")
    assert words in str(raised.value)


def test_whole_fields_keep_their_type_at_any_depth() -> None:
    """In a JSON value a string that is exactly one field becomes the value itself; others become text."""
    value = compiled(
        {
            "id": "{context.order_id}",
            "lines": "{results.fetch_order.lines}",
            "deep": [{"total": "{results.fetch_order.total}", "note": "{results.fetch_order.note}"}],
            "text": "no. {context.order_id}",
            "rounded": "{results.fetch_order.total:.0f}",
            "plain": [1, 2.5, None, True],
        },
        "json",
    )
    assert filled(value, FACTS) == {
        "id": 17,
        "lines": [{"sku": "tea"}, {"sku": "pot"}],
        "deep": [{"total": 12.5, "note": None}],
        "text": "no. 17",
        "rounded": "12",
        "plain": [1, 2.5, None, True],
    }


@pytest.mark.parametrize("value", [{1: "a"}, [object()], {"a": {"b": {2}}}, float("nan"), b"bytes"])
def test_what_is_not_json_is_refused_at_definition(value: Any) -> None:
    """A value that could never be sent as JSON is refused where it is written, with its path."""
    with pytest.raises(DefinitionError, match=r"^http\(\): json"):
        compiled(value, "http(): json")


def test_variables_are_read_when_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """`${VAR}` comes from the environment of the moment, with its default where it is unset, and is never a field."""
    text = Text.parse("${TAX_HOST:-localhost}/{context.order_id}/${TAX_HOST:-}", "url")
    monkeypatch.delenv("TAX_HOST", raising=False)
    assert text.fill(FACTS) == "localhost/17/"
    monkeypatch.setenv("TAX_HOST", "{context.order_id}")
    assert text.fill(FACTS) == "{context.order_id}/17/{context.order_id}"
    assert fill("$${TAX_HOST}") == "${TAX_HOST}"


def test_an_unknown_option_names_its_nearest_spelling() -> None:
    """A keyword that means nothing is refused with what was probably meant, and what there is."""
    with pytest.raises(UnknownOption) as raised:
        refuse_unknown("http", {"jsn": None}, ("json", "headers"))  # type: ignore[dict-item]
    assert str(raised.value) == "http(): no option 'jsn'. Did you mean 'json'? Options: json, headers"


def test_an_option_of_the_step_is_sent_there() -> None:
    """`timeout=` and its like belong to the step, and the refusal says so."""
    with pytest.raises(UnknownOption, match=r"It belongs to the step: step\(http\(…\), timeout=…\)"):
        refuse_unknown("http", {"timeout": None}, ("json",))  # type: ignore[dict-item]
