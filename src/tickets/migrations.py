"""The schema's revisions: which one a database has, and the way to the newest."""

from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import column, select, table

from tickets.db import Database, Statement
from tickets.settings import shipped

_name: Any = column("name")
_TABLE = Statement(select(_name).select_from(table("sqlite_master")).where(_name == "alembic_version"))
_REVISION = Statement(select(column("version_num")).select_from(table("alembic_version")))


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(shipped("alembic")).replace("%", "%%"))
    return config


def head() -> str:
    """Return the newest revision the code knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise LookupError("alembic/versions has no revision")
    return revision


def current(database: Database) -> str | None:
    """Return the revision of a database; None when it is missing or empty."""
    if not database.path.exists():
        return None
    # Through `read`: a connection of SQLAlchemy's begins as a writer, and would wait for the others.
    with database.read() as tx:
        if tx.first(_TABLE) is None:
            return None
        found = tx.first(_REVISION)
    return None if found is None else str(found.version_num)


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring a database to a revision, in one transaction a step; makes the file when it is missing.

    Raises:
        RuntimeError: rows would be left that point nowhere.
    """
    database.path.parent.mkdir(parents=True, exist_ok=True)
    with database.engine.connect() as connection:
        # SQLite changes a table by copying and dropping it; with the keys on, that would delete what
        # cascades from it. The pragma does nothing inside a transaction.
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys=OFF")
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()
        broken = driver.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise RuntimeError(f"The migration left rows that point nowhere: {broken[:5]}")
