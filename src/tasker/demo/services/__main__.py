"""Start one of the demo's systems: `python -m tasker.demo.services tax --port 0 --store tax.db`.

It prints its port, and ends when its standard input does: with whoever started it.
"""

from __future__ import annotations

import argparse
import sys
import threading
from contextlib import suppress

from tasker.demo.services.ledger import Ledger
from tasker.demo.services.server import Service
from tasker.demo.services.systems import NAMES, SEED, system


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tasker.demo.services", description="One system of the demo.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--port", type=int, default=0, help="0: any free one (it is printed)")
    parser.add_argument("--store", required=True, help="its SQLite file")
    parser.add_argument("--seed", type=int, default=SEED, help="of its orders and its bad days")
    parser.add_argument("--gramophone-order", type=int, default=0, help="the order that can never be fulfilled")
    asked = parser.parse_args()
    ledger = Ledger(asked.store)
    service = Service(system(asked.name, asked.seed, asked.gramophone_order), ledger, asked.port)
    threading.Thread(target=service.serve_forever, args=(0.05,), daemon=True).start()
    print(service.server_port, flush=True)
    with suppress(KeyboardInterrupt):
        sys.stdin.read()
    service.shutdown()
    service.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
