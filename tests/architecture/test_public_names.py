"""The public surface changes on purpose only: names and signatures against `public_names.txt`.

After a change on purpose write the file anew, and read its diff before committing:

    TASKER_WRITE_PUBLIC_NAMES=1 scripts/test tests/architecture/test_public_names.py
"""

from __future__ import annotations

import enum
import importlib
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, get_overloads

SNAPSHOT = Path(__file__).with_name("public_names.txt")
MADE_BY_TASKER = {"Page", "Step", "StepContext", "Steps", "Task", "Template"}
"""Users hold these and never call the class: how it is made may change."""

MODULES = ("tasker", "tasker.events", "tasker.handlers", "tasker.testing")


def test_public_names() -> None:
    """Names and signatures that users rely on are those of the snapshot."""
    text = "\n\n".join("\n".join(surface(importlib.import_module(name))) for name in MODULES) + "\n"
    if os.environ.get("TASKER_WRITE_PUBLIC_NAMES"):
        SNAPSHOT.write_text(text)
    assert text.splitlines() == SNAPSHOT.read_text().splitlines(), __doc__


def surface(module: ModuleType) -> Iterator[str]:
    """One line for each public name and each public member of a class."""
    yield f"# {module.__name__}"
    for name in sorted(module.__all__):
        yield from described(name, getattr(module, name))


def described(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        yield from described_class(name, value)
    elif inspect.isroutine(value):
        yield from described_function(name, value)
    elif isinstance(value, UnionType):
        yield f"{name} = {value}"
    else:
        yield f"{name}: {type(value).__name__}"


def described_class(name: str, cls: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    if issubclass(cls, enum.Enum):
        yield f"class {name}({bases}): {', '.join(f'{member.name} = {member.value!r}' for member in cls)}"
        return
    yield f"class {name}({bases})"
    if name not in MADE_BY_TASKER:
        yield f"    {name}{signature(cls)}"
    for member in sorted(members(cls)):
        for line in described_member(cls, member):
            yield f"    {line}"


def described_member(cls: type, name: str) -> Iterator[str]:
    found = inspect.getattr_static(cls, name, None)
    annotations = [annotations_of(base)[name] for base in cls.__mro__ if name in annotations_of(base)]
    if isinstance(found, property):
        yield f"{name}: property"
    elif isinstance(found, classmethod | staticmethod):
        yield f"@{type(found).__name__} {name}{signature(getattr(cls, name))}"
    elif inspect.isroutine(found):
        yield from described_function(name, found)
    else:
        yield f"{name}: {annotations[0]}" if annotations else name


def described_function(name: str, function: Any) -> Iterator[str]:
    """Its signature; those that type checkers see when it is overloaded."""
    for variant in get_overloads(function) or [function]:
        yield f"{'async ' * inspect.iscoroutinefunction(variant)}{name}{signature(variant)}"


def members(cls: type) -> set[str]:
    """Public attributes that the package itself gives a class, annotated ones included."""
    own = [base for base in cls.__mro__ if base.__module__.partition(".")[0] == "tasker"]
    found = {name for base in own for name in [*vars(base), *annotations_of(base)]}
    return {name for name in found if not name.startswith("_")}


def annotations_of(cls: type) -> dict[str, Any]:
    found: dict[str, Any] = vars(cls).get("__annotations__", {})
    return found


class Unquoted:
    """An annotation that was kept as text, shown without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def signature(value: Any) -> str:
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return "(…)"
    plain = found.replace(
        parameters=[
            parameter.replace(annotation=shown(parameter.annotation)) for parameter in found.parameters.values()
        ],
        return_annotation=shown(found.return_annotation),
    )
    return re.sub(r" at 0x[0-9a-f]+", "", str(plain)).replace(" = Ellipsis", " = ...")


def shown(annotation: Any) -> Any:
    return Unquoted(annotation) if isinstance(annotation, str) else annotation
