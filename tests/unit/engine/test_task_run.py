"""A claimed task, its verdict and what people may do, against the plainly right model; any graph, any order."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from bench import Bench, a_plan, a_retry, complete, failed, handed_back, skipped, waits
from hypothesis import given, settings
from model import CRASH_LIMIT, PAUSE, Model, Refused, Rules

from tasker.engine.plan import Plan
from tasker.errors import TransitionRefused
from tasker.states import STEP_SATISFIED

STATES = {
    "pending": "pending",
    "running": "in_progress",
    "retry": "waiting_for_retry",
    "resolved": "resolved_manually",
}
ENDINGS = ["complete", "complete", "complete", "fail", "fail", "permanent", "wait", "skip", "handed back"]
ACTIONS = ["cancel", "pause", "resume", "retry", "resolve", "skip", "rerun"]


@st.composite
def graphs(draw: st.DrawFn) -> list[Rules]:
    """Any graph of up to nine steps; a step's parents are above it."""
    rules: list[Rules] = []
    for i in range(draw(st.integers(1, 9))):
        parents = set(draw(st.lists(st.integers(0, i - 1), max_size=4))) if i else set()
        needs = {parent for parent in parents if draw(st.booleans())}
        most, retryable = draw(st.integers(1, 3)), draw(st.sampled_from([True, True, False]))
        rules.append(Rules(parents, most, retryable, draw(st.sampled_from([None, None, 15.0])), needs))
    return rules


def plan_of(rules: list[Rules], stop: bool) -> Plan:
    steps = {
        name(i): {
            "retry": a_retry(rule.max_attempts, rule.retryable, PAUSE),
            "max_wait": rule.max_wait,
            "needs": tuple(map(name, rule.needs)),
        }
        for i, rule in enumerate(rules)
    }
    parents = {name(i): [name(p) for p in sorted(rule.parents)] for i, rule in enumerate(rules)}
    return a_plan(parents, on_failure="stop" if stop else "finish_branches", steps=steps)


def name(i: int) -> str:
    return f"s{i}"


class Pair:
    """The engine's rules and the model side by side; every difference is a failure."""

    def __init__(self, rules: list[Rules], stop: bool) -> None:
        self.bench, self.model = Bench(plan_of(rules, stop)), Model(rules, stop)
        self.starts: dict[tuple[int, int], int] = {}
        self.unmarked: dict[int, tuple[str, float]] = {}
        self.final: str | None = None
        self.settle()

    def numbers(self, names: Any) -> set[int]:
        return {int(one[1:]) for one in names}

    def settle(self) -> None:
        bench, model = self.bench, self.model
        for i in list(bench.run.waiting):
            bench.run.due(i, bench.now)
        assert [STATES.get(state, state) for state in model.states()] == list(bench.states().values())
        assert self.numbers(bench.viable()) == self.viable()
        assert bench.settle() == (verdict := model.verdict(bench.now))
        assert verdict != "stuck"
        self.final = None if verdict in ("on", "park") else verdict
        if verdict in ("complete", "error", "cancelled"):
            model.task = verdict

    def viable(self) -> set[int]:
        return self.model.viable(self.bench.now)

    def begin(self, i: int) -> None:
        assert all(self.bench.rows[name(p)].state in STEP_SATISFIED for p in self.model.rules[i].parents)
        row = self.bench.rows.get(name(i))
        self.unmarked[i] = ("pending", 0.0) if row is None else (str(row.state), row.due_at or 0.0)
        generation = self.model.steps[i].generation, self.model.begin(i)
        assert generation[1] == self.bench.begin(name(i))
        key = i, generation[1]
        self.starts[key] = self.starts.get(key, 0) + 1
        if self.bench.run.crashes and not self.bench.run.calm:
            self.mark(i)

    def mark(self, i: int) -> None:
        self.bench.mark(name(i))
        self.unmarked.pop(i, None)

    def end(self, i: int, how: str) -> None:
        now, number = self.bench.now, self.model.steps[i].number
        until = now + PAUSE / 2
        outcome = {
            "complete": complete(),
            "fail": failed(),
            "permanent": failed(permanent=True),
            "wait": waits(until),
            "skip": skipped(),
            "handed back": handed_back(),
        }[how]
        before = self.viable()
        self.model.end(i, how, now, until)
        opened = self.bench.end(name(i), number, outcome)
        assert self.numbers(opened) == self.viable() - before - {i}
        assert self.bench.end(name(i), number, complete()) == []  # the same attempt again: it came too late
        self.settle()

    def wake(self) -> None:
        """Let time pass until the next step is due."""
        waiting = [self.model.steps[i].due for i in self.model.those("retry")]
        self.bench.now = max(self.bench.now, min(waiting))
        if not self.bench.owned:
            self.recall()
            self.bench.claim()
        self.settle()

    def recall(self) -> None:
        """A claim reads the rows; that all was stopped shows in what was cancelled then."""
        model = self.model
        model.stopped = model.stop and bool(model.those("error")) and bool(model.those("cancelled"))

    def act(self, what: str, i: int | None, results: bool, most: int | None) -> None:
        params: dict[str, Any] = {} if i is None else {"step": name(i)}
        if what == "resolve":
            params["results"] = "1" if results else None
        if what == "retry" and most:
            params["max_attempts"] = most
        try:
            self.model.act(what, i, self.bench.now, results, most)
        except Refused:
            try:
                self.bench.act(what, **params)
            except TransitionRefused as refusal:
                assert refusal.allowed or "already" in str(refusal), refusal
                return
            raise AssertionError(f"{what} {i} should be refused") from None
        self.bench.act(what, **params)
        self.final = None
        if self.model.task in ("cancelled", "resolved") and not self.bench.owned:
            self.final = self.model.task
            return
        if not self.bench.owned and self.bench.state in ("pending", "waiting"):
            self.recall()
            self.bench.claim()
        if self.bench.owned:
            self.settle()

    def crash(self) -> None:
        running = self.model.those("running")
        for i in running & self.unmarked.keys():
            step = self.model.steps[i]
            del self.starts[i, step.number]
            step.number -= 1  # its start was never committed: the number is used again
            step.state = {"waiting_for_retry": "retry"}.get(self.unmarked[i][0], "pending")
            step.due = self.unmarked[i][1]
        lost = self.model.those("running")
        self.bench.crash()
        self.recall()
        for i in sorted(lost):
            if self.model.steps[i].state == "running":
                self.model.lose(i, self.bench.crashes)
        self.bench.claim()
        self.settle()


@settings(max_examples=400)
@given(rules=graphs(), stop=st.booleans(), data=st.data())
def test_any_history_ends_as_the_semantics_say(rules: list[Rules], stop: bool, data: st.DataObject) -> None:
    """Whatever order steps start and end in, whoever acts or dies between: states, viable steps, verdict agree."""
    pair = Pair(rules, stop)
    for _ in range(data.draw(st.integers(0, 40))):
        chosen = data.draw(st.sampled_from(["begin", "begin", "end", "end", "end", "wake", "mark", "act", "crash"]))
        if chosen == "act" or pair.final is not None:
            _act(pair, data)
        elif chosen == "begin" and pair.model.task == "open" and (viable := sorted(pair.viable())):
            pair.begin(data.draw(st.sampled_from(viable)))
        elif chosen in ("end", "mark") and (running := sorted(pair.model.those("running"))):
            i = data.draw(st.sampled_from(running))
            pair.mark(i) if chosen == "mark" else pair.end(i, data.draw(st.sampled_from(ENDINGS)))
        elif chosen == "wake" and pair.model.those("retry"):
            pair.wake()
        elif chosen == "crash" and pair.bench.owned and pair.bench.crashes < CRASH_LIMIT:
            pair.crash()
    _finish(pair)


def _act(pair: Pair, data: st.DataObject) -> None:
    what = data.draw(st.sampled_from(ACTIONS))
    step: int | None = data.draw(st.integers(0, len(pair.model.steps) - 1))
    if what in ("retry", "resolve") and data.draw(st.booleans()):
        step = None
    pair.act(
        what,
        None if what in ("cancel", "pause", "resume") else step,
        data.draw(st.booleans()),
        data.draw(st.sampled_from([None, None, 1, 5])),
    )


def _finish(pair: Pair) -> None:
    """From wherever it is, a task whose steps all succeed from now on comes to its end."""
    if pair.model.task == "paused":
        pair.act("resume", None, True, None)
    while pair.final is None:
        if running := pair.model.those("running"):
            pair.end(min(running), "complete")
        elif viable := pair.viable():
            pair.begin(min(viable))
        else:
            pair.wake()
    assert pair.final in ("complete", "error", "cancelled", "resolved")
    assert set(pair.starts.values()) <= {1}  # no number of a committed attempt is used twice


@settings(max_examples=100)
@given(rules=graphs(), data=st.data())
def test_each_step_starts_once_when_all_succeeds(rules: list[Rules], data: st.DataObject) -> None:
    """Without failures every step starts exactly once, after its parents, and the task is complete."""
    pair = Pair(rules, stop=False)
    while pair.final is None:
        running, viable = sorted(pair.model.those("running")), sorted(pair.viable())
        if viable and (not running or data.draw(st.booleans())):
            pair.begin(data.draw(st.sampled_from(viable)))
        else:
            pair.end(data.draw(st.sampled_from(running)), "complete")
    assert pair.final == "complete"
    assert pair.starts == {(i, 1): 1 for i in range(len(rules))}


@given(rules=graphs())
def test_the_order_of_viable_steps(rules: list[Rules]) -> None:
    """Among viable steps the higher priority goes first, then the longest remaining path, then definition order."""
    plan = plan_of(rules, stop=False)

    def path(i: int) -> int:
        children = [j for j, rule in enumerate(rules) if i in rule.parents]
        return 1 + max(map(path, children), default=0)

    wanted = sorted(range(len(rules)), key=lambda i: (-path(i), i))
    assert sorted(range(len(rules)), key=lambda i: plan.steps[i].order) == wanted


def test_priority_goes_before_the_critical_path() -> None:
    """A step of higher priority goes first, however short the path after it."""
    plan = a_plan({"long": [], "after": ["long"], "urgent": []}, steps={"urgent": {"priority": 1}})
    assert [step.name for step in sorted(plan.steps, key=lambda step: step.order)] == ["urgent", "long", "after"]


def test_a_join_of_a_thousand_parents_opens_once() -> None:
    """A step with a thousand parents becomes viable exactly once: with the last of them."""
    parents = [f"p{i}" for i in range(1_000)]
    bench = Bench(a_plan({**{parent: [] for parent in parents}, "join": parents}))
    numbers = {parent: bench.begin(parent) for parent in parents}
    opened = [bench.end(parent, numbers[parent], complete()) for parent in reversed(parents)]
    assert opened == [[]] * 999 + [["join"]]
