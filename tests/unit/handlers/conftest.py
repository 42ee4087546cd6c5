"""What the ready handlers are tested against: a real server on loopback, and attempts with chosen facts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from loopback import Attempt, Server

from tasker.handlers.context import StepContext


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def attempt() -> Attempt:
    """A factory of attempts: `attempt(timeout=1, results={"fetch_order": {…}})`."""

    def make(*, timeout: float | None = None, results: Mapping[str, Any] | None = None, **facts: Any) -> StepContext:
        stored = {name: json.dumps(value) for name, value in (results or {}).items()}
        facts.setdefault("idempotency_key", "order-17:charge:0")
        deadline = None if timeout is None else time.monotonic() + timeout
        return StepContext(results=stored.__getitem__, deadline=deadline, parents=tuple(stored), **facts)

    return make
