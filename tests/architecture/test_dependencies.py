"""The lock files and pyproject.toml agree, and hold nothing that belongs to one machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
RUNTIME: list[str] = PROJECT["project"]["dependencies"]


def pinned(lock: Path) -> dict[str, Version]:
    found = re.findall(r"^([a-z0-9._-]+)==(\S+) \\$", lock.read_text(), re.MULTILINE)
    return {name: Version(version) for name, version in found}


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("runtime", RUNTIME),
        ("postgres", [*RUNTIME, *EXTRAS["postgres"]]),
        ("dev", [*RUNTIME, *EXTRAS["postgres"], *EXTRAS["dev"], *PROJECT["build-system"]["requires"]]),
        ("build", PROJECT["build-system"]["requires"]),
        ("docs", [*RUNTIME, *EXTRAS["docs"]]),
    ],
)
def test_lock_fits_the_project(lock: str, wanted: list[str]) -> None:
    """Each lock file pins everything that pyproject.toml asks for, at a version it admits (else: scripts/lock)."""
    versions = pinned(ROOT / "requirements" / f"{lock}.txt")
    for text in wanted:
        requirement = Requirement(text)
        if requirement.name != PROJECT["project"]["name"]:
            assert versions[canonicalize_name(requirement.name)] in requirement.specifier


def test_locks_agree() -> None:
    """A package has the same version in every lock file, so that they can be installed together."""
    versions: dict[str, set[Version]] = {}
    for lock in LOCKS:
        for name, version in pinned(lock).items():
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_locks_hold_names_versions_and_hashes_only(lock: Path) -> None:
    """No lock file names an index, a folder of wheels or an option: it installs from wherever pip or uv is told to."""
    line = re.compile(r"[a-z0-9._-]+==\S+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?|\s*#.*|")
    assert [text for text in lock.read_text().splitlines() if not line.fullmatch(text)] == []
    assert "://" not in lock.read_text()
