"""Tree: a task drawn for the terminal, step below step, with what each does and what the task waits for."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from tasker.cli.view import View, ended_words, step_words
from tasker.cli.words import SYMBOLS, clock, colour, span, symbol
from tasker.definition import render
from tasker.states import StepState

_LIVELY = (StepState.ERROR, StepState.IN_PROGRESS, StepState.WAITING_FOR_RETRY)
_MARK = "\x00"
_REASONS = 3


def drawn(view: View, height: int) -> RenderableType:
    """The whole picture, at most so many lines: of a large graph only what is lively, the rest counted."""
    bottom = _bottom(view)
    room = max(3, height - 3 - len(bottom))
    steps = _tree(view) if len(view.steps) <= room else _lively(view, room)
    return Group(_head(view), Text(), *steps, Text(), *bottom)


def _head(view: View) -> Text:
    task = view.task
    age = span((task.finished_at or view.now) - task.created_at)
    return Text.assemble(
        (f"{symbol(task.state)} {task.state}", colour(task.state)),
        "  ",
        (task.template, "bold"),
        f"  …{task.id[-9:]}  ",
        (f"{view.satisfied} of {len(view.steps)} steps, {age}", "dim"),
    )


def _tree(view: View) -> list[Text]:
    lines = render.tree(view.shape, lambda name: f"{_MARK}{name}{_MARK}").split("\n") if view.steps else []
    return [_line(view, line) for line in lines]


def _line(view: View, line: str) -> Text:
    indent, name, others = line.split(_MARK)
    text = Text.assemble((indent, "dim"), _step(view, name), (others, "dim"))
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _step(view: View, name: str) -> Text:
    step = view.task.steps[name]
    words = step_words(view, step, brief=True)
    tone = SYMBOLS[step.state][1]
    return Text.assemble(
        (f"{symbol(step.state)} {name}", tone), "  ", (str(step.state), tone), f"  {words}" if words else ""
    )


def _lively(view: View, room: int) -> list[Text]:
    """The steps to look at, and how many there are of each state."""
    lively = [step for state in _LIVELY for step in view.steps if step.state is state]
    lines = [_step(view, step.name) for step in lively[: room - 1]]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    counts: dict[str, int] = {}
    for step in view.steps:
        counts[step.state] = counts.get(step.state, 0) + 1
    said = ", ".join(f"{symbol(state)} {number} {state}" for state, number in counts.items())
    return [*lines, Text(f"{len(view.steps)} steps: {said}", "dim")]


def _bottom(view: View) -> list[Text]:
    """What it waits for; or how it ended."""
    if view.task.is_final:
        return [Text(f"ended {ended_words(view)}", "dim")] if view.took is not None else []
    lines = [Text(reason.text.partition("   (")[0]) for reason in view.reasons[:_REASONS] if reason.code != "retry_due"]
    more = len(view.reasons) - _REASONS
    if more > 0:
        lines.append(Text(f"and {more} more reasons:  tasker task why {view.task.id[-9:]}", "dim"))
    lines.append(Text(f"{clock(view.now)}   Ctrl-C leaves; the task goes on", "dim"))
    return lines
