"""Reading a response: never for longer, and never more, than was allowed.

Before this: `tasker.handlers.http_step` sent the request and knows what a status means.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from tasker.errors import PermanentError, RetryableError
from tasker.handlers.context import StepContext
from tasker.handlers.outcome import storable

if TYPE_CHECKING:
    import httpx

MAX_RESPONSE_BYTES = 1_048_576
"""The default limit of a payload: what is longer could not be stored as results anyway."""
EXCERPT_BYTES = 2_048
"""Kept of the body of a refusal."""


class Patience:
    """How long one call may still take: httpx limits each read, and a slow server sends many."""

    def __init__(self, what: str, step: StepContext, seconds: float) -> None:
        self.what, self.seconds = what, seconds
        self._step, self._deadline = step, time.monotonic() + seconds

    def check(self) -> None:
        """Raise when the time is up, or when nobody wants the response any more."""
        if time.monotonic() > self._deadline:
            raise self.lost()
        self._step.heartbeat()

    def lost(self) -> RetryableError:
        return RetryableError(f"{self.what}: no complete response within {self.seconds:.3g} s", code="timeout")


def results(response: httpx.Response, what: str, patience: Patience) -> Any:
    """Read the whole body: JSON by its content type, else text; None when there is none.

    Raises:
        PermanentError: `too_large`, or `invalid_result` when the body is not what its headers say.
        RetryableError: `timeout`.
    """
    import httpx
    from pydantic_core import from_json

    try:
        body = b"".join(_chunks(response, what, patience))
        if not body:
            return None
        return from_json(body, allow_inf_nan=False) if _is_json(response) else _decoded(body, response)
    except (httpx.DecodingError, ValueError) as error:
        message = f"{what}: the body is not what its headers say ({error}). Not retried: the call itself succeeded."
        details = {"status": response.status_code, "content_type": response.headers.get("content-type", "")}
        raise PermanentError(message, code="invalid_result", details=details) from error


def _chunks(response: httpx.Response, what: str, patience: Patience) -> Iterator[bytes]:
    size = 0
    for chunk in response.iter_bytes():
        patience.check()
        size += len(chunk)
        if size > MAX_RESPONSE_BYTES:
            message = (
                f"{what}: the response is longer than {MAX_RESPONSE_BYTES} bytes. Ask for less, or leave a reference"
            )
            raise PermanentError(message, code="too_large", details={"status": response.status_code})
        yield chunk


def excerpt(response: httpx.Response, patience: Patience) -> str:
    """Read the beginning of a body; what goes wrong meanwhile changes nothing: the status was heard."""
    import httpx

    kept = b""
    try:
        for chunk in response.iter_bytes():
            kept += chunk
            if len(kept) >= EXCERPT_BYTES:
                break
            patience.check()
    except (httpx.TransportError, httpx.DecodingError, RetryableError):
        pass
    return storable(_decoded(kept[:EXCERPT_BYTES], response))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait (`Retry-After`, RFC 9110, 10.2.3: seconds, or an HTTP-date).

    A date is read by the server's own clock (`Date`) where it tells it: clocks of two hosts differ.

    Example:
        >>> retry_after({"retry-after": "120"})
        120.0
        >>> retry_after({"date": "Fri, 31 Dec 1999 23:59:00 GMT", "retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"})
        59.0
    """
    word = headers.get("retry-after", "").strip()
    try:
        pause = float(word)
    except ValueError:
        until, now = _http_date(word), _http_date(headers.get("date", ""))
        if until is None:
            return None
        pause = until - (time.time() if now is None else now)
    return max(0.0, pause) if math.isfinite(pause) else None


def _http_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _is_json(response: httpx.Response) -> bool:
    media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return bool(media == "application/json" or media.endswith("+json"))


def _decoded(body: bytes, response: httpx.Response) -> str:
    try:
        return body.decode(response.charset_encoding or "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")
