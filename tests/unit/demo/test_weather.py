"""Weather: bad days are seeded, and pass."""

from __future__ import annotations

from collections import Counter

from tasker.demo.services.systems import NAMES, OPERATIONS, SEED, system
from tasker.demo.services.weather import Trouble, Weather


def test_the_same_seed_is_the_same_day() -> None:
    """What happens to a request depends on the seed and on nothing else."""
    days = [Weather({Trouble.DOWN: 0.5}, "a"), Weather({Trouble.DOWN: 0.5}, "a"), Weather({Trouble.DOWN: 0.5}, "b")]
    one, again, other = ([day.of("charge", order, 1) for order in range(50)] for day in days)
    assert one == again != other


def test_troubles_pass() -> None:
    """From the third request for the same thing on, nothing goes wrong."""
    storm = Weather({Trouble.DOWN: 1.0})
    assert [storm.of("charge", 1, nth) for nth in (1, 2, 3, 4)] == [Trouble.DOWN, Trouble.DOWN, None, None]


def test_every_trouble_happens_in_the_demo() -> None:
    """With the demo's seed and 25 orders, each kind of trouble is met at the system it belongs to."""
    met: Counter[Trouble] = Counter()
    for name in NAMES:
        weather = system(name, SEED, 13).weather
        happened = [weather.of(what, order, 1) for what in OPERATIONS[name] for order in range(1, 26)]
        assert {trouble for trouble in happened if trouble} == set(weather.chances)
        met.update(trouble for trouble in happened if trouble)
    assert set(met) == set(Trouble)
