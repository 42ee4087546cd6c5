"""Graph: which step comes after which, by number.

Built once per shape and shared by all its tasks, so everything is tuples of small numbers. A step's number is
its place in the definition. Nothing here recurses: a chain of 10,000 steps is as good as one of three.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from tasker.errors import CycleError, Duplicate, UnknownParent


@dataclass(frozen=True)
class Graph:
    """The steps of a shape and the edges between them.

    Attributes:
        names: of the steps, in definition order.
        index: name → number.
        parents: by number.
        children: by number, in definition order.
        rank: length in steps of the longest remaining path, the step itself included.
        order: a topological order; definition order where that is one.
    """

    names: tuple[str, ...]
    index: Mapping[str, int]
    parents: tuple[tuple[int, ...], ...]
    children: tuple[tuple[int, ...], ...]
    rank: tuple[int, ...]
    order: tuple[int, ...]

    @classmethod
    def of(cls, steps: Sequence[tuple[str, Sequence[str]]]) -> Graph:
        """Build the graph of steps, each with the names of its parents.

        Raises:
            CycleError: steps depend on each other in a circle.
            UnknownParent: a parent is no step.
            Duplicate: a name is used twice.

        Example:
            >>> Graph.of([("fetch", []), ("tax", ["fetch"]), ("mail", ["fetch"])]).children
            ((1, 2), (), ())
        """
        names = tuple(name for name, _ in steps)
        index = {name: number for number, name in enumerate(names)}
        if len(index) < len(names):
            twice = next(name for number, name in enumerate(names) if index[name] != number)
            raise Duplicate(f"two steps are called {twice!r}")
        parents = tuple(_numbers(name, of, index) for name, of in steps)
        children = _turned(parents)
        order = _topological(parents, children)
        if len(order) < len(names):
            raise _circle(names, parents, set(order))
        return cls(names, index, parents, children, _ranks(order, children), order)

    @property
    def roots(self) -> tuple[int, ...]:
        """Steps without parents."""
        return tuple(number for number, parents in enumerate(self.parents) if not parents)

    @property
    def leaves(self) -> tuple[int, ...]:
        """Steps without children."""
        return tuple(number for number, children in enumerate(self.children) if not children)

    def descendants(self, number: int) -> list[int]:
        """All steps after this one, without itself, parents before children."""
        return self._reachable(number, self.children)

    def ancestors(self, number: int) -> list[int]:
        """All steps before this one, without itself, parents before children."""
        return self._reachable(number, self.parents)

    def _reachable(self, number: int, edges: tuple[tuple[int, ...], ...]) -> list[int]:
        found, todo = {number}, [number]
        while todo:
            for other in edges[todo.pop()]:
                if other not in found:
                    found.add(other)
                    todo.append(other)
        found.discard(number)
        # Definition order is topological for every template; only graphs made by hand need the other.
        return sorted(found) if self.order == tuple(range(len(self.names))) else [n for n in self.order if n in found]


def _numbers(name: str, parents: Sequence[str], index: Mapping[str, int]) -> tuple[int, ...]:
    try:
        return tuple(index[parent] for parent in dict.fromkeys(parents))
    except KeyError as error:
        raise UnknownParent(f"step {name!r}: its parent {error.args[0]!r} is no step") from None


def _turned(parents: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    children: list[list[int]] = [[] for _ in parents]
    for number, of in enumerate(parents):
        for parent in of:
            children[parent].append(number)
    return tuple(map(tuple, children))


def _topological(parents: tuple[tuple[int, ...], ...], children: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    """Kahn's algorithm (1962), the lowest number first; short of the steps in and after a circle."""
    missing = [len(of) for of in parents]
    free = [number for number, count in enumerate(missing) if not count]
    order = []
    while free:
        order.append(number := heappop(free))
        for child in children[number]:
            missing[child] -= 1
            if not missing[child]:
                heappush(free, child)
    return tuple(order)


def _ranks(order: tuple[int, ...], children: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    ranks = [1] * len(order)
    for number in reversed(order):
        for child in children[number]:
            if ranks[child] >= ranks[number]:
                ranks[number] = ranks[child] + 1
    return tuple(ranks)


def _circle(names: tuple[str, ...], parents: tuple[tuple[int, ...], ...], sound: set[int]) -> CycleError:
    """Walk up from any step left over: each has a parent left over, so the walk must meet itself."""
    number = next(number for number in range(len(names)) if number not in sound)
    walk: list[int] = []
    while number not in walk:
        walk.append(number)
        number = next(parent for parent in parents[number] if parent not in sound)
    circle = [names[step] for step in reversed(walk[walk.index(number) :])]
    first = circle.index(min(circle, key=names.index))
    circle = [*circle[first:], *circle[: first + 1]]
    return CycleError(f"steps depend on each other in a circle: {' → '.join(circle)}", circle)
