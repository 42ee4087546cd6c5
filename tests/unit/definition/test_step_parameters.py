"""A handler's parameters are its dependencies: how each is bound, and what is refused at the decorator."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasker.definition.shape import StepShape
from tasker.errors import DefinitionError, Duplicate, UnknownOption, UnknownParent


class StepContext:
    __step_context__ = True


def fetch_order(context: Any) -> Any: ...


def test_a_parameter_is_bound_in_this_order(pen: Any) -> None:
    """By `inputs`, then as the step's own facts, then as the context, then to the step of its name."""

    @pen.step
    def first() -> None: ...

    @pen.step(inputs={"context": first, "step": "first"})
    def rebound(context: Any, step: Any, first: Any) -> None: ...

    @pen.step
    def plain(context: Any, step: Any, facts: StepContext, first: Any) -> None: ...

    sealed = pen.seal()
    assert sealed.shape.step("rebound").inputs == (("context", "first"), ("step", "first"), ("first", "first"))
    assert sealed.shape.step("plain") == StepShape("plain", (), (("first", "first"),))
    given = sealed.handlers["plain"].arguments({"first": "first"}, '{"a":1}', {"first": "2"}, "facts")
    assert given == {"context": {"a": 1}, "step": "facts", "facts": "facts", "first": 2}


def test_step_context_is_recognised_by_its_written_name(pen: Any) -> None:
    """An annotation "StepContext" or "tasker.StepContext" needs no import at run time."""

    def one(facts: "StepContext") -> None: ...  # noqa: UP037
    def two(facts: Any) -> None: ...

    two.__annotations__["facts"] = "tasker.StepContext"
    pen.step(one)
    pen.step(two)
    sealed = pen.seal()
    assert [sealed.handlers[name].steps for name in ("one", "two")] == [("facts",), ("facts",)]


def test_fan_in_gives_a_dict_by_step_name(pen: Any) -> None:
    """A parameter bound to several steps gets their results by name, in the order of the list."""
    for name in ("ask_dhl", "ask_ups"):
        pen.step(fetch_order, name=name)

    @pen.step(inputs={"offers": ["ask_ups", "ask_dhl"]})
    def choose(offers: dict[str, int | None]) -> None: ...

    sealed = pen.seal()
    step = sealed.shape.step("choose")
    assert step.parents == ("ask_ups", "ask_dhl")
    given = sealed.handlers["choose"].arguments(dict(step.inputs), "{}", {"ask_dhl": "1", "ask_ups": None}, None)
    assert list(given["offers"].items()) == [("ask_ups", None), ("ask_dhl", 1)]


def test_after_adds_order_without_data(pen: Any) -> None:
    """`after` takes names and functions, one or a list; a parent is named once."""
    pen.step(fetch_order)

    @pen.step(after=fetch_order)
    def one() -> None: ...

    @pen.step(after=["one", fetch_order, one])
    def two(one: Any) -> None: ...

    shape = pen.seal().shape
    assert shape.step("one").parents == ("fetch_order",)
    assert shape.step("two").parents == ("one", "fetch_order")


def test_the_function_is_returned_unchanged(pen: Any) -> None:
    """`step` returns the function itself, good for a second template."""

    def handler() -> None: ...

    assert pen.step(handler) is handler
    assert pen.step(name="again")(handler) is handler


def test_a_misspelt_parameter_is_refused_with_its_nearest_spelling(pen: Any) -> None:
    """A parameter that names no step above is refused, with its nearest spelling and the steps above."""
    pen.step(fetch_order)
    with pytest.raises(UnknownParent) as refused:

        @pen.step
        def reserve_stock(fecth_order: Any) -> None: ...

    here = Path(__file__).relative_to(Path.cwd()) if Path(__file__).is_relative_to(Path.cwd()) else Path(__file__)
    line = _line_of("def reserve_stock(fecth_order")
    assert str(refused.value) in {
        f"step 'reserve_stock' ({here}:{number}): parameter 'fecth_order' is neither 'context', 'step' nor a step "
        "defined above. Did you mean 'fetch_order'? Steps above: fetch_order. To use another name: "
        'inputs={"fecth_order": fetch_order}'
        for number in (line, line - 1)
    }


def test_a_parameter_like_nothing_is_refused(pen: Any) -> None:
    """Without a near spelling the steps above are listed; in the first step there are none."""
    with pytest.raises(UnknownParent, match=r"nor a step defined above\. Steps above: none\.$"):

        @pen.step
        def first(order: Any) -> None: ...


def test_a_misspelt_context_is_refused(pen: Any) -> None:
    """A parameter that is nearly `context` is told so."""
    with pytest.raises(UnknownParent, match="Did you mean 'context'"):

        @pen.step
        def first(contxt: Any) -> None: ...


def test_a_parameter_with_a_default_is_refused_too(pen: Any) -> None:
    """A default does not make an unknown parameter acceptable."""
    with pytest.raises(UnknownParent, match="'currency'"):

        @pen.step
        def first(context: Any, currency: str = "EUR") -> None: ...


def _module(path: Path, source: str) -> Any:
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BELOW = """
def define(pen):
    @pen.step
    def fetch_order(context): ...

    @pen.step{options}
    def report_tax({parameters}): ...

    @pen.step
    async def reserve_stock(): ...
"""


@pytest.mark.parametrize(
    ("options", "parameters"),
    [("", "reserve_stock"), ("(after=['reserve_stock'])", ""), ("(inputs={'stock': 'reserve_stock'})", "stock")],
)
def test_a_step_defined_below_is_refused_with_its_line(
    pen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, parameters: str
) -> None:
    """A step that the same file defines further down is refused with the line of its def."""
    monkeypatch.chdir(tmp_path)
    module = _module(tmp_path / "tasks.py", BELOW.format(options=options, parameters=parameters))
    with pytest.raises(UnknownParent) as refused:
        module.define(pen)
    assert str(refused.value) == (
        "step 'report_tax' (tasks.py:6): 'reserve_stock' is not defined yet "
        '(there is a "def reserve_stock" at line 10). Move it above: a step may name only steps above it.'
    )


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"after": ["fecth_order"]}, "after names"),
        ({"inputs": {"order": "fecth_order"}}, "inputs binds 'order' to"),
        ({"inputs": {"order": ["fetch_order", "fecth_order"]}}, "inputs binds 'order' to"),
    ],
)
def test_an_unknown_step_by_name_is_refused(pen: Any, options: dict[str, Any], where: str) -> None:
    """A name in `after` or `inputs` that is no step above is refused, with its nearest spelling."""
    pen.step(fetch_order)

    def ship() -> None: ...
    def ship_it(order: Any) -> None: ...

    with pytest.raises(UnknownParent, match=f"{where} 'fecth_order', .*Did you mean 'fetch_order'"):
        pen.step(ship_it if "inputs" in options else ship, **options)


def test_a_function_that_is_no_step_is_refused(pen: Any) -> None:
    """A function that was never made a step of this template is refused by its name."""
    pen.step(fetch_order)

    def stranger() -> None: ...

    with pytest.raises(UnknownParent, match="after names 'stranger', which is not a step defined above"):

        @pen.step(after=[stranger])
        def ship() -> None: ...


def test_another_function_of_the_same_name_is_refused(pen: Any) -> None:
    """A function is not taken for the step of its name unless it is that step's handler, or wraps it."""
    pen.step(fetch_order)

    def other() -> None: ...

    other.__name__ = "fetch_order"
    with pytest.raises(UnknownParent, match=r"a function 'fetch_order' that is not the handler of step 'fetch_order'"):
        pen.step(lambda: None, name="late", after=[other])
    pen.step(lambda: None, name="late", after=[_kept(fetch_order)])
    assert pen.seal().shape.step("late").parents == ("fetch_order",)


def test_one_function_in_several_steps_is_named_by_string(pen: Any) -> None:
    """A function that runs in several steps does not say which one is meant."""
    for name in ("ask_dhl", "ask_ups"):
        pen.step(fetch_order, name=name)
    with pytest.raises(DefinitionError, match='runs in several steps; name one by string: "ask_dhl" or "ask_ups"'):

        @pen.step(after=[fetch_order])
        def choose() -> None: ...

    with pytest.raises(DefinitionError, match="name one by string"):
        pen.draft.steps_of(fetch_order)
    assert pen.draft.steps_of("ask_ups") == ["ask_ups"]


def test_a_step_that_depends_on_itself_is_refused(pen: Any) -> None:
    """A step cannot be its own parent, by parameter or by `after`."""

    def loop(loop: Any) -> None: ...

    with pytest.raises(Duplicate, match=r"step 'loop' .*depends on itself"):
        pen.step(loop)
    with pytest.raises(Duplicate, match=r"step 'fetch_order' .*depends on itself"):
        pen.step(fetch_order, after=["fetch_order"])


def test_the_same_step_twice_in_a_fan_in_is_refused(pen: Any) -> None:
    """A fan-in is by step name, so that a step can be in it only once."""
    pen.step(fetch_order)
    with pytest.raises(Duplicate, match="step 'fetch_order' twice"):

        @pen.step(inputs={"orders": [fetch_order, "fetch_order"]})
        def ship(orders: Any) -> None: ...


def test_an_input_that_is_no_parameter_is_refused(pen: Any) -> None:
    """`inputs` names parameters; one that the handler lacks is refused, with its nearest spelling."""
    pen.step(fetch_order)
    with pytest.raises(UnknownOption, match=r"inputs names 'odrer', which is no parameter .*Did you mean 'order'"):

        @pen.step(inputs={"odrer": fetch_order})
        def ship(order: Any) -> None: ...


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"inputs": ["fetch_order"]}, "write a dict"),
        ({"inputs": {"order": []}}, "write a step, or a list of steps"),
        ({"inputs": {"order": 5}}, "write a step, or a list of steps"),
        ({"inputs": {"order": [5]}}, "write a step's name or its function"),
        ({"after": 5}, "write a list of steps"),
        ({"after": [5]}, "write a step's name or its function"),
    ],
)
def test_wiring_of_the_wrong_kind_is_refused(pen: Any, options: dict[str, Any], said: str) -> None:
    """`after` and `inputs` take steps, and the refusal says how to write them."""
    pen.step(fetch_order)

    def ship() -> None: ...
    def ship_it(order: Any) -> None: ...

    with pytest.raises(DefinitionError, match=said):
        pen.step(ship_it if "inputs" in options else ship, **options)


def _starred(*orders: Any) -> None: ...
def _keywords(**orders: Any) -> None: ...
def _generator() -> Any:
    yield 1


async def _async_generator() -> Any:
    yield 1


def _positional(fetch_order: Any, /) -> None: ...


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (_starred, r"takes \*orders, .*functools\.wraps"),
        (_keywords, r"takes \*\*orders, "),
        (_generator, "is a generator"),
        (_async_generator, "is a generator"),
        (_positional, "'fetch_order' is positional-only"),
        (StepContext, "is a class"),
    ],
)
def test_callables_that_hide_their_parameters_are_refused(pen: Any, handler: Any, said: str) -> None:
    """`*args`, `**kwargs`, generators, positional-only parameters and classes are refused."""
    with pytest.raises(DefinitionError, match=said):
        pen.step(handler, name="ship")


@pytest.mark.parametrize("handler", [5, "fetch_order", None])
def test_what_cannot_be_called_is_refused(pen: Any, handler: Any) -> None:
    """A step takes a function and nothing else."""
    with pytest.raises(DefinitionError, match="is no handler; pass a function"):
        pen.draft.add(handler, {}, caller=sys._getframe())


def test_a_builtin_that_does_not_tell_its_parameters_is_refused(pen: Any) -> None:
    """A callable without a signature is refused with what to write."""
    with pytest.raises(DefinitionError, match="does not tell its parameters; write a def"):
        pen.step(getattr, name="get")


class Shop:
    def __init__(self, rate: int) -> None:
        self.rate = rate

    def charge(self, fetch_order: int) -> int:
        return self.rate * fetch_order

    def __call__(self, fetch_order: int) -> int:
        return self.rate + fetch_order


class AsyncShop:
    async def __call__(self, fetch_order: int) -> int:
        return fetch_order


def _kept(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


def _lost(fn: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


def _rated(fetch_order: int, *, rate: int) -> int:
    return rate * fetch_order


def test_all_kinds_of_handlers_work(pen: Any) -> None:
    """Bound methods, callable instances, partials, closures and well-behaved decorators are handlers."""
    pen.step(fetch_order)
    rate = 7

    def closure(fetch_order: int) -> int:
        return rate * fetch_order

    async def later(fetch_order: int) -> int:
        return fetch_order

    pen.step(Shop(2).charge)
    pen.step(Shop(3), name="called")
    pen.step(functools.partial(_rated, rate=5), name="partial")
    pen.step(closure)
    pen.step(_kept(_rated), name="wrapped", inputs={"rate": "fetch_order"})
    pen.step(later)
    pen.step(AsyncShop(), name="called_later")
    pen.step(functools.partial(later), name="partial_later")
    pen.step(lambda fetch_order: fetch_order, name="shortest")
    handlers = pen.seal().handlers
    kinds = {name: handler.kind for name, handler in handlers.items()}
    asynchronous = {"later", "called_later", "partial_later"}
    assert kinds == {name: "async" if name in asynchronous else "thread" for name in handlers}
    for name, results in {
        "charge": 20,
        "called": 13,
        "partial": 50,
        "closure": 70,
        "wrapped": 100,
        "shortest": 10,
    }.items():
        handler = handlers[name]
        given = handler.arguments(handler.sources, "{}", {"fetch_order": "10"}, None)
        assert handler.fn(**given) == results


def test_a_decorator_that_loses_the_signature_is_refused(pen: Any) -> None:
    """A decorator without functools.wraps hides the parameters, and the refusal says so."""
    with pytest.raises(DefinitionError, match=r"write functools\.wraps in it"):
        pen.step(_lost(fetch_order), name="lost")


def test_a_method_that_is_not_bound_is_refused(pen: Any) -> None:
    """Decorating a method inside its class leaves `self` open; the refusal says to register it on an instance."""
    with pytest.raises(UnknownParent, match=r"'self'.*template\.step\(instance\.charge\)"):
        pen.step(Shop.charge)


def test_bound_methods_are_named_by_what_they_are_bound_to(pen: Any) -> None:
    """A bound method names its step, although Python makes a new object at each access."""
    pen.step(fetch_order)
    shop = Shop(2)
    pen.step(shop.charge)

    @pen.step(after=[shop.charge])
    def ship() -> None: ...

    assert pen.seal().shape.step("ship").parents == ("charge",)
    assert pen.draft.steps_of(shop.charge) == ["charge"]


@pytest.mark.parametrize(
    "handler", [lambda: None, functools.partial(fetch_order), Shop(1)], ids=["lambda", "partial", "instance"]
)
def test_what_has_no_name_needs_one(pen: Any, handler: Any) -> None:
    """A lambda, partial or callable object is refused without `name=`."""
    with pytest.raises(DefinitionError, match=r'has no name of its own; write step\(…, name="…"\)'):
        pen.step(handler)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a@1", "x" * 101, "a\n", 5])
def test_names_of_other_characters_are_refused(pen: Any, name: Any) -> None:
    """A step's name is 1 to 100 letters, digits, '_', '-' or '.'."""
    with pytest.raises(DefinitionError, match="a name is"):
        pen.step(fetch_order, name=name)


@pytest.mark.parametrize("name", ["ask-dhl", "v1.2", "übergabe", "x" * 100, "1"])
def test_names_of_these_characters_are_fine(pen: Any, name: str) -> None:
    """Letters of any script, digits, '_', '-' and '.' make a name."""
    pen.step(fetch_order, name=name)
    assert pen.draft.steps == [name]


@pytest.mark.parametrize("name", ["context", "step"])
def test_reserved_names_are_refused(pen: Any, name: str) -> None:
    """No step is called `context` or `step`."""
    with pytest.raises(DefinitionError, match=f"no step is called '{name}'"):
        pen.step(fetch_order, name=name)


def test_a_name_that_is_taken_is_refused(pen: Any) -> None:
    """A second step of the same name is refused, with the line of the first."""
    pen.step(fetch_order)
    with pytest.raises(Duplicate, match=r"already has a step 'fetch_order' \(.*test_step_parameters\.py:\d+\)"):
        pen.step(fetch_order)


def test_a_refused_step_is_not_added(pen: Any) -> None:
    """After a refusal the draft is as it was."""
    with pytest.raises(DefinitionError):
        pen.step(fetch_order, priority=1000)
    assert pen.draft.steps == []


def test_a_hundred_steps_above_are_not_all_listed(pen: Any) -> None:
    """A refusal lists a dozen of the steps above and says how many there are."""
    for number in range(100):
        pen.step(fetch_order, name=f"load_{number}")
    with pytest.raises(UnknownParent, match=r"load_11 … \(100 in all\)"):

        @pen.step
        def publish(rows: Any) -> None: ...


def test_a_ready_handler_reads_only_steps_before_it(pen: Any) -> None:
    """A ready handler whose template names results is refused where that step does not come before it."""

    def ready(*names: str) -> Any:
        def send(step: Any) -> None: ...

        vars(send).update(options={}, reads=names)
        return send

    pen.step(fetch_order)

    @pen.step
    def ask(fetch_order: Any) -> None: ...

    pen.step(ready("fetch_order", "ask"), name="charge", after=[ask])
    with pytest.raises(
        UnknownParent, match=r"reads results\.ask, but no step 'ask' comes before it\. Add it: after=\['ask'\]"
    ):
        pen.step(ready("ask"), name="late", after=[fetch_order])
    with pytest.raises(UnknownParent, match="Did you mean 'fetch_order'"):
        pen.step(ready("fecth_order"), name="late", after=[ask])


def _line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)
