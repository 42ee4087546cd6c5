"""Handlers: what a step runs, what it may know of its attempt, and how it ended.

Public: `from tasker.handlers import http, command`.
"""

from tasker.handlers.command_step import command
from tasker.handlers.http_step import http

__all__ = ["command", "http"]
