"""The database: one engine, statements compiled once, transactions that lose nothing.

A statement is written with SQLAlchemy Core and compiled once for the dialect; running it costs what the
driver costs (decisions/0002). Everything a request does to the database goes through a `Transaction`.
"""

import fcntl
import sqlite3
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

import msgspec
from sqlalchemy import JSON, Dialect, Engine, Table, create_engine, event, make_url
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.dml import UpdateBase

from tickets.errors import AlreadyExists, InputError, ServiceUnavailable
from tickets.settings import Settings

LOCK_TIMEOUT = 5.0
"""Seconds a writer waits for its turn before the caller gets a 503."""

Row = Any
"""A row: a named tuple with the selected columns as attributes."""

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
_UNDONE = "The disk or the database failed in the middle. Try again in a moment."
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


_DECODE_JSON = msgspec.json.Decoder().decode


class Statement:
    """A Core statement, compiled on first use and kept.

    Args:
        clause: a select, insert, update or delete whose values are bound parameters.
        raw_json: leave JSON columns as the encoded text they are stored as, for rows that are only shown.
    """

    def __init__(self, clause: Executable, *, raw_json: bool = False) -> None:
        self.clause = clause
        self._raw_json = raw_json
        self._compiled: _Compiled | None = None

    def compiled(self, dialect: Dialect) -> "_Compiled":
        """Return the SQL with what is needed to bind and to read (one dialect a process)."""
        if self._compiled is None or self._compiled.dialect is not dialect:
            self._compiled = _Compiled(self.clause, dialect, raw_json=self._raw_json)
        return self._compiled


class _Compiled:
    """SQL text, binders in their order and a reader of rows."""

    def __init__(self, clause: Executable, dialect: Dialect, *, raw_json: bool) -> None:
        compiled: Any = clause.compile(dialect=dialect)  # type: ignore[attr-defined]  # every Executable we pass is a ClauseElement
        self.dialect = dialect
        self.sql = str(compiled)
        # What the statement itself says, and what a value of a type goes through on its way.
        self._constants = {name: bind.value for bind, name in compiled.bind_names.items() if not bind.required}
        self._writers = [
            (name, writer)
            for bind, name in compiled.bind_names.items()
            if (writer := bind.type.dialect_impl(dialect).bind_processor(dialect))
        ]
        columns = list(getattr(clause, "exported_columns", ()))
        self.row: Callable[[Any], Any] = tuple
        if columns:
            names: Any = [column.key for column in columns]
            make = namedtuple("Row", names, rename=True)._make  # type: ignore[attr-defined]  # noqa: PYI024 - known at run time only
            readers = [
                (place, reader)
                for place, column in enumerate(columns)
                if (reader := _reader(column.type, dialect, raw_json=raw_json))
            ]
            self.row = _reading(make, readers) if readers else make
        self.table = clause.table if isinstance(clause, UpdateBase) else None

    def arguments(self, values: dict[str, Any]) -> dict[str, Any]:
        if not self._writers and not self._constants:
            return values
        bound = {**self._constants, **values}
        for name, writer in self._writers:
            bound[name] = writer(bound[name])
        return bound


def _reader(kind: Any, dialect: Dialect, *, raw_json: bool) -> Callable[[Any], Any] | None:
    """Choose what turns the driver's value into ours."""
    if isinstance(kind, JSON) and dialect.name == "sqlite":
        return msgspec.Raw if raw_json else _DECODE_JSON  # SQLAlchemy's own goes through three functions
    reader: Callable[[Any], Any] | None = kind.dialect_impl(dialect).result_processor(dialect, None)
    return reader


def _reading(make: Callable[[Any], Any], readers: list[tuple[int, Callable[[Any], Any]]]) -> Callable[[Any], Any]:
    def read(values: Any) -> Any:
        values = list(values)
        for place, reader in readers:
            values[place] = reader(values[place])
        return make(values)

    return read


class Transaction:
    """The statements of one unit of work on one driver connection; whoever made it commits it.

    Attributes:
        topics: who waits for what this transaction holds and is told after its commit, such as ``jobs``.
    """

    def __init__(self, connection: sqlite3.Connection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect
        self._depth = 0
        self.topics: set[str] = set()

    def _execute(self, statement: Statement, values: dict[str, Any]) -> tuple[sqlite3.Cursor, _Compiled]:
        compiled = statement.compiled(self._dialect)
        try:
            return self._connection.execute(compiled.sql, compiled.arguments(values)), compiled
        except sqlite3.IntegrityError as error:
            raise _integrity(error, compiled.table) from error
        except sqlite3.DatabaseError as error:
            raise unavailable(error) from error

    def all(self, statement: Statement, **values: Any) -> list[Row]:
        """Run a statement and return its rows."""
        cursor, compiled = self._execute(statement, values)
        try:
            return list(map(compiled.row, cursor))
        except sqlite3.DatabaseError as error:
            raise unavailable(error) from error

    def first(self, statement: Statement, **values: Any) -> Row | None:
        """Run a statement and return its first row, or None."""
        cursor, compiled = self._execute(statement, values)
        values_read = cursor.fetchone()
        cursor.close()
        return None if values_read is None else compiled.row(values_read)

    def one(self, statement: Statement, **values: Any) -> Row:
        """Run a statement that always has a row, such as one with RETURNING, and return it."""
        row = self.first(statement, **values)
        if row is None:
            raise LookupError(f"no row from: {statement.clause}")
        return row

    def insert(self, statement: Statement, **values: Any) -> int:
        """Run an INSERT and return the id of the new row."""
        cursor, _ = self._execute(statement, values)
        if cursor.lastrowid is None:
            raise LookupError(f"no id from: {statement.clause}")
        return cursor.lastrowid

    def run(self, statement: Statement, **values: Any) -> int:
        """Run a statement and return the number of rows it changed."""
        cursor, _ = self._execute(statement, values)
        return cursor.rowcount

    def many(self, statement: Statement, rows: list[dict[str, Any]]) -> None:
        """Run a statement once for each dictionary of values."""
        compiled = statement.compiled(self._dialect)
        self._connection.executemany(compiled.sql, [compiled.arguments(row) for row in rows])

    @property
    def is_open(self) -> bool:
        """Tell whether it still goes on: SQLite itself undoes all of it when the disk is full or fails."""
        return self._connection.in_transaction

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what is done inside, and only that, when an exception leaves it.

        Raises:
            ServiceUnavailable: the transaction is undone already: a statement before met a full disk.
        """
        if not self._connection.in_transaction:
            raise ServiceUnavailable(_UNDONE)  # SAVEPOINT would begin another, and RELEASE would commit it
        self._depth += 1
        name = f"s{self._depth}"
        self._connection.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            # SQLite itself rolls the whole transaction back on a full disk or a lost lock.
            if self._connection.in_transaction:
                self._connection.execute(f"ROLLBACK TO {name}")
                self._connection.execute(f"RELEASE {name}")
            raise
        else:
            self._connection.execute(f"RELEASE {name}")
        finally:
            self._depth -= 1


class _Gate:
    """Lets writers in one by one, in this process and in all others that use the same database.

    SQLite's own lock is not fair: a writer in a tight loop starves the rest (decisions/0002). Nor is a file
    lock that is asked for again and again. So there is a turnstile before the gate: who waits at the gate
    stands in it, and who has just left the gate finds it taken.
    """

    def __init__(self, path: Path) -> None:
        self._paths = (path.with_name(path.name + ".next"), path)
        self._inside = threading.Lock()
        self._files: list[Any] = []

    def enter(self, *, wait: float) -> bool:
        """Take the gate; False when it is still taken after `wait` seconds (0 asks once)."""
        deadline = time.monotonic() + wait
        if not (self._inside.acquire(timeout=wait) if wait else self._inside.acquire(blocking=False)):
            return False
        entered = False
        try:
            if not self._files:
                self._files = [path.open("ab") for path in self._paths]
            turnstile, gate = self._files
            if _lock(turnstile, deadline):
                try:
                    entered = _lock(gate, deadline)
                finally:
                    fcntl.flock(turnstile, fcntl.LOCK_UN)
        except OSError as error:
            raise ServiceUnavailable("The database cannot be written to at the moment.") from error
        finally:
            if not entered:
                self._inside.release()
        return entered

    def leave(self) -> None:
        """Give the gate to the next writer."""
        fcntl.flock(self._files[1], fcntl.LOCK_UN)
        self._inside.release()

    def close(self) -> None:
        """Close the files."""
        files, self._files = self._files, []
        for file in files:
            file.close()


def _lock(file: Any, deadline: float) -> bool:
    """Lock a file against other processes, by a moment of the monotonic clock."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.002)
        else:
            return True


class Locked(ServiceUnavailable):
    """Another process holds the lock."""


class Connection:
    """One connection for one thread at a time; it is opened anew after a failure of the disk.

    Args:
        database: where to connect.
        patience: milliseconds SQLite itself waits for a lock.
    """

    def __init__(self, database: "Database", *, patience: int = 1_000) -> None:
        self._database = database
        self._patience = patience
        self._pooled: Any = None
        self._driver: sqlite3.Connection | None = None

    def _open(self) -> sqlite3.Connection:
        if self._driver is None:
            self._pooled = self._database.engine.raw_connection()
            driver: sqlite3.Connection = self._pooled.driver_connection
            driver.execute(f"PRAGMA busy_timeout={self._patience}")
            self._driver = driver
        return self._driver

    def single(self) -> Transaction:
        """Return what runs one read outside any transaction; it is its own snapshot.

        Raises:
            ServiceUnavailable: the database cannot be opened.
        """
        try:
            return Transaction(self._open(), self._database.engine.dialect)
        except sqlite3.DatabaseError as error:
            raise unavailable(error) from error

    def begin(self, *, write: bool) -> Transaction:
        """Open a transaction: a snapshot for reads, or the one that may write.

        Raises:
            Locked: another process is writing.
            ServiceUnavailable: the database cannot be opened.
        """
        try:
            driver = self._open()
            driver.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        except sqlite3.DatabaseError as error:
            failure = unavailable(error)
            if not isinstance(failure, Locked):
                self.close()
            raise failure from error
        return Transaction(driver, self._database.engine.dialect)

    def commit(self) -> None:
        """Make the transaction durable; when this raises, nothing of it is stored."""
        driver = self._open()
        if not driver.in_transaction:
            raise ServiceUnavailable(_UNDONE)
        try:
            driver.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            self.close()
            raise unavailable(error) from error

    def rollback(self) -> None:
        """Undo the transaction, or end a read."""
        try:
            if self._driver is not None and self._driver.in_transaction:
                self._driver.execute("ROLLBACK")
        except sqlite3.DatabaseError:
            self.close()

    def close(self) -> None:
        """Give the connection up; the next `begin` opens another."""
        pooled, self._pooled, self._driver = self._pooled, None, None
        if pooled is not None:
            pooled.invalidate()


class Database:
    """The engine, the gate and transactions for whoever has a thread to wait in.

    Args:
        settings: where the database is and how durable a commit is.
    """

    def __init__(self, settings: Settings) -> None:
        self.path = Path(str(make_url(settings.database_url).database))
        self.engine = _engine(settings)
        self._gate = _Gate(self.path.with_name(self.path.name + ".gate"))
        self._local = threading.local()
        self._threads: list[Connection] = []

    def begin_write(self, connection: Connection, *, wait: float = LOCK_TIMEOUT) -> Transaction:
        """Pass the gate and open the transaction that may write; `end_write` gives the gate back.

        Args:
            connection: a connection of the caller's.
            wait: seconds to wait for other writers; 0 asks once and never blocks.

        Raises:
            Locked: another process is still writing.
            ServiceUnavailable: the database cannot be written to.
        """
        deadline = time.monotonic() + wait
        if not self._gate.enter(wait=wait):
            raise Locked(_UNAVAILABLE[sqlite3.SQLITE_BUSY] + " Try again in a moment.")
        try:
            while True:
                try:
                    return connection.begin(write=True)
                except Locked:
                    if time.monotonic() >= deadline:
                        raise
                    time.sleep(0.005)
        except BaseException:
            self._gate.leave()
            raise

    def end_write(self) -> None:
        """Let the next writer in."""
        self._gate.leave()

    def _mine(self) -> Connection:
        if not hasattr(self._local, "connection"):
            self._local.connection = Connection(self)
            self._threads.append(self._local.connection)
        mine: Connection = self._local.connection
        return mine

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Run reads on one snapshot, in the calling thread."""
        mine = self._mine()
        transaction = mine.begin(write=False)
        try:
            yield transaction
        finally:
            mine.rollback()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Run writes in the calling thread; commits at the end, undoes all when an exception leaves it.

        Raises:
            ServiceUnavailable: the database stayed locked, or its disk failed.
        """
        mine = self._mine()
        transaction = self.begin_write(mine)
        try:
            yield transaction
            mine.commit()
        finally:
            mine.rollback()
            self.end_write()

    def close(self) -> None:
        """Close what `read` and `write` opened; no thread may be inside them any more."""
        for connection in self._threads:
            connection.close()
        self._gate.close()
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _engine(settings: Settings) -> Engine:
    # Each Connection keeps its connection; check_same_thread is off since a commit runs in another thread
    # than the statements before it, never at the same time.
    engine = create_engine(
        settings.database_url,
        poolclass=NullPool,
        paramstyle="named",  # the driver takes the values by name, as they come
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
        connect_args={"check_same_thread": False, "cached_statements": 512},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        # Python 3.11's default transactions lose updates: it begins late and deferred.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            f"synchronous={settings.sqlite_synchronous}",
            "foreign_keys=ON",
            "wal_autocheckpoint=4000",  # pages, 16 MB: a checkpoint makes the commits behind it wait
            "cache_size=-65536",
            "temp_store=MEMORY",
            "trusted_schema=OFF",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # For what goes through SQLAlchemy's own connections: migrations.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def unavailable(error: sqlite3.DatabaseError) -> Exception:
    """Turn what the disk or a lock did into a 503; a fault of our own SQL stays what it is."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or code & 0xFF not in _UNAVAILABLE:
        return error
    reason = f"{_UNAVAILABLE[code & 0xFF]} Try again in a moment."
    return Locked(reason) if code & 0xFF in _LOCKED else ServiceUnavailable(reason)


@cache
def _uniques(table: Table) -> dict[str, str]:
    """Map SQLite's words for a broken constraint to the field the caller sent."""
    found = {}
    for index in table.indexes:
        if index.unique:
            columns = [column.name for column in index.columns]
            found[", ".join(f"{table.name}.{name}" for name in columns)] = columns[-1]
    return found


def _integrity(error: sqlite3.IntegrityError, table: Any) -> Exception:
    prefix = "UNIQUE constraint failed: "
    message = str(error)
    if table is not None and message.startswith(prefix):
        field = _uniques(table).get(message.removeprefix(prefix))
        if field:
            detail = f"Another record already has this {field}; choose a different one."
            return AlreadyExists(detail, errors=[InputError(f"/{field}", detail)])
    return error
