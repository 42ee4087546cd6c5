"""Payloads: what becomes JSON and comes back, and what is refused, with its path."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    computed_field,
    field_serializer,
    field_validator,
)
from pydantic.version import version_short
from typing_extensions import TypedDict

from tasker.payload import NotJSON, a, adapter, canonical, decode, encode, fingerprint


class Colour(Enum):
    RED = "red"


class Size(StrEnum):
    SMALL = "small"


class Offer(BaseModel):
    price: Decimal = Decimal("1.50")
    valid: timedelta = timedelta(days=1)


class Special(Offer):
    gift: str = "mug"


class Blob(BaseModel):
    raw: bytes


class Box(BaseModel):
    blobs: list[Blob]


class Sized(BaseModel):
    weight: float | None = None


@dataclass
class Line:
    sku: str
    sizes: tuple[int, ...] = ()


class Point(NamedTuple):
    x: int
    y: int


class Note(TypedDict):
    text: str


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Everything PostgreSQL stores: no U+0000, no lone surrogates.
    | st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_json_comes_back_as_it_went(value: Any) -> None:
    """Every value that JSON knows comes back equal."""
    assert decode(encode(value)) == value


@given(json_values)
def test_any_annotation_changes_nothing(value: Any) -> None:
    """With the adapter of `Any` the text is the same as without one."""
    assert encode(value, adapter(Any)) == encode(value)


@given(st.dictionaries(st.integers(), st.decimals(allow_nan=False, allow_infinity=False)))
def test_annotated_values_come_back_through_the_annotation(value: dict[int, Decimal]) -> None:
    """Keys and leaves that are not JSON come back through the annotation that wrote them."""
    through = adapter(dict[int, Decimal])
    assert through.validate_json(encode(value, through)) == value


@given(st.recursive(st.floats() | st.integers(), lambda inner: st.lists(inner, max_size=3), max_leaves=8))
def test_a_number_is_stored_exactly_or_refused(value: Any) -> None:
    """No float changes on its way: it comes back equal, or it is refused."""

    def finite(part: Any) -> bool:
        return all(map(finite, part)) if isinstance(part, list) else math.isfinite(part)

    if finite(value):
        assert decode(encode(value)) == value
    else:
        with pytest.raises(NotJSON, match=r"NaN|infinity"):
            encode(value)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (Decimal("1.50"), Decimal),
        (datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC), datetime),
        (date(2026, 1, 2), date),
        (timedelta(days=1, microseconds=3), timedelta),
        (UUID(int=7), UUID),
        (Colour.RED, Colour),
        (Size.SMALL, Size),
        (b"\xff\x00", bytes),
        ([b"\xff"], list[bytes]),
        ((1, "a"), tuple[int, str]),
        ({1, 2}, set[int]),
        (Point(1, 2), Point),
        (Line("a", (1, 2)), Line),
        ({"text": "a"}, Note),
        (Offer(), Offer),
        ([Special()], list[Special]),
        (Box(blobs=[Blob(raw=b"\xff")]), Box),
        ({Colour.RED: 1}, dict[Colour, int]),
        (2**70, int),
        (None, int | None),
    ],
)
def test_typed_values_come_back_whole(value: Any, annotation: Any) -> None:
    """What JSON does not know comes back through the reader's annotation, equal and of the same type."""
    through = adapter(annotation)
    back = through.validate_json(encode(value, through))
    assert back == value
    assert type(back) is type(value)


def test_without_annotation_values_stay_what_json_made_of_them() -> None:
    """Tuples and sets become lists; decimals, moments, ids and enums become strings; bytes become base64."""
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    value = {"t": (1, 2), "s": {3}, "d": Decimal("1.5"), "m": moment, "u": UUID(int=1), "e": Colour.RED, "b": b"\xff"}
    assert decode(encode(value)) == {
        "t": [1, 2],
        "s": [3],
        "d": "1.5",
        "m": "2026-01-02T00:00:00Z",
        "u": "00000000-0000-0000-0000-000000000001",
        "e": "red",
        "b": "_w==",
    }


def test_a_model_is_stored_with_the_fields_of_its_own_class() -> None:
    """A subclass keeps its fields, also where the annotation names its base, and also inside a list."""
    for stored in (
        encode(Special()),
        encode(Special(), adapter(Offer)),
        encode([Special()], adapter(list[Offer]))[1:-1],
    ):
        assert decode(stored)["gift"] == "mug"


@pytest.mark.parametrize("raw", [b"\xff", b"text"])
def test_bytes_are_base64_without_an_annotation_too(raw: bytes) -> None:
    """A model's bytes are base64 wherever it stands, so that an annotated reader understands them."""
    text = encode({"box": Blob(raw=raw), "raw": raw})
    assert adapter(dict[str, Blob | bytes]).validate_json(text) == {"box": Blob(raw=raw), "raw": raw}
    assert adapter(list[Blob]).validate_json(encode([Blob(raw=raw)])) == [Blob(raw=raw)]
    assert adapter(bytes).validate_json(encode(raw)) == raw


@pytest.mark.skipif(version_short() < "2.13", reason="an older pydantic drops the subclass's fields instead")
def test_bytes_of_a_subclass_that_would_not_come_back_are_refused() -> None:
    """A subclass writes bytes its own way, as text; where its base would read others, it is refused."""

    class Scan(Blob):
        page: int = 1

    with pytest.raises(NotJSON, match=r"bytes at \$\.raw, which would come back as others\. Set ser_json_bytes"):
        encode(Scan(raw=b"text"), adapter(Blob))


def test_a_model_that_writes_more_than_it_reads_is_fine_without_an_annotation() -> None:
    """Where no annotation reads a value back, its model may write a field by another name."""

    class Order(BaseModel):
        order_id: Annotated[int, Field(serialization_alias="orderId")]

    assert encode({"order": Order(order_id=1)}) == '{"order":{"orderId":1}}'


def test_a_model_that_writes_bytes_its_own_way_keeps_it() -> None:
    """A model's own `ser_json_bytes` wins over base64."""

    class Text(BaseModel):
        model_config = ConfigDict(ser_json_bytes="utf8", val_json_bytes="utf8")
        raw: bytes

    assert encode(Text(raw=b"abc"), adapter(Text)) == '{"raw":"abc"}'


def test_aliases_are_used_both_ways() -> None:
    """A field is written by its alias, which is how it is read."""

    class Order(BaseModel):
        order_id: int = Field(alias="orderId")

    through = adapter(Order)
    text = encode(Order(orderId=17), through)
    assert text == '{"orderId":17}'
    assert through.validate_json(text).order_id == 17


def test_computed_fields_and_private_attributes_are_not_stored() -> None:
    """What would not be read back is left out: computed fields and private attributes."""

    class Order(BaseModel):
        lines: int = 2
        _secret: object = PrivateAttr(default_factory=object)

        @computed_field  # type: ignore[prop-decorator]
        @property
        def double(self) -> int:
            return 2 * self.lines

    assert encode(Order(), adapter(Order)) == '{"lines":2}'


def test_a_value_that_fits_the_annotation_only_after_reading_is_fine() -> None:
    """A dict may be returned where a model is annotated, and a tuple where a list is."""
    assert encode({"weight": 2}, adapter(Sized)) == '{"weight":2}'
    assert encode((1, 2), adapter(list[int])) == "[1,2]"


@pytest.mark.parametrize(
    ("value", "annotation", "path", "what"),
    [
        (math.nan, None, "$", "NaN"),
        (math.nan, float, "$", "NaN"),
        ({"x": [1, math.inf]}, None, "$.x[1]", "infinity"),
        (Sized(weight=math.nan), Sized, "$.weight", "NaN"),
        (Sized(weight=-math.inf), None, "$.weight", "-infinity"),
        ({"line": Line("a", (1, math.nan))}, None, "$.line.sizes[1]", "NaN"),
        (Decimal("NaN"), None, "$", "NaN"),
    ],
)
def test_nan_and_infinities_are_refused(value: Any, annotation: Any, path: str, what: str) -> None:
    """NaN and infinities are refused with their path, also where pydantic would write null."""
    with pytest.raises(NotJSON) as refused:
        encode(value, None if annotation is None else adapter(annotation))
    assert (refused.value.path, refused.value.what) == (path, what)


@pytest.mark.parametrize("setting", ["constants", "strings"])
def test_infinity_is_refused_whatever_a_model_makes_of_it(setting: str) -> None:
    """A model that would write infinity as a constant or a string is refused too."""

    class Lax(BaseModel):
        model_config = ConfigDict(ser_json_inf_nan=setting)  # type: ignore[typeddict-item]
        weight: float

    with pytest.raises(NotJSON, match=r"infinity at \$\.weight"):
        encode(Lax(weight=math.inf), adapter(Lax))


@pytest.mark.parametrize(("value", "path"), [("a\0b", "$"), ({"k": ["\0"]}, "$.k[0]"), ({"k\0": 1}, "$")])
def test_nul_is_refused(value: Any, path: str) -> None:
    """U+0000 is refused, which no database stores as text."""
    with pytest.raises(NotJSON, match=r"U\+0000") as refused:
        encode(value)
    assert refused.value.path == path


def test_the_letters_of_an_escaped_nul_are_fine() -> None:
    """A backslash followed by u0000 is six ordinary characters."""
    assert decode(encode({"k": "\\u0000"})) == {"k": "\\u0000"}


def test_lone_surrogates_are_refused() -> None:
    """Half a surrogate pair is no Unicode text and is refused."""
    with pytest.raises(NotJSON, match=r"\$.name, which is not Unicode text"):
        encode({"name": "\ud800"})


@pytest.mark.parametrize(
    ("value", "annotation", "key"),
    [({1: 2}, None, "1"), ({"a": {1: 2}}, dict[str, Any], "1"), ([{2.5: 1}], None, "2.5")],
)
def test_keys_that_are_not_strings_are_refused(value: Any, annotation: Any, key: str) -> None:
    """A key that is no string is refused unless the annotation says what it is."""
    with pytest.raises(NotJSON, match=f"the key {key} at .* which is not a string"):
        encode(value, None if annotation is None else adapter(annotation))


def _numbers() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("value", [_numbers(), {"rows": _numbers()}, iter([1]), map(str, [1])])
def test_iterators_are_refused(value: Any) -> None:
    """What can be read only once is refused, at the top and below."""
    with pytest.raises(NotJSON, match="can be read only once"):
        encode(value)


def test_a_generator_is_refused_even_where_an_iterable_is_annotated() -> None:
    """An annotation `Iterable` does not make a generator storable."""
    with pytest.raises(NotJSON, match="can be read only once"):
        encode(_numbers(), adapter(Iterable[int]))


def test_secrets_are_refused() -> None:
    """A secret is refused, never stored as asterisks."""

    class Login(BaseModel):
        password: SecretStr

    for value, path in ((Login(password="x"), "$.password"), ({"key": SecretStr("x")}, "$.key")):
        with pytest.raises(NotJSON, match=r"\*\*\*") as refused:
            encode(value)
        assert refused.value.path == path


class Response:
    def json(self) -> None: ...


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            {"raw": Response()},
            "a Response at $.raw, which is not JSON. Return a model or plain values, e.g. response.json()",
        ),
        (object(), "an object at $, which is not JSON. Return a model or plain values"),
        ({"a": {"b": [object()]}}, "an object at $.a.b[0], which is not JSON. Return a model or plain values"),
        (Offer, "the class Offer at $, which is not JSON. Return an instance of it"),
        (range(3), "a range at $, which is not JSON. Return a model or plain values"),
    ],
)
def test_what_is_not_json_is_named(value: Any, said: str) -> None:
    """The refusal names the deepest culprit, where it is, and what to write."""
    with pytest.raises(NotJSON) as refused:
        encode(value)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("value", "annotation", "path"),
    [
        (Line(sku=5), Line, "$.sku"),  # type: ignore[arg-type]
        ({"weight": "heavy"}, Sized, "$.weight"),
        (5, str, "$"),
    ],
)
def test_what_does_not_read_back_is_refused(value: Any, annotation: Any, path: str) -> None:
    """A value that its own annotation cannot read is refused with the path of the fault."""
    with pytest.raises(NotJSON, match="does not read back") as refused:
        encode(value, adapter(annotation))
    assert refused.value.path == path


def test_a_naive_moment_is_refused_where_the_model_wants_a_zone() -> None:
    """A naive datetime in a model that does not allow it is refused."""

    class Visit(BaseModel):
        at: AwareDatetime

    with pytest.raises(NotJSON, match=r"\$.at, which does not read back"):
        encode(Visit.model_construct(at=datetime(2026, 1, 1)), adapter(Visit))


def test_an_alias_for_writing_alone_is_refused() -> None:
    """A model that writes a field by a name it does not read is refused: it would not come back."""

    class Order(BaseModel):
        order_id: Annotated[int, Field(serialization_alias="orderId")]

    with pytest.raises(NotJSON, match="does not read back"):
        encode(Order(order_id=1), adapter(Order))


def test_a_serializer_that_raises_is_refused() -> None:
    """A model whose own serializer raises is refused by name, with or without an annotation."""

    class Fragile(BaseModel):
        rate: int = 1

        @field_serializer("rate")
        def broken(self, rate: int) -> int:
            raise KeyError("rate")

    for value, through, path in ((Fragile(), adapter(Fragile), r"\$"), ({"a": Fragile()}, None, r"\$\.a")):
        with pytest.raises(NotJSON, match=f"a Fragile at {path}, which is not JSON: its serializer raised .*KeyError"):
            encode(value, through)


def test_a_validator_that_raises_is_refused() -> None:
    """A model whose validator raises while it is read back is refused, whatever it raises."""

    class Fragile(BaseModel):
        rate: int = 1

        @field_validator("rate")
        @classmethod
        def broken(cls, rate: int) -> int:
            raise KeyError("rate")

    with pytest.raises(NotJSON, match="which does not read back: KeyError"):
        encode(Fragile.model_construct(rate=2), adapter(Fragile))


def test_values_that_hold_themselves_are_refused() -> None:
    """A list in itself, or nested without measure, is refused."""
    endless: list[Any] = []
    endless.append(endless)
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    for value in (endless, {"a": endless}, deep):
        with pytest.raises(NotJSON, match="holds itself, or is nested too deep"):
            encode(value)


@given(st.dictionaries(st.text(max_size=3), st.integers()))
def test_equal_values_have_one_canonical_form(value: dict[str, int]) -> None:
    """The order of keys does not change the canonical form, nor the fingerprint."""
    turned = dict(reversed(value.items()))
    assert canonical(value) == canonical(turned)
    assert fingerprint(value) == fingerprint(turned) == fingerprint(canonical(value))
    assert len(fingerprint(value)) == 64


@pytest.mark.parametrize(
    ("name", "said"), [("Order", "an Order"), ("Response", "a Response"), ("UUID", "a UUID"), ("int", "an int")]
)
def test_names_get_their_article(name: str, said: str) -> None:
    """Errors read as sentences: an Order, a UUID."""
    assert a(name) == said
