"""States: which there are, and which moves are allowed. Tables, no code that decides.

A move that is not in a table raises `TransitionRefused`; moving to the state one is in is a no-op.
"""

from tasker.states.machine import refuse_unless_allowed
from tasker.states.step import STEP_FINAL, STEP_MOVES, STEP_SATISFIED, StepState
from tasker.states.task import TASK_FINAL, TASK_MOVES, TaskState

__all__ = [
    "STEP_FINAL",
    "STEP_MOVES",
    "STEP_SATISFIED",
    "TASK_FINAL",
    "TASK_MOVES",
    "StepState",
    "TaskState",
    "refuse_unless_allowed",
]
