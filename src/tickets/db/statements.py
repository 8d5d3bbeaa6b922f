"""Statements compiled once, and transactions that run them.

A statement is written with SQLAlchemy Core and compiled once for the dialect; running it costs what the
driver costs (decisions/0002).
"""

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import msgspec
from sqlalchemy import JSON, Dialect, Text
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.dml import UpdateBase

from tickets import clock
from tickets.db.failures import UNDONE, TookTooLong, integrity, unavailable
from tickets.errors import ServiceUnavailable

Row = Any
"""A row: a named tuple with the selected columns as attributes."""

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

    @cached_property
    def source(self) -> Any:
        """The table that a query reads, which is one."""
        [table] = self.clause.get_final_froms()  # type: ignore[attr-defined]  # a Select has it
        return table

    def compiled(self, dialect: Dialect) -> "_Compiled":
        """Return the SQL with what is needed to bind and to read (one dialect a process)."""
        if self._compiled is None or self._compiled.dialect is not dialect:
            self._compiled = _Compiled(self.clause, dialect, raw_json=self._raw_json)
        return self._compiled


class Bulk:
    """An INSERT of many rows, each a tuple: the driver binds values by place in half the time it takes by name.

    Args:
        table: where they go.
        places: the column of each place of a row; values go to the driver as they are, JSON as text.
    """

    def __init__(self, table: Any, places: Sequence[str]) -> None:
        names = [table.c[place].name for place in places]
        self.table = table
        self.sql = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


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
        self.texts = [place for place, column in enumerate(columns) if isinstance(column.type, JSON | Text)]
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
        read = msgspec.Raw if raw_json else _DECODE_JSON  # SQLAlchemy's own goes through three functions
        return (lambda value: None if value is None else read(value)) if kind.none_as_null else read
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
        moment: the time that its reads look at; in a snapshot it stands still like all else.
        topics: who waits for what this transaction holds and is told after its commit, such as ``jobs``.
        on_loop: whether its statements run on the event loop, where each of them makes all requests wait.
    """

    _Late = Callable[["Transaction", dict[Any, Any]], None]

    def __init__(
        self,
        connection: sqlite3.Connection,
        dialect: Dialect,
        *,
        is_snapshot: bool = False,
        is_over: Callable[[], bool] | None = None,
    ) -> None:
        self._connection = connection
        self._is_over = is_over
        self._dialect = dialect
        self._opened_at = clock.now() if is_snapshot else None
        self._depth = 0
        self.topics: set[str] = set()
        self.on_loop = False
        self._late: dict[Transaction._Late, dict[Any, Any]] = {}
        self._known: dict[Any, dict[Any, tuple[Row, ...]]] = {}

    @property
    def moment(self) -> int:
        """The time that reads look at, in milliseconds since the epoch."""
        return clock.now() if self._opened_at is None else self._opened_at

    def interrupt(self) -> None:
        """End the statement that another thread is in the midst of, with `TookTooLong` there; else do nothing."""
        self._connection.interrupt()

    def late(self, work: _Late) -> dict[Any, Any]:
        """Return notes that `work` is given when the transaction ends, once for all that is done in it.

        A savepoint that is undone leaves the notes alone: the work looks at what the transaction holds in the end.
        """
        return self._late.setdefault(work, {})

    def settle(self) -> None:
        """Do what waits for the end; whoever commits calls it before, outside of any savepoint."""
        late, self._late = self._late, {}
        for work, notes in late.items():
            work(self, notes)

    def _execute(self, statement: Statement, values: dict[str, Any]) -> tuple[sqlite3.Cursor, _Compiled]:
        if self._is_over is not None and self._is_over():
            raise TookTooLong
        compiled = statement.compiled(self._dialect)
        if self._known and compiled.table is not None:
            self._known.pop(compiled.table, None)
        try:
            return self._connection.execute(compiled.sql, compiled.arguments(values)), compiled
        except sqlite3.IntegrityError as error:
            raise integrity(error, compiled.table) from error
        except sqlite3.DatabaseError as error:
            raise unavailable(error) from error

    def all(self, statement: Statement, **values: Any) -> list[Row]:
        """Run a statement and return its rows."""
        cursor, compiled = self._execute(statement, values)
        try:
            return list(map(compiled.row, cursor))
        except sqlite3.DatabaseError as error:
            raise unavailable(error) from error

    def known(self, statement: Statement, **values: Any) -> tuple[Row, ...]:
        """Return the rows of a query of one table, which is read again once this transaction has changed the table.

        Nobody else does while it writes: a reading transaction could not know.
        """
        table, asked = statement.source, (statement, *values.items())
        if asked not in self._known.get(table, ()):
            self._known.setdefault(table, {})[asked] = tuple(self.all(statement, **values))
        return self._known[table][asked]

    def within(self, statement: Statement, most: int, /, **values: Any) -> tuple[list[Row], Row | None]:
        """Run a statement and return its rows until their long texts come to too much, and the first row beyond.

        Args:
            statement: what to run; the rest of its rows are never read.
            most: characters of texts and JSON, after which no row follows.
            values: of the parameters.
        """
        cursor, compiled = self._execute(statement, values)
        texts, make, left = compiled.texts, compiled.row, most
        rows: list[Row] = []
        try:
            for read in cursor:
                row = make(read)
                if left < 0:
                    cursor.close()
                    return rows, row
                rows.append(row)
                for place in texts:
                    left -= len(read[place] or "")
        except sqlite3.DatabaseError as error:
            raise unavailable(error) from error
        return rows, None

    def first(self, statement: Statement, **values: Any) -> Row | None:
        """Run a statement and return its first row, or None."""
        cursor, compiled = self._execute(statement, values)
        try:
            values_read = cursor.fetchone()
        except sqlite3.DatabaseError as error:
            raise unavailable(error) from error
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
        self._execute_many(compiled.sql, map(compiled.arguments, rows), compiled.table)

    def bulk(self, bulk: Bulk, rows: Iterable[tuple[Any, ...]]) -> None:
        """Insert many rows."""
        self._execute_many(bulk.sql, rows, bulk.table)

    def _execute_many(self, sql: str, rows: Iterable[Any], table: Any) -> None:
        self._known.pop(table, None)
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.IntegrityError as error:
            raise integrity(error, table) from error
        except sqlite3.DatabaseError as error:
            raise unavailable(error) from error

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
            raise ServiceUnavailable(UNDONE)  # SAVEPOINT would begin another, and RELEASE would commit it
        self._depth += 1
        name = f"s{self._depth}"
        self._connection.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            self._known.clear()
            # SQLite itself rolls the whole transaction back on a full disk or a lost lock.
            if self._connection.in_transaction:
                self._connection.execute(f"ROLLBACK TO {name}")
                self._connection.execute(f"RELEASE {name}")
            raise
        else:
            self._connection.execute(f"RELEASE {name}")
        finally:
            self._depth -= 1
