"""Registry: the templates of one app, found by name."""

from __future__ import annotations

import threading

from tasker.definition.spelling import did_you_mean, listed
from tasker.definition.template import Draft
from tasker.errors import Duplicate, NotFound


class Registry:
    """Templates by `namespace/name`, and then by version.

    Example:
        >>> registry = Registry()
        >>> for version in ("1.9", "1.10"):
        ...     registry.add(Draft("fulfil_order", namespace="shop", version=version))
        >>> registry.get("shop/fulfil_order").version
        '1.10'
    """

    def __init__(self) -> None:
        self._drafts: dict[str, dict[str, Draft]] = {}
        self._lock = threading.Lock()

    def add(self, draft: Draft) -> None:
        """Take a template in.

        Raises:
            Duplicate: its namespace, name and version are taken.
        """
        with self._lock:
            versions = self._drafts.setdefault(draft.full_name, {})
            if draft.version in versions:
                raise Duplicate(
                    f"there is already a template {draft.ref}. Give this one another version or name: "
                    'app.template("…", version="…")'
                )
            versions[draft.version] = draft

    def get(self, ref: str) -> Draft:
        """Find a template: "namespace/name", "name" in the default namespace, each with or without "@version".

        Without a version it is the newest, by the order of PEP 440.

        Raises:
            NotFound: with the nearest spelling.
        """
        full_name, _, version = ref.partition("@")
        full_name = full_name if "/" in full_name else f"default/{full_name}"
        versions = self._drafts.get(full_name)
        if versions is None:
            known = [name.removeprefix("default/") for name in self._drafts]
            asked = did_you_mean(full_name.removeprefix("default/"), known) or self._elsewhere(full_name)
            raise NotFound(f"there is no template {ref!r}.{asked} Templates: {listed(known)}")
        if not version:
            return newest(versions)
        if version not in versions:
            raise NotFound(f"{full_name} has no version {version!r}. Versions: {listed(versions)}")
        return versions[version]

    def all(self) -> list[Draft]:
        """Every template, in the order in which they were added."""
        return [draft for versions in list(self._drafts.values()) for draft in list(versions.values())]

    def _elsewhere(self, full_name: str) -> str:
        """A name without its namespace is the likeliest mistake."""
        name = full_name.rpartition("/")[2]
        there = next((known for known in self._drafts if known.rpartition("/")[2] == name), None)
        return f" Did you mean {there!r}?" if there else ""


def newest(versions: dict[str, Draft]) -> Draft:
    """The template of the highest version, by the order of PEP 440 ("1.10" is newer than "1.9")."""
    if len(versions) == 1:
        return next(iter(versions.values()))
    from packaging.version import Version

    return versions[max(versions, key=Version)]
