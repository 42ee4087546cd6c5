"""http: what the server says, or fails to say, is how the attempt ends."""

from __future__ import annotations

import gzip
import json
import logging
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from loopback import Answer, Attempt, Server

from tasker.errors import AttemptOver, DefinitionError, PermanentError, RetryableError, UnknownOption
from tasker.handlers import http
from tasker.handlers.http_response import MAX_RESPONSE_BYTES, retry_after


def permanent(call: Callable[..., Any], step: Any, context: Any = None) -> PermanentError:
    with pytest.raises(PermanentError) as raised:
        call({} if context is None else context, step)
    return raised.value


def retryable(call: Callable[..., Any], step: Any) -> RetryableError:
    with pytest.raises(RetryableError) as raised:
        call({}, step)
    return raised.value


def test_json_is_results(server: Server, attempt: Attempt) -> None:
    """A 2xx response with a JSON content type leaves its parsed body."""
    server.says_json({"charge": "c-1", "amount": 12.5})
    assert http("GET", server.url)({}, attempt()) == {"charge": "c-1", "amount": 12.5}


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/problem+json; charset=utf-8", b"[1]", [1]),
        ("text/plain; charset=latin-1", "Grüße".encode("latin-1"), "Grüße"),
        ("text/plain; charset=unheard-of", "Grüße".encode(), "Grüße"),
        ("text/plain", b"[1]", "[1]"),
        ("application/json", b"", None),
        ("text/plain", b"", None),
    ],
)
def test_the_content_type_decides(
    server: Server, attempt: Attempt, content_type: str, body: bytes, expected: Any
) -> None:
    """JSON is what calls itself JSON; all else is text in its charset; an empty body is None."""
    server.says(Answer(200, body, {"Content-Type": content_type}))
    assert http("GET", server.url)({}, attempt()) == expected


def test_a_204_and_a_head_leave_nothing(server: Server, attempt: Attempt) -> None:
    """A response without a body leaves None."""
    server.says(Answer(204))
    assert http("DELETE", server.url)({}, attempt()) is None
    server.says(Answer(200))
    assert http("HEAD", server.url)({}, attempt()) is None


def test_url_json_and_headers_are_filled(server: Server, attempt: Attempt) -> None:
    """Fields are percent-encoded in the URL, keep their type in JSON, and are UTF-8 in headers."""
    call = http(
        "post",
        server.url + "/orders/{context.order_id}/{context.note}?to={results.fetch_order.mail}",
        json={"total": "{results.fetch_order.total}", "text": "for {context.order_id}"},
        headers={"X-Customer": "{context.customer}"},
    )
    context = {"order_id": 17, "note": "a/b?c#d é", "customer": "Müller"}
    call(context, attempt(results={"fetch_order": {"total": 12.5, "mail": "a&b@c"}}))
    sent = server.requests[0]
    assert (sent.method, sent.path) == ("POST", "/orders/17/a%2Fb%3Fc%23d%20%C3%A9?to=a%26b%40c")
    assert json.loads(sent.body) == {"total": 12.5, "text": "for 17"}
    assert sent.headers["Content-Type"] == "application/json"
    assert sent.headers["X-Customer"].encode("latin-1").decode() == "Müller"


def test_a_url_may_come_from_the_context(server: Server, attempt: Attempt) -> None:
    """A field at the very beginning of the URL is a URL, and not percent-encoded."""
    http("GET", "{context.callback}/done?id={context.id}")({"callback": server.url + "/a", "id": "1/2"}, attempt())
    assert server.requests[0].path == "/a/done?id=1%2F2"


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///etc/passwd", "//host", "", "http://", "http://[::1"])
def test_only_http_urls_are_called(attempt: Attempt, url: str) -> None:
    """What is filled in as a URL must be one of http or https."""
    error = permanent(http("GET", "{context.url}"), attempt(), {"url": url})
    assert error.code == "invalid_input"


@pytest.mark.parametrize("name", [".", ".."])
def test_a_value_cannot_climb_out_of_the_path(server: Server, attempt: Attempt, name: str) -> None:
    """A value in the URL stays one part of the path that was written."""
    error = permanent(http("DELETE", server.url + "/orders/{context.name}"), attempt(), {"name": name})
    assert (error.code, server.requests) == ("invalid_input", [])
    http("DELETE", server.url + "/orders/{context.name}")({"name": "../all"}, attempt())
    assert server.requests[0].path == "/orders/..%2Fall"


def test_an_unknown_field_sends_nothing(server: Server, attempt: Attempt) -> None:
    """A field that cannot be filled is invalid input, named, and no request goes out."""
    error = permanent(http("POST", server.url, json={"a": "{context.ordr_id}"}), attempt(), {"order_id": 1})
    assert error.code == "invalid_input"
    assert "Did you mean 'order_id'?" in str(error)
    assert server.requests == []


def test_a_header_cannot_be_smuggled_in(server: Server, attempt: Attempt) -> None:
    """A value with a line break never becomes a header."""
    error = permanent(http("GET", server.url, headers={"X-A": "{context.a}"}), attempt(), {"a": "1\r\nX-Evil: 2"})
    assert (error.code, server.requests) == ("invalid_input", [])


def test_the_idempotency_key_is_always_sent(server: Server, attempt: Attempt) -> None:
    """Every attempt bears the step's key, so that the server can tell a repetition."""
    call = http("POST", server.url)
    call({}, attempt(idempotency_key="t:charge:0"))
    call({}, attempt(idempotency_key="t:charge:0", attempt=2))
    assert [sent.headers["Idempotency-Key"] for sent in server.requests] == ["t:charge:0"] * 2


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_passing_troubles_are_retried(server: Server, attempt: Attempt, status: int) -> None:
    """The statuses of `retry_on` may be tried again; the code says which it was."""
    server.says(Answer(status, b"come back later"))
    error = retryable(http("GET", server.url + "/x?token=secret"), attempt())
    assert (error.code, error.retry_after) == (f"http_{status}", None)
    assert error.details == {"status": status, "body": "come back later"}
    assert str(error).startswith(f"GET {server.url}/x: {status} ")
    assert "secret" not in str(error)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 501])
def test_other_statuses_are_permanent(server: Server, attempt: Attempt, status: int) -> None:
    """What is neither success nor passing ends the step, with the beginning of what the server said."""
    server.says(Answer(status, b"x" * 100_000))
    error = permanent(http("GET", server.url), attempt())
    assert error.code == f"http_{status}"
    assert error.details == {"status": status, "body": "x" * 2048}


def test_the_statuses_can_be_chosen(server: Server, attempt: Attempt) -> None:
    """`ok` widens success; a status of `retry_on` is retried all the same."""
    call = http("GET", server.url, ok=(200, 404), retry_on=[202])
    server.says(Answer(404, b"none"))
    assert call({}, attempt()) == "none"
    server.says(Answer(202))
    assert retryable(call, attempt()).code == "http_202"
    server.says(Answer(503))
    assert permanent(call, attempt()).code == "http_503"


def test_redirects_are_not_followed(server: Server, attempt: Attempt) -> None:
    """A redirect is an answer like another: nothing is sent to where it points."""
    server.says(Answer(302, headers={"Location": "http://elsewhere.example/"}))
    error = permanent(http("GET", server.url), attempt())
    assert (error.code, error.details["location"]) == ("http_302", "http://elsewhere.example/")
    assert "Redirects are not followed" in str(error)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("word", "pause"),
    [("7", 7.0), ("0", 0.0), ("Sat, 01 Jan 2000 00:00:30 GMT", 90.0), ("Fri, 31 Dec 1999 00:00:00 GMT", 0.0)],
)
def test_retry_after_is_the_servers_word(
    server: Server, attempt: Attempt, status: int, word: str, pause: float
) -> None:
    """Seconds, or a date read by the server's own clock; what lies in the past is now."""
    server.says(Answer(status, headers={"Retry-After": word}))
    assert retryable(http("GET", server.url), attempt()).retry_after == pause


def test_retry_after_means_nothing_elsewhere(server: Server, attempt: Attempt) -> None:
    """`Retry-After` is heeded with 429 and 503 only."""
    server.says(Answer(500, headers={"Retry-After": "7"}))
    assert retryable(http("GET", server.url), attempt()).retry_after is None


def test_a_date_without_the_servers_clock_is_read_by_ours() -> None:
    """Without `Date` the pause counts from this host's now."""
    from email.utils import formatdate

    pause = retry_after({"retry-after": formatdate(time.time() + 60, usegmt=True)})
    assert pause == pytest.approx(60, abs=2)


@pytest.mark.parametrize("word", ["", "soon", "nan", "inf", "Fri, 99 Foo"])
def test_nonsense_in_retry_after_is_no_word(word: str) -> None:
    """What cannot be read leaves the pause to the step's backoff."""
    assert retry_after({"retry-after": word}) is None


def test_nobody_listening_is_retried(attempt: Attempt) -> None:
    """A refused connection may be tried again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert retryable(http("GET", f"http://127.0.0.1:{port}/"), attempt()).code == "connection"


@pytest.mark.parametrize("cut", [0, 5])
def test_a_connection_that_breaks_is_retried(server: Server, attempt: Attempt, cut: int) -> None:
    """A response that ends too early may be tried again."""
    server.says(Answer(200, b"half of it", cut=cut))
    assert retryable(http("POST", server.url), attempt()).code == "connection"


def test_a_refusal_that_breaks_off_keeps_its_status(server: Server, attempt: Attempt) -> None:
    """The status was heard: how the body of a refusal ends changes nothing."""
    server.says(Answer(422, b"no such item", cut=7))
    error = permanent(http("POST", server.url), attempt())
    assert (error.code, error.details["body"]) == ("http_422", "no such")


@pytest.mark.parametrize("answer", [Answer(pause=1.5), Answer(200, b"slowly" * 5, drip=0.05)])
def test_the_steps_timeout_is_the_calls(server: Server, attempt: Attempt, answer: Answer) -> None:
    """Whether the server is silent or only slow: after the step's timeout the call is over, and may be retried."""
    server.says(answer)
    began = time.monotonic()
    error = retryable(http("GET", server.url), attempt(timeout=0.3))
    assert error.code == "timeout"
    assert 0.2 < time.monotonic() - began < 0.8


def test_without_a_timeout_there_is_one(server: Server, attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step without a timeout waits 30 s (here: 0.2 s) for a call, never for ever."""
    from tasker.handlers import http_step

    assert http_step.DEFAULT_TIMEOUT == 30
    monkeypatch.setattr(http_step, "DEFAULT_TIMEOUT", 0.2)
    server.says(Answer(pause=0.6))
    assert retryable(http("GET", server.url), attempt()).code == "timeout"


def test_an_attempt_without_time_left_ends_at_once(server: Server, attempt: Attempt) -> None:
    """With no time left the call ends as a timeout."""
    server.says(Answer(pause=0.2))
    assert retryable(http("GET", server.url), attempt(timeout=-1)).code == "timeout"


def test_an_attempt_that_is_over_stops_reading(server: Server, attempt: Attempt) -> None:
    """When nobody wants the response any more, the rest of it is not waited for."""
    server.says(Answer(200, b"x" * 100, drip=0.05))
    began = time.monotonic()
    with pytest.raises(AttemptOver):
        http("GET", server.url)({}, attempt(over=lambda: time.monotonic() - began > 0.2))
    assert time.monotonic() - began < 1


def test_a_response_that_is_too_long_is_refused(server: Server, attempt: Attempt) -> None:
    """More than the limit is not read, not retried, and says so."""
    server.says(Answer(200, b"x" * (MAX_RESPONSE_BYTES + 1)))
    assert permanent(http("GET", server.url), attempt()).code == "too_large"
    server.says(Answer(200, b"x" * MAX_RESPONSE_BYTES))
    assert len(http("GET", server.url)({}, attempt())) == MAX_RESPONSE_BYTES


def test_the_limit_counts_what_was_unpacked(server: Server, attempt: Attempt) -> None:
    """A small compressed body that unpacks to a large one is refused too."""
    packed = gzip.compress(b"0" * (2 * MAX_RESPONSE_BYTES))
    server.says(Answer(200, packed, {"Content-Encoding": "gzip"}))
    assert permanent(http("GET", server.url), attempt()).code == "too_large"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html>", {"Content-Type": "application/json"}),
        Answer(200, b"[NaN]", {"Content-Type": "application/json"}),
        Answer(200, b"\xff", {"Content-Type": "application/json"}),
        Answer(200, b"not gzip", {"Content-Encoding": "gzip"}),
    ],
)
def test_a_body_that_is_not_what_it_says_is_an_invalid_result(server: Server, attempt: Attempt, answer: Answer) -> None:
    """The call succeeded, its body is of no use: an error that is not retried."""
    server.says(answer)
    error = permanent(http("GET", server.url), attempt())
    assert error.code == "invalid_result"
    assert "Not retried" in str(error)


def test_connections_are_kept(server: Server, attempt: Attempt) -> None:
    """Calls of one handler share connections, also after a refusal."""
    server.says(Answer(503, b"busy"), Answer(200, b"fine"), Answer(404, b"none"), Answer(200, b"fine"))
    call = http("GET", server.url)
    for _ in range(2):
        with pytest.raises((RetryableError, PermanentError)):
            call({}, attempt())
        call({}, attempt())
    assert len(server.requests) == 4
    assert len(server.connections) == 1


def test_cookies_do_not_travel_between_tasks(server: Server, attempt: Attempt) -> None:
    """What a server sets for one task is not sent with the next."""
    server.says(Answer(200, headers={"Set-Cookie": "session=1; Path=/"}))
    call = http("GET", server.url)
    call({}, attempt())
    call({}, attempt())
    assert "Cookie" not in server.requests[1].headers


def test_one_handler_serves_many_threads(server: Server, attempt: Attempt) -> None:
    """A handler is called from many threads at once."""
    server.says(Answer(200, b"1", {"Content-Type": "application/json"}, pause=0.05))
    call = http("GET", server.url)
    with ThreadPoolExecutor(40) as pool:
        assert sum(pool.map(lambda _: call({}, attempt()), range(80))) == 80


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_opens_its_own_connections(server: Server, attempt: Attempt) -> None:
    """A child process never speaks on its parent's connection."""
    call = http("GET", server.url)
    call({}, attempt())
    child = os.fork()
    if child == 0:
        call({}, attempt())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    call({}, attempt())
    assert len(server.connections) == 2


def test_nothing_is_logged_of_a_call(server: Server, attempt: Attempt, caplog: pytest.LogCaptureFixture) -> None:
    """The handler itself logs no URL: it may hold what must not be logged."""
    with caplog.at_level(logging.INFO, logger="tasker"):
        http("GET", server.url + "/?token=secret")({}, attempt())
    assert "secret" not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("tasker"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": ""}, "method ''"),
        ({"method": "GET /"}, "method 'GET /'"),
        ({"method": None}, "method None"),
        ({"url": "shop.example/orders"}, "begins neither with http:// nor with https://"),
        ({"url": ""}, "begins neither"),
        ({"url": 17}, "url 17 is not a string"),
        ({"url": "http://a/{contex.b}"}, "http(): url: field {contex.b}"),
        ({"json": {"a": [object()]}}, "http(): json.a.0"),
        ({"headers": ["X-A"]}, "headers ['X-A'] are not a mapping"),
        ({"headers": {"X A": "1"}}, "'X A' is not the name of a header"),
        ({"headers": {"X-A": 1}}, "X-A: 1 is not a string"),
        ({"headers": {"X-A": "{a}"}}, "http(): headers: X-A: field {a}"),
        ({"headers": {"idempotency-key": "mine"}}, "always the step's own key"),
        ({"ok": 200}, "ok 200"),
        ({"ok": (299, 200)}, "ok (299, 200)"),
        ({"ok": (True, 299)}, "ok (True, 299)"),
        ({"retry_on": [99]}, "retry_on [99]"),
        ({"retry_on": "503"}, "retry_on '503'"),
        ({"retry_on": 503}, "retry_on 503 is no list of statuses. Write (429, 503)"),
    ],
)
def test_wrong_options_are_refused_at_definition(options: dict[str, Any], words: str) -> None:
    """Every option is checked where the step is written; the refusal names it."""
    given: dict[str, Any] = {"method": "GET", "url": "http://shop.example/", **options}
    with pytest.raises(DefinitionError) as raised:
        http(given.pop("method"), given.pop("url"), **given)
    assert words in str(raised.value)


def test_an_unknown_option_is_refused() -> None:
    """A keyword that means nothing is refused, with its nearest spelling."""
    with pytest.raises(UnknownOption, match=r"no option 'retry_in'\. Did you mean 'retry_on'\?"):
        http("GET", "http://shop.example/", retry_in=[503])  # type: ignore[arg-type]


def test_the_handler_shows_itself() -> None:
    """It is a function called `http` that tells its request line, its options, and the steps that it reads."""
    call: Any = http("get", "${SHOP}/{context.id}", json=[{"a": "{results.b.c}"}], headers={"X-D": "{results[d.e]}"})
    assert (call.__name__, call.__doc__) == ("http", "GET ${SHOP}/{context.id}")
    assert call.reads == ("b", "d.e")
    assert call.options["url"] == "${SHOP}/{context.id}"
