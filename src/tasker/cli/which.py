"""Which: the task that a TASK argument means: an id, the ending of one, `key:order-17`, or `last`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from tasker.cli.words import clock
from tasker.errors import NotFound, RequestError

if TYPE_CHECKING:
    from tasker.app.task import Task
    from tasker.app.tasker import Tasker

TASK_HELP = "An id, the ending of one, key:KEY, or last."

TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help=TASK_HELP)]

_SHOWN = 8


def find_task(tasker: Tasker, words: str) -> Task:
    """Find the one task that is meant.

    Raises:
        NotFound: none is.
        RequestError: several are; they are listed.
    """
    return tasker.task(_one(tasker, words, _ids(tasker, words.strip())))


def _ids(tasker: Tasker, words: str) -> Sequence[str]:
    from tasker.store import read

    store = tasker.store
    if words == "last":
        last = read.last_task(store)
        if last is None:
            raise NotFound("there is no task yet")
        return [last]
    if words.startswith("key:"):
        found = read.tasks_of_key(store, words.removeprefix("key:"))
        if not found:
            raise NotFound(f"there is no task with key {words.removeprefix('key:')!r}")
        return found
    bare = words.removeprefix("…").removeprefix("...").casefold()
    if _is_id(bare):
        return [bare]
    if not re.fullmatch(r"[0-9a-f-]+", bare):
        raise NotFound(
            f"{words!r} is no task. A TASK is {TASK_HELP[0].lower()}{TASK_HELP[1:-1]}{_as_key(tasker, words)}"
        )
    found = read.tasks_ending(store, bare, _SHOWN + 1)
    if not found:
        raise NotFound(f"no id of a task ends in {bare!r}{_as_key(tasker, words)}")
    return found


def _is_id(words: str) -> bool:
    try:
        return str(UUID(words)) == words
    except ValueError:
        return False


def _as_key(tasker: Tasker, words: str) -> str:
    from tasker.store import read

    return f". Did you mean key:{words}?" if read.tasks_of_key(tasker.store, words) else ""


def _one(tasker: Tasker, words: str, ids: Sequence[str]) -> str:
    if len(ids) == 1:
        return ids[0]
    tasks = [tasker.task(task_id) for task_id in ids[:_SHOWN]]
    lines = [f"  {task.id}  {task.template}  {task.state}  created {clock(task.created_at)}" for task in tasks]
    more = ["  …"] if len(ids) > _SHOWN else []
    raise RequestError("\n".join([f"{words!r} means several tasks. Say more of the id of one:", *lines, *more]))
