"""Audit: every way in which four ledgers can disagree is told."""

from __future__ import annotations

from typing import Any

import pytest

from tasker.demo.audit import audit
from tasker.demo.services.systems import OPERATIONS

TOTALS = {1: "20.00", 2: "240.00"}


def ledgers(*order_ids: int) -> dict[str, list[dict[str, Any]]]:
    """What the systems wrote when all went well."""
    return {
        system: [entry(operation, order_id) for operation in operations for order_id in order_ids]
        for system, operations in OPERATIONS.items()
    }


def entry(operation: str, order_id: int, **other: Any) -> dict[str, Any]:
    amount = "3.80" if operation == "tax" else "20.00"
    return {"operation": operation, "order_id": order_id, "amount": amount, "answer": {"tax": "3.80"}, **other}


def test_each_thing_once_is_right() -> None:
    """Everything once for a fulfilled order and nothing for the other: no fault."""
    assert audit(ledgers(1), TOTALS, [1]) == []


@pytest.mark.parametrize(("system", "operation"), [(s, o) for s, operations in OPERATIONS.items() for o in operations])
def test_twice_and_never_are_wrong(system: str, operation: str) -> None:
    """Each operation of each system is looked at."""
    wrong = ledgers(1)
    wrong[system].append(entry(operation, 1))
    assert [str(fault) for fault in audit(wrong, TOTALS, [1])] == [
        f"order 1: {operation} was done 2 times by the {system} system, not once"
    ]
    wrong[system] = [each for each in wrong[system] if each["operation"] != operation]
    assert [str(fault) for fault in audit(wrong, TOTALS, [1])] == [
        f"order 1: {operation} was done 0 times by the {system} system, not once"
    ]


def test_what_was_not_fulfilled_is_untouched() -> None:
    """Whatever was done for an order that is not fulfilled is told."""
    wrong = ledgers(1)
    wrong["shop"].append(entry("charge", 2))
    assert [str(fault) for fault in audit(wrong, TOTALS, [1])] == [
        "order 2: charge was done by the shop system, though the order can not be fulfilled"
    ]


def test_an_order_that_nobody_made_is_told() -> None:
    """An entry for an unknown order is a fault."""
    assert [fault.order_id for fault in audit(ledgers(1, 3), TOTALS, [1])] == [3]


def test_another_amount_is_told() -> None:
    """Money that differs between the systems is a fault, however it is written."""
    wrong = ledgers(1)
    wrong["warehouse"] = [entry("fact", 1, amount="20")]
    assert audit(wrong, TOTALS, [1]) == []
    wrong["warehouse"] = [entry("fact", 1, amount="20.01")]
    assert [fault.text for fault in audit(wrong, TOTALS, [1])] == [
        "fact at the warehouse system is about 20.01, the order about 20.00"
    ]


def test_two_taxes_are_told() -> None:
    """The tax that was calculated, reported and stored is one."""
    wrong = ledgers(1)
    wrong["tax"][1]["answer"] = {"tax": "4.00"}
    assert [fault.text for fault in audit(wrong, TOTALS, [1])] == ["the systems know different taxes: 3.80, 4.00"]
