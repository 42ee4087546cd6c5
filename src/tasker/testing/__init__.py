"""Testing: drive your own app's tasks in a test, with the very heart and store of production.

The pytest plugin (in the wheel) gives the fixtures `tasker`, your app on a fresh database, and `fake_clock`.
"""

from tasker.testing.clock import FakeClock
from tasker.testing.kit import assert_step_ran, step_context
from tasker.testing.run import run_until_idle
from tasker.testing.stubs import crash_at, fail_times, stub

__all__ = [
    "FakeClock",
    "assert_step_ran",
    "crash_at",
    "fail_times",
    "run_until_idle",
    "step_context",
    "stub",
]
