"""Shapes: what is stored of a graph, when two are the same, and how they differ in words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasker.definition.shape import Shape, StepShape


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    names = draw(st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1))
    steps = []
    for number, name in enumerate(names):
        above = names[:number]
        if not above:
            steps.append(StepShape(name))
            continue
        source = st.sampled_from(above) | st.lists(st.sampled_from(above), unique=True, min_size=1).map(tuple)
        inputs = draw(st.dictionaries(st.sampled_from(["p", "q", "r"]), source))
        after = draw(st.lists(st.sampled_from(above), unique=True))
        steps.append(StepShape(name, tuple(after), tuple(inputs.items())))
    return Shape(tuple(steps), draw(st.none() | st.sampled_from(names)))


OLD = Shape(
    (
        StepShape("fetch_order"),
        StepShape("reserve_stock", inputs=(("fetch_order", "fetch_order"),)),
        StepShape("report_tax", inputs=(("order", "fetch_order"),)),
    ),
    result="report_tax",
)


def test_parents_are_sources_of_inputs_then_after_each_once() -> None:
    """Parents come from inputs first, then from `after`, and none twice."""
    step = StepShape("d", after=("a", "c"), inputs=(("x", "b"), ("all", ("a", "b"))))
    assert step.parents == ("b", "a", "c")


@given(shapes())
def test_a_shape_comes_back_from_the_database(shape: Shape) -> None:
    """A shape written as JSON is read back equal, with the same fingerprint and graph."""
    back = Shape.from_json(shape.to_json())
    assert back == shape
    assert (back.fingerprint, back.graph) == (shape.fingerprint, shape.graph)


@given(shapes(), shapes())
def test_a_difference_is_said_exactly_when_fingerprints_differ(one: Shape, other: Shape) -> None:
    """Two shapes have a difference in words if, and only if, their fingerprints differ."""
    assert bool(one.difference(other)) == (one.fingerprint != other.fingerprint)


def test_the_order_of_parameters_is_no_shape() -> None:
    """A function that lists its parameters in another order has the same shape."""
    one = Shape((StepShape("a"), StepShape("b"), StepShape("c", inputs=(("a", "a"), ("b", "b")))))
    other = Shape((StepShape("a"), StepShape("b"), StepShape("c", inputs=(("b", "b"), ("a", "a")))))
    assert one.fingerprint == other.fingerprint
    assert one.difference(other) == ""


def test_an_added_step_and_its_edge_are_named() -> None:
    """A new step is named with +, a changed one with its parents before and after."""
    new = Shape(
        (*OLD.steps[:2], StepShape("ask_dhl"), StepShape("report_tax", ("reserve_stock",), OLD.steps[2].inputs)),
        "report_tax",
    )
    assert OLD.difference(new) == "+ ask_dhl; report_tax: parents fetch_order → fetch_order, reserve_stock"
    assert new.difference(OLD) == "- ask_dhl; report_tax: parents fetch_order, reserve_stock → fetch_order"


def test_a_renamed_parameter_is_a_difference() -> None:
    """The parameter under which results arrive belongs to the shape."""
    new = Shape((*OLD.steps[:2], StepShape("report_tax", inputs=(("bought", "fetch_order"),))), "report_tax")
    assert OLD.difference(new) == "report_tax: inputs order=fetch_order → bought=fetch_order"


def test_another_result_and_another_order_are_differences() -> None:
    """The step whose results are the task's, and the order of steps, belong to the shape."""
    assert OLD.difference(Shape(OLD.steps, None)) == "result report_tax → of all leaves"
    turned = Shape((OLD.steps[0], OLD.steps[2], OLD.steps[1]), "report_tax")
    assert OLD.difference(turned) == "steps in another order"


def test_steps_are_found_by_name() -> None:
    """A shape gives its steps by name."""
    assert OLD.step("report_tax").inputs == (("order", "fetch_order"),)
