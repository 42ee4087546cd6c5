"""Render: a shape as text, for people: Mermaid for documents, a tree for the terminal."""

from __future__ import annotations

from collections.abc import Callable

from tasker.definition.shape import Shape, StepShape


def mermaid(shape: Shape) -> str:
    """Draw a shape as a Mermaid flowchart; order without data is a dotted arrow.

    Example:
        >>> print(mermaid(Shape((StepShape("fetch"), StepShape("tax", after=("fetch",))))))
        flowchart TD
            s0["fetch"]
            s1["tax"]
            s0 -.-> s1
    """
    numbers = shape.graph.index
    lines = ["flowchart TD"]
    # Quoted, for a step called `end` or with dots would be syntax; a name holds no quotes itself.
    lines += [f'    s{numbers[step.name]}["{step.name}"]' for step in shape.steps]
    for step in shape.steps:
        data = StepShape(step.name, inputs=step.inputs).parents
        lines += [
            f"    s{numbers[parent]} {'-->' if parent in data else '-.->'} s{numbers[step.name]}"
            for parent in step.parents
        ]
    return "\n".join(lines)


def tree(shape: Shape, label: Callable[[str], str] = lambda name: name) -> str:
    """Draw a shape as a tree, each step under the parent it waits for longest; other parents are named.

    Args:
        shape: what to draw.
        label: a step's name → what is shown for it.

    Example:
        >>> print(tree(Shape((StepShape("fetch"), StepShape("tax", after=("fetch",)), StepShape("mail")))))
        ├─ fetch
        │  └─ tax
        └─ mail
    """
    graph = shape.graph
    depth = [0] * len(graph.names)
    below: list[list[int]] = [[] for _ in graph.names]
    roots: list[int] = []
    for number in graph.order:
        parents = graph.parents[number]
        if not parents:
            roots.append(number)
            continue
        under = max(parents, key=lambda parent: depth[parent])
        depth[number] = depth[under] + 1
        below[under].append(number)
    lines = []
    todo = [(number, "", place == len(roots) - 1) for place, number in enumerate(roots)][::-1]
    while todo:
        number, indent, is_last = todo.pop()
        others = [graph.names[parent] for parent in graph.parents[number] if number not in below[parent]]
        also = f"  (and {', '.join(others)})" if others else ""
        lines.append(f"{indent}{'└─' if is_last else '├─'} {label(graph.names[number])}{also}")
        deeper = indent + ("   " if is_last else "│  ")
        children = below[number]
        todo += [(child, deeper, place == len(children) - 1) for place, child in enumerate(children)][::-1]
    return "\n".join(lines)
