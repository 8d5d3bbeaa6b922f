"""The whole comparison in one command: ``python -m bench.run``; results go to bench/results.

Servers take turns in short rounds, so that whatever else the machine does meets all of them; what counts
is the median round. Each server has its own copy of the same data.
"""

import argparse
import importlib.metadata
import json
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from bench import data, memory, parts, servers
from bench.data import Facts
from bench.load import Measured
from bench.servers import Row, Server
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

RESULTS = Path(__file__).with_name("results")
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
LIBRARIES = (
    "connexion",
    "flask",
    "sqlalchemy",
    "uvicorn",
    "uvloop",
    "httptools",
    "granian",
    "limits",
    "msgspec",
    "jsonschema-rs",
    "fastapi",
    "starlette",
    "pydantic",
    "orjson",
    "a2wsgi",
)


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


def machine() -> dict[str, str]:
    """Say what it ran on, without names of hosts or folders."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = (line.partition(":") for line in info.read_text().splitlines())
        model = next((value.strip() for name, _, value in lines if name.strip() == "model name"), model)
    version = importlib.metadata.version
    git = shutil.which("git")
    revision = "unknown"
    if git is not None:
        command = [git, "describe", "--always", "--dirty", "--exclude=*"]
        done = subprocess.run(command, cwd=data.ROOT, capture_output=True, text=True, check=False)  # noqa: S603
        revision = done.stdout.strip() or revision
    return {
        "processor": model,
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "load before": f"{psutil.getloadavg()[0]:.2f}",
        "revision": revision,
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        **{name: version(name) for name in LIBRARIES},
    }


# Tables: the same cells for the terminal and for Markdown ----------------------------------------------------


@dataclass
class Grid:
    """A table before it is shown."""

    title: str
    columns: list[str]
    rows: list[list[str]]

    def rich(self) -> Table:
        made = Table(title=self.title, title_justify="left")
        for n, column in enumerate(self.columns):
            made.add_column(column, justify="left" if n == 0 else "right")
        for row in self.rows:
            made.add_row(*row, style=None if not row[-1].startswith("missed") else "red")
        return made

    def markdown(self) -> str:
        lines = [self.columns, ["---", *["---:"] * (len(self.columns) - 1)], *self.rows]
        return f"## {self.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


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
    day = datetime.now(tz=UTC).date().isoformat()
    RESULTS.mkdir(exist_ok=True)
    facts = "\n".join(f"| {name} | {value} |" for name, value in raw["machine"].items())
    intro = (
        f"# Measured on {day}\n\n"
        f"By `make bench`: {data.TICKETS:,} tickets in {data.ORGANIZATIONS} organizations, SQLite with synchronous "
        f"FULL, one process a server, all on one machine together with the load. Every server looks the key up, "
        f"counts the rate limit, validates the input and answers JSON; this service does the rest of its work too "
        f"(headers, problems, versions, group commit). Figures are medians of the rounds.\n\n"
        f"| | |\n| --- | --- |\n{facts}\n"
    )
    (RESULTS / f"{day}.md").write_text("\n".join([intro, *(grid.markdown() for grid in grids)]))
    (RESULTS / f"{day}.json").write_text(json.dumps({"date": day, **raw}, indent=1) + "\n")


if __name__ == "__main__":
    main()
