"""Threads for what would keep the event loop too long: a few at once, so that requests go on beside them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tickets.errors import ServiceUnavailable

THREADS = 2
"""A hash takes 19 MiB and a core for tens of milliseconds, a long read a core: more at once end no sooner."""

MOST_WAITING = 64
"""More would wait for seconds; they are told to come back."""


class Pool:
    """Runs functions in threads.

    Args:
        name: of the threads.
    """

    def __init__(self, name: str) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=name)
        self._waiting = 0

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function in a thread.

        Raises:
            ServiceUnavailable: too many wait already.
        """
        if self._waiting >= MOST_WAITING:
            raise ServiceUnavailable("Too much is asked for at this moment. Try again in a few seconds.", retry_after=3)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Finish what runs."""
        self._threads.shutdown(cancel_futures=True)
