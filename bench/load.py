"""Load over raw HTTP/1.1 keep-alive connections: as little work per request as Python allows.

A process of its own: reads a plan as JSON from standard input, prints what it measured as JSON.
"""

import asyncio
import itertools
import json
import os
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import uvloop

UNIQUE = b"{unique}"
"""Where a request carries this, every request gets a value of its own."""


@dataclass(kw_only=True)
class Plan:
    """What to send.

    Attributes:
        port: of a server on 127.0.0.1.
        requests: complete requests, sent one after another, over and over.
        connections: how many, each with one request in flight.
        seconds: how long to measure; ignored when `count` is given.
        count: how many requests to measure.
        warm_up: seconds before that are not measured.
    """

    port: int
    requests: list[str]
    connections: int = 16
    seconds: float = 5.0
    count: int = 0
    warm_up: float = 0.5


@dataclass(kw_only=True)
class Measured:
    """What came back; times in milliseconds."""

    seconds: float
    requests: int
    rate: float
    p50: float
    p99: float
    slowest: float
    body_bytes: int
    statuses: dict[str, int] = field(default_factory=dict)


class _Load:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.source = itertools.cycle([_parts(text.encode("latin-1")) for text in plan.requests])
        self.unique = itertools.count(int.from_bytes(os.urandom(12), "big"))
        self.latencies: list[float] = []
        self.statuses: Counter[bytes] = Counter()
        self.body_bytes = 0
        self.measuring = False
        self.stopping = False
        self.left = plan.count or -1
        self.open = 0
        self.failure: str | None = None
        self.done = asyncio.Event()

    def next(self) -> bytes:
        before, after = next(self.source)
        return before if after is None else b"%b%032x%b" % (before, next(self.unique) % 2**128, after)

    async def run(self) -> Measured:
        loop = asyncio.get_running_loop()
        for _ in range(self.plan.connections):
            await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.plan.port)
        await asyncio.sleep(self.plan.warm_up)
        self.measuring = True
        started = time.perf_counter()
        if not self.plan.count:
            loop.call_later(self.plan.seconds, self.stop)
        await self.done.wait()
        took = time.perf_counter() - started
        if self.failure is not None:
            raise ConnectionError(self.failure)
        ordered = sorted(self.latencies)
        return Measured(
            seconds=round(took, 3),
            requests=len(ordered),
            rate=round(len(ordered) / took, 1),
            p50=_percentile(ordered, 0.5),
            p99=_percentile(ordered, 0.99),
            slowest=_percentile(ordered, 1),
            body_bytes=self.body_bytes,
            statuses={status.decode(): count for status, count in self.statuses.items()},
        )

    def stop(self) -> None:
        self.measuring = False
        self.stopping = True
        self.done.set()

    def fail(self, reason: str) -> None:
        if not self.stopping:
            self.failure = self.failure or reason
            self.stop()


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self.load = load
        self.started = 0.0
        self.buffer = b""
        self.missing = 0
        self.status = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.started = time.perf_counter()
        self.transport.write(self.load.next())

    def data_received(self, data: bytes) -> None:
        if self.missing:
            self.missing -= len(data)
        else:
            data = self.buffer + data if self.buffer else data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.buffer = data
                return
            self.buffer = b""
            head = data[: end + 2]
            at = head.find(b"content-length: ")
            if at < 0:
                head = head.lower()
                at = head.find(b"content-length: ")
            if at < 0:
                self.load.fail("an answer without content-length")
                return
            length = int(head[at + 16 : head.find(b"\r", at)])
            self.status = head[9:12]
            if self.load.measuring:
                self.load.body_bytes += length
            self.missing = end + 4 + length - len(data)
        if self.missing == 0:
            self.answered()
        elif self.missing < 0:
            self.load.fail("more bytes than the answer has")

    def answered(self) -> None:
        load = self.load
        if load.measuring:
            load.latencies.append(time.perf_counter() - self.started)
            load.statuses[self.status] += 1
            load.left -= 1
            if load.left == 0:
                load.stop()
        elif self.status[:1] != b"2":
            load.fail(f"status {self.status.decode()}")
        if load.stopping:
            self.transport.close()
        else:
            self.send()

    def connection_lost(self, _: Exception | None) -> None:
        self.load.fail("the server closed the connection")


def _parts(request: bytes) -> tuple[bytes, bytes | None]:
    before, found, after = request.partition(UNIQUE)
    return before, after if found else None


def _percentile(ordered: list[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 3) if ordered else 0.0


def main() -> None:
    plan = Plan(**json.load(sys.stdin))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = runner.run(_Load(plan).run())
    json.dump(asdict(measured), sys.stdout)


if __name__ == "__main__":
    main()
