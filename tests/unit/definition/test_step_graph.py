"""Graphs: parents, children, ranks and orders, by number."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker.definition.graph import Graph
from tasker.errors import CycleError, Duplicate, UnknownParent


@st.composite
def dags(draw: st.DrawFn) -> list[tuple[str, list[str]]]:
    """Steps each with parents among those above."""
    size = draw(st.integers(1, 20))
    steps: list[tuple[str, list[str]]] = []
    for number in range(size):
        above = [name for name, _ in steps]
        parents = draw(st.lists(st.sampled_from(above), unique=True)) if above else []
        steps.append((f"s{number}", parents))
    return steps


def test_a_diamond() -> None:
    """Fan-out and fan-in: numbers are places in the definition."""
    graph = Graph.of([("a", []), ("b", ["a"]), ("c", ["a"]), ("d", ["b", "c"])])
    assert graph.names == ("a", "b", "c", "d")
    assert graph.parents == ((), (0,), (0,), (1, 2))
    assert graph.children == ((1, 2), (3,), (3,), ())
    assert graph.rank == (3, 2, 2, 1)
    assert (graph.roots, graph.leaves) == ((0,), (3,))
    assert (graph.descendants(0), graph.ancestors(3)) == ([1, 2, 3], [0, 1, 2])


@given(dags())
def test_edges_agree_both_ways(steps: list[tuple[str, list[str]]]) -> None:
    """A step is its parent's child, and the other way round."""
    graph = Graph.of(steps)
    down = {(parent, child) for child, parents in enumerate(graph.parents) for parent in parents}
    up = {(parent, child) for parent, children in enumerate(graph.children) for child in children}
    assert down == up
    assert graph.index == {name: number for number, (name, _) in enumerate(steps)}


@given(dags())
def test_a_rank_is_the_longest_remaining_path(steps: list[tuple[str, list[str]]]) -> None:
    """A step's rank is one more than the highest of its children's."""
    graph = Graph.of(steps)
    for number, children in enumerate(graph.children):
        assert graph.rank[number] == 1 + max((graph.rank[child] for child in children), default=0)


@given(dags(), st.randoms(use_true_random=False))
def test_any_order_of_writing_gives_a_topological_order(steps: list[tuple[str, list[str]]], random: object) -> None:
    """However the steps are shuffled, parents come before children in `order`, in descendants and in ancestors."""
    random.shuffle(steps)  # type: ignore[attr-defined]
    graph = Graph.of(steps)
    place = {number: at for at, number in enumerate(graph.order)}
    assert sorted(place) == list(range(len(steps)))
    for child, parents in enumerate(graph.parents):
        assert all(place[parent] < place[child] for parent in parents)
    for number in range(len(steps)):
        for found in (graph.descendants(number), graph.ancestors(number)):
            assert [place[one] for one in found] == sorted(place[one] for one in found)


@given(dags())
def test_descendants_and_ancestors_mirror_each_other(steps: list[tuple[str, list[str]]]) -> None:
    """A step is among its ancestors' descendants, and never among its own."""
    graph = Graph.of(steps)
    below = {number: set(graph.descendants(number)) for number in range(len(steps))}
    for number in range(len(steps)):
        assert number not in below[number]
        assert set(graph.ancestors(number)) == {other for other in below if number in below[other]}


@given(dags(), st.data())
def test_a_circle_is_printed_whole(steps: list[tuple[str, list[str]]], data: st.DataObject) -> None:
    """Where steps depend on each other, the whole circle is named, the first repeated at the end."""
    graph = Graph.of(steps)
    number = data.draw(st.integers(0, len(steps) - 1))
    below = data.draw(st.sampled_from([number, *graph.descendants(number)]))
    edges = dict(steps)
    edges[steps[number][0]] = [*edges[steps[number][0]], steps[below][0]]
    with pytest.raises(CycleError) as refused:
        Graph.of(list(edges.items()))
    circle = refused.value.circle
    assert circle[0] == circle[-1]
    assert len(set(circle)) == len(circle) - 1
    assert " → ".join(circle) in str(refused.value)
    assert all(before in edges[after] for before, after in pairwise(circle))


def test_an_unknown_parent_is_refused() -> None:
    """A parent that is no step is refused by name."""
    with pytest.raises(UnknownParent, match="'fetch' is no step"):
        Graph.of([("tax", ["fetch"])])


def test_two_steps_of_one_name_are_refused() -> None:
    """A name that is used twice is refused."""
    with pytest.raises(Duplicate, match="two steps are called 'tax'"):
        Graph.of([("tax", []), ("mail", []), ("tax", [])])


@pytest.mark.parametrize("shape", ["chain", "fan"])
def test_ten_thousand_steps_are_built_quickly(shape: str) -> None:
    """A graph of 10,000 steps is built in well under a second, without recursion."""
    if shape == "chain":
        steps = [(f"s{n}", [f"s{n - 1}"] if n else []) for n in range(10_000)]
    else:
        inner = [(f"s{n}", ["first"]) for n in range(9_998)]
        steps = [("first", []), *inner, ("last", [name for name, _ in inner])]
    started = time.perf_counter()
    graph = Graph.of(steps)
    assert time.perf_counter() - started < 0.5
    assert max(graph.rank) == (10_000 if shape == "chain" else 3)
    assert len(graph.descendants(0)) == 9_999
