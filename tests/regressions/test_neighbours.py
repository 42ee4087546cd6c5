"""Who is dead, and what a rescuer may wait for."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from lone import WORKER, Lone, row

from support import until
from tasker import Tasker
from tasker.store import workers as w
from tasker.upkeep.rescue import rescue
from tasker.worker import process

Workers = Callable[..., Lone]

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def run_python(script: str, *arguments: str) -> str:
    """What a script prints, run in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


@needs_proc
def test_a_neighbour_that_cannot_be_looked_at_is_not_gone() -> None:
    """A process without a descriptor left cannot read /proc: that says nothing about its neighbours."""
    script = """
        import os, resource
        from tasker.worker.process import is_gone, this_process
        me = this_process()
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
        try:
            while True:
                os.open("/dev/null", os.O_RDONLY)
        except OSError:
            print(is_gone(me))
    """
    assert run_python(script) == "False"


@needs_proc
def test_a_process_that_proc_hides_is_asked_for_by_its_pid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc shows no other processes, one that takes a signal lives, and one that does not is gone."""
    me = process.this_process()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setattr(process, "_state", lambda pid: None)
    assert (process.is_gone(me), process.is_gone(me._replace(pid=ended.pid))) == (False, True)


def test_a_forked_child_does_not_keep_the_ticket(tmp_path: Path) -> None:
    """A child forked while its parent holds the turn to write does not hold it up when the parent has let go."""
    script = """
        import os, signal, sys, threading
        from tasker.store.connect import Ticket
        ticket = Ticket(sys.argv[1])
        with ticket():
            child = os.fork()
            if child == 0:
                signal.pause()
        got = threading.Event()

        def take():
            with ticket():
                got.set()

        threading.Thread(target=take, daemon=True).start()
        print(got.wait(5))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    """
    assert run_python(script, str(tmp_path / "tasker.db")) == "True"


def test_after_a_missed_beat_the_silence_of_others_is_not_judged(
    an_app: Callable[..., Tasker], a_worker: Workers
) -> None:
    """A host that slept: who wakes first does not declare its living neighbours dead; after two beats in time it may."""
    app = an_app(heartbeat_seconds=0.2, worker_timeout_seconds=0.5)
    first, second = a_worker(app), a_worker(app)
    for _ in range(3):
        first.worker.heartbeat.run_once()
        second.worker.heartbeat.run_once()

    def silent() -> bool:
        facts = {"id": first.me, "timeout": 0.5, "server_now": time.time()}
        return bool(app.store.ask(w.NEIGHBOURS, facts)[0][5])

    def state() -> str:
        return str(app.store.ask(WORKER, {"id": second.me})[0][0])

    until(silent)
    first.worker.heartbeat.run_once()
    spared = state()

    def judged() -> bool:
        first.worker.heartbeat.run_once()
        return state() == "dead"

    until(judged)
    assert spared == "alive"


@needs_proc
def test_a_pid_that_is_used_again_is_another_process() -> None:
    """A process is gone when another has its pid now; on another host, or where nothing tells, it never is."""
    another = process.this_process()._replace(pid_start="another")
    strangers = [another._replace(boot="x"), another._replace(pidns="x"), another._replace(boot="", pidns="")]
    assert [process.is_gone(one) for one in (another, *strangers)] == [True, False, False, False]


@pytest.fixture
def pg_app(postgresql_url: str) -> Tasker:
    app = Tasker(postgresql_url, env="test")
    app.template("quick").step(lambda: 1, name="one")
    return app


def test_a_rescuer_does_not_wait_for_a_row_that_somebody_holds(pg_app: Tasker, postgresql_url: str) -> None:
    """Somebody holds a task of a dead worker: the rescuer's next heartbeat is not late, and it frees the task later."""
    dead, rescuer = Lone(pg_app), Lone(pg_app)
    task = pg_app.enqueue("quick")
    dead.claim()
    heartbeat = rescuer.worker.heartbeat
    heartbeat.run_once()
    dead.close()
    with psycopg.connect(postgresql_url) as somebody:
        somebody.execute("select 1 from tasker_tasks for update")
        heartbeat._neighbours = [(dead.me, process.this_process()._replace(pid_start="another"))]
        begun = time.monotonic()
        heartbeat._take_over()
        took = time.monotonic() - begun
        held = row(pg_app, task)[1]
    heartbeat._take_over()
    assert (took < 5, held, row(pg_app, task)[1]) == (True, dead.me, None)
    rescuer.close()
    pg_app.store.close()


def test_a_backend_that_keeps_a_dead_workers_row_is_ended(pg_app: Tasker) -> None:
    """A dead worker's backend, stuck in a transaction that holds its fence, is ended; the rescue after it succeeds."""
    dead = Lone(pg_app)
    task = pg_app.enqueue("quick")
    dead.claim()
    connection = dead.heart.wire._connection  # type: ignore[union-attr]
    connection.execute("select 1 from tasker_workers where id = %s for key share", [dead.me])
    first = rescue(pg_app.store, dead.me, gone=False, timeout=0.0)
    freed = until(lambda: rescue(pg_app.store, dead.me, gone=False, timeout=0.0), within=5)
    assert (first, freed, row(pg_app, task)[1]) == (None, [task.id], None)
    dead.close()
    pg_app.store.close()
