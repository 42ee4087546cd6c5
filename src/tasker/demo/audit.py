"""Audit: do the four ledgers agree, order by order, each thing done exactly once?

Pure: takes what the systems wrote, gives what is wrong. Fetching it and showing it are done elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tasker.demo.services.systems import OPERATIONS

Ledgers = Mapping[str, Sequence[Mapping[str, Any]]]
"""System → its entries, as `Entry.as_dict` gives them."""

_TOTALS = ("charge", "paid", "calculation", "report", "fact")
"""Operations that are about the order's total."""


@dataclass(frozen=True)
class Fault:
    """What does not agree for one order."""

    order_id: int
    text: str

    def __str__(self) -> str:
        return f"order {self.order_id}: {self.text}"


def audit(ledgers: Ledgers, totals: Mapping[int, str], fulfilled: Iterable[int]) -> list[Fault]:
    """Compare what the systems did.

    Args:
        ledgers: of all four systems.
        totals: order → what it costs, as the shop says; every order that exists.
        fulfilled: the orders for which everything must have been done; for all others, nothing.

    Returns:
        Every disagreement; empty when all agree.
    """
    done = _by_order(ledgers)
    wanted = set(fulfilled)
    faults = [Fault(order_id, "nobody ordered this") for order_id in sorted(set(done) - set(totals))]
    for order_id, total in sorted(totals.items()):
        entries = done.get(order_id, {})
        check = _complete(entries, Decimal(total)) if order_id in wanted else _untouched(entries)
        faults += [Fault(order_id, text) for text in check]
    return faults


Done = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]


def _by_order(ledgers: Ledgers) -> Mapping[int, Done]:
    done: dict[int, dict[tuple[str, str], list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for system, entries in ledgers.items():
        for entry in entries:
            done[entry["order_id"]][system, entry["operation"]].append(entry)
    return done


def _complete(done: Done, total: Decimal) -> Iterable[str]:
    for system, operations in OPERATIONS.items():
        for operation in operations:
            entries = done.get((system, operation), ())
            if len(entries) != 1:
                yield f"{operation} was done {len(entries)} times by the {system} system, not once"
            elif operation in _TOTALS and Decimal(entries[0]["amount"]) != total:
                yield f"{operation} at the {system} system is about {entries[0]['amount']}, the order about {total}"
    yield from _one_tax(done)


def _one_tax(done: Done) -> Iterable[str]:
    said = {entry["answer"]["tax"] for name in ("calculation", "report") for entry in done.get(("tax", name), ())}
    said |= {entry["amount"] for entry in done.get(("shop", "tax"), ())}
    if len(said) > 1:
        yield f"the systems know different taxes: {', '.join(sorted(said))}"


def _untouched(done: Done) -> Iterable[str]:
    for system, operation in sorted(done):
        yield f"{operation} was done by the {system} system, though the order can not be fulfilled"
