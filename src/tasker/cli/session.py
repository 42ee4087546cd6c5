"""Session: what every command is told: which app, which database, how to print; and from that the `Tasker` to ask.

An app is loaded where one is named; `--database` alone needs no code. What only reads never makes a database.
"""

from __future__ import annotations

import logging
import re
import shlex
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tasker.cli.redact import Mask, hidden
from tasker.cli.screen import Screen
from tasker.errors import NotFound

if TYPE_CHECKING:
    from tasker.app.tasker import Tasker
    from tasker.config import Settings


_COMMAND = re.compile(
    r"tasker (?:task|systems) [\w-]+ [\w.:-]*\w(?: \w[\w.-]*)?(?= |$|[.\n])"
    r"|tasker worker --app [\w.:]*\w|tasker db upgrade(?: --app [\w.:]*\w)?"
)
"""Commands that texts suggest."""

_logger = logging.getLogger("tasker")


class Session:
    """One call of the command line.

    Attributes:
        app_name: as `--app` says.
        database: as `--database` says.
        json: whether a program reads the answer.
        verbose: 1: more of the log, and tracebacks; 2: all of it.
    """

    def __init__(self) -> None:
        self.app_name: str | None = None
        self.database: str | None = None
        self.json = False
        self.verbose = 0
        self._tasker: Tasker | None = None
        self._bound = ExitStack()
        self._screen: Screen | None = None

    def take(self, app: str | None, database: str | None, json: bool, verbose: int) -> None:
        """Take the options of one level; those nearest to the end of the line count."""
        self.app_name = app or self.app_name
        self.database = database or self.database
        self.json = json or self.json
        self.verbose = max(verbose, self.verbose)

    @property
    def screen(self) -> Screen:
        if self._screen is None:
            self._screen = Screen(self.json)
        return self._screen

    @property
    def mask(self) -> Mask:
        return Mask(self.tasker.settings.redact)

    @property
    def flags(self) -> str:
        """The options to repeat in a command that is suggested, with a space before them; never a password."""
        said = f" --app {self.app_name}" if self.app_name else ""
        if self.database and hidden(self.database) == self.database:
            said += f" --database {shlex.quote(self.database)}"
        return said

    def here(self, text: str) -> str:
        """A text whose commands have the options that this one was called with."""
        if not self.flags:
            return text
        rest = self.flags.replace(f" --app {self.app_name}", "")
        return _COMMAND.sub(lambda found: found[0] + (rest if "--app" in found[0] else self.flags), text)

    def named_app(self) -> str | None:
        """The app that is named: on the line, in the environment, or in pyproject.toml."""
        from tasker import config

        # Any database will do here: the app may bring its own, so that a missing one is not refused yet.
        return config.read({"app": self.app_name, "database_url": self.database or "-"}).app or None

    @property
    def app(self) -> Tasker:
        """The user's app, with its templates and handlers.

        Raises:
            ConfigError: none is named, or there is none of that name.
        """
        from tasker.cli.finding import find_app, no_app

        if self._tasker is None:
            name = self.named_app()
            if name is None:
                raise no_app()
            said = {"database_url": self.database, "app": self.app_name}
            self._tasker = self._bind(find_app(name), {key: value for key, value in said.items() if value})
        return self._tasker

    def _bind(self, tasker: Tasker, said: dict[str, str]) -> Tasker:
        """Use it with what was said on the line, until the session is over: then its connections are closed."""
        self._bound.enter_context(tasker.bound(**said))
        return tasker

    @property
    def tasker(self) -> Tasker:
        """The app if one is named, else only a database: for what reads or operates."""
        if self._tasker is None:
            if self.app_name or (self.database is None and self.named_app()):
                return self.app
            from tasker.app.tasker import Tasker

            self._tasker = self._bind(Tasker(self.database), {})
        return self._tasker

    @property
    def settings(self) -> Settings:
        return self.tasker.settings

    def source(self, name: str, settings: Settings | None = None) -> str:
        """Where a setting's value came from."""
        said = {"database_url": ("--database", self.database), "app": ("--app", self.app_name)}.get(name)
        if said is not None and said[1]:
            return said[0]
        return (settings or self.settings).sources.get(name, "default")

    def existing(self) -> Tasker:
        """`tasker`, whose database must be there already.

        Raises:
            NotFound: no file is at that path; a look must not leave an empty one behind.
        """
        refuse_missing_file(self.tasker)
        return self.tasker

    def __enter__(self) -> Session:
        """Show what Tasker logs on the way, in plain lines."""
        self._lines = _Lines(sys.stderr)
        _logger.addHandler(self._lines)
        _logger.propagate = False
        _logger.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(self.verbose, 2)])
        return self

    def __exit__(self, *failure: object) -> None:
        """Let go of the database; a bell that was just rung is heard first."""
        self.leave_log()
        if self._tasker is not None:
            self._tasker.stop()
        self._bound.close()

    def leave_log(self) -> None:
        """Log as the host does."""
        _logger.removeHandler(self._lines)
        _logger.propagate = True
        _logger.setLevel(logging.NOTSET)


class _Lines(logging.StreamHandler):  # type: ignore[type-arg]
    """Log records as the command line's own words."""

    def format(self, record: logging.LogRecord) -> str:
        return f"tasker: {super().format(record)}"


def refuse_missing_file(tasker: Tasker) -> None:
    """Refuse to look into a SQLite file that does not exist."""
    from tasker.store.connect import parse

    settings = tasker.settings
    url = parse(settings.database_url, settings.base)
    if url.get_backend_name() != "sqlite":
        return
    from pathlib import Path

    path = Path(str(url.database))
    if path.exists():
        return
    unset = (
        " TASKER_DATABASE_URL is not set, so each working directory has a file of its own: "
        "say --database, or set it to an absolute path."
        if settings.sources.get("database_url") == "default"
        else ""
    )
    raise NotFound(f"there is no database at {path} yet: nothing was ever enqueued there.{unset}")
