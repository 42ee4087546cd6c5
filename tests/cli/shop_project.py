"""The project that the tests of the command line work in: copied to a folder of its own as `shop/tasks.py`."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pydantic import BaseModel

from tasker import Backoff, PermanentError, Retry, RetryableError, StepContext, Tasker, Wait

app = Tasker(heartbeat_seconds=0.5)


class Order(BaseModel):
    order_id: int
    trouble: str = ""
    api_key: str = "hush-hush"


fulfil = app.template(
    "fulfil_order",
    namespace="shop",
    version="1.1.0",
    context=Order,
    result="report_tax",
    description="From paid order to reported tax",
)


@fulfil.step
def fetch_order(context: Order, step: StepContext) -> dict[str, str]:
    """Ask the shop for the order."""
    step.annotate("carrier", "dhl")
    return {"sku": "lamp", "access_token": "hush-hush"}


@fulfil.step(system="fulfilment", retry=Retry(max_attempts=5, backoff=Backoff(first=60)), timeout=20)
def reserve_stock(fetch_order: dict[str, str], context: Order) -> str | None:
    if context.trouble == "busy":
        raise RetryableError("503 Service Unavailable", code="http_503")
    if context.trouble == "later":
        raise Wait(90, reason="not packed yet")
    return "R1"


@fulfil.step
def report_tax(reserve_stock: str | None, context: Order) -> float:
    if context.trouble == "tax":
        raise PermanentError("the tax office is closed", code="closed", details={"password": "hush-hush"})
    return 1.9


@fulfil.step
def send_mail(fetch_order: dict[str, str]) -> None: ...


slow = app.template("slow", namespace="shop")


@slow.step
def wait_for_file(context: dict[str, str], step: StepContext) -> str:
    """Run until the file that the context names exists."""
    step.progress(0.5, "half of it")
    while not Path(context["file"]).exists():
        step.heartbeat()
        time.sleep(0.01)
    return "seen"


@slow.step
def after_it(wait_for_file: str) -> int:
    return os.getpid()
