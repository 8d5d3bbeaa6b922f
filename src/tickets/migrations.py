"""The schema's revisions: which one a database has, and the way to the newest.

Alembic is imported when there is a way to go: each command asks for a revision, and few change it.
"""

import re
from collections import Counter
from typing import Any

from sqlalchemy import Connection, column, select, table
from sqlalchemy.exc import IntegrityError

from tickets.db import Database, Statement, Transaction
from tickets.settings import shipped

_name: Any = column("name")
_TABLE = Statement(select(_name).select_from(table("sqlite_master")).where(_name == "alembic_version"))
_REVISION = Statement(select(column("version_num")).select_from(table("alembic_version")))
_DECLARED = re.compile(r'^(revision|down_revision) = "(\w+)"$', re.MULTILINE)


class MigrationError(RuntimeError):
    """A step that cannot be taken; the message says why, and that it was undone."""


def _parents() -> dict[str, str | None]:
    """Read which revisions there are and what each follows: in the scripts' text, as Alembic takes long."""
    scripts = sorted((shipped("alembic") / "versions").glob("*.py"))
    declared = [dict(_DECLARED.findall(script.read_text())) for script in scripts]
    return {names["revision"]: names.get("down_revision") for names in declared}


def known(revision: str) -> bool:
    """Tell whether the code has a revision; a database of a newer version may be at one it has not."""
    return revision in _parents()


def head() -> str:
    """Return the newest revision the code knows."""
    (newest,) = _parents().keys() - _parents().values()
    return newest


def current(database: Database) -> str | None:
    """Return the revision of a database; None when it is missing or empty."""
    if not database.path.exists():
        return None
    # Through `read`: a connection of SQLAlchemy's begins as a writer, and would wait for the others.
    with database.read() as tx:
        return revision(tx)


def revision(tx: Transaction) -> str | None:
    """Return the revision of the database of a transaction; None when it is empty."""
    found = None if tx.first(_TABLE) is None else tx.first(_REVISION)
    return None if found is None else str(found.version_num)


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring a database to a revision, in one transaction a step; makes the file when it is missing.

    Raises:
        MigrationError: a step does not fit the data, would leave rows that point nowhere, or such rows were
            there before.
    """
    database.path.parent.mkdir(parents=True, exist_ok=True)
    with database.engine.connect() as connection:
        if current(database) == (head() if revision == "head" else revision):
            prepare(connection)
            return
        from alembic import command  # noqa: PLC0415 - see above

        config = _config()
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except IntegrityError as error:
            raise MigrationError(f"A step does not fit the data: {error.orig}. {_undone(current(database))}") from error
        connection.commit()


def _config() -> Any:
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(shipped("alembic")).replace("%", "%%"))
    return config


def prepare(connection: Connection) -> None:
    """Switch foreign keys off for the connection, outside any transaction; `expect_sound` stands in for them.

    SQLite changes a table by copying and dropping it; with the keys on, that would delete what cascades from it.
    The pragma does nothing inside a transaction.

    Raises:
        MigrationError: rows point nowhere already, which no step may be blamed for.
    """
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    broken = _broken(driver)
    if broken:
        raise MigrationError(f"Rows point nowhere already ({broken}). Mend them first; nothing was changed.")


def expect_sound(*, ctx: Any, step: Any, **_: Any) -> None:
    """Look for rows that point nowhere, before the transaction of a step is committed.

    Args:
        ctx: Alembic's MigrationContext.
        step: Alembic's MigrationInfo.

    Raises:
        MigrationError: there are some, and Alembic undoes the step.
    """
    broken = _broken(ctx.connection.connection.driver_connection)
    if broken:
        way = " and ".join(step.destination_revision_ids) or "nothing"
        left = " and ".join(step.source_revision_ids)
        raise MigrationError(
            f"The step to revision {way} would leave rows that point nowhere ({broken}). {_undone(left)}"
        )


def _undone(revision: str | None) -> str:
    return f"It was undone: the database is as it was at revision {revision or 'none'}."


def _broken(driver: Any) -> str:
    """Name the tables that have rows which point nowhere, with how many."""
    found = Counter((row[0], row[2]) for row in driver.execute("PRAGMA foreign_key_check"))
    return ", ".join(f"{count} of {child} without their {parent}" for (child, parent), count in sorted(found.items()))
