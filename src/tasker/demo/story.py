"""Story: a shop, its orders, four systems that fail, and a worker that is killed halfway. Does every order arrive once?

`run` tells it from beginning to end, with real processes on loopback, and is what `tasker demo` calls.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from tasker import Task, Tasker
from tasker.demo.audit import audit
from tasker.demo.processes import Processes, StartFailed
from tasker.demo.screen import Screen, systems
from tasker.demo.services.systems import GRAMOPHONE, NAMES, SEED, order
from tasker.demo.watch import Snapshot, Watch

LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 45.0
"""How long 25 orders may take before the demo says what it waits for; more orders may take longer."""


def run(orders: int = 25, database_url: str | None = None, keep: bool = False, console: Console | None = None) -> int:
    """Run the demo.

    Args:
        orders: how many; one of them can never be fulfilled.
        database_url: PostgreSQL or SQLite; default: a SQLite file in a temporary directory.
        keep: leave that directory, with the database, the systems' ledgers and the logs, for a look afterwards.
        console: where to show it.

    Returns:
        The exit status: 0 when all four ledgers agree with the orders, 130 when interrupted, else 1.
    """
    if orders < 1:
        raise ValueError(f"orders={orders}: there must be at least one")
    with ExitStack() as stack:
        stack.enter_context(_ended_by_sigterm())
        place = stack.enter_context(_place(keep))
        screen = stack.enter_context(Screen(console or Console()))
        processes = stack.enter_context(Processes(place))
        try:
            url = database_url or f"sqlite:///{place / 'tasker.db'}"
            status = Story(orders, url, screen, processes).tell()
            if keep:
                screen.say(f"kept: {place}" + ("" if database_url else f". Look:  tasker task list --database {url}"))
            return status
        except StartFailed as failure:
            screen.say(str(failure))
            return 1
        except KeyboardInterrupt:
            screen.say("stopped: ending the systems and the worker")
            return 130


class Story:
    """One run of the demo."""

    def __init__(self, orders: int, database_url: str, screen: Screen, processes: Processes) -> None:
        self.orders, self.database_url = orders, database_url
        self.screen, self.processes = screen, processes
        self.run = f"demo-{uuid.uuid4().hex[:8]}"
        self.gramophone_order = min(13, orders)
        self.urls: dict[str, str] = {}

    def tell(self) -> int:
        """From the first process to the verdict; give the exit status."""
        self._open_systems()
        app = Tasker(self.database_url)
        app.migrate()
        watch = Watch(app, self.run, self.urls, self.orders)
        try:
            self._take_orders()
            self._work(watch)
            return self._judge(watch)
        finally:
            watch.close()
            app.stop()

    def _open_systems(self) -> None:
        for name in NAMES:
            store, numbers = str(self.processes.place / f"{name}.db"), (str(SEED), str(self.gramophone_order))
            options = ("--store", store, "--seed", numbers[0], "--gramophone-order", numbers[1])
            self.processes.start(name, "tasker.demo.services", name, *options, speaks=True)
        for name in NAMES:
            self.urls[name] = f"http://127.0.0.1:{self.processes.first_line(name)}"
        listed = ", ".join(f"{name} {url}" for name, url in self.urls.items())
        self.screen.say(f"four systems, each a process with its own store and its own bad days: {listed}")

    def _environment(self) -> dict[str, str]:
        urls = {f"{name.upper()}_URL": url for name, url in self.urls.items()}
        no_proxy = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1")
        return urls | no_proxy | {"TASKER_DATABASE_URL": self.database_url, "TASKER_GRACE_SECONDS": "2"}

    def _take_orders(self) -> None:
        arguments = ("--orders", str(self.orders), "--run", self.run)
        self.processes.start("checkout", "tasker.demo.checkout", *arguments, env=self._environment())
        self.processes.finish("checkout")
        impossible = f"no. {self.gramophone_order} asks for a {GRAMOPHONE}, which nobody makes any more"
        self.screen.say(f"{self.orders} orders enqueued, a task of 11 steps each; {impossible}")

    def _start_worker(self) -> int:
        options = ("worker", "--app", "tasker.demo.tasks:app", "--queues", self.run)
        return self.processes.start("worker", "tasker", *options, env=self._environment())

    def _work(self, watch: Watch) -> None:
        pid = self._start_worker()
        self.screen.say(f"worker {pid} started")
        seen = self._until(watch, lambda seen: seen.entries * 2 >= seen.expected or seen.finished == seen.orders)
        self.processes.kill("worker")
        held = seen.states.get("in_progress", 0)
        self.screen.say(f"worker {pid} killed (SIGKILL) halfway, with {held} tasks in its hands")
        self.screen.say(f"worker {self._start_worker()} started; it takes over what the other one held")
        self._until(watch, lambda seen: seen.finished == seen.orders)
        self.screen.say("every task is finished; now the four ledgers are compared, order by order")

    def _until(self, watch: Watch, reached: Callable[[Snapshot], bool]) -> Snapshot:
        """Look again and again until something is reached."""
        patience = time.monotonic() + PATIENCE_SECONDS * max(1.0, self.orders / 25)
        while True:
            seen = watch.look()
            self.screen.show(seen)
            if reached(seen):
                return seen
            self.processes.check("worker")
            if time.monotonic() > patience:
                raise StartFailed(f"the orders are not finished in time. {seen.why}")
            time.sleep(LOOK_SECONDS)

    def _judge(self, watch: Watch) -> int:
        """Compare what the tasks say with what the four systems did."""
        tasks, seen, ledgers = watch.tasks(), watch.look(), watch.ledgers()
        complete = [int(task.context["order_id"]) for task in tasks if str(task.state) == "complete"]
        totals = {number: order(number, SEED, self.gramophone_order)["total"] for number in range(1, self.orders + 1)}
        faults = [str(fault) for fault in audit(ledgers, totals, complete)]
        faults += _unexpected(tasks, self.gramophone_order, self.orders)
        self._totals(tasks, seen)
        for fault in faults:
            self.screen.say(f"WRONG  {fault}")
        if not faults:
            done = len(complete)
            self.screen.say(
                f"all four ledgers agree: {done} orders, everything done exactly once; the impossible one untouched"
            )
        return 1 if faults else 0

    def _totals(self, tasks: Sequence[Task], seen: Snapshot) -> None:
        """Print what happened, in numbers."""
        self.screen.finish()
        print_line = partial(self.screen.console.print, soft_wrap=True, highlight=False)
        print_line(systems(seen.counts, self.orders))
        steps = [step for task in tasks for step in task.steps.values()]
        retries = sum(max(0, step.attempts - 1) for step in steps)
        waits = seen.counts["fulfilment"].get("not packed yet", 0)
        states = ", ".join(f"{n} {state}" for state, n in Counter(str(task.state) for task in tasks).most_common())
        print_line(f"orders    {self.orders}: {states}")
        print_line(
            f"steps     {sum(step.attempts > 0 for step in steps)} run; {retries} retries, {waits} waits for packing"
        )
        repeated = {name: counts.get("duplicates", 0) for name, counts in seen.counts.items()}
        told = ", ".join(f"{name} {n}" for name, n in repeated.items())
        print_line(f"repeated  {sum(repeated.values())} requests for what was done already, known by their key: {told}")
        for task in tasks:
            if task.error:
                print_line(f"no. {task.context['order_id']}    {task.state}: {_reason(task)}")


def _reason(task: Task) -> str:
    """Why a task failed, in the words of its failed steps."""
    errors = {step.name: step.error for step in task.steps.values() if step.error and str(step.state) == "error"}
    return "; ".join(f"{name}: {error['message']} ({error['code']})" for name, error in errors.items())


def _unexpected(tasks: Sequence[Task], gramophone_order: int, orders: int) -> Iterator[str]:
    """What is not as it should be among the tasks."""
    if len(tasks) != orders:
        yield f"{len(tasks)} tasks for {orders} orders"
    for task in tasks:
        number, state = int(task.context["order_id"]), str(task.state)
        wanted = "error" if number == gramophone_order else "complete"
        if state != wanted:
            yield f"order {number} is {state}, not {wanted}. {_reason(task)}"
        elif state == "error" and "discontinued" not in _reason(task):
            yield f"order {number} failed for another reason: {_reason(task)}"


@contextmanager
def _place(keep: bool) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="tasker-demo-"))
    try:
        yield place
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, so that no process outlives it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
