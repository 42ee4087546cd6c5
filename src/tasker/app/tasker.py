"""Tasker: one app over one database: its templates, tasks, people's actions and workers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from os import PathLike
from typing import Any, Literal, Never, TypeVar, overload

from tasker import config
from tasker.app.app import App
from tasker.app.task import Task, default_actor
from tasker.app.template import Template
from tasker.clock import Seconds, seconds
from tasker.definition.retry import Retry
from tasker.definition.template import Draft
from tasker.errors import NotFound, RequestError
from tasker.events.catalog import named

C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., Any])
E1 = TypeVar("E1")
E2 = TypeVar("E2")

BulkAction = Literal["retry", "cancel", "pause", "resume"]


class Page(list[Task]):
    """Tasks, newest first; `after` continues: `app.tasks(…, after=page.after)`; None at the end."""

    after: str | None = None


class Tasker(App):
    """One app. Opens and reads nothing until it is used; thread-safe; no global state.

    Args:
        database_url: `postgresql://…` or `sqlite:////absolute/path`; default `TASKER_DATABASE_URL`, else `tasker.db`
            beside the nearest pyproject.toml.
        settings: every other setting, by name (`tasker.config`).

    Example:
        >>> import tempfile, os
        >>> app = Tasker(f"sqlite:///{os.path.join(tempfile.mkdtemp(), 'tasker.db')}")
        >>> greeting = app.template("greeting")
        >>> @greeting.step
        ... def greet(context: dict[str, str]) -> str:
        ...     return f"Hello, {context['name']}"
        >>> with app.worker():
        ...     greeting.enqueue({"name": "Ada"}).result(timeout=10)
        {'greet': 'Hello, Ada'}
    """

    def __init__(
        self,
        database_url: str | None = None,
        *,
        app: str | None = None,
        env: str | None = None,
        schema: str | None = None,
        sqlite_synchronous: str | None = None,
        concurrency: int | None = None,
        queues: Sequence[str] | None = None,
        heartbeat_seconds: Seconds | None = None,
        worker_timeout_seconds: Seconds | None = None,
        crash_limit: int | None = None,
        grace_seconds: Seconds | None = None,
        max_payload_bytes: int | None = None,
        redact: Sequence[str] | None = None,
        **unknown: Never,
    ) -> None:
        config.refuse_unknown_keyword(unknown)
        keywords = {
            "database_url": database_url,
            "app": app,
            "env": env,
            "schema": schema,
            "sqlite_synchronous": sqlite_synchronous,
            "concurrency": concurrency,
            "queues": queues,
            "heartbeat_seconds": heartbeat_seconds,
            "worker_timeout_seconds": worker_timeout_seconds,
            "crash_limit": crash_limit,
            "grace_seconds": grace_seconds,
            "max_payload_bytes": max_payload_bytes,
            "redact": redact,
        }
        super().__init__(keywords)
        self._templates: dict[str, Template[Any]] = {}

    # templates

    @overload
    def template(
        self,
        name: str,
        *,
        context: type[C],
        namespace: str = ...,
        version: str = ...,
        serves: Sequence[str] = ...,
        description: str = ...,
        on_failure: Literal["finish_branches", "stop"] = ...,
        result: str | None = ...,
        identity: Literal["context"] | Callable[[C], str] | None = ...,
        identity_window: Seconds | None = ...,
        deadline: Seconds | None = ...,
        queue: str = ...,
        priority: int = ...,
        retry: Retry | None = ...,
        timeout: Seconds | None = ...,
    ) -> Template[C]: ...
    @overload
    def template(
        self,
        name: str,
        *,
        context: None = None,
        context_schema: Mapping[str, Any] | None = ...,
        namespace: str = ...,
        version: str = ...,
        serves: Sequence[str] = ...,
        description: str = ...,
        on_failure: Literal["finish_branches", "stop"] = ...,
        result: str | None = ...,
        identity: Literal["context"] | Callable[[dict[str, Any]], str] | None = ...,
        identity_window: Seconds | None = ...,
        deadline: Seconds | None = ...,
        queue: str = ...,
        priority: int = ...,
        retry: Retry | None = ...,
        timeout: Seconds | None = ...,
    ) -> Template[dict[str, Any]]: ...
    def template(self, name: str, **options: Any) -> Any:
        """Begin a template; its steps are added by `@template.step`.

        Args:
            namespace, version, description: who it is; versions are ordered by PEP 440.
            serves: versions whose stored shapes these handlers run too.
            context: the model, dataclass or TypedDict of what a task is given; or `context_schema`, a JSON Schema.
            on_failure: "finish_branches" lets independent branches end; "stop" cancels what has not started.
            result: the step whose results `result()` gives; default all leaves, by name.
            identity: "context", or a function of the context: what makes two enqueues the same task.
            identity_window: how long, in seconds; default as long as the task is kept.
            deadline: seconds from `created_at` after which what is left is cancelled.
            queue, priority: which workers take its tasks, and how urgent they are (-100 to 100).
            retry, timeout: its steps' defaults, replaced as a whole.

        Raises:
            DefinitionError: naming the option and what to write.
        """
        return self._adopt(Draft(name, **options))

    def _adopt(self, draft: Draft) -> Template[Any]:
        self.registry.add(draft)
        template: Template[Any] = Template(self, draft)
        self._templates[draft.ref] = template
        return template

    def load(self, *patterns: str | PathLike[str], modules: Sequence[str] = ()) -> list[Template[dict[str, Any]]]:
        """Load templates from YAML files; handlers come only from `modules`.

        Raises:
            DefinitionError: with the file and what is wrong; a pattern that matches nothing, too.
        """
        from tasker.definition import yaml_form
        from tasker.handlers import command, http

        drafts = yaml_form.load(
            [os.fspath(pattern) for pattern in patterns],
            modules=modules,
            env=self.settings.env,
            ready={"http": http, "command": command},
        )
        return [self._adopt(draft) for draft in drafts]

    @property
    def templates(self) -> list[Template[Any]]:
        """All templates of this app, in the order they were defined."""
        return list(self._templates.values())

    # tasks

    def enqueue(self, template: str, context: Mapping[str, Any] | None = None, **options: Any) -> Task:
        """Store a new task of a template by name: `namespace/name`, with or without `@version`."""
        return self.enqueuer.enqueue(self.registry.get(template), {} if context is None else context, options)

    def task(self, task_id: str | None = None, *, template: str | None = None, key: str | None = None) -> Task:
        """Find one task by id, or by template and idempotency key.

        Raises:
            NotFound: there is none.
        """
        if (task_id is None) == (key is None) or (key is not None and template is None):
            raise RequestError('app.task: say an id, or both: app.task(template="shop/fulfil_order", key="order-17")')
        if task_id is None:
            task_id = self._of_key(template or "", key or "")
        return Task(self, self.reader.row(task_id))

    def _of_key(self, template: str, key: str) -> str:
        from tasker.store import read

        name = template.partition("@")[0]
        namespace, slash, short = name.partition("/")
        found = read.task_of_key(self.store, namespace if slash else "default", short if slash else name, key)
        if found is None:
            raise NotFound(f"there is no task of {name} with key {key!r}")
        return found

    async def atask(self, task_id: str | None = None, *, template: str | None = None, key: str | None = None) -> Task:
        """`task` for async hosts."""
        return await asyncio.to_thread(lambda: self.task(task_id, template=template, key=key))

    def tasks(
        self,
        *,
        state: str | Sequence[str] | None = None,
        template: str | None = None,
        tag: str | None = None,
        annotation: tuple[str, Any] | None = None,
        q: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page:
        """Find tasks, newest first.

        Args:
            annotation: (type, value) of a fact a handler attached.
            q: the search language, e.g. `state:error step:report_tax attempt:>3 age:>1h`.
            limit: at most 1,000.
            after: the `after` of the page before.
        """
        from tasker.app.search import conditions
        from tasker.store import read

        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= 1_000:
            raise RequestError(f"app.tasks: limit={limit!r}: it must be a whole number from 1 to 1,000")
        wanted = conditions(self.store, state=state, template=template, tag=tag, annotation=annotation, q=q)
        rows = read.find(self.store, wanted, limit + 1, after)
        page = Page(Task(self, row) for row in rows[:limit])
        page.after = page[-1].id if len(rows) > limit else None
        return page

    async def atasks(self, **filters: Any) -> Page:
        """`tasks` for async hosts."""
        return await asyncio.to_thread(lambda: self.tasks(**filters))

    # people

    def operate(
        self, action: BulkAction, *, q: str, reason: str, actor: str | None = None, dry_run: bool = False
    ) -> int:
        """Act on all tasks that match `q`; how many there were. Those that refuse the action are left as they are.

        Args:
            dry_run: only count.
        """
        return self.operator.act_on_all(action, q, reason, actor or default_actor(), dry_run=dry_run)

    def hold_system(
        self, name: str, until: datetime | None = None, *, reason: str = "", actor: str | None = None
    ) -> None:
        """Start no step of this system any more (from at most 1 s after this returned), until then or its release."""
        self.operator.hold(name, until, reason, actor)

    def release_system(self, name: str, *, reason: str = "", actor: str | None = None) -> None:
        """Let the steps of a held system start again, now."""
        self.operator.release(name, reason, actor)

    # events

    @overload
    def on(self, *events: str) -> Callable[[F], F]: ...
    @overload
    def on(self, event: type[E1], /) -> Callable[[Callable[[E1], Any]], Callable[[E1], Any]]: ...
    @overload
    def on(self, e1: type[E1], e2: type[E2], /) -> Callable[[Callable[[E1 | E2], Any]], Callable[[E1 | E2], Any]]: ...
    def on(self, *events: Any) -> Any:
        """Subscribe a function to events, by name or by class of `tasker.events`; it may be `async def`.

        It runs in the process that committed the fact, in a thread of its own, in order per task.
        """
        kinds = [named(event) for event in events]
        if not kinds:
            raise RequestError('app.on: name at least one event, e.g. @app.on("task.failed")')

        def subscribed(subscriber: F) -> F:
            self.bus.subscribe(kinds, subscriber)
            return subscriber

        return subscribed

    # workers

    @contextmanager
    def worker(self, *, concurrency: int | None = None, queues: Sequence[str] | None = None) -> Iterator[None]:
        """A background worker in this process, for the block's life."""
        worker = self.serving.make(concurrency=concurrency, queues=queues)
        worker.start()
        try:
            yield
        finally:
            self.serving.end(worker)

    def start(self) -> None:
        """Start a background worker in this process; with `concurrency=0` nothing runs here."""
        self.serving.start()

    def stop(self, grace: Seconds | None = None) -> None:
        """Stop it: wait up to `grace` seconds for what runs, then hand the rest back."""
        self.serving.stop(None if grace is None else seconds(grace))

    def run(self, *, queues: Sequence[str] | None = None, concurrency: int | None = None) -> None:
        """Be a worker process until SIGTERM or SIGINT; a second signal does not wait for running steps."""
        self.serving.run(queues=queues, concurrency=concurrency)

    @asynccontextmanager
    async def lifespan(self, host: Any = None) -> AsyncIterator[None]:
        """Start and stop with an ASGI host: `FastAPI(lifespan=app.lifespan)`."""
        await asyncio.to_thread(self.start)
        try:
            yield
        finally:
            await asyncio.to_thread(self.stop)
