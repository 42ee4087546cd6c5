"""Systems: what the shop, the fulfilment system, the tax service and the warehouse do, and how each fails.

An amount that a request names is recorded with it, so that at the end the four can be compared to the cent.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tasker.demo.services.ledger import Ledger
from tasker.demo.services.server import Refused, System, Work
from tasker.demo.services.weather import Trouble, Weather

SEED = 7
"""Of the demo's orders and bad days: with it, every kind of trouble happens among 25 orders."""
PACKING_SECONDS = 0.6
"""From a paid order to a parcel: asked earlier, the fulfilment system says how long it still takes."""
TAX_RATE = Decimal("0.19")

CATALOGUE = {"tea": "4.50", "teapot": "29.00", "cup": "7.25", "tray": "18.40", "honey": "6.10"}
GRAMOPHONE = "gramophone"
"""No longer made: an order for one can never be fulfilled."""


def system(name: str, seed: int, gramophone_order: int) -> System:
    """Make one of the four systems; the order of that number asks for a gramophone."""
    weather = Weather(_CHANCES[name], f"{seed}/{name}")
    if name == "shop":
        return System(name, weather, _SHOP, lambda ledger, order_id, _: order(order_id, seed, gramophone_order))
    return System(name, weather, {"fulfilment": _FULFILMENT, "tax": _TAX, "warehouse": _WAREHOUSE}[name])


def order(order_id: int, seed: int, gramophone_order: int) -> dict[str, Any]:
    """An order as the shop has it: the same every time it is asked."""
    dice = random.Random(f"{seed}/{order_id}")
    skus = dice.sample(sorted(CATALOGUE), dice.randint(1, 3))
    lines: list[dict[str, Any]] = [
        {"sku": sku, "quantity": dice.randint(1, 4), "price": CATALOGUE[sku]} for sku in skus
    ]
    if order_id == gramophone_order:
        lines.append({"sku": GRAMOPHONE, "quantity": 1, "price": "240.00"})
    total = sum((Decimal(line["price"]) * line["quantity"] for line in lines), Decimal(0))
    return {"order_id": order_id, "customer": f"customer-{order_id}", "lines": lines, "total": f"{total:.2f}"}


def _charge(ledger: Ledger, order_id: int, sent: Mapping[str, Any]) -> Any:
    return {"charge_id": f"ch-{order_id}", "amount": sent["amount"]}


def _noted(what: str) -> Work:
    return lambda ledger, order_id, sent: {"order_id": order_id, what: True}


def _reserve(ledger: Ledger, order_id: int, sent: Mapping[str, Any]) -> Any:
    if gone := [sku for sku in sent["skus"] if sku == GRAMOPHONE]:
        raise Refused(422, {"code": "discontinued", "detail": f"{gone[0]} is no longer made: it can never be shipped"})
    return {"reservation_id": f"rs-{order_id}", "shelf": f"{len(sent['skus'])}-{order_id % 9}"}


def _ship(ledger: Ledger, order_id: int, sent: Mapping[str, Any]) -> Any:
    paid_at = ledger.done_at("paid", order_id)
    if paid_at is None:
        raise Refused(409, {"code": "unpaid", "detail": f"order {order_id} is not paid"})
    left = paid_at + PACKING_SECONDS - time.time()
    if left > 0:
        ledger.count("not packed yet")
        raise Refused(202, {"ready_in": round(left + 0.05, 2)})
    return {"parcel": f"pc-{order_id}"}


def _calculate(ledger: Ledger, order_id: int, sent: Mapping[str, Any]) -> Any:
    tax = (Decimal(sent["amount"]) * TAX_RATE).quantize(Decimal("0.01"))
    return {"tax": str(tax), "rate": str(TAX_RATE)}


def _report(ledger: Ledger, order_id: int, sent: Mapping[str, Any]) -> Any:
    return {"receipt": f"tx-{order_id}", "tax": sent["tax"]}


_SHOP: dict[str, Work] = {
    "charge": _charge,
    "paid": _noted("paid"),
    "tax": _noted("tax"),
    "confirmation": _noted("confirmed"),
}
_FULFILMENT: dict[str, Work] = {"reservation": _reserve, "paid": _noted("paid"), "shipment": _ship}
_TAX: dict[str, Work] = {"calculation": _calculate, "report": _report}
_WAREHOUSE: dict[str, Work] = {"fact": _noted("stored")}

_CHANCES: dict[str, dict[Trouble, float]] = {
    "shop": {Trouble.DOWN: 0.12},
    "fulfilment": {Trouble.DROP_AFTER: 0.18, Trouble.DOWN: 0.04},
    "tax": {Trouble.BUSY: 0.18},
    "warehouse": {Trouble.HANG_AFTER: 0.12, Trouble.HANG_BEFORE: 0.06},
}
NAMES = tuple(_CHANCES)
OPERATIONS: dict[str, tuple[str, ...]] = {
    "shop": tuple(_SHOP),
    "fulfilment": tuple(_FULFILMENT),
    "tax": tuple(_TAX),
    "warehouse": tuple(_WAREHOUSE),
}
"""What each system does for every order, exactly once."""
