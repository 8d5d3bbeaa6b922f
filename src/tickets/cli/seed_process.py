"""A second process that makes tickets up while the first one stores them."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from tickets.cli.failures import Failure
from tickets.cli.seed_content import Batch, Story

WORTH_IT = 20_000
"""Tickets from which on a process saves more time than its start takes."""

Teller = Callable[[Story, int], Iterator[Batch]]
"""Tells a story in batches of so many tickets."""


@contextmanager
def teller(tickets: int) -> Iterator[Teller]:
    """Open what tells stories, beside this process or, when there is little to tell, in it.

    What is told is the same: a story depends on its seed alone.

    Args:
        tickets: how many there will be in all stories.
    """
    if tickets < WORTH_IT:
        yield _tell
        return
    # Not a fork: that would copy the locks of our threads and the connections to the database.
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()

    def ask(story: Story, size: int) -> Iterator[Batch]:
        try:
            ours.send((story, size))
            while (batch := ours.recv()).tickets:
                yield batch
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise Failure("The process that makes tickets up was ended; what is stored already stays.") from error

    try:
        yield ask
    finally:
        ours.close()  # ends it
        process.join()


def _tell(story: Story, size: int) -> Iterator[Batch]:
    while (batch := story.next(size)).tickets:
        yield batch


def _serve(pipe: "Connection[Batch, Any]") -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the process that stores, and that one us
    with suppress(EOFError, OSError):
        while True:
            story, size = pipe.recv()
            for batch in _tell(story, size):
                pipe.send(batch)
            pipe.send(Batch([], []))
