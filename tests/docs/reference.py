"""Makes the pages of the reference that say what the code says: settings, errors, events."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import tasker
from tasker import config, errors, events

ROOT = Path(__file__).parents[2]

MADE = "<!-- Made from the code: TASKER_WRITE_REFERENCE=1 scripts/test tests/docs/test_reference.py -->"


def settings_page() -> str:
    """Every setting with its variable, type, default and effect."""
    rows = [
        f"| `{s.variable}` | `{s.name}` | {s.type.replace('|', ' or ')} | {_default(s)} | {s.effect} |"
        for s in config.catalogue()
    ]
    return _page(
        "Settings",
        "A setting is a keyword of `Tasker(…)`, else an environment variable, else a key of `[tool.tasker]` in the "
        "nearest pyproject.toml, else its default; read at first use. `tasker doctor` shows where each value came "
        "from. An unknown keyword or key is refused, with the nearest right one.",
        "| variable | keyword and key | type | default | effect |\n|---|---|---|---|---|\n" + "\n".join(rows),
        "A number of seconds may be a `timedelta` as a keyword. Names are a list as a keyword or key, and separated "
        "by commas in a variable.",
    )


def _default(setting: config.Setting) -> str:
    if setting.default in ("", ()):
        return "none"
    value = ", ".join(setting.default) if isinstance(setting.default, tuple) else str(setting.default)
    return f"`{value}`" + (f" {setting.unit}" if setting.unit else "")


def events_page() -> str:
    """Every event with its fields."""
    rows = []
    for name, kind in events.CATALOG.items():
        fields = list(inspect.signature(kind).parameters)
        rows.append(f"| `{name}` | `{kind.__name__}` | {', '.join(f'`{f}`' for f in fields)} | {_sentence(kind)} |")
    return _page(
        "Events",
        "A subscriber is told after the commit, in the process that committed, in a thread of its own, and in order "
        'for each task. It names events as text, `@app.on("task.failed")`, or by class, `@app.on(events.TaskFailed)`.',
        "| event | class in `tasker.events` | fields | what happened |\n|---|---|---|---|\n" + "\n".join(rows),
    )


def errors_page() -> str:
    """The tree of errors; under each what it refuses, with the test that shows it."""
    shown = _shown_by_tests()
    parts = []
    for kind in _tree(errors.TaskerError):
        depth = len(kind.__mro__) - len(errors.TaskerError.__mro__)
        parts.append(f"{'##' if depth < 2 else '###'} {kind.__name__}\n\n{_sentence(kind)}")
        if shown.get(kind.__name__):
            parts.append("\n".join(f"- {fact}\\\n  `{test}`" for fact, test in shown[kind.__name__]))
    return _page(
        "Errors",
        "One tree, sorted by who must act. All can be imported from `tasker`. Below each stands when it is raised, "
        "and the test that shows it.",
        *parts,
    )


def _tree(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for child in root.__subclasses__():
        if hasattr(tasker, child.__name__):
            yield from _tree(child)


def _shown_by_tests() -> dict[str, list[tuple[str, str]]]:
    """Error name → (fact, test) of every test that expects it by `pytest.raises`."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                fact = " ".join((ast.get_docstring(node) or node.name).split())
                for name in sorted(_expected(node)):
                    found.setdefault(name, []).append((fact, f"{path.relative_to(ROOT)}::{node.name}"))
    return found


def _expected(test: ast.AST) -> set[str]:
    return {
        name.id
        for call in ast.walk(test)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.raises" and call.args
        for name in ast.walk(call.args[0])
        if isinstance(name, ast.Name)
    }


def _sentence(kind: type) -> str:
    """The first paragraph of a docstring, on one line."""
    first = (inspect.getdoc(kind) or "").partition("\n\n")[0]
    return re.sub(r"\s+", " ", first)


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", MADE, *parts]) + "\n"
