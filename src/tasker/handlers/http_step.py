"""http: a step that is one HTTP call.

Maps what the server says, or fails to say, to the ways an attempt ends. What a call means for the task is
the template's: retries, timeout and system are options of the step.

Beside this: `tasker.handlers.command_step`. Below: `tasker.handlers.placeholders`.
"""

from __future__ import annotations

import json as jsonlib
import os
import re
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Never
from urllib.parse import quote

from tasker.errors import DefinitionError, PermanentError, RetryableError
from tasker.handlers.context import StepContext
from tasker.handlers.http_response import Patience, excerpt, results, retry_after
from tasker.handlers.placeholders import Facts, Field, Text, compiled, filled, label, refuse_unknown

if TYPE_CHECKING:
    import httpx

DEFAULT_TIMEOUT = 30.0
"""Seconds a call may take when its step has no timeout."""
_RETRY_AFTER = (429, 503)
"""Where RFC 9110 (10.2.3) and RFC 6585 (4) give `Retry-After` a meaning."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OPTIONS = ("json", "headers", "ok", "retry_on")


def http(
    method: str,
    url: str,
    *,
    json: Any = None,
    headers: Mapping[str, str] | None = None,
    ok: tuple[int, int] = (200, 299),
    retry_on: Iterable[int] = (408, 425, 429, 500, 502, 503, 504),
    **unknown: Never,
) -> Callable[..., Any]:
    """Make a handler that sends one request and leaves the response as results.

    Strings in `url`, `headers` and `json` may hold `{context.…}`, `{results.STEP.…}` and `${VAR}`. Values are
    percent-encoded in the URL, but for a field at its very beginning, which is taken as a URL. In `json`, a
    string that is exactly one field keeps the type of its value.

    The request bears `Idempotency-Key`, the same at every attempt. It takes at most the step's timeout, else
    30 s. Redirects are not followed.

    ======================================  ============================================================
    the server                              the attempt
    ======================================  ============================================================
    a status of `retry_on`                  retried, `http_<status>`; `Retry-After` of 429 and 503 obeyed
    a status within `ok`                    complete: JSON by its content type, else text, else None
    any other status                        error `http_<status>`, not retried
    no connection, or one that broke        retried, `connection`
    too slow                                retried, `timeout`
    more than 1 MiB                         error `too_large`, not retried
    says JSON, sends something else         error `invalid_result`, not retried
    ======================================  ============================================================

    Args:
        ok: the lowest and the highest status that mean success; a status in `retry_on` is retried all the same.

    Raises:
        DefinitionError: an option is wrong; the message names it.

    Example:
        >>> charge = http("POST", "https://pay.example/charges", json={"amount": "{results.fetch_order.total}"})
        >>> charge.__name__
        'http'
    """
    refuse_unknown("http", unknown, _OPTIONS)
    call = _Call(
        _method(method), _url(url), compiled(json, "http(): json"), _headers(headers), _ok(ok), _statuses(retry_on)
    )

    def handler(context: Any, step: StepContext) -> Any:
        return call.send(Facts(context, step.results), step)

    options = {"url": url, "json": json, "headers": headers or {}}
    label(handler, "http", f"{call.method} {url}", options, [call.url, call.json, call.headers])
    return handler


@dataclass
class _Call:
    """One definition of a call; `send` runs it, in any thread."""

    method: str
    url: Text
    json: Any
    headers: Mapping[str, Text]
    ok: range
    retry_on: frozenset[int]
    clients: _Clients = field(default_factory=lambda: _Clients())

    def send(self, facts: Facts, step: StepContext) -> Any:
        import httpx

        url, headers, content = self._fill_url(facts), self._fill_headers(facts, step), self._fill_json(facts)
        what = f"{self.method} {_shown(url)}"
        patience = Patience(what, step, DEFAULT_TIMEOUT if step.remaining is None else step.remaining)
        client, limit = self.clients.get(), max(patience.seconds, 0.001)
        try:
            with client.stream(self.method, url, headers=headers, content=content, timeout=limit) as response:
                return self._outcome(response, what, patience)
        except httpx.TimeoutException as error:
            raise patience.lost() from error
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL) as error:
            raise PermanentError(f"{what}: {error}", code="invalid_input") from error
        except httpx.TransportError as error:
            raise RetryableError(f"{what}: {error or type(error).__name__}", code="connection") from error

    def _fill_url(self, facts: Facts) -> str:
        first, *rest = self.url.parts
        begin = first.text(facts) if isinstance(first, Field) else Text((first,)).fill(facts)
        url = begin + Text(tuple(rest)).fill(facts, _quoted)
        if not re.match(r"https?://[^/?#]", url):
            raise PermanentError(f"url: {url!r} is not an http:// or https:// URL", code="invalid_input")
        return url

    def _fill_headers(self, facts: Facts, step: StepContext) -> list[tuple[bytes, bytes]]:
        texts = {name: text.fill(facts) for name, text in self.headers.items()}
        for name, text in texts.items():
            if any(ord(letter) < 32 and letter != "\t" for letter in text):
                raise PermanentError(f"header {name}: {text!r} has control characters", code="invalid_input")
        if self.json is not None and "content-type" not in (name.lower() for name in texts):
            texts["Content-Type"] = "application/json"
        texts["Idempotency-Key"] = step.idempotency_key
        return [(name.encode(), text.encode()) for name, text in texts.items()]

    def _fill_json(self, facts: Facts) -> bytes | None:
        return None if self.json is None else jsonlib.dumps(filled(self.json, facts), ensure_ascii=False).encode()

    def _outcome(self, response: httpx.Response, what: str, patience: Patience) -> Any:
        status = response.status_code
        if status in self.ok and status not in self.retry_on:
            return results(response, what, patience)
        details = {"status": status, "body": excerpt(response, patience)}
        message, code = f"{what}: {status} {response.reason_phrase}".rstrip(), f"http_{status}"
        if status in self.retry_on:
            pause = retry_after(response.headers) if status in _RETRY_AFTER else None
            raise RetryableError(message, retry_after=pause, code=code, details=details)
        if "location" in response.headers:
            details["location"] = response.headers["location"]
            message += ". Redirects are not followed: write the final URL" if 300 <= status < 400 else ""
        raise PermanentError(message, code=code, details=details)


def _quoted(text: str) -> str:
    if text in (".", ".."):  # these need no quoting and would climb out of the path that was written
        raise PermanentError(f"url: {text!r} cannot be a part of a path", code="invalid_input")
    return quote(text, safe="")


def _shown(url: str) -> str:
    """What of a URL may be stored with an error: a user and a query often are secrets."""
    scheme, _, rest = url.partition("://")
    host, slash, path = re.split(r"[?#]", rest)[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


class _Clients:
    """The pooled client of this process: connections do not survive a fork."""

    def __init__(self) -> None:
        self._lock, self._pid = threading.Lock(), 0
        self._client: httpx.Client | None = None

    def get(self) -> httpx.Client:
        with self._lock:
            if self._client is None or self._pid != os.getpid():
                self._client, self._pid = _client(), os.getpid()
                weakref.finalize(self, self._client.close)
            return self._client


def _client() -> httpx.Client:
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx

    # A cookie set for one task must not travel with the next.
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return httpx.Client(cookies=no_cookies, limits=httpx.Limits(max_connections=None, max_keepalive_connections=20))


def _method(method: str) -> str:
    if not isinstance(method, str) or not _TOKEN.fullmatch(method):
        raise DefinitionError(f'http(): method {method!r} is not a method. Write "GET", "POST", "PUT", …')
    return method.upper()


def _url(url: str) -> Text:
    if not isinstance(url, str):
        raise DefinitionError(f"http(): url {url!r} is not a string")
    text = Text.parse(url, "http(): url")
    begin = text.parts[0] if text.parts else ""
    if isinstance(begin, str) and not begin.startswith(("http://", "https://")):
        raise DefinitionError(f"http(): url {url!r} begins neither with http:// nor with https://")
    return text


def _headers(headers: Mapping[str, str] | None) -> dict[str, Text]:
    given = {} if headers is None else headers
    if not isinstance(given, Mapping):
        raise DefinitionError(f"http(): headers {given!r} are not a mapping of names to texts")
    for name, text in given.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise DefinitionError(f"http(): headers: {name!r} is not the name of a header")
        if not isinstance(text, str):
            raise DefinitionError(f"http(): headers: {name}: {text!r} is not a string")
        if name.lower() == "idempotency-key":
            raise DefinitionError(f"http(): headers: {name} is always the step's own key; leave it out")
    return {name: Text.parse(text, f"http(): headers: {name}") for name, text in given.items()}


def _is_status(status: Any) -> bool:
    return isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599


def _ok(ok: tuple[int, int]) -> range:
    if not (isinstance(ok, tuple | list) and len(ok) == 2 and all(map(_is_status, ok)) and ok[0] <= ok[1]):
        raise DefinitionError(
            f"http(): ok {ok!r} is not the lowest and the highest status of success. Write (200, 299)"
        )
    return range(ok[0], ok[1] + 1)


def _statuses(retry_on: Iterable[int]) -> frozenset[int]:
    statuses = list(retry_on) if isinstance(retry_on, Iterable) else [None]
    if not all(map(_is_status, statuses)):
        raise DefinitionError(f"http(): retry_on {retry_on!r} is no list of statuses. Write (429, 503), or () for none")
    return frozenset(statuses)
