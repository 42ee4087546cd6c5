"""A pen, which does what the app's `template()` and `step()` do, and YAML files to load."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasker.definition.sealed import Sealed
from tasker.definition.template import Draft
from tasker.definition.yaml_form import load


class Pen:
    """Writes the steps of one draft; `step` is used as the decorator is."""

    def __init__(self, name: str = "fulfil_order", namespace: str = "shop", **options: Any) -> None:
        self.draft = Draft(name, namespace=namespace, **options)

    def step(self, fn: Any = None, /, **options: Any) -> Any:
        caller = sys._getframe(1)

        def add(fn: Any) -> Any:
            self.draft.add(fn, options, caller=caller)
            return fn

        return add if fn is None else add(fn)

    def seal(self) -> Sealed:
        return self.draft.seal()


@pytest.fixture
def pen() -> Pen:
    """A template `shop/fulfil_order` without steps."""
    return Pen()


@pytest.fixture
def a_template() -> Callable[..., Pen]:
    """Makes templates with options."""
    return Pen


HANDLERS = '''
import os
from pydantic import BaseModel

class Order(BaseModel):
    order_id: int

class Down(Exception): ...

class Reporter:
    """The earlier Tasker's handlers were classes."""
    def __call__(self, context): return context

class Needy:
    def __init__(self, rate): ...

answer = 42
def fetch_order(context: Order) -> dict[str, int]: return {"total": 1}
def reserve_stock(order: dict[str, int]) -> int: return 1
def report_tax(fetch_order, step): return 2
def lonely(): return 3
def wants(fecth_order): ...
def pause(attempt): return 5
def key(context): return "k"
class Nested:
    @staticmethod
    def inner(): return 4
'''


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Draft]]]:
    """Writes YAML to `tasks/a.yaml` in the working directory and loads it; `shopyaml.handlers` may be used."""
    (tmp_path / "shopyaml").mkdir()
    (tmp_path / "shopyaml" / "__init__.py").write_text("")
    (tmp_path / "shopyaml" / "handlers.py").write_text(HANDLERS)
    (tmp_path / "shopyaml" / "broken.py").write_text("1 / 0")
    (tmp_path / "tasks").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str, *, patterns: Any = "tasks/*.yaml", env: str = "production", **options: Any) -> list[Draft]:
        (tmp_path / "tasks" / "a.yaml").write_text(text)
        ready = options.pop("ready", {"http": http, "command": command})
        return load(patterns, modules=options.pop("modules", ["shopyaml"]), env=env, ready=ready)

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "shopyaml"]:
        del sys.modules[name]


def http(method: str, url: str, *, json: Any = None) -> Callable[..., Any]:
    def send(step: Any) -> Any:
        return [method, url, json]

    return send


def command(argv: list[str]) -> Callable[..., Any]:
    if not argv:
        raise ValueError("argv is empty")

    def run(step: Any) -> Any:
        return argv

    return run
