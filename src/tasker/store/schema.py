"""Schema: the tables, as one SQLAlchemy `MetaData`. The migrations are proved equal to it by a test.

All rows of a task are keyed by its id. There are no foreign keys: each would cost a lock per written row, and
`prune` deletes a task's rows together.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, SmallInteger, Table, Text, text

from tasker.store.types import Id, JsonText, Moment

metadata = MetaData()

templates = Table(
    "tasker_templates",
    metadata,
    # Derived from namespace, name, version and fingerprint, so that every process knows it without asking.
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("shape", JsonText, nullable=False),
    Column("policy", JsonText, nullable=False),
    Column("created_at", Moment, nullable=False),
    Index("tasker_templates_name", "namespace", "name", "version"),
)

tasks = Table(
    "tasker_tasks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("template", BigInteger, nullable=False),
    Column("queue", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("owner", Id),
    Column("wake_at", Moment),  # null: never by itself
    Column("poked", Boolean, nullable=False, server_default=text("false")),
    Column("crashes", SmallInteger, nullable=False, server_default=text("0")),
    Column("waits_system", Text),
    Column("context", JsonText, nullable=False),
    Column("result", JsonText),  # only what a person gave; else it is read from the step rows
    Column("error", JsonText),
    Column("idempotency_key", Text),
    Column("initiator", Text, nullable=False, server_default=""),
    Column("source_system", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("tags", JsonText, nullable=False, server_default="[]"),
    Column("created_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Index(
        "tasker_tasks_due",
        "queue",
        "template",
        text("priority DESC"),
        "wake_at",
        postgresql_where=text("owner IS NULL AND wake_at IS NOT NULL"),
        sqlite_where=text("owner IS NULL AND wake_at IS NOT NULL"),
    ),
    Index(
        "tasker_tasks_owner",
        "owner",
        postgresql_where=text("owner IS NOT NULL"),
        sqlite_where=text("owner IS NOT NULL"),
    ),
    Index("tasker_tasks_poked", "owner", postgresql_where=text("poked"), sqlite_where=text("poked")),
    Index(
        "tasker_tasks_system",
        "waits_system",
        postgresql_where=text("waits_system IS NOT NULL"),
        sqlite_where=text("waits_system IS NOT NULL"),
    ),
    Index("tasker_tasks_crashed", "id", postgresql_where=text("crashes > 0"), sqlite_where=text("crashes > 0")),
    Index("tasker_tasks_error", "id", postgresql_where=text("state = 'error'"), sqlite_where=text("state = 'error'")),
)

steps = Table(
    "tasker_steps",
    metadata,
    Column("task_id", Id, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),  # for life: never restarts
    Column("budget_from", Integer, nullable=False),  # where a person's retry began the budget anew
    Column("uncounted", Integer, nullable=False),  # lost, handed back, or ended by Wait
    Column("lost", Integer, nullable=False),
    Column("generation", Integer, nullable=False),  # a rerun begins a new one
    Column("max_attempts", Integer),  # only what a person gave with a retry
    Column("due_at", Moment),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("wait_since", Moment),  # of the first Wait in a row
    Column("results", JsonText),
    Column("error", JsonText),
    Column("note", Text),  # the words of Wait, Skip, or the person who ended it
    Column("progress", JsonText),
    Column("worker", Id),
)

attempts = Table(
    "tasker_attempts",
    metadata,
    Column("task_id", Id, primary_key=True),
    Column("step", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("ended", Text, nullable=False),  # failed | lost | handed_back
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("retry_at", Moment),
    Column("error", JsonText),
    Column("worker", Id),
)

actions = Table(
    "tasker_actions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("task_id", Id, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("what", Text, nullable=False),
    Column("params", JsonText, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False),  # open | applied | refused
    Column("answer", Text),
    Column("created_at", Moment, nullable=False),
    Column("answered_at", Moment),
    Index(
        "tasker_actions_open",
        "task_id",
        "seq",
        postgresql_where=text("state = 'open'"),
        sqlite_where=text("state = 'open'"),
    ),
    Index("tasker_actions_task", "task_id"),
)

identities = Table(
    "tasker_identities",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("template", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("task_id", Id, nullable=False),
    Column("until", Moment),  # null: as long as the task
    Index("tasker_identities_task", "task_id"),
)

history = Table(
    "tasker_history",
    metadata,
    Column("id", Id, primary_key=True),
    Column("task_id", Id),  # null: of a system
    Column("at", Moment, nullable=False),
    Column("what", Text, nullable=False),
    Column("step", Text),
    Column("from_state", Text),
    Column("to_state", Text),
    Column("actor", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Index("tasker_history_task", "task_id", "at"),
)

workers = Table(
    "tasker_workers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("state", Text, nullable=False),  # alive | draining | stopped | dead
    Column("epoch", Integer, nullable=False),
    Column("heartbeat_at", Moment, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("host", Text, nullable=False),
    Column("boot", Text, nullable=False),
    Column("pidns", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pid_start", Text, nullable=False),
    Column("queues", JsonText, nullable=False),
    Column("templates", JsonText, nullable=False),  # the ids it serves
    Column("concurrency", Integer, nullable=False),
    Column("free", Integer, nullable=False),
    Column("version", Text, nullable=False),
)

systems = Table(
    "tasker_systems",
    metadata,
    Column("name", Text, primary_key=True),
    Column("held", Boolean, nullable=False),
    Column("until", Moment),
    Column("reason", Text, nullable=False, server_default=""),
    Column("actor", Text, nullable=False, server_default=""),
    Column("changed_at", Moment, nullable=False),
)

annotations = Table(
    "tasker_annotations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("task_id", Id, nullable=False),
    Column("step", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("value", JsonText, nullable=False),
    Column("created_at", Moment, nullable=False),
    Index("tasker_annotations_task", "task_id"),
    Index("tasker_annotations_type", "type", "task_id"),
)
