"""Command: how a command is declared. Each gets the options that all have, also before its name, and ends its help
with an example.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from tasker.cli.session import Session

F = TypeVar("F", bound=Callable[..., None])

_PANEL = "For every command"

App = Annotated[
    str | None,
    typer.Option("--app", metavar="MODULE:ATTR", help="Where your Tasker is.", rich_help_panel=_PANEL),
]
Database = Annotated[
    str | None,
    typer.Option("--database", metavar="URL", help="Use this database.", rich_help_panel=_PANEL),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, times in UTC.", rich_help_panel=_PANEL)]
Verbose = Annotated[
    int,
    typer.Option(
        "-v", "--verbose", count=True, help="Log more; show tracebacks.", show_default=False, rich_help_panel=_PANEL
    ),
]

_EVERYWHERE = {"app": (App, None), "database": (Database, None), "json": (Json, False), "verbose": (Verbose, 0)}


def group(name: str, help: str, *, example: str) -> typer.Typer:
    """Make a group of commands, `tasker NAME …`."""
    made = typer.Typer(name=name, help=help, no_args_is_help=True, epilog=_epilog(example))
    made.callback()(_with_session(_only_options))
    return made


def _only_options(session: Session) -> None:
    """What a group itself does: take the options said before the command."""


def command(parent: typer.Typer, name: str, *, example: str) -> Callable[[F], F]:
    """Declare a command: a function whose first parameter is the `Session`. Its docstring is the help."""

    def add(fn: F) -> F:
        parent.command(name, epilog=_epilog(example))(_with_session(fn))
        return fn

    return add


def alone(parent: typer.Typer, name: str, *, example: str) -> Callable[[F], F]:
    """Declare a group that does something without a command too: `tasker systems`."""

    def add(fn: F) -> F:
        parent.info.epilog = _epilog(example)
        parent.callback(invoke_without_command=True)(_with_session(fn, unless_command=True))
        return fn

    return add


def _epilog(example: str) -> str:
    return f"Example:  {example}"


def _with_session(fn: Callable[..., None], *, unless_command: bool = False) -> Callable[..., None]:
    """Put the shared options into the signature that Typer reads, and hand them over as the session."""
    own = list(inspect.signature(fn, eval_str=True).parameters.values())[1:]

    @functools.wraps(fn)
    def run(ctx: typer.Context, **values: Any) -> None:
        session = ctx.ensure_object(Session)
        session.take(*(values.pop(name) for name in _EVERYWHERE))
        if not (unless_command and ctx.invoked_subcommand):
            with session:
                fn(session, **values)

    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, (kind, default) in _EVERYWHERE.items()
    ]
    parameters = [context, *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own), *shared]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    del run.__wrapped__  # else Typer reads the annotations of the function behind it
    return run
