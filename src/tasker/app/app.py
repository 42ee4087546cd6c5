"""App: what the parts of one app share: its settings, its store, its bus, and the way to each other.

`tasker.app.tasker` puts the public names on top.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tasker import config
from tasker.app.serving import Serving
from tasker.config import Settings
from tasker.definition.registry import Registry
from tasker.events.bus import Bus

if TYPE_CHECKING:
    from tasker.app.enqueuer import Enqueuer
    from tasker.app.operator import Operator
    from tasker.app.reader import Reader
    from tasker.app.waiting import Waiting
    from tasker.store.store import Store


class App:
    """One app over one database. Opens and reads nothing until it is used.

    Args:
        keywords: settings that were said in code; None: not said.
    """

    def __init__(self, keywords: Mapping[str, Any]) -> None:
        self._keywords = dict(keywords)
        self.registry = Registry()
        self.bus = Bus()
        self._lock = threading.RLock()
        self._reset()
        _apps.add(self)

    def _reset(self) -> None:
        self._settings: Settings | None = None
        self._store: Store | None = None
        self._parts: dict[str, Any] = {}
        self.serving = Serving(self)

    @contextmanager
    def bound(self, *, clock: Any = None, **keywords: Any) -> Iterator[None]:
        """Use another database and other settings for the block's life: for tests. Nothing may be running."""
        before, self._keywords = self._keywords, {**self._keywords, **keywords}
        self._renew(clock)
        try:
            yield
        finally:
            self._keywords = before
            self._renew(None)

    def _renew(self, clock: Any) -> None:
        self.serving.stop(0)
        with self._lock:
            if self._store is not None:
                self._store.close()
            self._reset()
            self._clock = clock

    _clock: Any = None
    test_hands: Any = None
    """The hands of the last `run_until_idle`, which count what ran."""

    @property
    def settings(self) -> Settings:
        """All settings, read at first use."""
        if self._settings is None:
            self._settings = config.read(self._keywords)
        return self._settings

    @property
    def store(self) -> Store:
        """The database, opened and checked at first use.

        Raises:
            StoreUnavailable, SchemaOutOfDate, ConfigError.
        """
        if self._store is None:
            with self._lock:
                if self._store is None:
                    self._store = self._open(check=True)
        return self._store

    def _open(self, *, check: bool) -> Store:
        from tasker.store import migrate
        from tasker.store.connect import parse
        from tasker.store.store import Store

        settings = self.settings
        store = Store(
            parse(settings.database_url, settings.base),
            schema=settings.schema or None,
            synchronous=settings.sqlite_synchronous,
            timeout=settings.worker_timeout_seconds,
            clock=self._clock,
        )
        try:
            if check and store.path is not None:
                migrate.upgrade(store)
            elif check:
                migrate.check(store, settings.app)
            if self._clock is None:
                store.measure_clock()
        except BaseException:
            store.close()
            raise
        return store

    @property
    def enqueuer(self) -> Enqueuer:
        from tasker.app.enqueuer import Enqueuer

        part: Enqueuer = self._part("enqueuer", Enqueuer)
        return part

    @property
    def reader(self) -> Reader:
        from tasker.app.reader import Reader

        part: Reader = self._part("reader", Reader)
        return part

    @property
    def operator(self) -> Operator:
        from tasker.app.operator import Operator

        part: Operator = self._part("operator", Operator)
        return part

    @property
    def waiting(self) -> Waiting:
        from tasker.app.waiting import Waiting

        part: Waiting = self._part("waiting", Waiting)
        return part

    def _part(self, name: str, kind: Callable[[Any], Any]) -> Any:
        part = self._parts.get(name)
        if part is None:
            with self._lock:
                part = self._parts.setdefault(name, kind(self))
        return part

    def migrate(self) -> None:
        """Create or upgrade the tables; automatic for SQLite files."""
        from tasker.store import migrate

        store = self._open(check=False)
        try:
            migrate.upgrade(store)
        finally:
            store.close()

    def ring(self, owner: str | None = None) -> None:
        """Wake workers: those of this process at once, others by the database."""
        self.serving.ring(owner)

    def finished(self, ids: Iterable[str]) -> None:
        """End waits for tasks that were let go."""
        self.waiting.finished(ids)

    def _forget(self) -> None:
        """After a fork the child starts clean."""
        self._lock = threading.RLock()
        store = self._store
        self._reset()
        self.bus.forget()
        if store is not None:
            store.forget()


_apps: weakref.WeakSet[App] = weakref.WeakSet()


def _forget_all() -> None:
    for app in list(_apps):
        app._forget()


os.register_at_fork(after_in_child=_forget_all)
