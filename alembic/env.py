"""Runs migrations on the database of the settings, or on the connection it is given."""

from alembic import context
from sqlalchemy import Connection

from tickets import migrations
from tickets.db import Database
from tickets.models import Base
from tickets.settings import Settings


def migrate(connection: Connection) -> None:
    """Run the migrations that are due, each in a transaction that holds nothing broken when it ends."""
    migrations.prepare(connection)
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        include_name=lambda name, kind, _: kind != "table" or not str(name).startswith("search_index"),  # FTS5's own
        transaction_per_migration=True,
        on_version_apply=migrations.expect_sound,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    with Database(Settings.from_env()) as database, database.engine.connect() as connection:
        migrate(connection)
        connection.commit()
