"""Words: states, moments and durations as people read them. Times are local, with offset."""

from __future__ import annotations

from datetime import datetime, timedelta

SYMBOLS = {
    "pending": ("·", "dim"),
    "in_progress": ("▶", "cyan"),
    "waiting": ("↻", "yellow"),
    "waiting_for_retry": ("↻", "yellow"),
    "paused": ("‖", "magenta"),
    "complete": ("✓", "green"),
    "error": ("✗", "bold red"),
    "cancelled": ("⊘", "dim"),
    "skipped": ("»", "dim green"),
    "resolved_manually": ("✓", "green"),
}
"""State → its symbol and colour; the word always stands beside it."""


def symbol(state: str) -> str:
    return SYMBOLS[state][0]


def colour(state: str) -> str:
    return SYMBOLS[state][1]


def ending(task_id: str) -> str:
    """What tells a task from its neighbours, and is accepted wherever a TASK is asked for."""
    return task_id[-9:]


def span(duration: float | timedelta) -> str:
    """A duration in words.

    Example:
        >>> span(0.25), span(42), span(600), span(7_300), span(400_000)
        ('0.2 s', '42 s', '10 min', '2 h', '5 d')
    """
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    seconds = max(0.0, seconds)
    if seconds < 119.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"


def clock(at: datetime, now: datetime | None = None) -> str:
    """A moment, with its date unless that is today's."""
    local = at.astimezone()
    today = (now or datetime.now().astimezone()).astimezone().date()
    text = local.isoformat(sep=" ", timespec="seconds")
    return text.partition(" ")[2] if local.date() == today else text


def ago(at: datetime, now: datetime) -> str:
    return f"{span(now - at)} ago"


def due(at: datetime, now: datetime) -> str:
    """When something is to happen: `in 42 s, at 14:03:07+02:00`."""
    return f"in {span(at - now)}, at {clock(at, now)}" if at > now else "now"


def plural(number: int, noun: str) -> str:
    """Count something: `1 task`, `1,200 tasks`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shortened(text: str, length: int = 160) -> str:
    """The first line of a text, at most so long."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= length else line[: length - 1] + "…"


def size(number: float) -> str:
    """Bytes in words.

    Example:
        >>> size(512), size(4_300_000)
        ('512 B', '4.3 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1_000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1_000
    return f"{number:.1f} TB"
