"""Ask: reasons and consent, of whoever sits at the terminal; where nobody does, the option that is missing is named."""

from __future__ import annotations

from typing import Annotated

import typer

from tasker.cli.screen import Screen

Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why, for those who read the history later.")
]
Actor = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="Who acts; default the user of the operating system.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class Missing(typer.BadParameter):
    """What was said is not enough, or contradicts itself."""

    def format_message(self) -> str:
        return self.message  # without Typer's "Invalid value"


def reason_for(screen: Screen, what: str, reason: str | None) -> str:
    """Why something is done, asked for where it was not said."""
    if reason is not None and reason.strip():
        return reason
    if not screen.asks:
        raise Missing(f'{what} needs a reason: say --reason "…"')
    return str(typer.prompt(f"Why {what}? (for the history)", err=True))


def consent(screen: Screen, question: str, yes: bool) -> None:
    """Go on only if that is wanted.

    Raises:
        typer.Exit: it is not.
    """
    if yes:
        return
    if not screen.asks:
        raise Missing(f"{question} Say --yes to go on without being asked")
    if not typer.confirm(question, err=True):
        screen.note("nothing was done")
        raise typer.Exit(1)
