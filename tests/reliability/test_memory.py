"""Memory of a service under bodies that it refuses."""

from itertools import cycle, islice
from pathlib import Path

from factories import Tenant
from service import ProcessService

MIB = 1 << 20
BODIES = {
    "numbers": b'{"subject": [' + b",".join([b"1.5"] * 9_000) + b"]}",
    "a long text": b'{"subject": "' + b"x" * 900_000 + b'"}',
    "a long name": b'{"' + b"a1" * 450_000 + b'": 1}',
    "many names": b"{" + b",".join(b'"%050d": 1' % number for number in range(9_000)) + b"}",
    "no JSON": b'{"subject": [' + b",".join([b'"%060d"' % number for number in range(9_000)]),
}


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1_024


def test_what_is_refused_does_not_stay(tmp_path: Path):
    service = ProcessService(tmp_path)
    tenant = Tenant(service.database, service.origin)
    client = tenant.client("admin")
    bodies = cycle(BODIES.values())

    def refuse(count: int) -> int:
        for body in islice(bodies, count):
            answer = client.post("/tickets", content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 400
        return resident(service.process.pid)

    first = refuse(20)
    last = refuse(180)
    tenant.close()
    assert service.stop() == 0
    assert last - first < 16 * MIB
