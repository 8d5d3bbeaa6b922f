"""One tenant who asks for much, and others who ask for little: threads and writes are taken in turn."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tickets import migrations
from tickets.db import Connection, Database, Transaction
from tickets.errors import ServiceUnavailable
from tickets.http import pool as pools
from tickets.http import transaction
from tickets.http.exchange import Exchange
from tickets.http.fair_queue import FairQueue, tenant_of
from tickets.http.pool import Pool
from tickets.http.transaction import Writer
from tickets.settings import Settings

GREEDY, MODEST, THIRD = 1, 2, 3


class Stand:
    """Functions for a pool that note their name and wait until they may end."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self._ends = threading.Semaphore(0)

    def work(self, name: str) -> str:
        self.began.append(name)
        assert self._ends.acquire(timeout=20)
        return name

    def end(self, count: int = 1) -> None:
        self._ends.release(count)

    async def until(self, count: int) -> None:
        """Wait until so many have begun."""
        async with asyncio.timeout(20):
            while len(self.began) < count:  # noqa: ASYNC110 - threads count, which set no event of asyncio's
                await asyncio.sleep(0.001)


def run(scene: Callable[[Pool, Stand], Awaitable[None]]) -> None:
    """Play a scene with a pool of its own."""

    async def play() -> None:
        pool, stand = Pool("test"), Stand()
        try:
            await scene(pool, stand)
        finally:
            stand.end(1_000)
            pool.close()

    asyncio.run(play())


def ask(pool: Pool, stand: Stand, tenant: Any, *names: str) -> list[asyncio.Task[str]]:
    return [asyncio.ensure_future(pool.run(stand.work, name, tenant=tenant)) for name in names]


async def settled() -> None:
    """Let the loop do what is ready."""
    for _ in range(5):
        await asyncio.sleep(0)


class TestQueue:
    def test_tenants_take_turns_and_each_ones_order_stays(self):
        queue: FairQueue[str] = FairQueue()
        for tenant, item in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (2, "b2")]:
            queue.add(tenant, item)
        taken = [found[1] for _ in range(6) if (found := queue.take())]
        assert taken == ["a1", "b1", "c1", "a2", "b2", "a3"]
        assert (queue.take(), len(queue), queue.count(1)) == (None, 0, 0)

    def test_a_tenant_whose_item_may_not_be_taken_keeps_their_turn(self):
        queue: FairQueue[str] = FairQueue()
        for tenant in (1, 2, 3):
            queue.add(tenant, f"item of {tenant}")
        assert queue.take(lambda tenant, _: tenant == 3) == (3, "item of 3")
        assert queue.take() == (1, "item of 1")

    def test_what_is_dropped_is_gone_and_nothing_else(self):
        queue: FairQueue[str] = FairQueue()
        for item in ("a", "b"):
            queue.add(1, item)
        for _ in range(2):
            queue.drop(1, "a")
        queue.drop(2, "b")
        assert (len(queue), queue.take(), len(queue)) == (1, (1, "b"), 0)

    def test_work_is_an_organizations_or_that_of_the_network_of_somebody_who_did_not_sign_in(self):
        signed = Exchange("r", "192.0.2.1", "/", organization_id=7)
        homes = [Exchange("r", f"2001:db8:1:2:{host}::1", "/") for host in ("aaaa", "bbbb")]
        assert [tenant_of(exchange) for exchange in (signed, *homes)] == [7, "2001:db8:1:2::/64", "2001:db8:1:2::/64"]


class TestThreads:
    def test_one_tenant_leaves_a_thread_to_others(self):
        async def scene(pool: Pool, stand: Stand) -> None:
            ask(pool, stand, GREEDY, "g1", "g2", "g3")
            await stand.until(1)
            await settled()
            assert stand.began == ["g1"]
            tasks = ask(pool, stand, MODEST, "m1")
            await stand.until(2)
            assert stand.began == ["g1", "m1"]
            stand.end(10)
            await asyncio.gather(*tasks)

        run(scene)

    def test_tenants_take_turns_where_more_wait_than_there_are_threads(self):
        async def scene(pool: Pool, stand: Stand) -> None:
            greedy = [f"g{n}" for n in range(10)]
            modest = ["m0", "m1"]
            tasks = [*ask(pool, stand, GREEDY, *greedy), *ask(pool, stand, MODEST, *modest)]
            tasks += ask(pool, stand, THIRD, "t")
            for begun in (2, 3, 4):
                await stand.until(begun)
                stand.end()
            stand.end(len(tasks))
            await asyncio.gather(*tasks)
            assert "t" in stand.began[:5]
            for own in (greedy, modest):
                assert [name for name in stand.began if name in own] == own

        run(scene)

    def test_beyond_a_tenants_own_share_of_the_queue_they_are_told_so_and_others_are_heard(self):
        async def scene(pool: Pool, stand: Stand) -> None:
            names = [f"g{n}" for n in range(pools.MOST_OF_A_TENANT + pools.MOST_WAITING_OF_A_TENANT)]
            waiting = ask(pool, stand, GREEDY, *names)
            await settled()
            with pytest.raises(ServiceUnavailable, match="your own requests") as refused:
                await pool.run(stand.work, "one too many", tenant=GREEDY)
            assert int(refused.value.headers["retry-after"]) >= 1
            ask(pool, stand, MODEST, "m1")
            await stand.until(2)
            assert "m1" in stand.began
            stand.end(1_000)
            assert await asyncio.gather(*waiting) == names

        run(scene)

    def test_when_many_tenants_fill_the_queue_those_are_heard_who_have_nothing_waiting(self):
        async def scene(pool: Pool, stand: Stand) -> None:
            tasks = [*ask(pool, stand, 1, "first"), *ask(pool, stand, 2, "second")]
            for tenant in range(pools.MOST_WAITING // 8):
                tasks += ask(pool, stand, 100 + tenant, *"abcdefgh")
            await settled()
            with pytest.raises(ServiceUnavailable, match="Too much is asked for"):
                await pool.run(stand.work, "more", tenant=100)
            for stranger in range(pools.MOST_WAITING_AT_ALL - pools.MOST_WAITING):
                tasks += ask(pool, stand, 1_000 + stranger, "s")
            await settled()
            assert len(pool._waiting) == pools.MOST_WAITING_AT_ALL
            with pytest.raises(ServiceUnavailable, match="Too much is asked for"):
                await pool.run(stand.work, "more", tenant=9_999)
            stand.end(1_000)
            await asyncio.gather(*tasks)

        run(scene)

    def test_what_waits_for_a_caller_who_left_is_not_run(self):
        async def scene(pool: Pool, stand: Stand) -> None:
            first, second, third = ask(pool, stand, GREEDY, "g1", "g2", "g3")
            await stand.until(1)
            second.cancel()
            await settled()
            assert pool._waiting.count(GREEDY) == 1
            stand.end(2)
            assert await asyncio.gather(first, third) == ["g1", "g3"]
            assert stand.began == ["g1", "g3"]

        run(scene)

    def test_a_caller_who_leaves_while_it_runs_gives_the_thread_back_only_when_it_has_ended(self):
        async def scene(pool: Pool, stand: Stand) -> None:
            first, second = ask(pool, stand, GREEDY, "g1", "g2")
            await stand.until(1)
            first.cancel()
            await settled()
            assert stand.began == ["g1"]
            stand.end()
            await stand.until(2)
            stand.end()
            assert await second == "g2"
            assert not pool._running

        run(scene)

    def test_a_function_that_fails_gives_its_thread_back(self):
        async def scene(pool: Pool, stand: Stand) -> None:
            def failing() -> None:
                raise LookupError("its own fault")

            for _ in range(3):
                with pytest.raises(LookupError):
                    await pool.run(failing, tenant=GREEDY)
            await settled()
            stand.end()
            assert await pool.run(stand.work, "after", tenant=GREEDY) == "after"

        run(scene)


class TestWrites:
    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        with Database(Settings(var_dir=tmp_path)) as database:
            migrations.upgrade(database)
            yield database

    def ran(self, database: Database, *asked: tuple[int, str, bool]) -> list[str]:
        """Ask for writes while the gate is shut; returns the order in which they ran."""
        order: list[str] = []

        async def play() -> None:
            writer = Writer(database)
            with shut(database):
                tasks = [
                    asyncio.ensure_future(writer.run(lambda _, n=name: order.append(n), tenant=tenant, long=long))
                    for tenant, name, long in asked
                ]
                await settled()
            await asyncio.gather(*tasks)
            await writer.close()

        asyncio.run(play())
        return order

    def test_a_tenant_who_has_many_long_writes_waiting_lets_others_go_in_between(self, database: Database):
        long = [(GREEDY, f"g{n}", True) for n in range(5)]
        order = self.ran(database, (GREEDY, "g", False), *long, (MODEST, "m1", False), (MODEST, "m2", False))
        assert order == ["g", "m1", "m2", "g0", "g1", "g2", "g3", "g4"]

    def test_long_writes_of_several_tenants_take_turns(self, database: Database):
        long = [(GREEDY, f"g{n}", True) for n in range(3)]
        order = self.ran(database, (THIRD, "t", False), *long, (MODEST, "m0", True), (MODEST, "m1", True))
        assert order == ["t", "g0", "m0", "g1", "m1", "g2"]

    def test_all_short_writes_that_waited_run_before_the_second_long_one(self, database: Database):
        short = [(tenant, f"s{tenant}", False) for tenant in range(10, 20) for _ in range(40)]
        long = [(GREEDY, "g0", True), (GREEDY, "g1", True), (MODEST, "m0", True)]
        order = self.ran(database, *long, *short)
        places = [order.index(name) for name in ("g0", "m0", "g1")]
        assert places == [transaction.MAX_BATCH, len(short) + 1, len(short) + 2]

    def test_short_writes_that_keep_coming_have_as_much_time_as_the_long_one_before_them(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(transaction, "LONGEST_GAP", 3_600.0)
        order = self.ran_beside_clients(database, clients=3, long=4)
        begins = [place for place, name in enumerate(order) if name == "long"]
        assert len(begins) == 4
        between = [after - before - 1 for before, after in pairwise(begins)]
        assert all(500 <= count <= 500 + transaction.MAX_BATCH for count in between), between

    def test_a_long_write_waits_for_no_short_ones_when_none_come(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(transaction, "LONGEST_GAP", 3_600.0)
        assert self.ran_beside_clients(database, clients=0, long=4) == ["long"] * 4

    def test_a_long_write_does_not_wait_for_clients_who_have_left(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(transaction, "LONGEST_GAP", 0.0)
        time = 0.0

        def take_hours(_: Transaction) -> None:
            nonlocal time
            time += 10_000.0

        async def play() -> None:
            writer = Writer(database, now=lambda: time)
            await writer.run(take_hours, tenant=GREEDY, long=True)
            await writer.run(lambda _: None, tenant=MODEST)
            async with asyncio.timeout(20):
                await writer.run(take_hours, tenant=GREEDY, long=True)
            await writer.close()

        asyncio.run(play())

    def ran_beside_clients(self, database: Database, *, clients: int, long: int) -> list[str]:
        """Ask for long writes of half a second, beside clients with one write of a millisecond after another."""
        order: list[str] = []
        time = 0.0

        def take(name: str, seconds: float) -> None:
            nonlocal time
            time += seconds
            order.append(name)

        async def play() -> None:
            writer = Writer(database, now=lambda: time)

            async def client(tenant: int) -> None:
                while order.count("long") < long:
                    await writer.run(lambda _: take("short", 0.001), tenant=tenant)

            tasks = [asyncio.ensure_future(client(tenant)) for tenant in range(10, 10 + clients)]
            await asyncio.gather(
                *(writer.run(lambda _: take("long", 0.5), tenant=GREEDY, long=True) for _ in range(long)), *tasks
            )
            await writer.close()

        asyncio.run(play())
        return order

    def test_what_a_tenant_asked_for_keeps_its_order(self, database: Database):
        asked = [(GREEDY, f"g{n}", n in {2, 5}) for n in range(8)]
        assert self.ran(database, *asked) == [name for _, name, _ in asked]

    def test_one_commit_holds_writes_of_tenants_in_turn(self, database: Database):
        asked = [(GREEDY, f"g{n}", False) for n in range(100)]
        order = self.ran(database, *asked, (MODEST, "m", False))
        assert order.index("m") <= 1
        assert [name for name in order if name != "m"] == [name for _, name, _ in asked]

    def test_a_tenant_may_have_only_so_many_writes_waiting(self, database: Database):
        async def play() -> None:
            writer = Writer(database)
            with shut(database):
                tasks = [asyncio.ensure_future(writer.run(lambda _: None, tenant=THIRD))]  # waits at the gate
                await settled()
                for long, most in (
                    (True, transaction.MOST_LONG_WAITING_OF_A_TENANT),
                    (False, transaction.MOST_WAITING_OF_A_TENANT - transaction.MOST_LONG_WAITING_OF_A_TENANT),
                ):
                    for _ in range(most):
                        task = writer.run(lambda _: None, tenant=GREEDY, long=long)
                        tasks.append(asyncio.ensure_future(task))
                    await settled()
                    with pytest.raises(ServiceUnavailable, match="your own"):
                        await writer.run(lambda _: None, tenant=GREEDY, long=long)
                tasks.append(asyncio.ensure_future(writer.run(lambda _: None, tenant=MODEST, long=True)))
                tasks.append(asyncio.ensure_future(writer.run(lambda _: None)))
                await settled()
            await asyncio.gather(*tasks)
            await asyncio.gather(*(writer.run(lambda _: None, tenant=GREEDY, long=True) for _ in range(3)))
            await writer.close()

        asyncio.run(play())

    def test_writes_of_one_tenant_still_share_commits(self, database: Database):
        seen: list[Transaction] = []

        async def play() -> None:
            writer = Writer(database)
            with shut(database):
                tasks = [asyncio.ensure_future(writer.run(seen.append, tenant=GREEDY)) for _ in range(128)]
                await settled()
            await asyncio.gather(*tasks)
            await writer.close()

        asyncio.run(play())
        assert len({id(tx) for tx in seen}) == 2


@contextmanager
def shut(database: Database) -> Iterator[None]:
    """Keep the gate, so that writes wait together."""
    blocker = Connection(database)
    database.begin_write(blocker)
    try:
        yield
    finally:
        blocker.rollback()
        database.end_write()
        blocker.close()
