"""Bulk: one action on all tasks that match a query: counted first, consented to, with a bar while it lasts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasker.cli.ask import consent
from tasker.cli.session import Session
from tasker.cli.words import ending, plural
from tasker.errors import ActionPending, TransitionRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasker.app.task import Task
    from tasker.app.tasker import BulkAction, Tasker

Query = Annotated[
    str | None,
    typer.Option("--q", metavar="QUERY", help="Act on all tasks that match, e.g. 'state:error step:report_tax'."),
]

_PAGE = 500
_REFUSALS = 3
"""How many refusals are shown."""


def act_on_all(
    session: Session,
    action: BulkAction,
    q: str | None,
    reason: str,
    actor: str | None,
    yes: bool,
    dry_run: bool,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Do one action to every task that matches."""
    assert q is not None
    tasker, screen = session.existing(), session.screen
    count = tasker.operate(action, q=q, reason=reason or "only counted", dry_run=True)
    if dry_run or not count:
        if screen.json:
            screen.data({"action": action, "q": q, "matched": count, "done": 0, "dry_run": dry_run})
        screen.say(f"{plural(count, 'task')} would be touched by {action}" if count else "no task matches")
        return
    consent(screen, f"{action.capitalize()} {plural(count, 'task')}?", yes)
    done, pending, refused = 0, 0, []
    with _bar(session, action, count) as advance:
        for task in _matching(tasker, q):
            try:
                getattr(task, action)(**(options or {}), reason=reason, actor=actor)
                done += 1
            except ActionPending:
                pending += 1
            except TransitionRefused as refusal:
                refused.append((task.id, str(refusal)))
            advance()
    _say(session, action, q, done, pending, refused)


def _matching(tasker: Tasker, q: str) -> Iterator[Task]:
    """All of them, page by page: ids go down, so that what an action changes does not matter."""
    after = None
    while True:
        page = tasker.tasks(q=q, limit=_PAGE, after=after)
        yield from page
        after = page.after
        if after is None:
            return


@contextmanager
def _bar(session: Session, action: str, count: int) -> Iterator[Callable[[], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = session.screen.err
    with Progress(*columns, console=console, transient=True, disable=session.json or not console.is_terminal) as bar:
        line = bar.add_task(action, total=count)
        yield lambda: bar.advance(line)


def _say(session: Session, action: str, q: str, done: int, pending: int, refused: list[tuple[str, str]]) -> None:
    screen = session.screen
    if screen.json:
        refusals = [{"task": task_id, "message": message} for task_id, message in refused]
        screen.data({"action": action, "q": q, "done": done, "pending": pending, "refused": refusals})
    screen.say(
        f"{action}: {plural(done, 'task')} done" + (f", {pending} recorded, not answered yet" if pending else "")
    )
    for task_id, message in refused[:_REFUSALS]:
        screen.say(f"  refused …{ending(task_id)}: {message}")
    if len(refused) > _REFUSALS:
        screen.say(f"  … {plural(len(refused) - _REFUSALS, 'more refusal')}")
    if refused and not done and not pending:
        raise typer.Exit(1)
