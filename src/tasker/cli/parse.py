"""Parse: what people type: JSON, durations, moments, lists of names. What is not understood is a usage error."""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tasker.cli.ask import Missing

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d|w|)")
_UNITS = {"ms": 0.001, "s": 1, "": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def json_value(text: str, what: str) -> Any:
    """JSON as an argument: the text itself, `@file`, or `-` for standard input."""
    source = what
    if text == "-":
        text, source = sys.stdin.read(), f"{what} on standard input"
    elif text.startswith("@"):
        source = f"{what} in {text[1:]}"
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Missing(f"{text[1:]} cannot be read: {getattr(error, 'strerror', error)}") from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Missing(
            f"the {source} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}. "
            "Quote it for the shell, e.g. '{\"order_id\": 17}'; or write @file, or - for standard input"
        ) from None


def span(text: str) -> float:
    """A duration in seconds: `30`, `30s`, `5m`, `2h`, `1d`."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise Missing(f"{text!r} is no duration; write e.g. 30s, 5m, 2h or 1d")
    return float(found[1]) * _UNITS[found[2]]


def moment(text: str) -> datetime:
    """A moment: ISO 8601 (local where no offset is given), `18:30` for the next such time, or a duration from now."""
    now = datetime.now().astimezone()
    found = _SPAN.fullmatch(text.strip())
    if found is not None and found[2]:
        return now + timedelta(seconds=span(text))
    if re.fullmatch(r"\d{1,2}:\d{2}", text):
        hour, minute = map(int, text.split(":"))
        if hour < 24 and minute < 60:
            at = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
            return at if at > now else at + timedelta(days=1)
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise Missing(f"{text!r} is no moment; write e.g. 2h, 18:30, or {now.isoformat(timespec='minutes')}") from None


def names(text: str) -> list[str]:
    """Names with commas between them."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise Missing("name at least one")
    return found
