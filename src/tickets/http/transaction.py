"""Who opens and commits transactions for requests: reads inline, writes many to a commit.

SQLite answers in microseconds, and each hop to another thread costs more than the statement (decisions/0002).
So statements run on the event loop. A commit waits for the disk: it runs in a thread of its own, and all
writes that arrive meanwhile share the next one, each behind its own savepoint. An answer leaves only after
the commit that holds it.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import structlog

from tickets.db import Connection, Database, Locked, Transaction
from tickets.errors import ServiceUnavailable
from tickets.http.budget import Budget
from tickets.http.fair_queue import FairQueue, Tenant, too_much
from tickets.http.pool import Pool

log = structlog.get_logger("tickets")

MAX_BATCH = 64
"""Most writes to one commit: what runs inline between two looks of the event loop at its sockets."""
LONGEST_BATCH = 0.02
"""Seconds after which a commit takes no more writes, since long texts make each of them longer."""
LONGEST_GAP = 0.02
"""Seconds that a long write lets pass for the next short one: clients send it when they have the last answer."""

MOST_WAITING_OF_A_TENANT = 512
"""Most writes of one tenant that may be queued, long ones included: more would wait for seconds."""
MOST_LONG_WAITING_OF_A_TENANT = 16
"""Most long writes among them."""

Work = Callable[[Transaction], Any]


class _Outcome(asyncio.Future[Any]):
    """What somebody waits for: the result of their work, once it is on disk.

    Who is cancelled while the work waits gives it up. From its begin on nobody can tell them that it was not
    done, so this refuses to be cancelled, and whoever waits is woken by the outcome instead.
    """

    has_begun = False

    def cancel(self, msg: Any = None) -> bool:
        """Give the work up, unless it has begun."""
        return not self.has_begun and super().cancel(msg)

    def abandon(self) -> None:
        """Give it up whatever happened, since nobody will tell."""
        super().cancel()


class Reader:
    """Reads on the event loop, on one connection, one request at a time; long reads in threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pool = Pool("read")
        self._budgets: set[Budget] = set()
        self._connection = Connection(database)
        self._open = False

    def begin(self) -> Transaction:
        """Open a snapshot.

        Raises:
            ServiceUnavailable: the database cannot be read.
        """
        transaction = self._connection.begin(write=False)
        self._open = True
        return transaction

    def single(self) -> Transaction:
        """Return what runs one read without a snapshot around it.

        Raises:
            ServiceUnavailable: the database cannot be read.
        """
        return self._connection.single()

    def end(self) -> None:
        """Give the snapshot up, if there is one."""
        if self._open:
            self._open = False
            self._connection.rollback()

    async def apart(self, work: Work, *, tenant: Tenant) -> Any:
        """Run a read that would keep the event loop too long, on a snapshot of its own.

        It ends when its time is over, or when its caller is cancelled.

        Raises:
            TookTooLong: its time was over.
            ServiceUnavailable: the database cannot be read, or too many such reads wait already.
        """
        budget = Budget()

        def whole() -> Any:
            budget.begin()
            with self._database.read(is_over=budget.is_over) as transaction, budget.interrupts(transaction.interrupt):
                return work(transaction)

        loop = asyncio.get_running_loop()
        self._budgets.add(budget)
        budget.watch(loop)
        try:
            return await self._pool.run(whole, tenant=tenant)
        finally:
            budget.end()
            budget.watch(loop)  # to the end of a read whose caller has left; of any other, this stops it
            self._budgets.discard(budget)

    def close(self) -> None:
        """End what runs, then close."""
        for budget in self._budgets:
            budget.end()
        self._pool.close()
        self._connection.close()


class _Waiting(NamedTuple):
    """A write that waits."""

    work: Work
    outcome: _Outcome
    is_long: bool
    number: int
    """Counts writes in the order in which they were asked for."""


class Writer:
    """Runs writes one after another and commits them together; tenants take turns.

    What one tenant asked for keeps its order. After a long write, the short writes that waited when it ended run
    before the next long one; and so do others that come, until as much time has passed as the long write took.
    So a short write waits for one long write at most, unless its own tenant asked for long ones before it, and long
    writes have half of the time at most while short ones keep coming.

    Args:
        database: where to write.
        listeners: whom to call after a commit, by the topic that a transaction named; they return at once.
        now: tells the time, in seconds.
    """

    def __init__(
        self,
        database: Database,
        listeners: Mapping[str, Callable[[], None]] | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._database = database
        self._listeners = dict(listeners or {})
        # It never waits for a lock by itself: its statements run on the event loop.
        self._connection = Connection(database, patience=0)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._waiting: FairQueue[_Waiting] = FairQueue()
        self._long: Counter[Tenant] = Counter()
        self._begun: list[_Outcome] = []
        self._running: asyncio.Task[None] | None = None
        self._asked = 0
        # What the last long write left to short ones: those asked for before this number, and the time until then.
        self._asked_before = 0
        self._short_until = float("-inf")
        self._has_run_short = False
        self._has_asked = asyncio.Event()

    async def run(self, work: Work, *, tenant: Tenant = None, long: bool = False) -> Any:
        """Run work in a transaction and return its result once it is on disk.

        Whoever is cancelled meanwhile gets the result all the same, unless the work had not begun: then it is not done.

        Args:
            work: makes its statements and returns; an exception undoes what it did, and only that.
            tenant: whose work it is.
            long: run it alone in a thread, since it would keep the event loop too long.

        Raises:
            ServiceUnavailable: too many writes of the tenant wait already, the database is locked, or the commit
                failed: nothing is stored.
        """
        outcome = self._enqueue(work, tenant, long=long)
        try:
            return await outcome
        except asyncio.CancelledError:
            if outcome.done() and not outcome.cancelled():
                return outcome.result()
            raise
        finally:
            del outcome  # it holds an error whose traceback holds this frame

    def soon(self, work: Work) -> asyncio.Future[Any]:
        """Run work that nobody has to wait for, with the next commit; a failure is logged."""
        future = self._enqueue(work, None, long=False)
        future.add_done_callback(_log_failure)
        return future

    def expect_room(self, tenant: Tenant, *, long: bool) -> None:
        """Refuse a write that would be one too many; who asks this early does nothing for it in vain.

        Raises:
            ServiceUnavailable: too many writes of the tenant wait already.
        """
        if tenant is None:
            return  # the service's own work is bounded where it is made
        if long and self._long[tenant] >= MOST_LONG_WAITING_OF_A_TENANT:
            raise too_much("bulk changes and deletions")
        if self._waiting.count(tenant) >= MOST_WAITING_OF_A_TENANT:
            raise too_much("writes")

    def _enqueue(self, work: Work, tenant: Tenant, *, long: bool) -> _Outcome:
        self.expect_room(tenant, long=long)
        outcome = _Outcome(loop=asyncio.get_running_loop())
        self._waiting.add(tenant, _Waiting(work, outcome, long, self._asked))
        self._asked += 1
        self._has_asked.set()
        if long:
            self._long[tenant] += 1
        if self._running is None:
            self._running = asyncio.create_task(self._drain())
        return outcome

    async def finish(self) -> None:
        """Finish what waits; who waits for it goes on before this returns."""
        while self._running is not None:
            await self._running

    async def close(self) -> None:
        """Finish what waits, then close."""
        await self.finish()
        self._thread.shutdown()
        self._connection.close()

    async def _drain(self) -> None:
        try:
            while self._waiting:
                self._begun.clear()
                await self._run_batch()
                self._begun.clear()
                if self._long and not await self._is_turn_of_short():
                    await self._run_long()
        finally:
            self._running = None
            # Only a fault of this class, or a loop that ends under it, leaves any: who waits is told rather than left.
            left = [waiting.outcome for waiting in self._take_all()]
            for outcome in (*self._begun, *left):
                outcome.abandon()
            self._begun.clear()

    async def _is_turn_of_short(self) -> bool:
        """Tell whether short writes go before the next long one; for a moment, wait whether one comes."""

        def has_waited(_: Tenant, waiting: _Waiting) -> bool:
            return not waiting.is_long and waiting.number < self._asked_before

        if self._waiting.has(has_waited):
            return True
        left = self._short_until - self._now()
        if left <= 0 or self._waiting.has(_is_short):
            return left > 0
        if not self._has_run_short:
            return False  # long writes are alone, and wait for nothing
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left, LONGEST_GAP)):
                while not self._waiting.has(_is_short):
                    self._has_asked.clear()
                    await self._has_asked.wait()
        return self._waiting.has(_is_short)

    def _take(self, may: Callable[[Tenant, _Waiting], bool] = lambda *_: True) -> _Waiting | None:
        found = self._waiting.take(may)
        if found is None:
            return None
        tenant, waiting = found
        if waiting.is_long:
            self._long[tenant] -= 1
            if not self._long[tenant]:
                del self._long[tenant]
        elif tenant is not None:  # the service's own writes come whether or not anybody asks for more
            self._has_run_short = True
        return waiting

    def _take_all(self) -> Iterator[_Waiting]:
        while (waiting := self._take()) is not None:
            yield waiting

    def _begin(self, outcome: _Outcome) -> bool:
        """Tell whether somebody still waits; from now on they do to the end."""
        if outcome.cancelled():
            return False  # whoever asked was told that it was not done
        outcome.has_begun = True
        self._begun.append(outcome)
        return True

    async def _run_long(self) -> None:
        """Run the long write whose turn it is, if one waits."""
        found = self._take(_is_long)
        if found is None or not self._begin(found.outcome):
            return
        work, future = found.work, found.outcome
        began_at = self._now()

        def whole() -> Any:
            with self._database.write() as transaction:
                done = work(transaction)
            self._tell(transaction)
            return done

        try:
            result = await asyncio.get_running_loop().run_in_executor(self._thread, whole)
        except Exception as error:  # noqa: BLE001 - it is the caller's, who waits for it
            _settle(future, error, failed=True)
        else:
            _settle(future, result)
        ended_at = self._now()
        self._asked_before, self._short_until = self._asked, ended_at + (ended_at - began_at)
        self._has_run_short = False

    async def _run_batch(self) -> None:
        """Run the short writes whose turn it is, if any wait, and commit them together."""
        if not self._waiting.has(_is_short):
            return
        loop = asyncio.get_running_loop()
        begin = partial(self._database.begin_write, self._connection)
        try:
            try:
                transaction = begin(wait=0)
            except Locked:
                transaction = await loop.run_in_executor(self._thread, begin)
        except Exception as error:  # noqa: BLE001 - it is everybody's who waits
            for waiting in self._take_all():
                _settle(waiting.outcome, error, failed=True)
            return
        transaction.on_loop = True
        outcomes: list[tuple[_Outcome, Any, bool]] = []
        try:
            try:
                self._perform(transaction, outcomes)
                transaction.settle()
                await loop.run_in_executor(self._thread, self._connection.commit)
            finally:
                self._connection.rollback()
                self._database.end_write()
        except Exception as error:  # noqa: BLE001 - it is everybody's who waits for this commit
            outcomes = [(future, error, True) for future, _, _ in outcomes]
        self._tell(transaction)  # also of a commit that failed: who listens looks, and finds nothing
        for future, result, failed in outcomes:
            _settle(future, result, failed=failed)
        outcomes.clear()  # the frames of a traceback in it hold it

    def _tell(self, transaction: Transaction) -> None:
        for topic in transaction.topics & self._listeners.keys():
            self._listeners[topic]()

    def _perform(self, transaction: Transaction, outcomes: list[tuple[_Outcome, Any, bool]]) -> None:
        """Run queued short writes for up to `LONGEST_BATCH` seconds; those behind a tenant's long write stay queued."""
        end = self._now() + LONGEST_BATCH
        while (
            len(outcomes) < MAX_BATCH
            and (not outcomes or self._now() < end)
            and (waiting := self._take(_is_short)) is not None
        ):
            if not self._begin(waiting.outcome):
                continue
            outcomes.append((waiting.outcome, *_attempt(transaction, waiting.work)))
            if not transaction.is_open:
                raise ServiceUnavailable("The disk failed in the middle of a write. Try again in a moment.")


def _is_short(_: Tenant, waiting: _Waiting) -> bool:
    return not waiting.is_long


def _is_long(_: Tenant, waiting: _Waiting) -> bool:
    return waiting.is_long


def _attempt(transaction: Transaction, work: Work) -> tuple[Any, bool]:
    try:
        with transaction.savepoint():
            return work(transaction), False
    except Exception as error:  # noqa: BLE001 - it is the caller's, who waits for it
        return error, True


def _log_failure(future: asyncio.Future[Any]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        log.warning("write failed", error=repr(error))


def _settle(future: asyncio.Future[Any], result: Any, *, failed: bool = False) -> None:
    if future.cancelled():
        return
    if failed:
        # A future takes no StopIteration: awaiting it would end the wrong loop.
        future.set_exception(RuntimeError(repr(result)) if isinstance(result, StopIteration) else result)
    else:
        future.set_result(result)
