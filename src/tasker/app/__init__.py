"""App: what a host holds: the Tasker, its templates and tasks, and the way to the engine."""
