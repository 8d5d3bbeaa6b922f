"""The whole comparison in one command: ``python -m bench.run``; results go to bench/results.

Servers take turns in short rounds, so that whatever else the machine does meets all of them; what counts
is the median round. Each server has its own copy of the same data.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import data, memory, parts, report, servers
from bench.data import Facts
from bench.load import Measured
from bench.report import Grid, machine
from bench.servers import Row, Server
from rich.console import Console
from rich.progress import Progress

TITLES = {
    "ours": "this service",
    "connexion": "Connexion's FlaskApp as it comes",
    "fastapi-usual": "FastAPI as most write it",
    "fastapi-best": "FastAPI at its best",
    "granian": "this service on granian",
}
GOALS = {"connexion": 8.0, "fastapi-usual": 5.0, "fastapi-best": 1.1}
SHARED = ("get", "list", "post")
CONNECTIONS = 16
SLOW_DISK_CONNECTIONS = 64
SLOW_DISK_GOAL = 500.0


@dataclass(kw_only=True)
class Figures:
    """The rounds of one server with one kind of request, and what stands for them.

    Attributes:
        rate: requests a second, of the median round.
        p50: milliseconds, median of the rounds.
        p99: milliseconds, median of the rounds.
        cpu: microseconds of the server's CPU time a request, median of the rounds.
        rates: of each round.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    rates: list[float] = field(default_factory=list)


def _figures(rounds: list[tuple[Measured, float]]) -> Figures:
    return Figures(
        rate=statistics.median(m.rate for m, _ in rounds),
        p50=statistics.median(m.p50 for m, _ in rounds),
        p99=statistics.median(m.p99 for m, _ in rounds),
        cpu=round(statistics.median(cpu for _, cpu in rounds), 1),
        rates=[m.rate for m, _ in rounds],
    )


def _take_turns(
    running: dict[str, Server], kinds: dict[str, Row], pairs: list[tuple[str, str]], chosen: argparse.Namespace
) -> dict[str, dict[str, Figures]]:
    """Measure pairs of row and server, round by round."""
    rounds: dict[tuple[str, str], list[tuple[Measured, float]]] = {pair: [] for pair in pairs}
    with Progress(console=chosen.console, transient=True) as progress:
        task = progress.add_task("Measuring", total=chosen.rounds * len(pairs))
        for turn in range(chosen.rounds):
            # Each round begins with another pair, so that none always follows the same neighbour.
            begin = turn * len(pairs) // chosen.rounds
            for row, name in pairs[begin:] + pairs[:begin]:
                progress.update(task, description=f"{kinds[row].title}: {TITLES[name]}")
                plan = {"connections": CONNECTIONS, "seconds": chosen.seconds}
                rounds[row, name].append(servers.load(running[name], kinds[row], **plan))
                progress.advance(task)
    found: dict[str, dict[str, Figures]] = {}
    for (row, name), measured in rounds.items():
        found.setdefault(row, {})[name] = _figures(measured)
    return found


def compare(facts: Facts, chosen: argparse.Namespace) -> dict[str, dict[str, Figures]]:
    """Measure this service and its peers, side by side."""
    kinds = servers.rows(facts)
    names = ("ours", *GOALS)
    pairs = [(row, name) for row in SHARED for name in names] + [("post-key", "ours")]
    with ExitStack() as stack:
        running = {name: stack.enter_context(servers.running(name)) for name in names}
        return _take_turns(running, kinds, pairs, chosen)


def compare_servers(facts: Facts, chosen: argparse.Namespace) -> dict[str, dict[str, Figures]]:
    """Measure this service on uvicorn and on granian."""
    kinds = servers.rows(facts)
    names = ("ours", "granian")
    with ExitStack() as stack:
        running = {name: stack.enter_context(servers.running(name)) for name in names}
        return _take_turns(running, kinds, [(row, name) for row in SHARED for name in names], chosen)


def slow_disk(facts: Facts, chosen: argparse.Namespace) -> dict[str, Figures] | None:
    """Measure POST where each fsync takes 10 ms longer; None where no C compiler is."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        chosen.console.print("No C compiler, so the slow disk is not measured.")
        return None
    found = {}
    with tempfile.TemporaryDirectory(dir=data.FOLDER) as folder:
        library = Path(folder) / "fsync.so"
        source = Path(__file__).with_name("fsync.c")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)  # noqa: S603
        for name in ("ours", "fastapi-best"):
            with servers.running(name, preload=library) as server:
                plan = {"connections": SLOW_DISK_CONNECTIONS, "seconds": chosen.seconds}
                found[name] = _figures([servers.load(server, servers.rows(facts)["post"], **plan)])
    return found


def _comparison(found: dict[str, dict[str, Figures]], kinds: dict[str, Row], what: str = "") -> Iterator[Grid]:
    for row, by_name in found.items():
        ours = by_name["ours"].rate
        lines = []
        for name, f in by_name.items():
            ratio = ours / f.rate
            goal = GOALS.get(name)
            verdict = "" if goal is None else f"{'reached' if ratio >= goal else 'missed'}: {goal:g}x"
            lines.append(
                [
                    TITLES[name],
                    f"{f.rate:,.0f}",
                    f"{f.p50:.1f}",
                    f"{f.p99:.1f}",
                    f"{f.cpu:,.0f}",
                    "" if name == "ours" else f"{ratio:.2f}x",
                    verdict,
                ]
            )
        columns = ["server", "requests/s", "p50 ms", "p99 ms", "CPU µs", "this service is", "goal"]
        yield Grid(f"{what}{kinds[row].title}, {CONNECTIONS} connections", columns, lines)


def _slow_disk_grid(found: dict[str, Figures]) -> Grid:
    lines = []
    for name, f in found.items():
        reached = "reached" if f.rate >= SLOW_DISK_GOAL else "missed"
        verdict = f"{reached}: {SLOW_DISK_GOAL:g}/s" if name == "ours" else ""
        lines.append([TITLES[name], f"{f.rate:,.0f}", f"{f.p50:.1f}", f"{f.p99:.1f}", verdict])
    title = f"POST a ticket, {SLOW_DISK_CONNECTIONS} connections, each fsync 10 ms longer"
    return Grid(title, ["server", "requests/s", "p50 ms", "p99 ms", "goal"], lines)


def _parts_grid(found: dict[str, dict[str, float]]) -> Grid:
    lines = parts.lines(found)
    return Grid("Cost of a request by part, µs of CPU time", ["part", *found], lines)


def _memory_grid(found: dict[str, int]) -> Grid:
    lines = [[moment, f"{size / 2**20:,.0f}"] for moment, size in found.items()]
    return Grid("Memory of this service, MiB (80 % GET, 10 % list, 10 % POST)", ["moment", "resident"], lines)


def _parts_apart(seconds: float) -> dict[str, dict[str, float]]:
    """Measure the parts in a process of their own, since timers change the service."""
    command = [sys.executable, "-W", "ignore", "-m", "bench.parts", str(seconds), "--json"]
    done = subprocess.run(command, cwd=data.ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.run", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.5, help="length of a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each server and kind of request")
    parser.add_argument("--requests", type=int, default=memory.REQUESTS, help="requests of the memory measurement")
    parser.add_argument("--no-save", action="store_true", help="show the results only")
    kinds = ("peers", "servers", "slow-disk", "parts", "memory")
    for kind in kinds:
        parser.add_argument(f"--{kind}", action="append_const", dest="only", const=kind, help=f"only the {kind}")
    chosen = parser.parse_args()
    chosen.only = chosen.only or kinds
    chosen.console = Console(width=None if sys.stdout.isatty() else 120)
    return chosen


def main() -> None:
    chosen = _arguments()
    console = chosen.console
    data.tidy()
    facts = data.prepare(console)
    kinds = servers.rows(facts)
    on = machine()
    grids: list[Grid] = []
    raw: dict[str, Any] = {"machine": on}

    def show(*made: Grid) -> None:
        for grid in made:
            grids.append(grid)
            console.print(grid.rich())

    if "peers" in chosen.only:
        found = compare(facts, chosen)
        raw["peers"] = {row: {name: asdict(f) for name, f in by_name.items()} for row, by_name in found.items()}
        show(*_comparison(found, kinds))
    if "slow-disk" in chosen.only:
        slow = slow_disk(facts, chosen)
        if slow is not None:
            raw["slow disk"] = {name: asdict(f) for name, f in slow.items()}
            show(_slow_disk_grid(slow))
    if "servers" in chosen.only:
        found = compare_servers(facts, chosen)
        raw["servers"] = {row: {name: asdict(f) for name, f in by_name.items()} for row, by_name in found.items()}
        show(*_comparison(found, kinds, "uvicorn or granian: "))
    if "parts" in chosen.only:
        raw["parts"] = _parts_apart(chosen.seconds / 2)
        show(_parts_grid(raw["parts"]))
    if "memory" in chosen.only:
        raw["memory"] = memory.measure(facts, chosen.requests)
        show(_memory_grid(raw["memory"]))
    if not chosen.no_save:
        _save(grids, raw)


def _save(grids: list[Grid], raw: dict[str, Any]) -> None:
    about = (
        f"By `make bench`: {data.TICKETS:,} tickets in {data.ORGANIZATIONS} organizations, SQLite with synchronous "
        f"FULL, one process a server, all on one machine together with the load. Every server looks the key up, "
        f"counts the rate limit, validates the input and answers JSON; this service does the rest of its work too "
        f"(headers, problems, versions, group commit). Figures are medians of the rounds."
    )
    report.save("", about, grids, raw)


if __name__ == "__main__":
    main()
