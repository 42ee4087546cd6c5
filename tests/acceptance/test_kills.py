"""Workers killed at random under load: nothing is lost, nothing is settled twice.

`FIRE_KILLS` says how many kills (default 12; each costs about a tenth of a second).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from support import until
from tasker import Tasker
from tasker.store.sql import Sql

KILLS = int(os.environ.get("FIRE_KILLS", "12"))
SEED = int(os.environ.get("FIRE_SEED", "7"))
BATCH = 150


def start(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, Path(__file__).with_name("shop_under_fire.py")], env=environment)


def unfinished(app: Tasker) -> int:
    return int(app.store.ask(Sql("select count(*) from {tasks} where state <> 'complete'"))[0][0])


@pytest.mark.timeout(300)
def test_kills_under_load_lose_nothing(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are killed again and again at random moments: every task completes, each step settles once."""
    ledger = tmp_path / "ledger"
    ledger.touch()
    monkeypatch.setenv("FIRE_DATABASE", database_url)
    monkeypatch.setenv("FIRE_LEDGER", str(ledger))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    sys.modules.pop("shop_under_fire", None)
    from shop_under_fire import app, fire

    rng = random.Random(SEED)
    workers = [start(dict(os.environ)) for _ in range(2)]
    ids: list[str] = []
    try:
        for _ in range(KILLS):
            if len(ids) < 200 * BATCH and unfinished(app) < BATCH:
                ids += [task.id for task in fire.enqueue_many([{}] * BATCH)]
            before = ledger.stat().st_size
            until(lambda before=before: ledger.stat().st_size > before or not unfinished(app), within=60)
            time.sleep(rng.random() * 0.05)  # the moment of the kill is the experiment
            victim = workers.pop(rng.randrange(len(workers)))
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            workers.append(start(dict(os.environ)))
        until(lambda: not unfinished(app), within=60)
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        codes = [worker.wait(30) for worker in workers]
    calls = Counter(tuple(line.split()) for line in ledger.read_text().splitlines())
    steps = app.store.ask(Sql("select cast(task_id as text), name, state, lost from {steps}"))
    assert set(codes) <= {0, -signal.SIGTERM}, "a worker that had not started yet is ended by the signal itself"
    assert len(steps) == 4 * len(ids)
    assert all(state == "complete" for _, _, state, _ in steps)
    assert set(calls) == {(task_id, name) for task_id, name, _, _ in steps}
    doubled = sum(n - 1 for n in calls.values())
    assert doubled <= KILLS * 8, "more effects were doubled than attempts were in flight"
    print(f"{KILLS} kills, {len(ids)} tasks, {doubled} effects doubled")
    app.stop()
    app.store.close()
