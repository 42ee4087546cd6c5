"""Outcome: how one attempt of a step ended, as a value. The engine stores it; nothing here writes.

Before this: `tasker.engine.execute` calls the handler. After it: `tasker.engine.run` applies the outcome.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

MAX_TEXT = 16_384
"""Characters kept of a message or a traceback."""


class Ended(Enum):
    """The ways an attempt ends."""

    COMPLETE = auto()
    SKIPPED = auto()
    FAILED = auto()
    WAIT = auto()
    HANDED_BACK = auto()


@dataclass(slots=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        ended: which of the ways.
        results: JSON text (COMPLETE).
        error: `{code, type, message, details, traceback}` (FAILED).
        permanent: whether trying again is pointless (FAILED).
        retry_after: the server's word on the pause, seconds (FAILED).
        until: Unix seconds of the next try (WAIT).
        reason: the handler's own words (SKIPPED, WAIT).
        started_at, finished_at: Unix seconds.
        annotations: facts the handler attached: (type, JSON text).
    """

    ended: Ended
    results: str | None = None
    error: dict[str, Any] | None = None
    permanent: bool = False
    retry_after: float | None = None
    until: float | None = None
    reason: str = ""
    started_at: float = 0.0
    finished_at: float = 0.0
    annotations: list[tuple[str, str]] = field(default_factory=list)


def storable(text: str) -> str:
    """Make any text one that both databases take: no NUL, no lone surrogates, bounded."""
    clean = text.replace("\x00", "\N{SYMBOL FOR NULL}").encode("utf-8", "backslashreplace").decode("utf-8")
    return clean if len(clean) <= MAX_TEXT else clean[: MAX_TEXT - 1] + "…"


def error_of(code: str, message: str, kind: str = "", details: Any = None, trace: str = "") -> dict[str, Any]:
    """Build the `error` of a step."""
    return {
        "code": storable(code),
        "type": storable(kind),
        "message": storable(message),
        "details": details or {},
        "traceback": storable(trace),
    }


def traceback_of(error: BaseException) -> str:
    """Format a traceback that begins at the handler: Tasker's own frames say nothing to its author."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("tasker.engine"):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))
