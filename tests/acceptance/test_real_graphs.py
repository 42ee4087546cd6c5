"""Graphs as people really run them: each completes, every step runs once, and never before its parents.

Real ones are read from the folder named by TASKER_DAG_CORPUS: JSON files, each a list of
`{"name", "steps": [[name, seconds, [indices of its parents]], …]}`. Graphs of the same kinds are made here, and run
always.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from tasker import StepContext, Tasker, Template

CORPUS = os.environ.get("TASKER_DAG_CORPUS", "")
SEED = int(os.environ.get("GRAPH_SEED", "11"))


@dataclass
class Graph:
    """Steps in an order in which parents come first: name → its parents' names."""

    name: str
    parents: dict[str, list[str]]

    @property
    def depths(self) -> dict[str, int]:
        """How many steps the longest way to each step has: what its handler must come to from its parents' results."""
        found: dict[str, int] = {}
        for name, parents in self.parents.items():
            found[name] = 1 + max((found[parent] for parent in parents), default=0)
        return found

    @property
    def leaves(self) -> set[str]:
        return set(self.parents) - {parent for parents in self.parents.values() for parent in parents}


@dataclass
class Diary:
    """What the handlers did, in the order they did it."""

    lines: list[tuple[str, str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, what: str, step: StepContext) -> None:
        with self.lock:
            self.lines.append((what, step.task_id, step.name))


def graph_of(name: str, steps: Iterable[tuple[str, list[int]]]) -> Graph:
    """A graph of (name, indices of its parents), in whatever order they are, named as steps may be."""
    steps = list(steps)
    names = [f"{i}_{re.sub('[^A-Za-z0-9_.-]', '-', step)}"[:100] for i, (step, _) in enumerate(steps)]
    order = TopologicalSorter({i: parents for i, (_, parents) in enumerate(steps)}).static_order()
    # Each parent once: some collections name an edge as often as files go along it.
    return Graph(name, {names[i]: list(dict.fromkeys(names[j] for j in steps[i][1])) for i in order})


def a_chain(length: int) -> Graph:
    return graph_of("chain", ((f"s{i}", [i - 1] if i else []) for i in range(length)))


def a_fork_join(width: int) -> Graph:
    parts = [(f"part{i}", [0]) for i in range(width)]
    return graph_of("fork_join", [("fork", []), *parts, ("join", [*range(1, width + 1)])])


def some_levels(rng: random.Random, levels: int, most: int) -> Graph:
    """Levels of random width; each step has some parents in the level before and, now and then, one far above."""
    steps: list[tuple[str, list[int]]] = []
    above: list[int] = []
    for level in range(levels):
        here = []
        for i in range(rng.randint(1, most)):
            parents = {*rng.sample(above, rng.randint(1, len(above)))} if above else set()
            if level > 1 and rng.random() < 0.2:
                parents.add(rng.randrange(len(steps)))
            here.append(len(steps) + i)
            steps.append((f"l{level}", sorted(p for p in parents if p < here[0])))
        above = here
    return graph_of("levels", steps)


def made_graphs() -> list[Graph]:
    rng = random.Random(SEED)
    return [a_chain(25), a_fork_join(200), *(some_levels(rng, levels=8, most=20) for _ in range(6))]


def real_graphs(folder: str) -> list[Graph]:
    files = sorted(Path(folder).glob("*.json"))
    assert files, f"TASKER_DAG_CORPUS={folder}: there is no JSON file"
    return [
        graph_of(one["name"], [(name, parents) for name, _, parents in one["steps"]])
        for file in files
        for one in json.loads(file.read_text())
    ]


@pytest.fixture
def tasker(database_url: str) -> Iterator[Tasker]:
    tasker = Tasker(database_url, env="test", sqlite_synchronous="normal", concurrency=32)
    yield tasker
    tasker.stop(0)
    tasker.store.close()


@pytest.fixture
def a_template(tasker: Tasker) -> Callable[[int, Graph, Diary], Template[dict[str, Any]]]:
    """Makes a template of a graph; each step's results are its depth, computed from its parents'."""

    def make(number: int, graph: Graph, diary: Diary) -> Template[dict[str, Any]]:
        template = tasker.template(f"graph_{number}", description=graph.name)

        def root(step: StepContext) -> int:
            diary.write("start", step)
            diary.write("end", step)
            return 1

        def deeper(parents: dict[str, int], step: StepContext) -> int:
            diary.write("start", step)
            diary.write("end", step)
            return 1 + max(parents.values())

        def alone(parents: int, step: StepContext) -> int:
            return deeper({"only": parents}, step)

        for name, parents in graph.parents.items():
            if not parents:
                template.step(root, name=name)
            elif len(parents) == 1:
                template.step(alone, name=name, inputs={"parents": parents[0]})
            else:
                template.step(deeper, name=name, inputs={"parents": parents})
        return template

    return make


def run_all(tasker: Tasker, a_template: Callable[..., Template[dict[str, Any]]], graphs: list[Graph]) -> int:
    """Run one task of each graph, all at once, and check it; how many steps there were."""
    diary = Diary()
    templates = [a_template(i, graph, diary) for i, graph in enumerate(graphs)]
    with tasker.worker():
        tasks = [template.enqueue() for template in templates]
        results = [task.result(timeout=60) for task in tasks]
    place = {line: i for i, line in enumerate(diary.lines)}
    assert set(Counter(diary.lines).values()) == {1}, "a step ran twice"
    for graph, task, found in zip(graphs, tasks, results, strict=True):
        depths = graph.depths
        assert found == {leaf: depths[leaf] for leaf in graph.leaves}, graph.name
        assert {name: step.results for name, step in task.refresh().steps.items()} == depths, graph.name
        assert str(task.state) == "complete"
        for child, parents in graph.parents.items():
            for parent in parents:
                assert place["end", task.id, parent] < place["start", task.id, child], (graph.name, parent, child)
    return sum(len(graph.parents) for graph in graphs)


def test_made_graphs_complete_in_order(tasker: Tasker, a_template: Callable[..., Any]) -> None:
    """Chains, wide joins and random levels: each step runs once, after all its parents, with their results."""
    assert run_all(tasker, a_template, made_graphs()) > 400


@pytest.mark.skipif(not CORPUS, reason="TASKER_DAG_CORPUS is not set: it names a folder with graphs of real workflows")
def test_real_graphs_complete_in_order(tasker: Tasker, a_template: Callable[..., Any]) -> None:
    """The graphs of real workflows: each step runs once, after all its parents, with their results."""
    graphs = real_graphs(CORPUS)
    steps = run_all(tasker, a_template, graphs)
    print(f"{len(graphs)} graphs, {steps} steps")
