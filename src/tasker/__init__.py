"""Tasker: durable tasks of many steps, in your own process and database."""

from tasker import events
from tasker.app.step import Step, Steps
from tasker.app.task import Task
from tasker.app.tasker import Page, Tasker
from tasker.app.template import Template
from tasker.clock import Seconds
from tasker.definition.retry import Backoff, Retry
from tasker.engine.why import Reason
from tasker.errors import (
    ActionPending,
    AttemptOver,
    ConfigError,
    CycleError,
    DefinitionError,
    Duplicate,
    InvalidContext,
    NotFound,
    OwnershipLost,
    PermanentError,
    Problem,
    RequestError,
    RetryableError,
    SchemaOutOfDate,
    Skip,
    StepError,
    StoreError,
    StoreUnavailable,
    TaskerError,
    TaskFailed,
    TaskTimeout,
    TransitionRefused,
    UnknownOption,
    UnknownParent,
    Wait,
)
from tasker.handlers.context import StepContext
from tasker.states import StepState, TaskState

__version__ = "0.1.0"

__all__ = [
    "ActionPending",
    "AttemptOver",
    "Backoff",
    "ConfigError",
    "CycleError",
    "DefinitionError",
    "Duplicate",
    "InvalidContext",
    "NotFound",
    "OwnershipLost",
    "Page",
    "PermanentError",
    "Problem",
    "Reason",
    "RequestError",
    "Retry",
    "RetryableError",
    "SchemaOutOfDate",
    "Seconds",
    "Skip",
    "Step",
    "StepContext",
    "StepError",
    "StepState",
    "Steps",
    "StoreError",
    "StoreUnavailable",
    "Task",
    "TaskFailed",
    "TaskState",
    "TaskTimeout",
    "Tasker",
    "TaskerError",
    "Template",
    "TransitionRefused",
    "UnknownOption",
    "UnknownParent",
    "Wait",
    "events",
]
