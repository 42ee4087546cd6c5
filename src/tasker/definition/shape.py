"""Shape: the part of a definition that a task keeps to its end.

Step names in order, their parents, which parameter gets which results, and the step whose results are the
task's. All else is policy (`tasker.definition.policy`), which may change under a task that waits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tasker.definition.graph import Graph
from tasker.payload import fingerprint

Source = str | tuple[str, ...]
"""Where a parameter comes from: one step, or several (then it is a dict by step name)."""


@dataclass(frozen=True)
class StepShape:
    """One step of a shape.

    Attributes:
        name: of the step.
        after: parents that only come before.
        inputs: (parameter, source) for parents whose results it gets.
    """

    name: str
    after: tuple[str, ...] = ()
    inputs: tuple[tuple[str, Source], ...] = ()

    @cached_property
    def parents(self) -> tuple[str, ...]:
        """The steps that must be satisfied before this one, each once: sources of inputs, then `after`."""
        return tuple(dict.fromkeys([*self._sources(), *self.after]))

    def _sources(self) -> Iterator[str]:
        for _, source in self.inputs:
            yield from (source,) if isinstance(source, str) else source

    def as_json(self) -> dict[str, Any]:
        """The stored form."""
        inputs = [[parameter, source if isinstance(source, str) else list(source)] for parameter, source in self.inputs]
        return {"name": self.name, "after": list(self.after), "inputs": inputs}

    @classmethod
    def of_json(cls, stored: dict[str, Any]) -> StepShape:
        """Back from the stored form."""
        inputs = tuple((p, source if isinstance(source, str) else tuple(source)) for p, source in stored["inputs"])
        return cls(stored["name"], tuple(stored["after"]), inputs)


@dataclass(frozen=True)
class Shape:
    """The graph of a template, as it is stored.

    Attributes:
        steps: in definition order.
        result: the step whose results are the task's; None: all leaves by name.
    """

    steps: tuple[StepShape, ...]
    result: str | None = None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the shape in canonical form: the order in which a function lists its parameters is no shape."""
        steps = [[s.name, sorted(s.parents), sorted(s.as_json()["inputs"], key=lambda one: one[0])] for s in self.steps]
        return fingerprint([steps, self.result])

    @cached_property
    def graph(self) -> Graph:
        """The graph, built once."""
        return Graph.of([(step.name, step.parents) for step in self.steps])

    @cached_property
    def _by_name(self) -> dict[str, StepShape]:
        return {step.name: step for step in self.steps}

    def step(self, name: str) -> StepShape:
        """Look a step up by name; KeyError where there is none."""
        return self._by_name[name]

    def to_json(self) -> str:
        """Write it as JSON text, for the database."""
        stored = {"steps": [step.as_json() for step in self.steps], "result": self.result}
        return json.dumps(stored, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Shape:
        """Read it back from JSON text."""
        stored = json.loads(text)
        return cls(tuple(map(StepShape.of_json, stored["steps"])), stored["result"])

    def difference(self, other: Shape) -> str:
        """Say in words how `other` differs from this shape; empty where both are the same.

        Example:
            >>> old = Shape((StepShape("fetch"), StepShape("tax", after=("fetch",))))
            >>> new = Shape((StepShape("fetch"), StepShape("ask"), StepShape("tax", after=("fetch", "ask"))))
            >>> old.difference(new)
            '+ ask; tax: parents fetch → fetch, ask'
        """
        if self.fingerprint == other.fingerprint:
            return ""
        mine, theirs = self._by_name, other._by_name
        said = [f"+ {name}" for name in theirs if name not in mine]
        said += [f"- {name}" for name in mine if name not in theirs]
        shared = [name for name in mine if name in theirs]
        for name in shared:
            said += _changes(mine[name], theirs[name])
        if shared != [name for name in theirs if name in mine]:
            said.append("steps in another order")
        if self.result != other.result:
            said.append(f"result {self.result or 'of all leaves'} → {other.result or 'of all leaves'}")
        return "; ".join(said)


def _changes(old: StepShape, new: StepShape) -> Iterator[str]:
    if set(old.parents) != set(new.parents):
        yield f"{old.name}: parents {_listed(old.parents)} → {_listed(new.parents)}"
    elif dict(old.inputs) != dict(new.inputs):
        yield f"{old.name}: inputs {_inputs(old)} → {_inputs(new)}"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"


def _inputs(step: StepShape) -> str:
    said = (f"{p}={source if isinstance(source, str) else list(source)}" for p, source in step.inputs)
    return ", ".join(said) or "none"
