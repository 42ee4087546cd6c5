"""`http` and `command` as steps of real tasks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tasker import Backoff, Retry, Tasker
from tasker.handlers import command, http


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Tasker]:
    app = Tasker(f"sqlite:///{tmp_path / 'tasker.db'}")
    yield app
    app.stop()


class Till(ThreadingHTTPServer):
    """Takes charges; the first request of each path is told to come back in a second, as asked for in its path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Desk)
        self.heard: list[tuple[float, str, str, Any]] = []


class Desk(BaseHTTPRequestHandler):
    server: Till

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        first = self.path not in {path for _, path, _, _ in self.server.heard}
        self.server.heard.append((time.monotonic(), self.path, self.headers["Idempotency-Key"], sent))
        body = b"{}" if first else json.dumps({"charged": sent["amount"]}).encode()
        self.send_response(429 if first else 200)
        if first:
            date = formatdate(int(time.time()) + 1, usegmt=True)
            self.send_header("Retry-After", date if self.path.startswith("/date") else "1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def till() -> Iterator[Till]:
    till = Till()
    thread = threading.Thread(target=till.serve_forever, args=(0.01,))
    thread.start()
    yield till
    till.shutdown()
    till.server_close()
    thread.join()


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_the_servers_word_replaces_the_backoff(app: Tasker, till: Till, form: str) -> None:
    """After 429 with Retry-After the next attempt comes when the server said, with the same key."""
    sell = app.template("sell", retry=Retry(backoff=Backoff(first=60)))

    @sell.step
    def price(context: dict[str, Any]) -> dict[str, float]:
        return {"total": 12.5}

    url = f"http://127.0.0.1:{till.server_port}/{form}/{{context.order_id}}"
    sell.step(http("POST", url, json={"amount": "{results.price.total}"}), name="charge", after=[price])
    with app.worker():
        task = sell.enqueue({"order_id": 17})
        assert task.result(timeout=10) == {"charge": {"charged": 12.5}}
    assert task.steps["charge"].attempts == 2
    (first, path, key, sent), (second, *again) = till.heard
    assert (path, sent, again) == (f"/{form}/17", {"amount": 12.5}, [path, key, sent])
    assert 0.9 < second - first < 2.0


def test_a_command_gets_what_its_parents_left(app: Tasker) -> None:
    """The results of the steps directly before it are on its standard input, by name."""
    count = app.template("count", result="total")

    @count.step
    def lines() -> list[int]:
        return [1, 2, 3]

    count.step(command(["cat"]), name="total", after=[lines])
    with app.worker():
        read = count.enqueue({"order_id": 17}).result(timeout=10)
    assert (read["context"], read["results"]) == ({"order_id": 17}, {"lines": [1, 2, 3]})
    assert read["step"]["name"] == "total"


def test_a_timeout_kills_the_command(app: Tasker, tmp_path: Path) -> None:
    """At the step's timeout the process is dead, not only forgotten."""
    slow = app.template("slow", retry=Retry(max_attempts=1))
    slow.step(_late_writer(tmp_path), name="late", timeout=0.3)
    with app.worker():
        task = slow.enqueue().wait(timeout=10)
        time.sleep(1)
    assert (task.state, (task.steps["late"].error or {})["code"]) == ("error", "timeout")
    assert not (tmp_path / "late").exists()


def test_a_cancelled_task_kills_its_command(app: Tasker, tmp_path: Path) -> None:
    """Whoever cancels a task ends the process that works for it."""
    slow = app.template("slow")
    slow.step(_late_writer(tmp_path), name="late")
    with app.worker():
        task = slow.enqueue()
        while task.refresh().steps["late"].state != "in_progress":
            time.sleep(0.02)
        task.cancel(reason="no longer wanted")
        time.sleep(1.2)
    assert not (tmp_path / "late").exists()


def _late_writer(place: Path) -> Any:
    return command(["sh", "-c", "sleep 1 && touch late"], cwd=place)
