"""Rescue: a dead worker's tasks are due again.

Silent workers are judged by the server's clock, and only by a worker whose own last two heartbeats went well; a
process of this host that does not exist any more needs no such wait. The worker's row is locked and checked again
before anything is marked: whoever still holds the fence is waited for.

Crashes charge the guilty: every owned task becomes a suspect (0 → 1), but only one whose step was marked as running
is charged further (k → k+1).
"""

from __future__ import annotations

import logging
import time

from tasker.ids import new_id
from tasker.states import TASK_FINAL, TaskState
from tasker.store import workers as w
from tasker.store.rows import HistoryRow
from tasker.store.store import Store
from tasker.store.turn import Turn

_log = logging.getLogger("tasker.upkeep")

KEPT = TASK_FINAL | {TaskState.PAUSED}
"""States that losing its owner does not change."""


def rescue(store: Store, worker: str, *, gone: bool, timeout: float) -> list[str] | None:
    """Declare a worker dead and free what it owned; the freed tasks' ids, or None when it is alive after all.

    Args:
        gone: its process is known not to exist; else it must still be silent for `timeout` seconds.
    """
    # One try: whoever waits here for a locked row would miss its own heartbeats. The next look comes soon.
    ids: list[str] | None = store.retrying(lambda turn: _rescue(turn, store, worker, gone, timeout), tries=1)
    if ids is not None:
        _log.warning("worker %s is dead; %d tasks are due again", worker, len(ids))
    if store.dialect == "postgresql" and (ids is not None or _still_dead(store, worker, gone, timeout)):
        _end_backends(store, worker)
    return ids


def _still_dead(store: Store, worker: str, gone: bool, timeout: float) -> bool:
    """Whether it is dead, but a backend of its own, stuck in sending rows, still holds its row."""
    return bool(store.ask(w.STILL_DEAD, {"id": worker, "gone": gone, "timeout": timeout}))


def _rescue(turn: Turn, store: Store, worker: str, gone: bool, timeout: float) -> list[str] | None:
    facts = {"id": worker, "gone": gone, "timeout": timeout, "server_now": time.time()}
    if not turn.run(w.HOLD_DEAD, facts):
        return None
    turn.send(w.CHANGE_STATE, {"id": worker, "state": "dead"})
    return free(turn, store, worker)


def free(turn: Turn, store: Store, worker: str) -> list[str]:
    """Free what a dead worker owned. The tasks are locked first: a later statement sees what it still committed."""
    now = store.clock.now()
    owned = turn.run(w.LOCK_OWNED, {"id": worker})
    turn.send(w.FREE_CRASHED, {"id": worker, "now": now})
    turn.write_history(
        [
            HistoryRow(
                str(new_id()),
                task_id,
                now,
                "rescued",
                None,
                state,
                state if state in KEPT else "waiting",
                "",
                f"worker {worker} died",
            )
            for task_id, state in owned
        ]
    )
    return [task_id for task_id, _ in owned]


def sweep(store: Store) -> int:
    """Free tasks whose owner is not alive, whatever the reason; a net under rescue. How many there were."""
    return sum(len(_free_all(store, owner)) for (owner,) in store.ask(w.ORPHANED))


def _free_all(store: Store, owner: str) -> list[str]:
    freed: list[str] = store.retrying(lambda turn: free(turn, store, owner))
    return freed


def _end_backends(store: Store, worker: str) -> None:
    """End what the dead worker's connections still do: a backend stuck in sending rows obeys no timeout."""
    try:
        store.ask(w.STUCK_BACKEND, {"application": f"tasker:{worker}"})
    except Exception as error:
        _log.info("may not end the backends of %s: %s", worker, error)
