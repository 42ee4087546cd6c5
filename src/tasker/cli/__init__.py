"""The command line, `tasker …`. One command, one file: `tasker doctor` is `doctor`, `tasker task watch` is `watch`.

`main` is the entry point. `root` lists the commands, `command` gives each the options that all have, `session` finds
the app and the database, `failure` says what went wrong. Nothing here knows a rule: it asks `tasker.app`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0: fine; 1: refused or failed; 2: not understood.
    """
    from tasker.cli.root import run

    return run(list(sys.argv[1:] if argv is None else argv))
