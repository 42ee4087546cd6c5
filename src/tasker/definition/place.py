"""Place: the author's own line, for errors that point there.

Files are read on the error path only.
"""

from __future__ import annotations

import inspect
import linecache
import os
import re
from types import FrameType
from typing import Any


def place(caller: FrameType | None, fn: Any) -> tuple[str, int]:
    """Find the file and line where a step was written: the caller's, else the function's own."""
    if caller is not None:
        return caller.f_code.co_filename, caller.f_lineno
    code = getattr(inspect.unwrap(fn) if callable(fn) else fn, "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code is not None else ("", 0)


def shown(at: tuple[str, int]) -> str:
    """Write a place as people do: relative to where they are, `shop/tasks.py:21`."""
    file, line = at
    if not file:
        return ""
    relative = os.path.relpath(file) if os.path.isabs(file) else file
    return f"{file if relative.startswith('..') else relative}:{line}"


def defined_below(name: str, at: tuple[str, int]) -> int | None:
    """Find the line after this place at which a function of this name is defined, or None."""
    file, line = at
    if not file or not name.isidentifier():
        return None
    pattern = re.compile(rf"\s*(async\s+)?def\s+{re.escape(name)}\b")
    lines = linecache.getlines(file)
    # The decorated function itself is the first `def` from its decorator on; it is not "below".
    return next((number for number in range(line + 1, len(lines) + 1) if pattern.match(lines[number - 1])), None)
