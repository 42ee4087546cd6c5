"""Redact: values whose keys sound secret are masked before anything is shown (setting `redact`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

MASK = "***"


class Mask:
    """Masks by key patterns: a pattern is part of a key, or with `*` the whole of it; case, `-` and `_` do not matter.

    Example:
        >>> Mask(["token", "api_key"])({"API-Key": "k", "user": {"accessToken": "t", "name": "Ada"}})
        {'API-Key': '***', 'user': {'accessToken': '***', 'name': 'Ada'}}
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = [_plain(pattern) for pattern in patterns]

    def __call__(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.at(key, one) for key, one in value.items()}
        return [self(one) for one in value] if isinstance(value, list | tuple) else value

    def at(self, key: str, value: Any) -> Any:
        """Mask the value of one key."""
        return MASK if value is not None and self.hides(key) else self(value)

    def hides(self, key: str) -> bool:
        plain = _plain(key)
        return any(fnmatchcase(plain, pattern) if "*" in pattern else pattern in plain for pattern in self._patterns)


def _plain(key: str) -> str:
    return key.casefold().replace("-", "").replace("_", "")


def hidden(url: str) -> str:
    """A database URL without its password.

    Example:
        >>> hidden("postgresql://ann:secret@db/shop"), hidden("postgresql://db/shop?user=ann&password=secret")
        ('postgresql://ann:***@db/shop', 'postgresql://db/shop?user=ann&password=***')
    """
    head, at, tail = url.rpartition("@")
    scheme, slashes, user = head.partition("://")
    if ":" in user:
        url = f"{scheme}{slashes}{user.partition(':')[0]}:{MASK}{at}{tail}"
    return re.sub(r"(?<=[?&]password=)[^&]*", MASK, url)
