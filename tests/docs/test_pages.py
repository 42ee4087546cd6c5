"""The documentation is whole: links lead somewhere, and every page is in the navigation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown import PAGES, ROOT, links, page_name


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to another page, file or heading of the repository has its target."""
    dead = []
    for target in links(page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (heading and heading not in anchors(file)):
            dead.append(target)
    assert dead == []


def anchors(page: Path) -> set[str]:
    """The ids that the headings of a page get."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[\s_]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


def test_every_page_is_in_the_navigation() -> None:
    """mkdocs.yml lists every page under docs/, and no other."""
    # Tags like `!!python/name:` belong to the renderer.
    text = re.sub(r"!!python\S*", "", (ROOT / "mkdocs.yml").read_text())
    listed = set(pages_of(yaml.safe_load(text)["nav"]))
    assert listed == {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}


def pages_of(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    entries = nav.values() if isinstance(nav, dict) else nav
    return [page for entry in entries for page in pages_of(entry)]


def test_decisions_say_what_they_cost() -> None:
    """Every decision has its context, the decision, and its price."""
    for page in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        assert re.fullmatch(r"\d{4}-[a-z0-9-]+", page.stem), page.name
        for heading in ("## Context", "## Decision", "## Price"):
            assert heading in page.read_text(), f"{page.name}: {heading}"
