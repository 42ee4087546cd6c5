"""The tables of the first version."""

import sqlalchemy as sa
from alembic import op

from tasker.store.types import Id, JsonText, Moment

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "tasker_actions",
        sa.Column("id", Id, nullable=False),
        sa.Column("task_id", Id, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("params", JsonText(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("answered_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "tasker_actions_open",
        "tasker_actions",
        ["task_id", "seq"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
        sqlite_where=sa.text("state = 'open'"),
    )
    op.create_index("tasker_actions_task", "tasker_actions", ["task_id"], unique=False)
    op.create_table(
        "tasker_annotations",
        sa.Column("id", Id, nullable=False),
        sa.Column("task_id", Id, nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("value", JsonText(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tasker_annotations_task", "tasker_annotations", ["task_id"], unique=False)
    op.create_index("tasker_annotations_type", "tasker_annotations", ["type", "task_id"], unique=False)
    op.create_table(
        "tasker_attempts",
        sa.Column("task_id", Id, nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("ended", sa.Text(), nullable=False),
        sa.Column("started_at", Moment(), nullable=True),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.Column("retry_at", Moment(), nullable=True),
        sa.Column("error", JsonText(), nullable=True),
        sa.Column("worker", Id, nullable=True),
        sa.PrimaryKeyConstraint("task_id", "step", "attempt"),
    )
    op.create_table(
        "tasker_history",
        sa.Column("id", Id, nullable=False),
        sa.Column("task_id", Id, nullable=True),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=True),
        sa.Column("from_state", sa.Text(), nullable=True),
        sa.Column("to_state", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tasker_history_task", "tasker_history", ["task_id", "at"], unique=False)
    op.create_table(
        "tasker_identities",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("task_id", Id, nullable=False),
        sa.Column("until", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("namespace", "template", "key"),
    )
    op.create_index("tasker_identities_task", "tasker_identities", ["task_id"], unique=False)
    op.create_table(
        "tasker_steps",
        sa.Column("task_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("budget_from", sa.Integer(), nullable=False),
        sa.Column("uncounted", sa.Integer(), nullable=False),
        sa.Column("lost", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=True),
        sa.Column("due_at", Moment(), nullable=True),
        sa.Column("started_at", Moment(), nullable=True),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.Column("wait_since", Moment(), nullable=True),
        sa.Column("results", JsonText(), nullable=True),
        sa.Column("error", JsonText(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("progress", JsonText(), nullable=True),
        sa.Column("worker", Id, nullable=True),
        sa.PrimaryKeyConstraint("task_id", "name"),
    )
    op.create_table(
        "tasker_systems",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("until", Moment(), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("actor", sa.Text(), server_default="", nullable=False),
        sa.Column("changed_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "tasker_tasks",
        sa.Column("id", Id, nullable=False),
        sa.Column("template", sa.BigInteger(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("owner", Id, nullable=True),
        sa.Column("wake_at", Moment(), nullable=True),
        sa.Column("poked", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("crashes", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("waits_system", sa.Text(), nullable=True),
        sa.Column("context", JsonText(), nullable=False),
        sa.Column("result", JsonText(), nullable=True),
        sa.Column("error", JsonText(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("initiator", sa.Text(), server_default="", nullable=False),
        sa.Column("source_system", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("tags", JsonText(), server_default="[]", nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("started_at", Moment(), nullable=True),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "tasker_tasks_crashed",
        "tasker_tasks",
        ["id"],
        unique=False,
        postgresql_where=sa.text("crashes > 0"),
        sqlite_where=sa.text("crashes > 0"),
    )
    op.create_index(
        "tasker_tasks_due",
        "tasker_tasks",
        ["queue", "template", sa.text("priority DESC"), "wake_at"],
        unique=False,
        postgresql_where=sa.text("owner IS NULL AND wake_at IS NOT NULL"),
        sqlite_where=sa.text("owner IS NULL AND wake_at IS NOT NULL"),
    )
    op.create_index(
        "tasker_tasks_error",
        "tasker_tasks",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state = 'error'"),
        sqlite_where=sa.text("state = 'error'"),
    )
    op.create_index(
        "tasker_tasks_owner",
        "tasker_tasks",
        ["owner"],
        unique=False,
        postgresql_where=sa.text("owner IS NOT NULL"),
        sqlite_where=sa.text("owner IS NOT NULL"),
    )
    op.create_index(
        "tasker_tasks_poked",
        "tasker_tasks",
        ["owner"],
        unique=False,
        postgresql_where=sa.text("poked"),
        sqlite_where=sa.text("poked"),
    )
    op.create_index(
        "tasker_tasks_system",
        "tasker_tasks",
        ["waits_system"],
        unique=False,
        postgresql_where=sa.text("waits_system IS NOT NULL"),
        sqlite_where=sa.text("waits_system IS NOT NULL"),
    )
    op.create_table(
        "tasker_templates",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("shape", JsonText(), nullable=False),
        sa.Column("policy", JsonText(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tasker_templates_name", "tasker_templates", ["namespace", "name", "version"], unique=False)
    op.create_table(
        "tasker_workers",
        sa.Column("id", Id, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("heartbeat_at", Moment(), nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("boot", sa.Text(), nullable=False),
        sa.Column("pidns", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("pid_start", sa.Text(), nullable=False),
        sa.Column("queues", JsonText(), nullable=False),
        sa.Column("templates", JsonText(), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("free", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
