"""Server: HTTP around a ledger, with weather: the standard library's threading server.

Every POST bears an `Idempotency-Key`; a key that was heard before gets the same answer, and is counted.

Below: `ledger`, `weather`. The rules of each system are in `tasker.demo.services.systems`.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tasker.demo.services.ledger import Ledger
from tasker.demo.services.weather import HANG_SECONDS, Trouble, Weather

Work = Callable[[Ledger, int, Mapping[str, Any]], Any]
"""What a system does for an order: `(ledger, order_id, what was sent) -> what is answered`."""

_ORDER = re.compile(r"/orders/(\d+)(?:/(\w+))?")


class Refused(Exception):
    """The system will not do it, or not yet; nothing is recorded.

    Attributes:
        status: of HTTP.
        answer: what is said about it.
    """

    def __init__(self, status: int, answer: Mapping[str, Any]) -> None:
        super().__init__(str(answer))
        self.status, self.answer = status, answer


@dataclass(frozen=True)
class System:
    """One of the four systems.

    Attributes:
        reads: GET of an order: what it looks like; None where it has none.
        does: POST of an operation on an order.
    """

    name: str
    weather: Weather
    does: Mapping[str, Work]
    reads: Work | None = None


class Service(ThreadingHTTPServer):
    """A system that listens on loopback."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, system: System, ledger: Ledger, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Conversation)
        self.system, self.ledger = system, ledger

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news here."""


class Conversation(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Service

    def do_GET(self) -> None:
        ledger = self.server.ledger
        if self.path == "/counts":
            self._answer(200, ledger.counts())
        elif self.path == "/ledger":
            self._answer(200, {"entries": [entry.as_dict() for entry in ledger.entries()], "counts": ledger.counts()})
        elif (order := _ORDER.fullmatch(self.path)) and not order[2] and (reads := self.server.system.reads):
            self._serve("order", int(order[1]), lambda: reads(ledger, int(order[1]), {}))
        else:
            self._answer(404, {"detail": f"no {self.path} here"})

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        order, key = _ORDER.fullmatch(self.path), self.headers.get("Idempotency-Key")
        work = self.server.system.does.get(order[2] or "") if order else None
        if order is None or work is None:
            self._answer(404, {"detail": f"no {self.path} here"})
        elif not key:
            self._answer(400, {"detail": "no Idempotency-Key"})
        else:
            ledger, operation, order_id, amount = self.server.ledger, order[2], int(order[1]), sent.get("amount", "")
            self._serve(
                operation,
                order_id,
                lambda: ledger.once(key, operation, order_id, str(amount), lambda: work(ledger, order_id, sent)),
            )

    def _serve(self, operation: str, order_id: int, work: Callable[[], Any]) -> None:
        """Do the work, as far as the weather lets it be done and answered."""
        ledger = self.server.ledger
        ledger.count("requests")
        trouble = self.server.system.weather.of(operation, order_id, ledger.nth(operation, order_id))
        if trouble:
            ledger.count(trouble.value)
        if trouble and not trouble.after:
            return self._fail(trouble, order_id)
        try:
            status, answer = 200, work()
        except Refused as refused:
            return self._answer(refused.status, refused.answer)
        return self._fail(trouble, order_id) if trouble else self._answer(status, answer)

    def _fail(self, trouble: Trouble, order_id: int) -> None:
        if trouble is Trouble.DOWN:
            self._answer(503, {"detail": "down for a moment"})
        elif trouble is Trouble.BUSY:
            # Both forms of RFC 9110, 10.2.3: a date, by the clock of the `Date` header, or seconds.
            date = formatdate(int(time.time()) + 1, usegmt=True)
            self._answer(429, {"detail": "too many requests"}, {"Retry-After": date if order_id % 2 else "1"})
        else:
            if trouble is not Trouble.DROP_AFTER:
                time.sleep(HANG_SECONDS)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, status: int, answer: Any, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...
