"""Who opens and commits transactions for requests: reads inline, writes many to a commit.

SQLite answers in microseconds, and each hop to another thread costs more than the statement (decisions/0002).
So statements run on the event loop. A commit waits for the disk: it runs in a thread of its own, and all
writes that arrive meanwhile share the next one, each behind its own savepoint. An answer leaves only after
the commit that holds it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import structlog

from tickets.db import Connection, Database, Locked, Transaction
from tickets.errors import ServiceUnavailable
from tickets.http.pool import Pool

log = structlog.get_logger("tickets")

MAX_BATCH = 64
"""Most writes to one commit: what runs inline between two looks of the event loop at its sockets."""

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

    async def apart(self, work: Work) -> Any:
        """Run a read that would keep the event loop too long, on a snapshot of its own.

        Raises:
            ServiceUnavailable: the database cannot be read, or too many such reads wait already.
        """

        def whole() -> Any:
            with self._database.read() as transaction:
                return work(transaction)

        return await self._pool.run(whole)

    def close(self) -> None:
        """Finish what runs, then close."""
        self._pool.close()
        self._connection.close()


class Writer:
    """Runs writes one after another and commits them together.

    Args:
        database: where to write.
        listeners: whom to call after a commit, by the topic that a transaction named; they return at once.
    """

    def __init__(self, database: Database, listeners: Mapping[str, Callable[[], None]] | None = None) -> None:
        self._database = database
        self._listeners = dict(listeners or {})
        # It never waits for a lock by itself: its statements run on the event loop.
        self._connection = Connection(database, patience=0)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._waiting: deque[tuple[Work, _Outcome, bool]] = deque()
        self._begun: list[_Outcome] = []
        self._running: asyncio.Task[None] | None = None

    async def run(self, work: Work, *, long: bool = False) -> Any:
        """Run work in a transaction and return its result once it is on disk.

        Whoever is cancelled meanwhile gets the result all the same, unless the work had not begun: then it is not done.

        Args:
            work: makes its statements and returns; an exception undoes what it did, and only that.
            long: run it alone in a thread, since it would keep the event loop too long.

        Raises:
            ServiceUnavailable: the database is locked, or the commit failed: nothing is stored.
        """
        outcome = self._enqueue(work, long=long)
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
        future = self._enqueue(work, long=False)
        future.add_done_callback(_log_failure)
        return future

    def _enqueue(self, work: Work, *, long: bool) -> _Outcome:
        outcome = _Outcome(loop=asyncio.get_running_loop())
        self._waiting.append((work, outcome, long))
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
                if self._waiting[0][2]:
                    await self._run_alone(*self._waiting.popleft()[:2])
                else:
                    await self._run_batch()
        finally:
            self._running = None
            # Only a fault of this class, or a loop that ends under it, leaves any: who waits is told rather than left.
            for outcome in (*self._begun, *(outcome for _, outcome, _ in self._waiting)):
                outcome.abandon()
            self._begun.clear()
            self._waiting.clear()

    def _begin(self, outcome: _Outcome) -> bool:
        """Tell whether somebody still waits; from now on they do to the end."""
        if outcome.cancelled():
            return False  # whoever asked was told that it was not done
        outcome.has_begun = True
        self._begun.append(outcome)
        return True

    async def _run_alone(self, work: Work, future: _Outcome) -> None:
        if not self._begin(future):
            return

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

    async def _run_batch(self) -> None:
        loop = asyncio.get_running_loop()
        begin = partial(self._database.begin_write, self._connection)
        try:
            try:
                transaction = begin(wait=0)
            except Locked:
                transaction = await loop.run_in_executor(self._thread, begin)
        except Exception as error:  # noqa: BLE001 - it is everybody's who waits
            while self._waiting:
                _settle(self._waiting.popleft()[1], error, failed=True)
            return
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
        """Run what waits, in its order, up to the next long piece."""
        while self._waiting and not self._waiting[0][2] and len(outcomes) < MAX_BATCH:
            work, future, _ = self._waiting.popleft()
            if not self._begin(future):
                continue
            outcomes.append((future, *_attempt(transaction, work)))
            if not transaction.is_open:
                raise ServiceUnavailable("The disk failed in the middle of a write. Try again in a moment.")


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
