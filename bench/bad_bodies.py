"""Memory of the service while it refuses bodies: what is refused must not stay."""

import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from factories import Tenant
from service import ProcessService

REQUESTS = 10_000
STEPS = 10
SIZE = 1_000_000
KINDS = {
    "numbers": b"[" + b",".join([b"1.5"] * (SIZE // 4)) + b"]",
    "numbers, fewer": b'{"subject":[' + b",".join([b"1.5"] * 45_000) + b"]}",
    "one long text": b'{"subject":"' + b"x" * SIZE + b'"}',
    "one long name": b'{"' + b"a1" * (SIZE // 2) + b'":1}',
    "many names": b"{" + b",".join(b'"n%d":1' % number for number in range(SIZE // 12)) + b"}",
    "many names, fewer": b"{" + b",".join(b'"%020d":1' % number for number in range(20_000)) + b"}",
    "text and a wrong end": b'{"subject":"' + "\N{SNOWMAN}".encode() * (SIZE // 3) + b'"',
    "no UTF-8": b'{"subject":"' + b"x" * SIZE + b'\xff"}',
    "empty lists": b'{"tags":[' + b",".join([b"[]"] * 45_000) + b"]}",
    "small faults": b'{"tags":[' + b",".join([b"1"] * 120) + b'],"subject":1}',
}
"""Bodies that no operation takes."""


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def measure(requests: int = REQUESTS) -> Iterator[tuple[int, int]]:
    """Send bad bodies of all kinds in turn; yield how many were sent, and the resident bytes."""
    with tempfile.TemporaryDirectory() as folder:
        service = ProcessService(Path(folder))
        tenant = Tenant(service.database, service.origin)
        client = tenant.client("admin", rate_limit="1000000/second")
        bodies = cycle(KINDS.values())
        sent = 0
        try:
            for count in (len(KINDS) * 2, *[(requests - len(KINDS) * 2) // STEPS] * STEPS):
                for body in islice(bodies, count):
                    answer = client.post("/tickets", content=body, headers={"content-type": "application/json"})
                    if answer.status_code != httpx.codes.BAD_REQUEST:
                        raise AssertionError(answer.text)
                sent += count
                yield sent, resident(service.process.pid)
        finally:
            tenant.close()
            service.stop()


def main() -> None:
    made = Table("bad bodies", title="Memory while bodies are refused", title_justify="left")
    made.add_column("resident", justify="right")
    for sent, size in measure(int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS):
        made.add_row(f"{sent:,}", f"{size / 2**20:,.1f} MiB")
    Console().print(made)


if __name__ == "__main__":
    main()
