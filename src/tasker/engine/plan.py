"""Plan: one stored shape with the policy and handlers that run it here. Built once, shared by all its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasker.definition.graph import Graph
from tasker.definition.policy import Policy, StepPolicy
from tasker.definition.shape import Shape
from tasker.definition.signature import Handler

Inputs = Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of a plan; `handler` is None where the code is not at hand (command line, operators)."""

    index: int
    name: str
    inputs: Inputs
    parents: tuple[str, ...]
    policy: StepPolicy
    handler: Handler | None
    order: tuple[int, int, int]


class Plan:
    """What an owner must know to run tasks of one template row.

    Attributes:
        template_id: the row of `templates`.
        ref: `namespace/name@version`.
        left: per step, how many parents must be satisfied first.
    """

    __slots__ = ("graph", "left", "policy", "ref", "shape", "steps", "systems", "template_id")

    def __init__(
        self, template_id: int, ref: str, shape: Shape, policy: Policy, handlers: Mapping[str, Handler] | None = None
    ) -> None:
        self.template_id, self.ref, self.shape, self.policy = template_id, ref, shape, policy
        self.graph: Graph = shape.graph
        known = handlers or {}
        self.steps = tuple(
            PlannedStep(
                index=i,
                name=step.name,
                inputs=dict(step.inputs),
                parents=step.parents,
                policy=policy.steps[step.name],
                handler=known.get(step.name),
                # Among viable steps: priority, then the longest remaining path, then definition order.
                order=(-policy.steps[step.name].priority, -self.graph.rank[i], i),
            )
            for i, step in enumerate(shape.steps)
        )
        self.left = tuple(len(parents) for parents in self.graph.parents)
        self.systems = frozenset(step.policy.system for step in self.steps if step.policy.system)

    def index(self, name: str) -> int:
        return self.graph.index[name]

    def needing(self, i: int) -> str | None:
        """The first child that cannot do without this step's results; None when all accept None."""
        name = self.steps[i].name
        for child in self.graph.children[i]:
            if name in self.steps[child].policy.needs:
                return self.steps[child].name
        return None
