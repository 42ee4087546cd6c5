"""Retry: how often a step is tried, and how long it pauses between.

Values only: whoever settles an attempt asks `Retry.pause` once and stores the moment. Randomness is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tasker.clock import Seconds, seconds
from tasker.errors import DefinitionError


def duration(value: Any, what: str) -> float:
    """Check a duration: seconds, finite, 0 or more; `what` names it in the refusal."""
    if isinstance(value, timedelta) or _is_number(value):
        length = seconds(value)
        if length >= 0:
            return length
    raise DefinitionError(f"{what}: {value!r} is no duration; write seconds, 0 or more, or a timedelta")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Backoff:
    """The pause before the next attempt: `first · factor^(n-1)`, capped, then jittered.

    Exponential backoff with jitter keeps many tasks that failed together from coming back together
    (Brooker, "Exponential Backoff And Jitter", 2015).

    Attributes:
        first: seconds before the second attempt.
        factor: each further pause is so many times longer.
        cap: seconds; no pause is longer, but for the jitter.
        jitter: the share by which a pause is varied, up and down: 0.1 is ±10 %.

    Example:
        >>> [Backoff(first=1, factor=2, cap=5).pause(n, random=lambda: 0.5) for n in (1, 2, 3, 4)]
        [1.0, 2.0, 4.0, 5.0]
    """

    first: Seconds = 1.0
    factor: float = 2.0
    cap: Seconds = 300.0
    jitter: float = 0.1
    pauses: tuple[float, ...] = field(default=(), init=False, repr=False)
    function: Callable[[int], Seconds] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "first", duration(self.first, "Backoff(first=…)"))
        object.__setattr__(self, "cap", duration(self.cap, "Backoff(cap=…)"))
        if not _is_number(self.factor) or self.factor < 1:
            raise DefinitionError(f"Backoff(factor={self.factor!r}): write a number of 1 or more; 1 keeps the pause")
        if not _is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise DefinitionError(f"Backoff(jitter={self.jitter!r}): write a share from 0 to 1; 0.1 is ±10 %")
        if seconds(self.cap) < seconds(self.first):
            said = f"Backoff(first={self.first}, cap={self.cap})"
            raise DefinitionError(f"{said}: the cap is less than the first pause; write cap={self.first} or more")

    @classmethod
    def of(cls, pauses: Sequence[Seconds]) -> Backoff:
        """Make a backoff of these pauses, in seconds and without jitter; the last one goes on.

        Example:
            >>> [Backoff.of([1, 5, 30]).pause(n, random=lambda: 0.5) for n in (1, 2, 3, 4)]
            [1.0, 5.0, 30.0, 30.0]
        """
        if isinstance(pauses, str) or not isinstance(pauses, Sequence) or not pauses:
            raise DefinitionError(f"Backoff.of({pauses!r}): write a list of seconds, e.g. Backoff.of([1, 5, 30])")
        return cls(jitter=0.0)._with(pauses=tuple(duration(p, "Backoff.of([…])") for p in pauses))

    @classmethod
    def by(cls, function: Callable[[int], Seconds]) -> Backoff:
        """Make a backoff of a function: the number of the used attempt → seconds until the next.

        It is tried once here, with 1. Where it fails later, the default backoff takes its place.

        Example:
            >>> Backoff.by(lambda attempt: 10 * attempt).pause(3, random=lambda: 0.5)
            30.0
        """
        if not callable(function):
            raise DefinitionError(f"Backoff.by({function!r}): pass a function of the attempt, e.g. lambda n: 10 * n")
        try:
            duration(function(1), "f(1)")
        except Exception as error:
            raise DefinitionError(f"Backoff.by(f) was tried with f(1): {error}") from error
        return cls(jitter=0.0)._with(function=function)

    def pause(self, attempt: int, random: Callable[[], float]) -> float:
        """Say how many seconds to pause after this many used attempts.

        Args:
            attempt: 1 after the first.
            random: a number in [0, 1) at each call.
        """
        if self.pauses:
            return self.pauses[min(max(attempt, 1), len(self.pauses)) - 1]
        if self.function is not None:
            try:
                return duration(self.function(attempt), "f(n)")
            except Exception:  # at run time nobody can mend it, and the step must go on
                return Backoff().pause(attempt, random)
        try:
            plain = min(seconds(self.first) * self.factor ** (max(attempt, 1) - 1), seconds(self.cap))
        except OverflowError:
            plain = seconds(self.cap) if self.first else 0.0
        return plain * (1 + self.jitter * (2 * random() - 1))

    def _with(self, **facts: Any) -> Backoff:
        for name, value in facts.items():
            object.__setattr__(self, name, value)
        return self

    def as_json(self) -> Any:
        """The JSON form of the policy; a function becomes its name."""
        if self.function is not None:
            return {"by": _name(self.function)}
        if self.pauses:
            return list(self.pauses)
        return {"first": self.first, "factor": self.factor, "cap": self.cap, "jitter": self.jitter}

    @classmethod
    def of_json(cls, stored: Any) -> Backoff:
        """Back from the JSON form; of a function only the name was kept, so that it is the default."""
        if isinstance(stored, list):
            return cls.of(stored)
        return cls() if "by" in stored else cls(**stored)


@dataclass(frozen=True)
class Retry:
    """When a step that failed is tried again.

    Attributes:
        max_attempts: how often it is tried, the first included.
        backoff: the pause between attempts.
        retryable: False lets the first failure be final.
        permanent: exception classes that end the step at once.
        max_retry_after: seconds; the longest pause that a handler or a server may ask for.

    Example:
        >>> Retry(max_attempts=5, backoff=Backoff(first=0.5)).pause(1, random=lambda: 0.5, retry_after=7200)
        3600.0
    """

    max_attempts: int = 3
    backoff: Backoff = Backoff()
    retryable: bool = True
    permanent: tuple[type[BaseException], ...] = ()
    max_retry_after: Seconds = 3600.0

    def __post_init__(self) -> None:
        if not isinstance(self.max_attempts, int) or isinstance(self.max_attempts, bool) or self.max_attempts < 1:
            hint = "write a whole number of 1 or more: attempts include the first"
            raise DefinitionError(f"Retry(max_attempts={self.max_attempts!r}): {hint}")
        if not isinstance(self.backoff, Backoff):
            raise DefinitionError(f"Retry(backoff={self.backoff!r}): write Backoff(first=…) or Backoff.of([1, 5, 30])")
        if not isinstance(self.retryable, bool):
            raise DefinitionError(f"Retry(retryable={self.retryable!r}): write True or False")
        object.__setattr__(self, "permanent", _exception_classes(self.permanent))
        object.__setattr__(self, "max_retry_after", duration(self.max_retry_after, "Retry(max_retry_after=…)"))

    def pause(self, attempt: int, random: Callable[[], float], retry_after: float | None = None) -> float:
        """Say how many seconds to pause; the server's word wins, up to `max_retry_after`.

        Args:
            attempt: how many attempts are used up.
            random: a number in [0, 1) at each call.
            retry_after: seconds that the handler or the server asked for.
        """
        if retry_after is None or math.isnan(retry_after):
            return self.backoff.pause(attempt, random)
        return min(max(float(retry_after), 0.0), seconds(self.max_retry_after))

    def as_json(self) -> dict[str, Any]:
        """The JSON form of the policy; classes become their names."""
        return {
            "max_attempts": self.max_attempts,
            "backoff": self.backoff.as_json(),
            "retryable": self.retryable,
            "permanent": [_name(one) for one in self.permanent],
            "max_retry_after": self.max_retry_after,
        }

    @classmethod
    def of_json(cls, stored: dict[str, Any]) -> Retry:
        """Back from the JSON form; classes are dropped, only their names were kept."""
        kept = {key: stored[key] for key in ("max_attempts", "retryable", "max_retry_after")}
        return cls(**kept, backoff=Backoff.of_json(stored["backoff"]))


def _exception_classes(given: Any) -> tuple[type[BaseException], ...]:
    classes = (given,) if isinstance(given, type) else given
    if isinstance(classes, Sequence) and not isinstance(classes, str):
        wrong = [one for one in classes if not (isinstance(one, type) and issubclass(one, BaseException))]
        if not wrong:
            return tuple(classes)
    raise DefinitionError(f"Retry(permanent={given!r}): write exception classes, e.g. permanent=(ValueError,)")


def _name(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '?')}:{getattr(thing, '__qualname__', type(thing).__qualname__)}"
