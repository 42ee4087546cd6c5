"""Spelling: names that may be used, and the nearest one to a name that may not."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from tasker.errors import DefinitionError

RESERVED = ("context", "step")
"""Parameters that mean something else than a step."""

_NAME = re.compile(r"[\w.-]{1,100}")
_VERSION = re.compile(r"[\w.+!-]{1,100}")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Find the known name that `name` was probably meant to be.

    Example:
        >>> nearest("fecth_order", ["report_tax", "fetch_order"])
        'fetch_order'
    """
    names = list(known)
    folded = {one.casefold().replace("-", "_"): one for one in reversed(names)}
    found = difflib.get_close_matches(name.casefold().replace("-", "_"), list(folded), n=1, cutoff=0.6)
    if found:
        return folded[found[0]]
    begun = [one for key, one in folded.items() if len(name) >= 3 and key.startswith(name.casefold())]
    return begun[0] if len(begun) == 1 else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ask for the nearest spelling, as a sentence with a space before it; empty where nothing is near."""
    near = nearest(name, known)
    return f" Did you mean {near!r}?" if near else ""


def listed(names: Iterable[str], limit: int = 12) -> str:
    """List names for an error, the first few of many."""
    known = list(names)
    more = f" … ({len(known)} in all)" if len(known) > limit else ""
    return (", ".join(known[:limit]) or "none") + more


def check_name(name: object, what: str) -> str:
    """Return a name that is fit for a step, template or namespace.

    Raises:
        DefinitionError: it is not; `what` says whose name it is.
    """
    if not isinstance(name, str):
        raise DefinitionError(f"{what}: a name is a string, not {name!r}")
    if not _NAME.fullmatch(name):
        raise DefinitionError(f"{what} {name!r}: a name is 1 to 100 letters, digits, '_', '-' or '.'")
    return name


def check_version(version: object, what: str) -> str:
    """Return a version that PEP 440 can order.

    Raises:
        DefinitionError: it is none.
    """
    if not isinstance(version, str):
        raise DefinitionError(f'{what}: version {version!r} is not a string; write version="{version}"')
    from packaging.version import InvalidVersion, Version

    try:
        Version(version)
    except InvalidVersion:
        hint = 'write one that can be ordered, e.g. version="1.2.0" (PEP 440)'
        raise DefinitionError(f"{what}: version {version!r} is no version; {hint}") from None
    if not _VERSION.fullmatch(version):
        raise DefinitionError(f"{what}: version {version!r} holds spaces; write {version.strip()!r}")
    return version
