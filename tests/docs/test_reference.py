"""The reference says what the code says.

After a change write its pages anew, and read their diff before committing:

    TASKER_WRITE_REFERENCE=1 scripts/test tests/docs/test_reference.py
"""

from __future__ import annotations

import os
from collections.abc import Callable
from difflib import unified_diff
from pathlib import Path

import pytest
from reference import errors_page, events_page, settings_page

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize(
    ("page", "make"), [("settings", settings_page), ("events", events_page), ("errors", errors_page)]
)
def test_reference_is_made_from_the_code(page: str, make: Callable[[], str]) -> None:
    """Every setting, event and error is documented as it is."""
    file = FOLDER / f"{page}.md"
    if os.environ.get("TASKER_WRITE_REFERENCE"):
        file.write_text(make())
    stale = list(
        unified_diff(file.read_text().splitlines(), make().splitlines(), file.name, "the code", n=0, lineterm="")
    )
    assert not stale, "\n".join([__doc__ or "", *stale[:40]])
