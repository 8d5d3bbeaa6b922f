"""Memory of a service under bodies that it refuses."""

from itertools import cycle, islice
from pathlib import Path

import httpx

from factories import Tenant
from service import ProcessService

MIB = 1 << 20
MOST_A_BODY = 20 * MIB // 10_000
"""Bytes that one refused body may leave: 10,000 of them are at most 20 MiB."""
LARGE = {
    "numbers": b'{"subject": [' + b",".join([b"1.5"] * 9_000) + b"]}",
    "a long text": b'{"subject": "' + b"x" * 900_000 + b'"}',
    "a long name": b'{"' + b"a1" * 450_000 + b'": 1}',
    "many names": b"{" + b",".join(b'"%050d": 1' % number for number in range(9_000)) + b"}",
    "no JSON": b'{"subject": [' + b",".join([b'"%060d"' % number for number in range(9_000)]),
}


def smaller(number: int) -> list[bytes]:
    """Make bodies of ten kinds, from a few bytes to some KB, with words that no other body has."""
    word = b"%032d" % number
    return [
        b"{}",
        b'{"subject": 1, "description": "' + word + b'"}',
        b'{"subject": "' + word * 100 + b'"}',
        b'{"' + word + b'": 1}',
        b'{"' + word * 30 + b'": 1}',
        b"{" + b",".join(b'"%d-%s": 1' % (place, word) for place in range(100)) + b"}",
        b'{"subject": [' + b",".join([b'"' + word + b'"'] * 100) + b"]}",
        b'{"subject": "' + word,
        b"[" * 50 + word.lstrip(b"0") + b"]" * 50,
        b'{"subject": "S", "description": "\xff' + word + b'"}',
    ]


class Refusing:
    """A service that is sent what it refuses."""

    def __init__(self, service: ProcessService, client: httpx.Client) -> None:
        self._pid = service.process.pid
        self._client = client
        self._number = 0

    def refuse(self, bodies: list[bytes]) -> None:
        for body in bodies:
            answer = self._client.post("/tickets", content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 400

    def after_smaller(self, count: int) -> int:
        """Send so many bodies of ten kinds; returns the memory that the service has then."""
        for _ in range(count // 10):
            self._number += 1
            self.refuse(smaller(self._number))
        return self.resident()

    def after_large(self, count: int) -> int:
        """Send so many of the large bodies; returns the memory that the service has then."""
        self.refuse(list(islice(cycle(LARGE.values()), count)))
        return self.resident()

    def resident(self) -> int:
        """Return the bytes of memory that the process has to itself: not of files, which grow with the audit log."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("RssAnon")]
        return int(line.split()[1]) * 1_024


def test_what_is_refused_does_not_stay(tmp_path: Path):
    service = ProcessService(tmp_path)
    tenant = Tenant(service.database, service.origin)
    refusing = Refusing(service, tenant.client("admin"))
    first = refusing.after_large(20)
    last = refusing.after_large(180)
    assert last - first < 16 * MIB
    # The allocator keeps the room of large bodies, in which what smaller ones leave would not be seen at first.
    warm = refusing.after_smaller(2_500)
    grown = refusing.after_smaller(3_000) - warm
    tenant.close()
    assert service.stop() == 0
    assert grown / 3_000 < MOST_A_BODY
