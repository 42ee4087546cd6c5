"""Template: what may run, as a host holds it: the definition, and the way to enqueue."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar, overload

from tasker.app.task import StepRef, Task
from tasker.clock import Seconds
from tasker.definition.retry import Retry
from tasker.definition.template import Draft

if TYPE_CHECKING:
    from tasker.app.tasker import Tasker

C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., Any])


class Template(Generic[C]):
    """What may run. Made by `Tasker.template`; its steps are added by `@template.step`."""

    def __init__(self, app: Tasker, draft: Draft) -> None:
        self._app, self._draft = app, draft

    @property
    def name(self) -> str:
        return self._draft.name

    @property
    def namespace(self) -> str:
        return self._draft.namespace

    @property
    def version(self) -> str:
        return self._draft.version

    @property
    def ref(self) -> str:
        """`namespace/name@version`."""
        return self._draft.ref

    @property
    def draft(self) -> Draft:
        """The definition, as it is being written."""
        return self._draft

    def __repr__(self) -> str:
        return f"<Template {self.ref}>"

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        steps = self._draft.steps
        one = steps[0] if steps else "a_step"
        raise TypeError(f"a template is not called; {self.name}.enqueue(…) starts a task, {one}(…) calls one handler")

    @overload
    def step(
        self,
        fn: F,
        /,
        *,
        after: Sequence[StepRef] = ...,
        inputs: Mapping[str, StepRef | Sequence[StepRef]] = ...,
        config: Mapping[str, Any] = ...,
        retry: Retry | None = ...,
        timeout: Seconds | None = ...,
        system: str | None = ...,
        priority: int = ...,
        run_in: Literal["auto", "process"] = ...,
        max_wait: Seconds | None = ...,
        name: str | None = ...,
        description: str | None = ...,
    ) -> F: ...
    @overload
    def step(
        self,
        fn: None = None,
        /,
        *,
        after: Sequence[StepRef] = ...,
        inputs: Mapping[str, StepRef | Sequence[StepRef]] = ...,
        config: Mapping[str, Any] = ...,
        retry: Retry | None = ...,
        timeout: Seconds | None = ...,
        system: str | None = ...,
        priority: int = ...,
        run_in: Literal["auto", "process"] = ...,
        max_wait: Seconds | None = ...,
        name: str | None = ...,
        description: str | None = ...,
    ) -> Callable[[F], F]: ...
    def step(self, fn: Any = None, /, **options: Any) -> Any:
        """Add a step; the function is returned unchanged.

        Args:
            after: steps that must be satisfied first, without giving data.
            inputs: parameter → the step whose results it takes, or several.
            config: constants for the handler, as `step.config`; `${VAR}` is filled in when the step runs.
            retry: when it is tried again; default the template's.
            timeout: seconds for one attempt; default the template's.
            system: what it depends on outside; people can hold it.
            priority: among viable steps, -100 to 100, higher first.
            run_in: "process" for work that would hold the interpreter.
            max_wait: how long it may `Wait`, counted from the first.
            name: default the function's.

        Raises:
            DefinitionError: at your own line, naming what is wrong and the nearest right thing.
        """
        caller = sys._getframe(1)
        if fn is not None:
            self._draft.add(fn, options, caller=caller)
            return fn

        def added(handler: F) -> F:
            self._draft.add(handler, options, caller=caller)
            return handler

        return added

    def check(self) -> None:
        """Seal the template: types of parents and children are compared; no step is added after.

        Raises:
            DefinitionError: what does not fit.
        """
        self._draft.seal()

    @overload
    def enqueue(
        self: Template[dict[str, Any]],
        context: Mapping[str, Any] = ...,
        *,
        initiator: str = ...,
        source_system: str = ...,
        reason: str = ...,
        tags: Iterable[str] = ...,
        priority: int | None = ...,
        queue: str | None = ...,
        idempotency_key: str | None = ...,
        run_at: datetime | None = ...,
        delay: Seconds | None = ...,
        connection: Any = ...,
    ) -> Task: ...
    @overload
    def enqueue(
        self,
        context: C,
        *,
        initiator: str = ...,
        source_system: str = ...,
        reason: str = ...,
        tags: Iterable[str] = ...,
        priority: int | None = ...,
        queue: str | None = ...,
        idempotency_key: str | None = ...,
        run_at: datetime | None = ...,
        delay: Seconds | None = ...,
        connection: Any = ...,
    ) -> Task: ...
    def enqueue(self, context: Any = None, **options: Any) -> Task:
        """Store a new task; once this returns it will be run, or wait visibly for something named.

        Args:
            initiator, source_system, reason, tags: who asked, and why; searchable.
            priority: higher first, -100 to 100; default the template's.
            queue: default the template's.
            idempotency_key: a second enqueue with it returns the first task (`created` is False).
            run_at, delay: not before that moment, or so many seconds from now.
            connection: the host's own connection or session: the task commits or rolls back with it.

        Raises:
            InvalidContext: with every fault; nothing was stored.
            StoreUnavailable, SchemaOutOfDate: the database.
        """
        return self._app.enqueuer.enqueue(self._draft, context, options)

    @overload
    async def aenqueue(
        self: Template[dict[str, Any]],
        context: Mapping[str, Any] = ...,
        *,
        initiator: str = ...,
        source_system: str = ...,
        reason: str = ...,
        tags: Iterable[str] = ...,
        priority: int | None = ...,
        queue: str | None = ...,
        idempotency_key: str | None = ...,
        run_at: datetime | None = ...,
        delay: Seconds | None = ...,
        connection: Any = ...,
    ) -> Task: ...
    @overload
    async def aenqueue(
        self,
        context: C,
        *,
        initiator: str = ...,
        source_system: str = ...,
        reason: str = ...,
        tags: Iterable[str] = ...,
        priority: int | None = ...,
        queue: str | None = ...,
        idempotency_key: str | None = ...,
        run_at: datetime | None = ...,
        delay: Seconds | None = ...,
        connection: Any = ...,
    ) -> Task: ...
    async def aenqueue(self, context: Any = None, **options: Any) -> Task:
        """`enqueue` for async hosts; `connection` may be an AsyncConnection or AsyncSession of SQLAlchemy."""
        connection = options.pop("connection", None)
        run_sync = getattr(connection, "run_sync", None)
        if run_sync is not None:
            task: Task = await run_sync(
                lambda own: self._app.enqueuer.enqueue(self._draft, context, {**options, "connection": own})
            )
            return task
        return await asyncio.to_thread(
            self._app.enqueuer.enqueue, self._draft, context, {**options, "connection": connection}
        )

    def enqueue_many(
        self,
        contexts: Iterable[C],
        *,
        idempotency_key: Callable[[C], str] | None = None,
        initiator: str = "",
        source_system: str = "",
        reason: str = "",
        tags: Iterable[str] = (),
        priority: int | None = None,
        queue: str | None = None,
        run_at: datetime | None = None,
        delay: Seconds | None = None,
        connection: Any = None,
    ) -> list[Task]:
        """Store many tasks, all or none.

        Args:
            idempotency_key: a function of the context.

        Raises:
            InvalidContext: of the first context that does not fit; nothing was stored.
        """
        options = {
            "initiator": initiator,
            "source_system": source_system,
            "reason": reason,
            "tags": tags,
            "priority": priority,
            "queue": queue,
            "run_at": run_at,
            "delay": delay,
            "connection": connection,
        }
        return self._app.enqueuer.enqueue_many(self._draft, list(contexts), idempotency_key, options)

    async def aenqueue_many(self, contexts: Iterable[C], **options: Any) -> list[Task]:
        """`enqueue_many` for async hosts; `connection` as for `aenqueue`."""
        run_sync = getattr(options.get("connection"), "run_sync", None)
        if run_sync is not None:
            tasks: list[Task] = await run_sync(
                lambda own: self.enqueue_many(contexts, **{**options, "connection": own})
            )
            return tasks
        return await asyncio.to_thread(lambda: self.enqueue_many(contexts, **options))
