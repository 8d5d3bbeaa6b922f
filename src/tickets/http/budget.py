"""The time of long reads: how much each has, and what to ask for when it was not enough."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from tickets.db import TookTooLong

LONGEST_READ = 3.0
"""Seconds that a read in a thread may take; others wait for the thread meanwhile."""
_AGAIN = 0.02
"""Seconds between two interrupts of a read: one that comes just before a statement begins does nothing."""

_NARROWER = {
    "from": "a shorter time (`from`, `to`)",
    "interval": "a longer `interval`",
    "group_by": "no `group_by`",
    "q": "rarer or more words (`q`)",
    "search": "rarer or more words (`search`)",
    "page": "a page by `cursor` instead of `page` or `offset`",
    "limit": "fewer rows (`limit`)",
    "expand": "no `expand`",
    "created_from": "a shorter time (`created_from`, `created_to`)",
    "since": "a later `since`",
}
"""What makes a question smaller, by the parameter that an operation has for it."""


class Budget:
    """The time limit of one read; `end` makes it expire early, when nobody waits for the answer any more.

    SQLite asks `is_over` every some thousand steps of its machine. One step may take long, such as that of FTS5 which
    gathers all words that begin with a letter: an interrupt ends that too, and `watch` sends it.
    """

    def __init__(self) -> None:
        self._ends_at = float("inf")
        self._interrupt: Callable[[], None] | None = None
        self._changing = threading.Lock()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Start the clock; after `end` was called, the read has no time left."""
        with self._changing:
            self._ends_at = min(self._ends_at, time.monotonic() + LONGEST_READ)

    @contextmanager
    def interrupts(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Call `interrupt` when the time is over, from another thread, and never once this has been left."""
        with self._changing:
            self._interrupt = interrupt
        try:
            yield
        finally:
            with self._changing:
                self._interrupt = None

    def end(self) -> None:
        """End the read, from any thread."""
        with self._changing:
            self._ends_at = 0.0
        self._interrupt_if_reading()

    def is_over(self) -> bool:
        """Return whether the read has to end."""
        return time.monotonic() >= self._ends_at

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Interrupt the read when its time is over, again and again until it has ended; called on the event loop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.is_over():
            # A read that has not begun has all of its time.
            self._timer = loop.call_later(min(self._ends_at - time.monotonic(), LONGEST_READ), self.watch, loop)
        elif self._interrupt_if_reading():
            self._timer = loop.call_later(_AGAIN, self.watch, loop)

    def _interrupt_if_reading(self) -> bool:
        """Interrupt the read if it runs, and tell whether it does."""
        with self._changing:  # who leaves `interrupts` waits for this, so nothing else is hit
            if self._interrupt is not None:
                self._interrupt()
            return self._interrupt is not None


def took_too_long(parameters: Iterable[str]) -> TookTooLong:
    """Make the 503 for a read that took too long, which names what to narrow.

    Args:
        parameters: the names that the operation takes in the query.
    """
    ways = [_NARROWER[name] for name in parameters if name in _NARROWER]
    narrower = f"Ask for less: {', '.join(ways)}, or filter more." if ways else "Ask for less."
    return TookTooLong(f"This takes longer than the {LONGEST_READ:g} s that one read may take. {narrower}")
