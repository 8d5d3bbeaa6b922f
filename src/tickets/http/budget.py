"""The time of long reads: how much each has, and what to ask for when it was not enough."""

import time
from collections.abc import Iterable

from tickets.db import TookTooLong

LONGEST_READ = 3.0
"""Seconds that a read in a thread may take; others wait for the thread meanwhile."""

_NARROWER = {
    "from": "a shorter time (`from`, `to`)",
    "interval": "a longer `interval`",
    "group_by": "no `group_by`",
    "q": "rarer or more words (`q`)",
    "search": "rarer or more words (`search`)",
    "page": "a page by `cursor` instead of `page` or `offset`",
    "limit": "fewer rows (`limit`)",
    "expand": "no `expand`",
    "created_after": "a shorter time (`created_after`, `created_before`)",
    "since": "a later `since`",
}
"""What makes a question smaller, by the parameter that an operation has for it."""


class Budget:
    """The time limit of one read; `end` makes it expire early, when nobody waits for the answer any more."""

    def __init__(self) -> None:
        self._ends_at = float("inf")

    def begin(self) -> None:
        """Start the clock; after `end` was called, the read has no time left."""
        self._ends_at = min(self._ends_at, time.monotonic() + LONGEST_READ)

    def end(self) -> None:
        """End the read, from any thread."""
        self._ends_at = 0.0

    def is_over(self) -> bool:
        """Return whether the read has to end."""
        return time.monotonic() >= self._ends_at


def took_too_long(parameters: Iterable[str]) -> TookTooLong:
    """Make the 503 for a read that took too long, which names what to narrow.

    Args:
        parameters: the names that the operation takes in the query.
    """
    ways = [_NARROWER[name] for name in parameters if name in _NARROWER]
    narrower = f"Ask for less: {', '.join(ways)}, or filter more." if ways else "Ask for less."
    return TookTooLong(f"This takes longer than the {LONGEST_READ:g} s that one read may take. {narrower}")
