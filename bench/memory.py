"""Memory of the service after start and after 100,000 requests."""

import sys

from bench import data, servers
from rich.console import Console
from rich.table import Table

REQUESTS = 100_000
SHARES = {"get": 0.8, "list": 0.1, "post": 0.1}
"""A service is read more than it is written."""


def measure(facts: data.Facts, requests: int = REQUESTS) -> dict[str, int]:
    """Return resident bytes after the first answer, and after as many requests."""
    kinds = servers.rows(facts)
    with servers.running("ours") as server:
        found = {"after start": server.memory()}
        for half in (1, 2):
            for name, share in SHARES.items():
                servers.load(server, kinds[name], count=int(requests * share / 2), warm_up=0.0)
            found[f"after {requests * half // 2:,} requests"] = server.memory()
    return found


def table(found: dict[str, int]) -> Table:
    """Show them."""
    made = Table("memory of this service", title="Memory (80 % GET, 10 % list, 10 % POST)", title_justify="left")
    made.add_column("resident", justify="right")
    for moment, size in found.items():
        made.add_row(moment, f"{size / 2**20:,.0f} MiB")
    return made


def main() -> None:
    console = Console()
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS
    console.print(table(measure(data.prepare(console), requests)))


if __name__ == "__main__":
    main()
