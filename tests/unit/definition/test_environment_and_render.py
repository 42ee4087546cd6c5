"""Variables of the environment in a config, and shapes drawn as text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker.definition.environment import fill, unset
from tasker.definition.render import mermaid, tree
from tasker.definition.shape import Shape, StepShape
from tasker.errors import ConfigError


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("${A}", "1"),
        ("x${A}y${B}", "x1y"),
        ("${C:-2}", "2"),
        ("${B:-2}", "2"),
        ("${A:-2}", "1"),
        ("${C:-http://localhost:9000/?a=b}", "http://localhost:9000/?a=b"),
        ("${C:-}", ""),
        ("$${A}", "${A}"),
        ("$A $ {A} ${}", "$A $ {A} ${}"),
        ({"a": ["${A}", 5, None, {"b": "${A}"}]}, {"a": ["1", 5, None, {"b": "1"}]}),
        (5, 5),
    ],
)
def test_variables_are_filled_in_everywhere(value: Any, filled: Any) -> None:
    """`${VAR}` and `${VAR:-default}` are filled in wherever a string stands; an empty one takes its default."""
    assert fill(value, {"A": "1", "B": ""}) == filled


def test_an_unset_variable_is_refused() -> None:
    """A variable that is not set and has no default is an error that names it."""
    with pytest.raises(ConfigError, match=r"the environment has no SHOP_URL.*write \$\{SHOP_URL:-default\}"):
        fill({"url": "${SHOP_URL}/orders"}, {})


def test_unset_variables_are_listed_beforehand() -> None:
    """What would be refused is known before, each once; what has a default is not among it."""
    config = {"a": "${X} ${A}", "b": ["${Y:-1}", "${X}", "$${Z}"], "c": {"d": "${B}"}}
    assert unset(config, {"A": ""}) == ["B", "X"]


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_filling_fails_exactly_where_something_is_unset(value: Any) -> None:
    """`fill` raises if, and only if, `unset` names something."""
    if unset(value, {}):
        with pytest.raises(ConfigError):
            fill(value, {})
    else:
        fill(value, {})


DIAMOND = Shape(
    (
        StepShape("fetch"),
        StepShape("ask.dhl", inputs=(("fetch", "fetch"),)),
        StepShape("end", after=("fetch",)),
        StepShape("choose", after=("end",), inputs=(("offers", ("ask.dhl",)),)),
        StepShape("mail"),
    )
)


def test_a_shape_is_drawn_for_mermaid() -> None:
    """Data flows along arrows, order along dotted ones; names are quoted."""
    assert mermaid(DIAMOND).splitlines() == [
        "flowchart TD",
        '    s0["fetch"]',
        '    s1["ask.dhl"]',
        '    s2["end"]',
        '    s3["choose"]',
        '    s4["mail"]',
        "    s0 --> s1",
        "    s0 -.-> s2",
        "    s1 --> s3",
        "    s2 -.-> s3",
    ]


def test_a_shape_is_drawn_as_a_tree() -> None:
    """Each step stands once, under its deepest parent; its other parents are named."""
    assert tree(DIAMOND, str.upper).splitlines() == [
        "├─ FETCH",
        "│  ├─ ASK.DHL",
        "│  │  └─ CHOOSE  (and end)",
        "│  └─ END",
        "└─ MAIL",
    ]


def test_a_chain_of_thousands_is_drawn() -> None:
    """Drawing does not recurse."""
    chain = Shape(tuple(StepShape(f"s{n}", after=(f"s{n - 1}",) if n else ()) for n in range(2_000)))
    assert len(tree(chain).splitlines()) == 2_000
