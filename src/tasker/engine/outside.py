"""Outside: what a heart is given: who runs attempts, what can be run, how news comes, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tasker.engine.plan import Plan

if TYPE_CHECKING:
    from tasker.engine.execute import Attempt


class Hands(Protocol):
    """Who runs attempts: threads, an asyncio loop, processes. Each outcome comes back through `Heart.deliver`."""

    def start(self, attempts: list[Attempt]) -> None: ...
    def stop(self, attempt: Attempt) -> None: ...


class Plans(Protocol):
    """What this process can run: plans by template row."""

    @property
    def known(self) -> Mapping[int, Plan]: ...


class Doorbell(Protocol):
    """How news of other processes is noticed where nothing rings (SQLite: a change of the `-wal` file)."""

    slice: float | None

    def rang(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings a heart obeys; durations in seconds."""

    concurrency: int = 20
    queues: tuple[str, ...] = ("default",)
    worker_timeout: float = 20.0
    crash_limit: int = 3
    max_payload_bytes: int = 1_048_576


class Silence:
    """The doorbell of a database that rings by itself."""

    slice: float | None = None

    def rang(self) -> bool:
        return False
