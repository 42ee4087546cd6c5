"""Alembic's way in; `tasker.store.migrate` runs it with a connection of its own."""

from alembic import context

from tasker.store.schema import metadata

connection = context.config.attributes["connection"]
schema = context.config.attributes["schema"]

context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table="tasker_version",
    version_table_schema=schema,
    transaction_per_migration=True,
)
context.run_migrations()
