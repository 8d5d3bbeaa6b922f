"""What the audit log costs: ``python -m bench.audit``, reads and writes with and without it.

Both servers take turns in short rounds, each on its own copy of the same data; what counts is the median of the
ratios of neighbouring rounds, which the rest of the machine disturbs least.
"""

import statistics
import sys

from bench import data, servers
from rich.console import Console
from rich.table import Table

ROUNDS = 7
SECONDS = 4.0
CONNECTIONS = 16
GOAL = 0.9


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    console = Console(width=None if sys.stdout.isatty() else 120)
    kinds = servers.rows(data.prepare(console))
    made = Table(
        "request", "with, /s", "without, /s", "ratio", "ratios", "CPU µs with", "without", title="The audit log"
    )
    with servers.running("ours") as on, servers.running("no-audit") as off:
        for name in ("get", "list", "post"):
            pairs = []
            for turn in range(rounds):
                order = (on, off) if turn % 2 else (off, on)  # neither always goes first
                found = {
                    server.name: servers.load(server, kinds[name], connections=CONNECTIONS, seconds=seconds)
                    for server in order
                }
                pairs.append((found[on.name], found[off.name]))
            ratios = [one[0].rate / other[0].rate for one, other in pairs]
            made.add_row(
                kinds[name].title,
                f"{statistics.median(one[0].rate for one, _ in pairs):,.0f}",
                f"{statistics.median(other[0].rate for _, other in pairs):,.0f}",
                f"{statistics.median(ratios):.3f}" + (f" (goal {GOAL})" if name != "post" else ""),
                " ".join(f"{ratio:.2f}" for ratio in ratios),
                f"{statistics.median(one[1] for one, _ in pairs):,.0f}",
                f"{statistics.median(other[1] for _, other in pairs):,.0f}",
            )
    console.print(made)


if __name__ == "__main__":
    main()
