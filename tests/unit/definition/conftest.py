"""A pen: what the app's `template()` and `step()` do, without an app."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from tasker.definition.sealed import Sealed
from tasker.definition.template import Draft


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
