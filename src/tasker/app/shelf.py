"""Shelf: the plans this process can run, by template row; what is stored, and what its code serves.

A template row is one shape; its id is derived from namespace, name, version and fingerprint, so that an enqueue
knows it without asking.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import threading
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tasker.definition.policy import Policy, StepPolicy
from tasker.definition.sealed import Sealed
from tasker.definition.shape import Shape
from tasker.engine.plan import Plan
from tasker.errors import DefinitionError
from tasker.store import read
from tasker.store import tasks as s
from tasker.store.store import Store
from tasker.store.turn import Turn

_log = logging.getLogger("tasker")


class StoredTemplate(NamedTuple):
    """One row of `templates`."""

    id: int
    namespace: str
    name: str
    version: str
    fingerprint: str
    shape: str
    policy: str

    @property
    def ref(self) -> str:
        return f"{self.namespace}/{self.name}@{self.version}"

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}"


def template_id(namespace: str, name: str, version: str, fingerprint: str) -> int:
    """The id of a template row: 63 bits of SHA-256 over what makes it."""
    digest = hashlib.sha256("\x00".join((namespace, name, version, fingerprint)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def row_of(sealed: Sealed) -> StoredTemplate:
    """The row that a template of this process has."""
    fingerprint = sealed.shape.fingerprint
    return StoredTemplate(
        template_id(sealed.namespace, sealed.name, sealed.version, fingerprint),
        sealed.namespace,
        sealed.name,
        sealed.version,
        fingerprint,
        sealed.shape.to_json(),
        sealed.policy.to_json(),
    )


def stored_of(sealed: Sealed, stored: Iterable[StoredTemplate]) -> StoredTemplate:
    """The row to enqueue under in production: where its version is stored with another shape only, that one stands."""
    own = row_of(sealed)
    same = [row for row in stored if row.ref == own.ref]
    if not same or own.id in {row.id for row in same}:
        return own
    difference = Shape.from_json(same[-1].shape).difference(sealed.shape)
    _log.warning("%s is stored with another shape (%s); its tasks get the stored one.", own.ref, difference)
    return same[-1]


def read_templates(store: Store) -> list[StoredTemplate]:
    """All stored templates; few, and read seldom."""
    return [StoredTemplate(*row) for row in store.ask(s.STORED_TEMPLATES)]


def plan_of(stored: StoredTemplate) -> Plan:
    """A plan without code, for operators and readers."""
    return Plan(stored.id, stored.ref, Shape.from_json(stored.shape), Policy.from_json(stored.policy))


class Shelf:
    """Plans with handlers, for one worker (`engine.heart.Plans`)."""

    def __init__(self, store: Store, sealed: Iterable[Sealed]) -> None:
        self._store = store
        self._sealed = list(sealed)
        self._plans: dict[int, Plan] = {}
        self._lock = threading.Lock()

    @property
    def known(self) -> Mapping[int, Plan]:
        return self._plans

    def store_own(self, *, production: bool) -> None:
        """Store the templates of this process, and say what differs from what was stored before.

        Raises:
            DefinitionError: in production, the same version with another shape.
        """
        before = read_templates(self._store)
        for sealed in self._sealed:
            self._tell_difference(sealed, before, production)
            store_template(self._store, row_of(sealed))
        self.refresh()

    def refresh(self) -> None:
        """Look which stored shapes the handlers here can run; a worker claims only tasks of those."""
        stored = read_templates(self._store)
        plans = {}
        for sealed in self._sealed:
            for row in stored:
                if row.full_name != sealed.full_name or row.version not in (sealed.version, *sealed.serves):
                    continue
                plan = self._plans.get(row.id) or self._plan(sealed, row)
                if plan is not None:
                    plans[row.id] = plan
        with self._lock:
            self._plans = plans

    def _plan(self, sealed: Sealed, row: StoredTemplate) -> Plan | None:
        if row.fingerprint == sealed.shape.fingerprint:
            return Plan(row.id, row.ref, sealed.shape, sealed.policy, sealed.handlers)
        shape = Shape.from_json(row.shape)
        reason = sealed.can_serve(shape)
        if reason is None:
            return Plan(row.id, row.ref, shape, _policy_for(shape, sealed, row), sealed.handlers)
        if row.version != sealed.version:
            raise DefinitionError(
                f"{sealed.ref} says serves=[{row.version!r}], but it cannot run the stored shape of {row.ref}: {reason}"
            )
        return None

    def _tell_difference(self, sealed: Sealed, before: list[StoredTemplate], production: bool) -> None:
        for row in before:
            if row.ref != sealed.ref or row.fingerprint == sealed.shape.fingerprint:
                continue
            shape = Shape.from_json(row.shape)
            difference = shape.difference(sealed.shape)
            count = read.count_unfinished_of(self._store, row.id)
            if production:
                users = f" and {count} tasks use it" if count else ""
                raise DefinitionError(
                    f"{sealed.ref} is stored with another shape ({difference}){users}. Give it a new version, and let "
                    f'it finish the old tasks:  version="{_next(sealed.version)}", serves=["{sealed.version}"]'
                )
            _log.warning(
                "%s has a new shape (%s). %d unfinished tasks keep the old one.", sealed.ref, difference, count
            )


def store_template(store: Store, row: StoredTemplate) -> None:
    """Write a template row in a transaction of Tasker's own; its policy is the one declared last."""

    def write(turn: Turn) -> None:
        turn.send(s.STORE_TEMPLATE, {**row._asdict(), "now": store.clock.now()})

    store.retrying(write)


def _policy_for(shape: Shape, sealed: Sealed, row: StoredTemplate) -> Policy:
    """The policy of this worker's code; of the stored row for steps that only the old shape has."""
    old = Policy.from_json(row.policy)
    steps: dict[str, StepPolicy] = {
        step.name: sealed.policy.steps.get(step.name) or old.steps[step.name] for step in shape.steps
    }
    return dataclasses.replace(sealed.policy, steps=steps)


def _next(version: str) -> str:
    """A version a reader would choose next."""
    head, _, last = version.rpartition(".")
    return f"{head}.{int(last) + 1}" if head and last.isdigit() else f"{version}.1"
