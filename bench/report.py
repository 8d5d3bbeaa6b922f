"""What was measured, for the terminal and for bench/results: tables, and the machine they came from."""

import importlib.metadata
import json
import platform
import shutil
import sqlite3
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from bench import data
from rich.table import Table

RESULTS = Path(__file__).with_name("results")
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


def save(name: str, about: str, grids: list[Grid], raw: dict[str, Any]) -> Path:
    """Write tables and raw figures of today.

    Args:
        name: of the kind of measurement, after the day in the names of files; may be empty.
        about: what was measured, and how.
        grids: the tables.
        raw: all figures, with the ``machine``.
    """
    day = datetime.now(tz=UTC).date().isoformat()
    RESULTS.mkdir(exist_ok=True)
    facts = "\n".join(f"| {fact} | {value} |" for fact, value in raw["machine"].items())
    intro = f"# Measured on {day}\n\n{about}\n\n| | |\n| --- | --- |\n{facts}\n"
    stem = RESULTS / f"{day}{'-' * bool(name)}{name}"
    stem.with_suffix(".json").write_text(json.dumps({"date": day, **raw}, indent=1) + "\n")
    written = stem.with_suffix(".md")
    written.write_text("\n".join([intro, *(grid.markdown() for grid in grids)]))
    return written
