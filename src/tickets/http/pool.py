"""Threads for what would keep the event loop too long: a few at once, so that requests go on beside them."""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tickets.errors import ServiceUnavailable
from tickets.http.fair_queue import FairQueue, Tenant, too_much

THREADS = 2
"""A hash takes 19 MiB and a core for tens of milliseconds, a long read a core: more at once end no sooner."""

MOST_OF_A_TENANT = THREADS - 1
"""Threads that one tenant may have at once: a newcomer finds another that is free, or soon will be."""

MOST_WAITING_OF_A_TENANT = 16
MOST_WAITING = 64
"""Most queued calls, since more would wait for seconds; beyond, only tenants without a queued call are admitted."""
MOST_WAITING_AT_ALL = 256
"""Most queued calls, those of such tenants included."""


class Pool:
    """Runs functions in threads; tenants take turns.

    Args:
        name: of the threads.
    """

    def __init__(self, name: str) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=name)
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()
        self._running: Counter[Tenant] = Counter()

    async def run(self, function: Callable[..., Any], *args: Any, tenant: Tenant) -> Any:
        """Run a function in a thread, when it is the tenant's turn.

        What waits is given up when its caller is cancelled; what runs goes on, and keeps its thread until it ends.

        Raises:
            ServiceUnavailable: too much waits already, of this tenant or of all.
        """
        self._expect_room(tenant)
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.add(tenant, turn)
        self._next()
        try:
            await turn
        except asyncio.CancelledError:
            self._waiting.drop(tenant, turn)
            if not turn.cancelled():  # it came at the same moment
                self._leave(tenant)
            raise
        try:
            running = self._threads.submit(function, *args)
        except BaseException:
            self._leave(tenant)
            raise
        running.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave, tenant))
        return await asyncio.wrap_future(running)

    def _expect_room(self, tenant: Tenant) -> None:
        own, everybodys = self._waiting.count(tenant), len(self._waiting)
        if own >= MOST_WAITING_OF_A_TENANT:
            raise too_much("requests that take long")
        if everybodys >= (MOST_WAITING if own else MOST_WAITING_AT_ALL):
            raise ServiceUnavailable("Too much is asked for at this moment. Try again in a few seconds.", retry_after=3)

    def _next(self) -> None:
        """Let those run whose turn it is, as long as there are threads."""
        while self._running.total() < THREADS:
            found = self._waiting.take(lambda tenant, _: self._running[tenant] < MOST_OF_A_TENANT)
            if found is None:
                return
            tenant, turn = found
            if turn.cancelled():
                continue
            self._running[tenant] += 1
            turn.set_result(None)

    def _leave(self, tenant: Tenant) -> None:
        self._running[tenant] -= 1
        if not self._running[tenant]:
            del self._running[tenant]
        self._next()

    def close(self) -> None:
        """Finish what runs."""
        self._threads.shutdown(cancel_futures=True)
