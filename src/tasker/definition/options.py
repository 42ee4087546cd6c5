"""Options: what may be said of a template or step, and the refusal of all else.

Every option acts or is refused; none is accepted and forgotten. A habit from elsewhere is answered with what to
write here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tasker.clock import Seconds
from tasker.definition import retry
from tasker.definition.retry import Retry
from tasker.definition.spelling import did_you_mean
from tasker.errors import DefinitionError, UnknownOption
from tasker.payload import NotJSON, decode, encode

STEP_OPTIONS = (
    "after",
    "inputs",
    "config",
    "retry",
    "timeout",
    "system",
    "priority",
    "run_in",
    "max_wait",
    "name",
    "description",
)
TEMPLATE_OPTIONS = (
    "name",
    "namespace",
    "version",
    "serves",
    "context",
    "context_schema",
    "description",
    "on_failure",
    "result",
    "identity",
    "identity_window",
    "deadline",
    "queue",
    "priority",
    "retry",
    "timeout",
)


Habits = Mapping[str, Callable[[Any], str]]


def _retries(value: Any) -> str:
    number = value + 1 if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 4
    return f"Write retry=Retry(max_attempts={number}): attempts include the first."


def _attempts(value: Any) -> str:
    number = value if isinstance(value, int) and not isinstance(value, bool) and value >= 1 else 3
    return f"Write retry=Retry(max_attempts={number}): attempts include the first."


def _write(sentence: str) -> Callable[[Any], str]:
    return lambda value: sentence


def _seconds(option: str) -> Callable[[Any], str]:
    return lambda value: f"Write {option}={value!r}: a number means seconds."


HABITS: Habits = {
    "max_retries": _retries,
    "retries": _retries,
    "num_retries": _retries,
    "retry_limit": _attempts,
    "default_retry_limit": _attempts,
    "max_attempts": _attempts,
    "max_tries": _attempts,
    "retryable": lambda value: f"Write retry=Retry(retryable={value!r}).",
    "permanent": _write("Write retry=Retry(permanent=(ValueError,))."),
    "backoff": _write("Write retry=Retry(backoff=Backoff(first=…))."),
    "retry_backoff": _write("Write retry=Retry(backoff=Backoff(first=…))."),
    "retry_delay": _write("Write retry=Retry(backoff=Backoff(first=…))."),
    "retry_delay_seconds": _write("Write retry=Retry(backoff=Backoff(first=…))."),
    "default_retry_delay": _write("Write retry=Retry(backoff=Backoff(first=…))."),
    "depends_on": _write("Write after=[…] for order, or name a parameter like the step whose results it gets."),
    "depends": _write("Write after=[…] for order, or name a parameter like the step whose results it gets."),
    "dependencies": _write("Write after=[…] for order, or name a parameter like the step whose results it gets."),
    "time_limit": _seconds("timeout"),
    "soft_time_limit": _seconds("timeout"),
    "timeout_seconds": _seconds("timeout"),
    "bind": _write("Annotate a parameter with StepContext, or call it 'step'."),
    "dependent_system": lambda value: f"Write system={value!r}.",
    "handler_config": _write("Write config={…}."),
    "params": _write("Write config={…}."),
}


def refuse_unknown(
    given: Mapping[str, Any], options: Iterable[str], whose: str, habits: Habits = HABITS, say: str = "option"
) -> None:
    """Refuse options that mean nothing here.

    Args:
        given: what was written.
        options: what may be.
        whose: "step 'reserve_stock'".
        habits: what to write for options of other libraries.
        say: what an option is called here.

    Raises:
        UnknownOption: with the nearest spelling, or what to write here for a habit from elsewhere.
    """
    known = list(options)
    for option, value in given.items():
        if option in known:
            continue
        habit = habits.get(option)
        advice = f" {habit(value)}" if habit else did_you_mean(str(option), known)
        raise UnknownOption(f"{whose}: no {say} {option!r}.{advice} {say.capitalize()}s: {', '.join(known)}")


def priority(value: Any, whose: str) -> int:
    """Check a priority."""
    if isinstance(value, bool) or not isinstance(value, int) or not -100 <= value <= 100:
        raise DefinitionError(f"{whose}: priority={value!r}: write a whole number from -100 to 100; higher goes first")
    return value


def length(value: Seconds | None, option: str, whose: str) -> float | None:
    """Check a duration that may be absent, but is not 0."""
    if value is None:
        return None
    checked = retry.duration(value, f"{whose}: {option}")
    if not checked:
        raise DefinitionError(f"{whose}: {option}=0 leaves no time; write seconds, more than 0, or leave it out")
    return checked


def word(value: Any, option: str, whose: str) -> str:
    """Check the name of something outside: a queue, a system."""
    if not isinstance(value, str) or not value.strip() or len(value) > 100:
        raise DefinitionError(f"{whose}: {option}={value!r}: write a name of 1 to 100 characters")
    return value


def text(value: Any, option: str, whose: str) -> str:
    """Check a text for people."""
    if not isinstance(value, str):
        raise DefinitionError(f"{whose}: {option}={value!r}: write a string")
    return value


def one_of(value: Any, option: str, allowed: tuple[str, ...], whose: str) -> Any:
    """Check a choice."""
    if value not in allowed:
        choices = " or ".join(f'"{one}"' for one in allowed)
        raise DefinitionError(f"{whose}: {option}={value!r}: write {choices}.{did_you_mean(str(value), allowed)}")
    return value


def retry_of(value: Any, whose: str) -> Retry:
    """Check a retry policy."""
    if isinstance(value, Retry):
        return value
    hint = _attempts(value) if isinstance(value, int) else "Write retry=Retry(max_attempts=3)."
    raise DefinitionError(f"{whose}: retry={value!r} is no Retry. {hint}")


def config(value: Any, whose: str) -> dict[str, Any]:
    """Check the constants of a step, and take them as JSON makes them, so that nobody can change them later."""
    if not isinstance(value, Mapping):
        raise DefinitionError(f'{whose}: config={value!r}: write a dict, e.g. config={{"carrier": "dhl"}}')
    try:
        made = decode(encode(dict(value)))
    except NotJSON as error:
        raise DefinitionError(f"{whose}: config holds {error}") from error
    assert isinstance(made, dict)
    return made
