"""Deploy: unfinished tasks that nobody would serve once this code replaces the code that runs now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasker.app.shelf import Shelf, StoredTemplate, read_templates
from tasker.definition.shape import Shape
from tasker.store import read

if TYPE_CHECKING:
    from tasker.app.app import App
    from tasker.definition.sealed import Sealed
    from tasker.engine.why import Neighbour


@dataclass(frozen=True)
class Stranded:
    """Unfinished tasks of one stored shape that would be left alone."""

    template: str
    queue: str
    tasks: int
    reason: str

    @property
    def text(self) -> str:
        tasks = "1 unfinished task" if self.tasks == 1 else f"{self.tasks} unfinished tasks"
        return f"{tasks} of {self.template} in queue {self.queue!r}: {self.reason}"


def stranded(app: App) -> list[Stranded]:
    """What this code does not serve, and no worker of another app does.

    A live worker that knows one of this code's templates runs an older version of it, and is about to be replaced.
    """
    sealed = [draft.seal() for draft in app.registry.all()]
    shelf = Shelf(app.store, sealed)
    shelf.refresh()
    mine = {one.full_name for one in sealed}
    stored = {row.id: row for row in read_templates(app.store)}
    staying = [worker for worker in live_workers(app) if not _of_mine(worker, stored, mine)]
    found = []
    for template, queue, count in read.count_unfinished(app.store):
        if template in shelf.known or any(template in w.templates and queue in w.queues for w in staying):
            continue
        if template in stored:
            found.append(Stranded(stored[template].ref, queue, count, _reason(stored[template], sealed)))
    return sorted(found, key=lambda one: (one.template, one.queue))


def live_workers(app: App) -> list[Neighbour]:
    """Workers that have beaten within the worker timeout."""
    now, timeout = app.store.clock.now(), app.settings.worker_timeout_seconds
    return [w for w in app.reader.workers() if w.state in ("alive", "draining") and now - w.heartbeat_at <= timeout]


def _of_mine(worker: Neighbour, stored: dict[int, StoredTemplate], mine: set[str]) -> bool:
    return any(stored[one].full_name in mine for one in worker.templates if one in stored)


def _reason(row: StoredTemplate, sealed: list[Sealed]) -> str:
    akin = [one for one in sealed if one.full_name == row.full_name]
    if not akin:
        return "no template of that name here"
    same = [one for one in akin if one.version == row.version or row.version in one.serves]
    if not same:
        return f'{akin[-1].ref} does not serve that version; say serves=["{row.version}"]'
    return str(same[-1].can_serve(Shape.from_json(row.shape)))


def other_shapes(app: App) -> Iterator[tuple[str, str, int]]:
    """(template, difference, unfinished tasks) where the same version is stored with another shape."""
    counts: dict[int, int] = {}
    for template, _, count in read.count_unfinished(app.store):
        counts[template] = counts.get(template, 0) + count
    stored = read_templates(app.store)
    for draft in app.registry.all():
        sealed = draft.seal()
        for row in stored:
            if row.ref == sealed.ref and row.fingerprint != sealed.shape.fingerprint:
                yield sealed.ref, Shape.from_json(row.shape).difference(sealed.shape), counts.get(row.id, 0)
