"""The gate: writers pass it one by one, whichever thread or process they are in."""

import contextlib
import fcntl
import os
import threading
import time
from collections import deque
from pathlib import Path

from tickets.errors import ServiceUnavailable

PRIVATE = 0o600
"""The mode of a file that is its owner's only."""


class FairLock:
    """A lock that threads get in the order in which they asked for it; who leaves it hands it to the next one.

    A `threading.Lock` goes to whoever asks at the right moment: to a thread in a loop, again and again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        self._queue: deque[threading.Event] = deque()

    def waiting(self) -> int:
        """Return how many threads wait for the lock."""
        return len(self._queue)

    def acquire(self, *, wait: float) -> bool:
        """Take the lock; False when it is still taken after `wait` seconds (0 asks once)."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            if wait <= 0:
                return False
            turn = threading.Event()
            self._queue.append(turn)
        has_come = False
        try:
            has_come = turn.wait(wait)
        finally:
            if not has_come:
                has_come = self._cancel(turn)
        return has_come

    def _cancel(self, turn: threading.Event) -> bool:
        """Stop waiting; True when the lock was handed over meanwhile."""
        with self._lock:
            if turn.is_set():
                return True
            self._queue.remove(turn)
            return False

    def release(self) -> None:
        """Hand the lock to the thread that has waited longest."""
        with self._lock:
            if self._queue:
                self._queue.popleft().set()
            else:
                self._is_taken = False


class Gate:
    """Lets writers in one by one, in this process and in all others that use the same database.

    SQLite's own lock is not fair: a writer in a tight loop starves the rest (decisions/0002). Nor is a file
    lock that is asked for again and again. So there is a turnstile before the gate: who waits at the gate
    stands in it, and who has just left the gate finds it taken. Threads of one process queue before both.

    Args:
        database: the file; the gate lies beside it, for whoever may use it.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._paths = [database.with_name(database.name + end) for end in (".gate.next", ".gate")]
        self._inside = FairLock()
        self._files: list[int] = []

    def enter(self, *, wait: float) -> bool:
        """Take the gate; False when it is still taken after `wait` seconds (0 asks once)."""
        deadline = time.monotonic() + wait
        if not self._inside.acquire(wait=wait):
            return False
        entered = False
        try:
            if not self._files:
                self._files = [open_beside(self._database, path, os.O_WRONLY) for path in self._paths]
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
        """Close the files; those of a writer who is inside still are left to the end of the process."""
        if not self._inside.acquire(wait=0):
            return
        try:
            files, self._files = self._files, []
            for file in files:
                os.close(file)
        finally:
            self._inside.release()


def open_beside(database: Path, path: Path, flags: int) -> int:
    """Open a file to lock, and make it when it is not there; it is for whoever may use the database.

    Args:
        database: whose mode it gets, as SQLite does with its -wal, whatever the umask.
        path: of the file.
        flags: how to open it.
    """
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, PRIVATE)
    with contextlib.suppress(FileNotFoundError):
        os.fchmod(descriptor, database.stat().st_mode & 0o666)
    return descriptor


def _lock(file: int, deadline: float) -> bool:
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
