"""Many requests at once, and what the database says afterwards."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx


def at_once(count: int, request: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    """Make requests in as many threads, which all begin together; returns the answers in their order."""
    answers: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def one(number: int) -> None:
        barrier.wait(30)
        answers[number] = request(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(answers), "a request got no answer"
    return answers


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Ask the database file itself."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def assert_sound(path: Path) -> None:
    """Check the file as SQLite does, and that no row points nowhere."""
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert rows(path, "PRAGMA foreign_key_check") == []


def assert_unavailable(answer: httpx.Response) -> None:
    """Check that it is the 503 of a disk or a lock: a problem, with a time to come back, without details."""
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "service_unavailable"
    assert int(answer.headers["retry-after"]) >= 1
    assert "sqlite" not in answer.text.lower()
