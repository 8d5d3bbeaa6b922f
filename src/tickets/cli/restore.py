"""Restoring the database from a backup."""

import contextlib
import errno
import fcntl
import glob
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from tickets import clock, migrations
from tickets.cli.database import sync
from tickets.cli.environment import Command, expect_known
from tickets.cli.failures import Failure, program
from tickets.cli.output import busy, json_option, show
from tickets.db import Database
from tickets.db.gate import PRIVATE, open_beside
from tickets.db.presence import lock_of
from tickets.settings import Settings

_HEADER = b"SQLite format 3\0"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def restore(*, file: Path, as_json: bool) -> None:
    """Replace the database with a backup; stop the service first.

    FILE is what `backup` made. Stop the service and its workers first. The database that was there is kept under
    another name.
    """
    with Database(Settings.from_env()) as database:
        target = database.path
    _expect_backup(file, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target), busy("Restoring …"):
        copy = target.with_name(f"{target.name}.restoring")
        try:
            revision = _copy(file, copy, target)
            kept = _put(copy, target)
        finally:
            _remove(copy, *_companions(copy))
    newest = migrations.head()
    replaced = f"What was there before is {kept}." if kept else "There was no database before."
    step = f"It is at revision {revision}, and this version needs {newest}: run `{program()} migrate` next."
    show(
        {
            "database": str(target),
            "file": str(file.absolute()),
            "bytes": target.stat().st_size,
            "revision": revision,
            "needs_migrate": revision != newest,
            "replaced": kept and str(kept),
        },
        f"{target} is restored from {file}. {replaced}",
        *([step] if revision != newest else []),
        as_json=as_json,
    )


def _expect_backup(file: Path, target: Path) -> None:
    if not file.is_file():
        raise Failure(f"There is no file {file}; name one that `{program()} backup` made.", code="not_found")
    if target.exists() and file.samefile(target):
        raise Failure(f"{file} is the database itself; name one that `{program()} backup` made.")
    for companion in _companions(file):
        if companion.exists() and companion.stat().st_size:
            raise Failure(
                f"{companion} lies next to it: {file} is in use or was copied in use, and is incomplete without it. "
                f"Name a file that `{program()} backup` made."
            )
    with file.open("rb") as opened:
        if opened.read(len(_HEADER)) != _HEADER:
            raise Failure(f"{file} is no SQLite database; name one that `{program()} backup` made.")


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Keep everybody else from opening the database; whoever has it open keeps us out (see `Presence`)."""
    descriptor = open_beside(target, lock_of(target), os.O_RDONLY)
    _give_to_owner(descriptor, target)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(
                f"{target} is in use: stop the service, its workers and whatever other command runs on it, "
                "then repeat this. Nothing was changed.",
                code="in_use",
            ) from None
        yield
    finally:
        os.close(descriptor)


def _copy(file: Path, copy: Path, target: Path) -> str | None:
    """Copy the backup next to the database and check the copy; returns its revision."""
    _remove(copy, *_companions(copy))  # of a restore that was cut off: nobody else is at it now
    mode = target.stat().st_mode & 0o777 if target.exists() else PRIVATE
    try:
        with file.open("rb") as source, os.fdopen(os.open(copy, _NEW, PRIVATE), "wb") as made:
            shutil.copyfileobj(source, made, 1 << 20)
            os.fchmod(made.fileno(), mode)
            _give_to_owner(made.fileno(), target)
    except OSError as error:
        hint = "Make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Look at the disk and its rights"
        raise Failure(f"{file} cannot be copied to {copy}: {error.strerror}. {hint}; nothing was changed.") from error
    revision = _checked(file, copy)
    sync(copy)
    return revision


def _checked(file: Path, copy: Path) -> str | None:
    """Check that a copy is a sound database at a revision this version knows."""
    try:
        with closing(sqlite3.connect(copy)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise Failure(f"{file} is damaged ({verdict}): use another backup. Nothing was changed.")
            if broken := connection.execute("PRAGMA foreign_key_check").fetchone():
                raise Failure(
                    f"{file} has rows of {broken[0]} that point nowhere: use another backup. Nothing was changed."
                )
            [(tables,)] = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'")
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone() if tables else None
            if found is None:
                raise Failure(f"{file} is no database of this service: it has no revision. Nothing was changed.")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.DatabaseError as error:
        raise Failure(f"{file} is damaged ({error}): use another backup. Nothing was changed.") from error
    expect_known(found[0])
    return str(found[0])


def _put(copy: Path, target: Path) -> Path | None:
    """Put the copy in the place of the database, which gets another name.

    Until the last step the old one is there, after it the new one. A log of the old one must be gone before: SQLite
    would write it into the new one.

    Returns:
        What the old one is called now; None when there was none.
    """
    kept = _fold_log(target) if target.exists() else None
    _remove(*_companions(target))
    sync(target.parent)
    if kept is not None:
        os.link(target, kept)
    copy.replace(target)
    sync(target.parent)
    return kept


def _fold_log(target: Path) -> Path:
    """Checkpoint the write-ahead log into the database, and return the name under which the file is to be kept.

    If the database is too damaged for that, its log is kept too, under that name with ``-wal``.
    """
    stamp = clock.rfc3339(clock.now()).translate(str.maketrans("", "", "-:."))
    kept = target.with_name(f"{target.name}.replaced-{stamp}")
    _forget_second_names(target)
    if _log(target).exists():
        os.link(_log(target), _log(kept))  # before SQLite looks at it, which may throw it away
        sync(target.parent)
    with contextlib.suppress(sqlite3.DatabaseError):
        with closing(sqlite3.connect(target)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _remove(_log(kept))
    return kept


def _forget_second_names(target: Path) -> None:
    """Remove what a restore that was cut off left: other names of what still is in its place."""
    for kept in target.parent.glob(f"{glob.escape(target.name)}.replaced-*"):
        if any(file.exists() and kept.samefile(file) for file in (target, _log(target))):
            kept.unlink()


def _give_to_owner(descriptor: int, target: Path) -> None:
    """Give a file that root made to the owner of the database, or else of its folder, so the service can use it."""
    if os.geteuid() == 0:
        owner = (target if target.exists() else target.parent).stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _log(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


def _companions(database: Path) -> list[Path]:
    return [_log(database), database.with_name(f"{database.name}-shm")]


def _remove(*files: Path) -> None:
    for file in files:
        file.unlink(missing_ok=True)
