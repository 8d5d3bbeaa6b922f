"""Who has the database's file open, and whether it still is the one that was opened."""

import contextlib
import fcntl
import os
import threading
from pathlib import Path
from typing import Any

from tickets.db.gate import open_beside
from tickets.errors import ServiceUnavailable

MOVED = (
    "The database's file was replaced, moved or deleted while the service runs; nothing can be stored. "
    "Its operator has to put the file back, or restart the service."
)
RESTORING = "The database is being restored from a backup. Try again in a moment."

_Identity = tuple[int, int]


class Presence:
    """Shows other processes that this one has the database open, and notices when its files are not the same any more.

    SQLite goes on writing to a file that was deleted or renamed; what it stores there is lost.

    Args:
        database: the file as it is named in the settings.
        real: the file that this name leads to; SQLite puts its -wal and -shm next to it.
    """

    def __init__(self, database: Path, real: Path) -> None:
        self._paths = (database, real.with_name(f"{real.name}-wal"), real.with_name(f"{real.name}-shm"))
        self._lock_path = lock_of(real)
        self._lock: int | None = None
        self._found: list[_Identity | None] = [None] * len(self._paths)
        self._connections = 0
        self._is_moved = False
        self._mutex = threading.Lock()

    def enter(self) -> None:
        """Show others that the file is in use; call it before a connection is opened.

        Raises:
            ServiceUnavailable: another process is replacing the file, or did so.
        """
        with self._mutex:
            if self._connections:
                # Before SQLite looks at it: a -wal that is still there would be written into another database.
                self._expect_same()
            if self._lock is not None:
                return
            try:
                # Read-only, so that a disk can become so while the service goes on.
                lock = open_beside(self._paths[0], self._lock_path, os.O_RDONLY)
            except OSError:
                return  # where nobody can make a file, nobody can replace one
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                raise ServiceUnavailable(RESTORING) from None
            self._lock = lock

    def opened(self) -> None:
        """Note which files a connection has opened.

        Raises:
            ServiceUnavailable: they are not those that others of this process have open.
        """
        with self._mutex:
            if not self._connections:
                # SQLite makes -wal and -shm anew for the first that opens the database.
                self._found[1:] = [None] * (len(self._paths) - 1)
            self._expect_same()
            self._connections += 1

    def closed(self) -> None:
        """Note that a connection was closed."""
        with self._mutex:
            self._connections -= 1

    def expect_in_place(self) -> None:
        """Look whether the files are those that were opened.

        Raises:
            ServiceUnavailable: they are not; what is written now would be lost.
        """
        with self._mutex:
            self._expect_same()

    def _expect_same(self) -> None:
        for place, path in enumerate(self._paths):
            found = _identity(path)
            if self._found[place] is None:
                self._found[place] = found
            elif found != self._found[place]:
                if not self._is_moved:
                    self._is_moved = True
                    _log().error("the database was replaced, moved or deleted under this process", file=str(path))
                raise ServiceUnavailable(MOVED, retry_after=10)
        if self._is_moved:
            self._is_moved = False
            _log().warning("the database is in its place again", file=str(self._paths[0]))

    def close(self) -> None:
        """Show others that this process no longer has the database open."""
        with self._mutex:
            lock, self._lock = self._lock, None
            self._found = [None] * len(self._paths)
            self._connections = 0
        if lock is not None:
            os.close(lock)


def lock_of(database: Path) -> Path:
    """Name the file whose lock shows that a database is in use."""
    return database.with_name(f"{database.name}.in-use")


def _log() -> Any:
    import structlog  # noqa: PLC0415 - hardly ever needed, and commands that never log shall not wait for it

    return structlog.get_logger("tickets")


def _identity(path: Path) -> _Identity | None:
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None
