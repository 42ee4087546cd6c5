"""Operator: people's actions on tasks and systems, and the wait for an owner's answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tasker.app.task import default_actor
from tasker.clock import moment
from tasker.engine.actions import NEEDS_REASON
from tasker.errors import ActionPending, RequestError, TransitionRefused
from tasker.ids import new_id
from tasker.store import systems
from tasker.store.rows import HistoryRow
from tasker.store.turn import Turn
from tasker.upkeep.operate import Asked, answer_of, operate

if TYPE_CHECKING:
    from tasker.app.tasker import Tasker

BULK = ("retry", "cancel", "pause", "resume")
"""What may be done to all tasks of a search."""
PATIENCE = 5.0
"""Seconds to wait for an owner's answer."""


class Operator:
    """People's actions for one app."""

    def __init__(self, app: Tasker) -> None:
        self._app = app

    def act(self, task_id: str, what: str, params: Mapping[str, Any], reason: str, actor: str) -> None:
        """Ask for one action and wait until it is done.

        Raises:
            TransitionRefused: it makes no sense in the present state.
            ActionPending: the owner has not answered in 5 s; the action stays recorded.
        """
        check_words(what, reason, actor)
        app = self._app
        asked = operate(
            app.store,
            app.reader.plan,
            task_id,
            what,
            params,
            actor,
            reason,
            crash_limit=app.settings.crash_limit,
            wanted=app.bus.wants,
        )
        app.bus.publish(asked.events)
        app.ring(asked.owner)
        if asked.state == "open":
            asked = self._await(asked, task_id, what)
        if asked.state == "refused":
            raise TransitionRefused(asked.answer, wanted=what)
        app.finished([task_id])

    def act_on_all(self, what: str, q: str, reason: str, actor: str, *, dry_run: bool) -> int:
        """Act on all tasks that match `q`; how many there were. Those that refuse are left as they are."""
        if what not in BULK:
            raise RequestError(f"operate: no action {what!r}; it is one of {', '.join(BULK)}")
        if not q.strip():
            raise RequestError('operate: q is empty and would match every task; say which, e.g. q="state:error"')
        check_words(what, reason, actor)
        count, after = 0, None
        while True:
            page = self._app.tasks(q=q, limit=500, after=after)
            count += sum(1 for task in page if dry_run or self._done(task.id, what, reason, actor))
            if page.after is None:
                return count
            after = page.after

    def _done(self, task_id: str, what: str, reason: str, actor: str) -> bool:
        try:
            self.act(task_id, what, {}, reason, actor)
        except ActionPending:
            return True  # recorded, and applied as soon as its owner looks
        except TransitionRefused:
            return False
        return True

    def _await(self, asked: Asked, task_id: str, what: str) -> Asked:
        limit, pause = time.monotonic() + PATIENCE, 0.005
        while time.monotonic() < limit:
            state, answer = answer_of(self._app.store, asked.id)
            if state != "open":
                return Asked(asked.id, state, answer)
            time.sleep(pause)
            pause = min(0.1, pause * 2)
        task = self._app.task(task_id)
        reasons = "; ".join(reason.text for reason in task.why())
        raise ActionPending(
            f"{what} of task …{task_id[-9:]} is recorded, but its owner has not answered in {PATIENCE:g} s; "
            f"it is applied as soon as the task is looked at. {reasons}",
            task,
        )

    def hold(self, name: str, until: datetime | None, reason: str, actor: str | None) -> None:
        at = None if until is None else moment(until, "until")
        self._change(name, True, at, reason, actor)

    def release(self, name: str, reason: str, actor: str | None) -> None:
        self._change(name, False, None, reason, actor)

    def _change(self, name: str, held: bool, until: float | None, reason: str, actor: str | None) -> None:
        if not isinstance(name, str) or not name:
            raise RequestError(f"a system is called by its name, not {name!r}")
        store = self._app.store
        now, who = store.clock.now(), actor or default_actor()
        facts = {"name": name, "held": held, "until": until, "reason": reason, "actor": who, "now": now}

        def work(turn: Turn) -> None:
            turn.send(systems.CHANGE, facts)
            turn.send(systems.WAKE, {"name": name, "now": now})  # at a hold, too: until another moment
            what = "hold" if held else "release"
            turn.write_history(
                [HistoryRow(str(new_id()), None, now, what, None, None, None, who, f"system {name}: {reason}")]
            )

        store.retrying(work)
        self._app.ring()


def check_words(what: str, reason: str, actor: str) -> None:
    """Refuse an action that does not say why, where it must."""
    if what in NEEDS_REASON and not (isinstance(reason, str) and reason.strip()):
        raise RequestError(f'{what} needs a reason, for those who read the history later:  {what}(…, reason="…")')
    if any("\x00" in word for word in (reason, actor)):
        raise RequestError(f"{what}: reason and actor must be text without NUL")
