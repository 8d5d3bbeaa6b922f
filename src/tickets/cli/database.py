"""The database on the command line: brought up to date, copied."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import click

from tickets import migrations
from tickets.cli.environment import Command, expect_known, ready_database
from tickets.cli.failures import Failure
from tickets.cli.output import busy, json_option, show
from tickets.db import Database
from tickets.domain import first_start
from tickets.settings import Settings

_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


@click.command(cls=Command)
@json_option
def migrate(*, as_json: bool) -> None:
    """Bring the database to the newest revision."""
    settings = Settings.from_env()
    with Database(settings) as database:
        try:
            before = migrations.current(database)
            expect_known(before)
            migrations.upgrade(database)
            after = migrations.current(database)
        except migrations.MigrationError as error:
            raise Failure(str(error)) from error
        first_start.prepare(settings, database)
    line = f"The database is at revision {after} already."
    if before != after:
        line = f"The database went from revision {before or 'none'} to {after}."
    show({"from": before, "to": after}, line, as_json=as_json)


@click.command(cls=Command)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def backup(*, file: Path, as_json: bool) -> None:
    """Copy the database into a file while the service runs.

    FILE must not exist yet. The copy is of one moment, compact, checked and readable by its owner only.
    """
    started = time.perf_counter()
    with ready_database() as database, busy("Copying …"):
        _copy(database, file)
    size, seconds = file.stat().st_size, time.perf_counter() - started
    show(
        {"file": str(file.absolute()), "bytes": size, "seconds": round(seconds, 3), "integrity": "ok"},
        f"{file}: {size:,} bytes in {seconds:.1f} s, checked.",
        as_json=as_json,
    )


def _copy(database: Database, file: Path) -> None:
    """Copy beside the final name first: a backup that is cut off never looks like one."""
    if file.exists():
        raise Failure(f"{file} exists already; choose another name.", code="already_exists")
    if not file.parent.is_dir():
        raise Failure(f"{file} cannot be written: create the folder {file.parent} first, or choose another.")
    partial = file.with_name(file.name + ".partial")
    try:
        # VACUUM INTO takes an empty file; this one is nobody else's to read.
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise Failure(f"{partial} exists: another backup is at it, or was cut off; then delete it.") from None
    except OSError as error:
        raise Failure(f"{file} cannot be written: {error.strerror}. Choose another folder or disk.") from error
    try:
        # One read transaction: writers go on meanwhile, and the copy holds what was committed when it began.
        connection = database.engine.raw_connection()
        try:
            connection.cursor().execute("VACUUM INTO ?", (str(partial),))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _DISK:
                raise
            raise Failure(f"{file} cannot be written: {error}. Make room, or choose another disk.") from error
        finally:
            connection.close()
        _check(partial)
        # Refuses, as rename would not, when somebody made the file meanwhile.
        os.link(partial, file)
        sync(file.parent)
    finally:
        partial.unlink()


def _check(copy: Path) -> None:
    # Not read-only: then SQLite leaves CHECK constraints out.
    with closing(sqlite3.connect(copy)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise Failure(f"The copy is not sound ({verdict}) and was deleted; check the disk and the database.")
    sync(copy)


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
