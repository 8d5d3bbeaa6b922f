"""What a kind of job is: a function, how often it is tried, and how long a failure waits."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from tickets import clock
from tickets.db import Database
from tickets.jobs.queue import Claimed
from tickets.settings import Settings

FIRST_DELAY = 5 * clock.SECOND
LONGEST_DELAY = 4 * clock.HOUR
ATTEMPTS = 16
"""With the delays: some 9 hours, at most 18, so that a mail server may be down overnight."""


class JobFailed(Exception):  # noqa: N818 - it tells of the job, not of an error in ours
    """A job could not be done.

    Args:
        message: why; operators read it, so nothing of the payload's secrets.
        permanent: whether another attempt would fail the same way.
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(" ".join(message.split()))
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Context:
    """What jobs work with."""

    settings: Settings
    database: Database


def backoff(attempt: int) -> int:
    """Choose how long to wait after a failed attempt: exponential, with full jitter.

    Jobs that failed together do not come back together.

    Args:
        attempt: which one failed, from 1.

    Returns:
        Milliseconds, evenly from 0 to 5 s for the first, twice as much each time, at most 4 h.
    """
    return secrets.randbelow(min(FIRST_DELAY * 2 ** (attempt - 1), LONGEST_DELAY) + 1)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job.

    Attributes:
        name: what `enqueue` calls it.
        run: does the work; it raises `JobFailed` when it cannot, and may run twice for one job.
        attempts: how often before the job is a dead letter.
        delay: milliseconds to wait after a failed attempt.
        waits_outside: whether it waits for somebody else's server; such jobs never take all threads of a worker.
        most_at_once: how many of them run at once, whichever workers run them; None for as many as there are threads.
    """

    name: str
    run: Callable[[Claimed, Context], None]
    attempts: int = ATTEMPTS
    delay: Callable[[int], int] = backoff
    waits_outside: bool = False
    most_at_once: int | None = None


def _unknown(job: Claimed, _: Context) -> None:
    raise JobFailed(f"This version does not know the kind {job.kind}; a newer one may.")


UNKNOWN = Kind("unknown", _unknown)
"""Stands for every other name: while versions run side by side, the newer one's jobs wait for its worker."""
