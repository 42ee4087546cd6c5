"""Checkout: where orders come in and tasks begin, in a process of its own, as a web shop would be.

`python -m tasker.demo.checkout --orders 25 --run RUN` enqueues one task per order and is done.
"""

from __future__ import annotations

import argparse
import sys

from tasker.demo.tasks import Order, fulfil


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tasker.demo.checkout", description="Enqueue the demo's orders.")
    parser.add_argument("--orders", type=int, required=True)
    parser.add_argument("--run", required=True, help="tag and queue of this run's tasks")
    asked = parser.parse_args()
    for order_id in range(1, asked.orders + 1):
        fulfil.enqueue(
            Order(order_id=order_id),
            initiator="checkout",
            source_system="shop",
            reason="ordered",
            tags=[asked.run],
            queue=asked.run,
            idempotency_key=f"{asked.run}/order-{order_id}",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
