"""Policy: all of a definition that is not its shape.

How often, how long, how urgent, from which queue. A worker goes by the policy of its own code, so that a longer
timeout helps tasks already waiting; the one declared last is stored beside the shape, for processes that have
the database but not the code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tasker.definition.retry import Retry

OnFailure = Literal["finish_branches", "stop"]
RunIn = Literal["auto", "process"]


@dataclass(frozen=True)
class StepPolicy:
    """How one step is run.

    Attributes:
        retry: when it is tried again.
        timeout: seconds for one attempt; None: no limit.
        system: what it depends on outside.
        priority: among the viable steps of a worker, -100 to 100, higher first.
        config: constants for its handler, as JSON made them.
        max_wait: seconds it may wait by `Wait` or for a signal, from the first time on.
        run_in: "process" for work that would hold the interpreter.
        description: for people.
        results_schema: JSON Schema of what it returns; None where its handler does not say.
        needs: the parents whose results it cannot do without: its parameter for them does not allow None.
    """

    retry: Retry = field(default_factory=Retry)
    timeout: float | None = None
    system: str | None = None
    priority: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    max_wait: float | None = None
    run_in: RunIn = "auto"
    description: str = ""
    results_schema: Mapping[str, Any] | None = None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """How the tasks of a template are run.

    Attributes:
        on_failure: "stop" cancels what has not started once a step is in final error.
        queue: which workers take them.
        priority: among tasks, -100 to 100, higher first.
        deadline: seconds from `created_at`.
        description: for people.
        context_schema: JSON Schema of the context; None where anything goes.
        steps: by name.
    """

    on_failure: OnFailure = "finish_branches"
    queue: str = "default"
    priority: int = 0
    deadline: float | None = None
    description: str = ""
    context_schema: Mapping[str, Any] | None = None
    steps: Mapping[str, StepPolicy] = field(default_factory=dict)

    def to_json(self) -> str:
        """Write it as JSON text; exception classes and backoff functions become their names."""
        steps = {name: {**vars(step), "retry": step.retry.as_json()} for name, step in self.steps.items()}
        return json.dumps({**vars(self), "steps": steps}, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Read it back; what was a class or a function is dropped."""
        stored = json.loads(text)
        steps = {
            name: StepPolicy(**{**step, "retry": Retry.of_json(step["retry"]), "needs": tuple(step["needs"])})
            for name, step in stored.pop("steps").items()
        }
        return cls(**stored, steps=steps)
