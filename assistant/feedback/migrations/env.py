"""What Alembic runs to bring a database up to date; `assistant.feedback.store` hands it the connection."""

from __future__ import annotations

from alembic import context

from assistant.feedback.tables import Base

connection = context.config.attributes["connection"]
# SQLite cannot change a column in place: Alembic then copies the table.
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
