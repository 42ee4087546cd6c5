"""Ids: UUIDv7 (RFC 9562, section 5.7), made by the client, so that rows of one time lie side by side in an index.

Pass `new_id` in where ids are needed; tests and simulations pass a deterministic one.
"""

from __future__ import annotations

import os
import threading
import time
from uuid import UUID

_lock = threading.Lock()
_last = 0


def new_id() -> UUID:
    """Make a UUIDv7: 48 bits of Unix milliseconds, a 12-bit counter, 62 random bits.

    Ids made by one process sort in the order they were made (method 1 of section 6.2: a counter that
    borrows from the next millisecond when it overflows).
    """
    global _last
    with _lock:
        _last = stamp = max((time.time_ns() // 1_000_000) << 12, _last + 1)
    high = (stamp >> 12 << 16) | 0x7000 | (stamp & 0xFFF)
    low = (int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000
    return UUID(int=(high << 64) | low)
