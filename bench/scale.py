"""How much slower a hundred times the tickets are: ``python -m bench.scale``; results go to bench/results.

Two services run, one on 10,000 tickets and one on 1,000,000, in 100 organizations of which one has half. Each question
is asked of both in turn, over HTTP, one request at a time, so that whatever else the machine does meets both alike.
"""

import argparse
import asyncio
import json
import shutil
import sqlite3
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import uvloop
from bench import data, parts, report, scale_data, servers
from bench.load import Plan, _Load
from bench.report import Grid, machine
from bench.scale_data import RARE_WORD, Facts
from rich.console import Console
from rich.progress import Progress

from tickets import logs
from tickets.app import create_app
from tickets.contract.document import Document
from tickets.db import Transaction
from tickets.settings import shipped

SMALL, LARGE = 10_000, 1_000_000
ROUNDS = 5
SAMPLES = 100
"""Requests to a round."""
LIST_GOAL = 20.0
DEEP_GOAL = 1.2
GROWTH_GOAL = 1.5
GOALS = {"list": LIST_GOAL, "deep": LIST_GOAL, "rare search": 20.0, "common search": 100.0, "stats": 10.0}
"""Milliseconds, p99, by kind of question."""
DEEP = 5_000
COMMON_WORD = "printer"
BASE = "/api/v1"
ALL = "contact,assignee,team,comments,history,sla"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked.

    Attributes:
        title: as the results name it.
        kind: decides its goal; see `GOALS`.
        targets: addresses below the base path, asked in turn.
        method: of the request.
        bodies: sent in turn.
        beside: the title of what it may take `DEEP_GOAL` times as long as.
    """

    title: str
    targets: list[str]
    kind: str = "list"
    method: str = "GET"
    bodies: list[str] | None = None
    beside: str = ""


@dataclass(kw_only=True)
class Figures:
    """Milliseconds of the answers to a question: of each round, and of those the median.

    Attributes:
        rows: how many are on the page, if it is one.
    """

    p50: float
    p99: float
    samples: int
    rows: int | None


def _questions(facts: Facts, port: int) -> Iterator[Question]:
    """Make all questions, of the large organization."""
    yield Question(title="one ticket", kind="one", targets=[f"/tickets/{number}" for number in facts.ticket_ids])
    orders = {"newest first": "-created_at", "oldest first": "created_at"}
    orders |= {"last changed first": "-updated_at", "first changed first": "updated_at"}
    pages = min(DEEP, facts.own // 100)
    for order, sort in orders.items():
        yield Question(title=f"page 1, {order}", targets=[f"/tickets?sort={sort}"])
        yield Question(
            title=f"page {DEEP:,}, {order}",
            kind="deep",
            targets=[f"/tickets?sort={sort}&cursor={_cursor(facts, port, f'sort={sort}', pages)}"],
            beside=f"page 1, {order}",
        )
    yield from _filters(facts)
    for place in ("open", "closed"):
        yield Question(title=f"/tickets/{place}", targets=[f"/tickets/{place}"])
    for name, query in (("page=1", ""), (f"page={DEEP:,}", ""), ("page=1, status=closed", "&status=closed")):
        page = 1 if name.startswith("page=1") else pages
        yield Question(title=f"with total: {name}", kind="total", targets=[f"/tickets?page={page}{query}"])
    yield Question(title="50 with contact, assignee, team", targets=["/tickets?expand=contact,assignee,team"])
    yield Question(title="50 with all that expand has", targets=[f"/tickets?expand={ALL}"])
    yield from _others()
    yield from _writes(facts)


def _filters(facts: Facts) -> Iterator[Question]:
    """Ask for a value that many tickets have, and for one that few have, in both orders."""
    for order, sort in (("", "-created_at"), (", last changed first", "-updated_at"), (", oldest first", "created_at")):
        for name, values in facts.values.items():
            parameter = {"assignee_id": "assigned_to"}.get(name, name)
            for what, value in zip(("many", "few"), values, strict=True):
                targets = [f"/tickets?sort={sort}&{parameter}={quote(value)}"]
                yield Question(title=f"{parameter}, {what}{order}", targets=targets)
        for answer in ("true", "false"):
            yield Question(title=f"is_breached={answer}{order}", targets=[f"/tickets?sort={sort}&is_breached={answer}"])
        for what, word in (("many", COMMON_WORD), ("few", RARE_WORD)):
            yield Question(title=f"search, {what}{order}", targets=[f"/tickets?sort={sort}&search={word}"])
        yield Question(title=f"assigned_to=none{order}", targets=[f"/tickets?sort={sort}&assigned_to=none"])
        tags = "&".join(f"tag={quote(tag)}" for tag in facts.values["tag"])
        yield Question(title=f"two tags{order}", targets=[f"/tickets?sort={sort}&{tags}"])
        yield Question(title=f"two states{order}", targets=[f"/tickets?sort={sort}&status=open&status=pending"])
        mine = f"assigned_to={facts.values['assignee_id'][0]}&status=open"
        yield Question(title=f"somebody's open{order}", targets=[f"/tickets?sort={sort}&{mine}"])
        queue = "status=open&priority=high"
        yield Question(title=f"open and high{order}", targets=[f"/tickets?sort={sort}&{queue}"])
        tagged = f"tag={quote(facts.values['tag'][0])}&status=open"
        yield Question(title=f"open of a tag{order}", targets=[f"/tickets?sort={sort}&{tagged}"])


def _others() -> Iterator[Question]:
    """Ask for what the contract has besides."""
    paths = Document(shipped("openapi.yaml")).data["paths"]
    if "/search" in paths:
        yield Question(title="/search, rare word", kind="rare search", targets=[f"/search?q={RARE_WORD}"])
        yield Question(title="/search, common word", kind="common search", targets=[f"/search?q={COMMON_WORD}"])
    if "/stats" in paths:
        yield Question(title="/stats", kind="stats", targets=["/stats"])


def _writes(facts: Facts) -> Iterator[Question]:
    ticket = {"subject": "Invoice shows the wrong address", "description": "Invoice 4711. " * 10, "tags": ["billing"]}
    ticket["contact_id"] = int(facts.values["contact_id"][0])
    yield Question(title="create", kind="write", method="POST", targets=["/tickets"], bodies=[json.dumps(ticket)])
    yield Question(
        title="update",
        kind="write",
        method="PATCH",
        targets=[f"/tickets/{number}" for number in facts.ticket_ids],
        bodies=[json.dumps({"priority": priority}) for priority in ("low", "high", "medium")],
    )


def _cursor(facts: Facts, port: int, query: str, page: int) -> str:
    """Return the cursor of a page far into a list."""
    address = f"http://127.0.0.1:{port}{BASE}/tickets?{query}&limit=50&offset={(page - 2) * 50}"
    with urlopen(Request(address, headers={"x-api-key": facts.key}), timeout=60) as answer:
        cursor: str = json.load(answer)["next_cursor"]
    return cursor


def _rows(question: Question, facts: Facts, port: int) -> int | None:
    """Count the rows of an answer that is a page; an empty one would be measured for nothing."""
    if question.method != "GET":
        return None
    address = f"http://127.0.0.1:{port}{BASE}{question.targets[0]}"
    with urlopen(Request(address, headers={"x-api-key": facts.key}), timeout=60) as answer:
        rows = json.load(answer).get("data")
    if rows == []:
        raise RuntimeError(f"{question.title}: finds nothing")
    return None if rows is None else len(rows)


def _requests(question: Question, facts: Facts) -> list[str]:
    """Write the requests of a question, so many that its targets meet its bodies."""
    made = []
    for number, target in enumerate(question.targets):
        lines = [f"{question.method} {BASE}{target} HTTP/1.1", "host: 127.0.0.1", f"x-api-key: {facts.key}"]
        body = question.bodies[number % len(question.bodies)] if question.bodies else ""
        if body:
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        made.append("\r\n".join([*lines, "", body]))
    return made


def _ask(port: int, question: Question, requests: list[str], count: int) -> list[float]:
    """Ask so many times, and return how many seconds each answer took."""
    plan = Plan(port=port, requests=requests, connections=1, count=count, warm_up=0.02)
    load = _Load(plan)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = runner.run(load.run())
    if any(not status.startswith("2") for status in measured.statuses):
        raise RuntimeError(f"{question.title}: {measured.statuses}")
    return load.latencies


def measure(chosen: argparse.Namespace) -> dict[int, dict[str, Figures]]:
    """Ask both services all questions; the rounds go over all questions, so that no moment decides about one."""
    sizes = (SMALL, LARGE)
    facts = {size: scale_data.prepare(size, chosen.console) for size in sizes}
    found: dict[int, dict[str, list[list[float]]]] = {size: {} for size in sizes}
    with ExitStack() as stack:
        running = {
            size: stack.enter_context(servers.running("ours", source=scale_data.file_of(size))) for size in sizes
        }
        asked = {size: list(_questions(facts[size], running[size].port)) for size in sizes}
        pairs = [pair for pair in zip(*asked.values(), strict=True) if chosen.only in pair[0].title]
        rows = {
            pair[0].title: [
                _rows(each, facts[size], running[size].port) for size, each in zip(sizes, pair, strict=True)
            ]
            for pair in pairs
        }
        with Progress(console=chosen.console, transient=True) as progress:
            task = progress.add_task("Measuring", total=chosen.rounds * len(pairs))
            for turn in range(chosen.rounds):
                for pair in pairs:
                    progress.update(task, description=pair[0].title)
                    for size, question in zip(
                        sizes[:: 1 if turn % 2 else -1], pair[:: 1 if turn % 2 else -1], strict=True
                    ):
                        # Each round begins with other ids.
                        requests = _requests(question, facts[size])
                        shift = turn * chosen.samples % len(requests)
                        took = _ask(running[size].port, question, requests[shift:] + requests[:shift], chosen.samples)
                        found[size].setdefault(question.title, []).append(took)
                    progress.advance(task)
        chosen.questions = {question.title: question for question in asked[LARGE]}
        chosen.facts = facts[LARGE]
    return {
        size: {title: _figures(rounds, rows[title][place]) for title, rounds in found[size].items()}
        for place, size in enumerate(sizes)
    }


def _figures(rounds: list[list[float]], rows: int | None) -> Figures:
    def of(share: float) -> float:
        each = [sorted(took)[min(len(took) - 1, int(len(took) * share))] for took in rounds]
        return round(statistics.median(each) * 1000, 2)

    return Figures(p50=of(0.5), p99=of(0.99), samples=sum(map(len, rounds)), rows=rows)


def _verdicts(question: Question, small: Figures, large: Figures, all_large: dict[str, Figures]) -> list[str]:
    """Say which goals were missed."""
    missed = []
    goal = GOALS.get(question.kind)
    if goal is not None and large.p99 > goal:
        missed.append(f"p99 {goal:g} ms")
    if question.beside and large.p50 > all_large[question.beside].p50 * DEEP_GOAL:
        missed.append(f"{DEEP_GOAL:g}x page 1")
    if large.p50 > small.p50 * GROWTH_GOAL:
        missed.append(f"growth {GROWTH_GOAL:g}x")
    return missed


def plans(questions: list[Question], facts: Facts) -> list[list[str]]:
    """Ask the service, in this process, once more, and the database how it finds each answer.

    Returns:
        Lines of a table: the question, and a plan of a statement.
    """
    settings = data.settings(data.copy("plans", scale_data.file_of(facts.tickets)))
    logs.configure(settings)
    app = create_app(settings)
    seen: list[str] = []
    execute = Transaction._execute

    def noting(self: Transaction, statement: Any, values: dict[str, Any]) -> Any:
        seen.append(statement.compiled(self._dialect).sql)
        return execute(self, statement, values)

    async def ask(question: Question) -> list[str]:
        await parts.drive(app, servers.Row(title="", expect="200", requests=_requests(question, facts)[:1]), 1, 0.0)
        seen.clear()
        await parts.drive(app, servers.Row(title="", expect="200", requests=_requests(question, facts)[:1]), 1, 0.01)
        return list(dict.fromkeys(sql for sql in seen if "tickets" in sql))

    Transaction._execute = noting  # type: ignore[method-assign]
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            asked = {question.title: runner.run(ask(question)) for question in questions if question.method == "GET"}
    finally:
        Transaction._execute = execute  # type: ignore[method-assign]
    with closing(sqlite3.connect(settings.var_dir / "tickets.db")) as connection:
        found = [
            [title, " / ".join(step[3] for step in connection.execute(f"EXPLAIN QUERY PLAN {sql}", defaultdict(int)))]
            for title, statements in asked.items()
            for sql in statements
        ]
    shutil.rmtree(settings.var_dir)
    return found


def _grids(found: dict[int, dict[str, Figures]], chosen: argparse.Namespace) -> Iterator[Grid]:
    columns = ["question", "10,000: rows", "p50", "p99", "1,000,000: rows", "p50", "p99", "growth", "goals"]
    lines, missing = [], []
    for title, large in found[LARGE].items():
        small, question = found[SMALL][title], chosen.questions[title]
        missed = _verdicts(question, small, large, found[LARGE])
        growth = f"{large.p50 / small.p50:.2f}x"
        verdict = f"missed: {', '.join(missed)}" if missed else "reached"
        each = [
            text
            for figures in (small, large)
            for text in ("" if figures.rows is None else str(figures.rows), f"{figures.p50:.2f}", f"{figures.p99:.2f}")
        ]
        lines.append([title, *each, growth, verdict])
        if missed:
            missing.append(question)
    yield Grid("Milliseconds of an answer over HTTP, one request at a time", columns, lines)
    if missing:
        yield Grid("How the database finds what misses a goal", ["question", "plan"], plans(missing, chosen.facts))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each question comes up")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="requests each time")
    parser.add_argument("--only", default="", help="only questions with this in their title")
    parser.add_argument("--no-save", action="store_true", help="show the results only")
    chosen = parser.parse_args()
    chosen.console = Console(width=None if sys.stdout.isatty() else 160)
    return chosen


def main() -> None:
    chosen = _arguments()
    on = machine()
    found = measure(chosen)
    grids = []
    for grid in _grids(found, chosen):
        grids.append(grid)
        chosen.console.print(grid.rich())
    if not chosen.no_save:
        raw = {str(size): {title: asdict(f) for title, f in by.items()} for size, by in found.items()}
        about = (
            f"By `make bench-scale`: {LARGE:,} tickets in {scale_data.ORGANIZATIONS} organizations, of which one has "
            f"{chosen.facts.own:,} and is asked; beside it {SMALL:,} tickets, spread alike, where the page halfway "
            f"is asked for instead of page {DEEP:,}. SQLite with synchronous FULL, one process each, one request at a "
            f"time, {chosen.rounds} x {chosen.samples} of each, in turn; figures are medians of the rounds. *few* are "
            f"{scale_data.RARE} tickets spread over all times, *many* the value that most tickets have."
        )
        written = report.save("scale", about, grids, {"machine": on, **raw})
        chosen.console.print(f"Written to {written.relative_to(data.ROOT)}.")


if __name__ == "__main__":
    main()
