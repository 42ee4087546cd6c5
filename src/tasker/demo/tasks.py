"""Tasks: the demo's template, from an order to its confirmation, written as yours would be.

The four systems are reached where the environment says: SHOP_URL, FULFILMENT_URL, TAX_URL, WAREHOUSE_URL.
Run a worker for it: `tasker worker --app tasker.demo.tasks:app`.
"""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import httpx
from pydantic import BaseModel

from tasker import Backoff, PermanentError, Retry, RetryableError, StepContext, Tasker, Wait
from tasker.handlers import http


class Order(BaseModel):
    """What a task is given: the rest is asked of the shop."""

    order_id: int


class Line(BaseModel):
    sku: str
    quantity: int
    price: Decimal


class ShopOrder(BaseModel):
    order_id: int
    customer: str
    lines: list[Line]
    total: Decimal


class Reservation(BaseModel):
    reservation_id: str
    shelf: str


class Charge(BaseModel):
    charge_id: str
    amount: Decimal


class Parcel(BaseModel):
    parcel: str


class TaxReceipt(BaseModel):
    receipt: str
    tax: Decimal


app = Tasker()
fulfil = app.template(
    "fulfil_order",
    namespace="demo",
    version="1.0.0",
    context=Order,
    result="confirm",
    description="From an order to its confirmation, through four systems that fail now and then",
    retry=Retry(max_attempts=6, backoff=Backoff(first=0.1, cap=1)),
    timeout=5,
)

shop = httpx.Client(base_url=os.environ.get("SHOP_URL", ""))
fulfilment = httpx.AsyncClient(base_url=os.environ.get("FULFILMENT_URL", ""))
warehouse = httpx.AsyncClient(base_url=os.environ.get("WAREHOUSE_URL", ""))


def key(step: StepContext) -> dict[str, str]:
    """The header by which a system knows a request that it has had before."""
    return {"Idempotency-Key": step.idempotency_key}


def answer(response: httpx.Response) -> Any:
    """Read what a system answered. Whatever else goes wrong, a timeout or a lost connection, is retried anyway."""
    if response.status_code == 422:
        refusal = response.json()
        raise PermanentError(refusal["detail"], code=refusal["code"])
    if response.is_error:
        raise RetryableError(f"{response.url} says {response.status_code}", code=f"http_{response.status_code}")
    return response.json()


@fulfil.step(system="shop")
def fetch_order(context: Order) -> ShopOrder:
    return ShopOrder.model_validate(answer(shop.get(f"/orders/{context.order_id}")))


@fulfil.step(system="fulfilment")
async def reserve_stock(fetch_order: ShopOrder, step: StepContext) -> Reservation:
    wanted = {"skus": [line.sku for line in fetch_order.lines]}
    path = f"/orders/{fetch_order.order_id}/reservation"
    return Reservation.model_validate(answer(await fulfilment.post(path, json=wanted, headers=key(step))))


# A call that is nothing but a call needs no function.
fulfil.step(
    http("POST", "${SHOP_URL}/orders/{context.order_id}/charge", json={"amount": "{results.fetch_order.total}"}),
    name="charge",
    after=[reserve_stock],
    system="shop",
)

# The change goes to both systems, at the same time.
fulfil.step(
    http("POST", "${SHOP_URL}/orders/{context.order_id}/paid", json={"amount": "{results.charge.amount}"}),
    name="tell_shop",
    after=["charge"],
    system="shop",
)


@fulfil.step(system="fulfilment")
async def tell_fulfilment(context: Order, charge: Charge, step: StepContext) -> None:
    paid = {"amount": str(charge.amount)}
    answer(await fulfilment.post(f"/orders/{context.order_id}/paid", json=paid, headers=key(step)))


@fulfil.step(system="fulfilment", after=["tell_shop", tell_fulfilment])
async def ship(context: Order, step: StepContext) -> Parcel:
    response = await fulfilment.post(f"/orders/{context.order_id}/shipment", headers=key(step))
    if response.status_code == 202:
        raise Wait(response.json()["ready_in"], reason="the parcel is being packed")
    parcel = Parcel.model_validate(answer(response))
    step.annotate("parcel", parcel.parcel)
    return parcel


# The tax service says when to come back (429 with Retry-After): `http` obeys.
fulfil.step(
    http("POST", "${TAX_URL}/orders/{context.order_id}/calculation", json={"amount": "{results.fetch_order.total}"}),
    name="compute_tax",
    after=[ship],
    system="tax",
)
fulfil.step(
    http(
        "POST",
        "${TAX_URL}/orders/{context.order_id}/report",
        json={"amount": "{results.fetch_order.total}", "tax": "{results.compute_tax.tax}"},
    ),
    name="report_tax",
    after=["compute_tax"],
    system="tax",
)


@fulfil.step(system="shop")
def store_tax(context: Order, report_tax: TaxReceipt, step: StepContext) -> None:
    stored = {"amount": str(report_tax.tax), "receipt": report_tax.receipt}
    answer(shop.post(f"/orders/{context.order_id}/tax", json=stored, headers=key(step)))


# The warehouse sometimes does not answer at all.
@fulfil.step(system="warehouse", after=[store_tax], timeout=1)
async def sync_warehouse(fetch_order: ShopOrder, report_tax: TaxReceipt, step: StepContext) -> None:
    fact = {"amount": str(fetch_order.total), "tax": str(report_tax.tax), "customer": fetch_order.customer}
    answer(await warehouse.post(f"/orders/{fetch_order.order_id}/fact", json=fact, headers=key(step)))


@fulfil.step(system="shop", after=[sync_warehouse])
def confirm(fetch_order: ShopOrder, ship: Parcel, step: StepContext) -> str:
    path, told = f"/orders/{fetch_order.order_id}/confirmation", {"parcel": ship.parcel}
    answer(shop.post(path, json=told, headers=key(step)))
    return f"{fetch_order.customer} knows that {ship.parcel} is on its way"
