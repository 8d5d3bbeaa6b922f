"""Connections: who has one, who may write, and how each is prepared."""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.pool import NullPool

from tickets.db.failures import LOCKED, UNDONE, Locked, unavailable
from tickets.db.gate import PRIVATE, Gate
from tickets.db.presence import Presence
from tickets.db.statements import Transaction
from tickets.errors import ServiceUnavailable
from tickets.settings import Settings

LOCK_TIMEOUT = 5.0
"""Seconds a writer waits for its turn before the caller gets a 503."""
ENDING = "The process is ending."
STEPS = 200_000
"""Steps of SQLite's machine, some milliseconds, between two looks whether a read's time is over."""


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
        self._is_bounded = False
        self._in_use = threading.RLock()
        self._is_last_use = False
        self._is_interrupted = False

    @contextmanager
    def use(self) -> Iterator[None]:
        """Keep the connection open while a thread works with it, even if `close_unless_used` is called meanwhile."""
        with self._in_use:
            try:
                yield
            finally:
                if self._is_last_use:
                    self._is_last_use = False
                    self.close()

    def close_unless_used(self) -> None:
        """Close it; one that a thread is at work with is closed by that thread, once it is done."""
        self._is_last_use = True
        if self._in_use.acquire(blocking=False):
            try:
                self._is_last_use = False
                self.close()
            finally:
                self._in_use.release()

    def _open(self) -> sqlite3.Connection:
        if self._driver is None:
            if self._database.is_closed:
                raise ServiceUnavailable(ENDING)
            pooled: Any = self._database.engine.raw_connection()
            try:
                driver: sqlite3.Connection = pooled.driver_connection
                driver.execute(f"PRAGMA busy_timeout={self._patience}")
                self._database.presence.opened()
            except BaseException:
                pooled.invalidate()
                raise
            self._pooled, self._driver = pooled, driver
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

    def begin(self, *, write: bool, is_over: Callable[[], bool] | None = None) -> Transaction:
        """Open a transaction: a snapshot for reads, or the one that may write.

        Args:
            write: which of them.
            is_over: polled before and during each statement; the transaction's statements fail once it returns True.

        Raises:
            Locked: another process is writing.
            ServiceUnavailable: the database cannot be opened.
        """
        self._expect_not_interrupted()
        try:
            driver = self._open()
            driver.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        except sqlite3.DatabaseError as error:
            failure = unavailable(error)
            if not isinstance(failure, Locked):
                self.close()
            try:
                raise failure from error
            finally:
                del failure  # its traceback holds this frame
        self._expect_not_interrupted()  # it may have been while the connection was opened
        if is_over is not None:
            self._is_bounded = True
            driver.set_progress_handler(is_over, STEPS)
        return Transaction(driver, self._database.engine.dialect, is_snapshot=not write, is_over=is_over)

    def _expect_not_interrupted(self) -> None:
        if self._is_interrupted:
            self.rollback()
            raise ServiceUnavailable(ENDING)

    def commit(self) -> None:
        """Make the transaction durable; when this raises, nothing of it is stored."""
        driver = self._open()
        if not driver.in_transaction:
            raise ServiceUnavailable(UNDONE)
        self._database.presence.expect_in_place()
        try:
            driver.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            self.close()
            raise unavailable(error) from error

    def rollback(self) -> None:
        """Undo the transaction, or end a read."""
        try:
            if self._driver is not None and self._is_bounded:
                self._is_bounded = False
                self._driver.set_progress_handler(None, 0)
            if self._driver is not None and self._driver.in_transaction:
                self._driver.execute("ROLLBACK")
        except sqlite3.DatabaseError:
            self.close()

    def interrupt(self) -> None:
        """End the statement that another thread is in the midst of, and let it begin no transaction more."""
        self._is_interrupted = True
        if (driver := self._driver) is not None:
            with contextlib.suppress(sqlite3.ProgrammingError):  # closed at the same moment
                driver.interrupt()

    def close(self) -> None:
        """Give the connection up; the next `begin` opens another."""
        pooled, self._pooled, self._driver = self._pooled, None, None
        if pooled is not None:
            pooled.invalidate()
            self._database.presence.closed()


class Database:
    """The engine, the gate and transactions for whoever has a thread to wait in.

    Args:
        settings: where the database is and how durable a commit is.

    Attributes:
        path: of the file; where the settings name a link, it is what the link leads to.
        presence: tells whether the file is still the one that was opened.
        is_closed: whether `close` was called; no connection is opened from then on.
    """

    def __init__(self, settings: Settings) -> None:
        named = Path(str(make_url(settings.database_url).database))
        self.path = named.resolve()
        self.presence = Presence(named, self.path)
        self.engine = _engine(settings, self.presence)
        self._gate = Gate(self.path)
        self._local = threading.local()
        self.is_closed = False
        self._threads: list[tuple[threading.Thread, Connection]] = []
        self._interrupted: set[threading.Thread] = set()

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
            raise Locked(LOCKED)
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
            self._threads.append((threading.current_thread(), self._local.connection))
            if threading.current_thread() in self._interrupted:
                self._local.connection.interrupt()
        mine: Connection = self._local.connection
        return mine

    @contextmanager
    def read(self, *, is_over: Callable[[], bool] | None = None) -> Iterator[Transaction]:
        """Run reads on one snapshot, in the calling thread.

        Args:
            is_over: ends them, with `TookTooLong`, as soon as it says so.
        """
        mine = self._mine()
        with mine.use():
            transaction = mine.begin(write=False, is_over=is_over)
            try:
                yield transaction
            finally:
                mine.rollback()

    @contextmanager
    def write(self, *, wait: float = LOCK_TIMEOUT) -> Iterator[Transaction]:
        """Run writes in the calling thread; commits at the end, undoes all when an exception leaves it.

        Args:
            wait: seconds to wait for other writers.

        Raises:
            ServiceUnavailable: the database stayed locked, or its disk failed.
        """
        mine = self._mine()
        with mine.use():
            transaction = self.begin_write(mine, wait=wait)
            try:
                yield transaction
                transaction.settle()
                mine.commit()
            finally:
                mine.rollback()
                self.end_write()

    def interrupt(self, thread: threading.Thread) -> None:
        """End what a thread does in `read` or `write`, for good; what it has not committed is undone.

        A thread that has used neither of them yet is refused both from now on.
        """
        self._interrupted.add(thread)  # before the look at what it has: it may open its connection at this moment
        for owner, connection in self._threads:
            if owner is thread:
                connection.interrupt()

    def close(self) -> None:
        """Close what `read` and `write` opened; a thread that is inside them still goes on to its end."""
        self.is_closed = True
        for _, connection in self._threads:
            connection.close_unless_used()
        self._gate.close()
        self.engine.dispose()
        self.presence.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _engine(settings: Settings, presence: Presence) -> Engine:
    # Each Connection keeps its connection; check_same_thread is off since a commit runs in another thread
    # than the statements before it, never at the same time.
    engine = create_engine(
        settings.database_url,
        poolclass=NullPool,
        paramstyle="named",  # the driver takes the values by name, as they come
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
        connect_args={"check_same_thread": False, "cached_statements": 192},
    )

    @event.listens_for(engine, "do_connect")
    def create(*_: object) -> None:
        presence.enter()
        # SQLite would let everybody read a file it makes, and gives its -wal and -shm the same mode. Where this
        # fails, SQLite tells why; a file that is there keeps what its owner chose.
        with contextlib.suppress(OSError):
            os.close(os.open(str(engine.url.database), os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))

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
            # What is deleted is overwritten where that costs no writes. Some builds overwrite all of it, some nothing:
            # to delete 2,000 comments of 50,000 characters took 4.8 s then, and takes 0.5 s.
            "secure_delete=FAST",
            "trusted_schema=OFF",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # For what goes through SQLAlchemy's own connections: migrations.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
