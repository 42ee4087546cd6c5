"""A real server on loopback that gives the answers it is told to give."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tasker.handlers.context import StepContext

Attempt = Callable[..., StepContext]


@dataclass
class Request:
    """What the server was sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Answer:
    """What the server says next.

    Attributes:
        drip: pause in seconds before each byte of the body.
        cut: whether the connection is reset after this many bytes of the body; None: it is not.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0
    drip: float = 0.0
    cut: int | None = None


class Server(ThreadingHTTPServer):
    """Gives the answers it was told to give, the last one again and again, and keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.answers: list[Answer] = [Answer()]
        self.requests: list[Request] = []
        self.connections: set[Any] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def says(self, *answers: Answer) -> None:
        self.answers = list(answers)

    def says_json(self, value: Any, status: int = 200, **headers: str) -> None:
        self.says(Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers}))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def handle_one_request(self) -> None:
        self.server.connections.add(self.client_address)
        super().handle_one_request()

    def _speak(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        sent = Request(self.command, self.path, dict(self.headers), self.rfile.read(length))
        self.server.requests.append(sent)
        answer = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        time.sleep(answer.pause)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        if answer.cut is not None:
            self.wfile.write(answer.body[: answer.cut])
            self.connection.shutdown(socket.SHUT_RDWR)
        elif answer.drip:
            for byte in answer.body:
                time.sleep(answer.drip)
                self.wfile.write(bytes([byte]))
        else:
            self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _speak

    def date_time_string(self, timestamp: float | None = None) -> str:
        return "Fri, 31 Dec 1999 23:59:00 GMT"

    def log_message(self, *_: Any) -> None: ...
