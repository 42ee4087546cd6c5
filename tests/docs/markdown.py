"""Reads the documentation: its pages, their code blocks and their links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`\n]*)\n(?P<code>.*?)^(?P=indent)```\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(<?(?P<target>[^)\s>]+)>?[^)]*\)")
_TITLE = re.compile(r'title="([^"]+)"')


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        line: of its first line of code in the page, from 1.
        language: `python`, `yaml`, `sh`…
        words: what follows the language on the fence, e.g. `no-run`.
        title: the file the block is the whole of.
    """

    line: int
    language: str
    words: frozenset[str]
    title: str | None
    code: str


def blocks(text: str) -> list[Block]:
    """All fenced blocks of a page, in order; code inside lists without its indent."""
    found = []
    for match in _FENCE.finditer(text):
        indent = len(match["indent"])
        code = "".join(line[indent:] if line.strip() else line for line in match["code"].splitlines(keepends=True))
        title = _TITLE.search(match["info"])
        language, *words = _TITLE.sub("", match["info"]).split() or [""]
        line = text.count("\n", 0, match.start("code")) + 1
        found.append(Block(line, language, frozenset(words), title[1] if title else None, code))
    return found


def links(text: str) -> list[str]:
    """All link targets of a page, but for those in code."""
    return [match["target"] for match in _LINK.finditer(_FENCE.sub("", text))]
