"""What SQLite answers when it cannot go on, as the caller shall see it."""

import sqlite3
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import Table

from tickets.errors import AlreadyExists, InputError, ServiceUnavailable

# What the disk or another process did, not the caller. https://sqlite.org/rescode.html
_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: "The database is locked by another process.",
    sqlite3.SQLITE_LOCKED: "The database is locked by another process.",
    sqlite3.SQLITE_READONLY: "The database cannot be written to at the moment.",
    sqlite3.SQLITE_IOERR: "The disk does not answer as it should.",
    sqlite3.SQLITE_FULL: "The disk is full.",
    sqlite3.SQLITE_CANTOPEN: "The database cannot be opened at the moment.",
    sqlite3.SQLITE_CORRUPT: "The database cannot be read at the moment.",
    sqlite3.SQLITE_NOTADB: "The database cannot be read at the moment.",
    sqlite3.SQLITE_NOMEM: "The service is out of memory.",
    sqlite3.SQLITE_PROTOCOL: "The database is locked by another process.",
}
LOCKED = _UNAVAILABLE[sqlite3.SQLITE_BUSY] + " Try again in a moment."
UNDONE = "The disk or the database failed in the middle. Try again in a moment."
_DAMAGES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOCKS = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


class Locked(ServiceUnavailable):
    """Another process holds the lock."""


class TookTooLong(ServiceUnavailable):
    """A read was ended because its time was over."""

    def __init__(self, detail: str = "This takes too long. Ask for less.") -> None:
        super().__init__(detail, retry_after=3)


class Damaged(ServiceUnavailable):
    """What is stored does not make sense to SQLite."""


def unavailable(error: sqlite3.DatabaseError) -> Exception:
    """Turn what the disk or a lock did into a 503; a fault of our own SQL stays what it is."""
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_INTERRUPT:
        return TookTooLong()
    if code is None or code & 0xFF not in _UNAVAILABLE:
        return error
    reason = f"{_UNAVAILABLE[code & 0xFF]} Try again in a moment."
    if code & 0xFF in _DAMAGES:
        return Damaged(reason)
    return Locked(reason) if code & 0xFF in _LOCKS else ServiceUnavailable(reason)


@cache
def _uniques(table: Table) -> Mapping[str, tuple[str, str]]:
    """Map SQLite's words for a broken constraint to the field the caller sent, and to what finds who has it."""
    found = {}
    for index in table.indexes:
        if index.unique:
            columns = [column.name for column in index.columns]
            found[", ".join(f"{table.name}.{name}" for name in columns)] = (
                columns[-1],
                index.info.get("found_with", ""),
            )
    return MappingProxyType(found)


def integrity(error: sqlite3.IntegrityError, table: Any) -> Exception:
    """Turn a broken unique index into a 409 that names the field; anything else is a fault of ours."""
    prefix = "UNIQUE constraint failed: "
    message = str(error)
    if table is not None and message.startswith(prefix):
        field, look_up = _uniques(table).get(message.removeprefix(prefix), ("", ""))
        if field:
            more = f", or take that record: {look_up} finds it" if look_up else ""
            detail = f"Another record already has this {field}; choose a different one{more}."
            return AlreadyExists(detail, errors=[InputError(f"/{field}", detail)])
    return error
