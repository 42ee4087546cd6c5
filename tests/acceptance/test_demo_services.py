"""Services: each is a real process, with its own store and its own troubles, and does nothing twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasker.demo.processes import Processes, StartFailed
from tasker.demo.services.systems import CATALOGUE, SEED, order, system
from tasker.demo.services.weather import Trouble

GRAMOPHONE_ORDER = 13


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as processes:
        yield processes


Open = Callable[[str], httpx.Client]


@pytest.fixture
def open_system(processes: Processes) -> Iterator[Open]:
    """Start a system of the demo; give a client for it."""
    clients = []

    def start(name: str) -> httpx.Client:
        options = ("--store", str(processes.place / f"{name}.db"), "--seed", str(SEED))
        module = ("tasker.demo.services", name, *options, "--gramophone-order", str(GRAMOPHONE_ORDER))
        processes.start(name, *module, speaks=True)
        clients.append(
            httpx.Client(base_url=f"http://127.0.0.1:{processes.first_line(name)}", timeout=2, trust_env=False)
        )
        return clients[-1]

    yield start
    for client in clients:
        client.close()


def troubled(name: str, operation: str, trouble: Trouble | None) -> int:
    """An order whose first request for an operation meets a trouble, or none, and whose second meets none."""
    weather = system(name, SEED, GRAMOPHONE_ORDER).weather
    return next(
        number
        for number in range(100, 1000)
        if weather.of(operation, number, 1) is trouble and weather.of(operation, number, 2) is None
    )


def post(client: httpx.Client, number: int, operation: str, key: str = "k", **sent: Any) -> httpx.Response:
    return client.post(f"/orders/{number}/{operation}", json=sent, headers={"Idempotency-Key": key})


def counts(client: httpx.Client) -> dict[str, int]:
    found: dict[str, int] = client.get("/counts").json()
    return found


def test_a_key_is_done_once_and_its_repetitions_are_counted(open_system: Open) -> None:
    """The same key gets the same answer without a second effect; another key is another effect."""
    shop, number = open_system("shop"), troubled("shop", "charge", None)
    first = post(shop, number, "charge", "a", amount="5.00")
    assert first.json() == {"charge_id": f"ch-{number}", "amount": "5.00"}
    assert post(shop, number, "charge", "a", amount="6.00").json() == first.json()
    assert (counts(shop)["entries"], counts(shop)["duplicates"], counts(shop)["requests"]) == (1, 1, 2)
    post(shop, number, "charge", "b", amount="5.00")
    entries = shop.get("/ledger").json()["entries"]
    assert [(entry["key"], entry["amount"]) for entry in entries] == [("a", "5.00"), ("b", "5.00")]


def test_an_answer_can_be_lost_after_the_work(open_system: Open) -> None:
    """The fulfilment system drops connections when it is done: the work is in its ledger, the caller heard nothing."""
    fulfilment, number = open_system("fulfilment"), troubled("fulfilment", "paid", Trouble.DROP_AFTER)
    with pytest.raises(httpx.RemoteProtocolError):
        post(fulfilment, number, "paid", amount="5.00")
    assert counts(fulfilment)["entries"] == 1
    assert post(fulfilment, number, "paid", amount="5.00").status_code == 200
    assert (counts(fulfilment)["entries"], counts(fulfilment)["duplicates"]) == (1, 1)


def test_a_system_can_be_down(open_system: Open) -> None:
    """A 503 does nothing."""
    shop, number = open_system("shop"), troubled("shop", "charge", Trouble.DOWN)
    assert post(shop, number, "charge", amount="5.00").status_code == 503
    assert counts(shop)["entries"] == 0
    assert post(shop, number, "charge", amount="5.00").status_code == 200


def test_the_tax_service_says_when_to_come_back(open_system: Open) -> None:
    """A 429 bears `Retry-After`: in seconds for even orders, as a date for odd ones."""
    tax = open_system("tax")
    weather = system("tax", SEED, GRAMOPHONE_ORDER).weather
    busy = [number for number in range(100, 200) if weather.of("report", number, 1) is Trouble.BUSY]
    said = {number % 2: post(tax, number, "report", amount="5.00", tax="0.95").headers for number in busy[:9]}
    assert said[0]["Retry-After"] == "1"
    assert said[1]["Retry-After"].endswith(" GMT")
    assert counts(tax)["entries"] == 0


def test_the_warehouse_can_be_silent(open_system: Open) -> None:
    """It hangs for longer than its callers wait, before or after the work."""
    warehouse = open_system("warehouse")
    for trouble, entries in ((Trouble.HANG_BEFORE, 0), (Trouble.HANG_AFTER, 1)):
        began = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            post(warehouse, troubled("warehouse", "fact", trouble), "fact", f"{trouble}", amount="5.00")
        assert time.monotonic() - began > 1.5
        assert counts(warehouse)["entries"] == entries


def test_an_order_is_the_same_every_time(open_system: Open) -> None:
    """The shop's orders follow from the seed; one of them asks for what nobody makes any more."""
    shop = open_system("shop")
    number = troubled("shop", "order", None)
    assert shop.get(f"/orders/{number}").json() == order(number, SEED, GRAMOPHONE_ORDER)
    assert {line["sku"] for line in order(number, SEED, GRAMOPHONE_ORDER)["lines"]} <= set(CATALOGUE)
    assert "gramophone" in {line["sku"] for line in order(GRAMOPHONE_ORDER, SEED, GRAMOPHONE_ORDER)["lines"]}


def test_what_is_discontinued_is_refused(open_system: Open) -> None:
    """A gramophone can never be reserved, and leaves no entry."""
    fulfilment, number = open_system("fulfilment"), troubled("fulfilment", "reservation", None)
    refusal = post(fulfilment, number, "reservation", skus=["tea", "gramophone"])
    assert (refusal.status_code, refusal.json()["code"]) == (422, "discontinued")
    assert counts(fulfilment)["entries"] == 0


def test_a_parcel_takes_its_time(open_system: Open) -> None:
    """Before it is packed, the answer is when it will be; unpaid orders are not packed."""
    fulfilment = open_system("fulfilment")
    calm = (n for n in range(100, 999) if not any(calm_on(n, what) for what in ("paid", "shipment")))
    number = next(calm)
    assert post(fulfilment, number, "shipment").status_code == 409
    post(fulfilment, number, "paid", "p", amount="5.00")
    early = post(fulfilment, number, "shipment")
    assert early.status_code == 202
    time.sleep(early.json()["ready_in"])
    assert post(fulfilment, number, "shipment").json() == {"parcel": f"pc-{number}"}
    assert counts(fulfilment)["not packed yet"] == 1


def calm_on(number: int, operation: str) -> bool:
    """Whether any of the first requests meets a trouble."""
    weather = system("fulfilment", SEED, GRAMOPHONE_ORDER).weather
    return any(weather.of(operation, number, nth) for nth in (1, 2))


@pytest.mark.parametrize("path", ["/nothing", "/orders/1", "/orders/1/nothing"])
def test_what_is_not_there_is_404(open_system: Open, path: str) -> None:
    """A system knows its own paths only."""
    tax = open_system("tax")
    assert tax.get(path).status_code == 404
    assert tax.post(path, headers={"Idempotency-Key": "k"}).status_code == 404


def test_a_request_without_a_key_is_refused(open_system: Open) -> None:
    """Nothing is done for a request that could not be told from its repetition."""
    shop = open_system("shop")
    assert shop.post("/orders/1/charge", json={"amount": "1"}).status_code == 400


def test_a_ledger_outlives_its_process(open_system: Open, processes: Processes) -> None:
    """A store is a file: a system started again knows what it did."""
    number = troubled("shop", "charge", None)
    post(open_system("shop"), number, "charge", amount="5.00")
    processes.kill("shop")
    shop = open_system("shop")
    post(shop, number, "charge", amount="5.00")
    assert (counts(shop)["entries"], counts(shop)["duplicates"]) == (1, 1)


def test_a_service_ends_with_who_started_it(processes: Processes, open_system: Open) -> None:
    """When nobody holds its standard input any more, a service ends by itself."""
    open_system("tax")
    running = processes._running["tax"]
    assert running.stdin is not None
    running.stdin.close()
    assert running.wait(5) == 0


def test_a_process_that_does_not_start_says_why(processes: Processes) -> None:
    """What it said last is in the error."""
    processes.start("shop", "tasker.demo.services", "bakery", "--store", "x", speaks=True)
    with pytest.raises(StartFailed, match=r"shop ended with 2:(.|\n)*bakery"):
        processes.first_line("shop")
