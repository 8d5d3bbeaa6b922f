"""A worker in a process of its own with one periodic job, which writes its slot into a file.

Arguments: the folder of the database, the file, the length of a slot in milliseconds. It begins with the first
line on stdin and ends with the second.
"""

import os
import sys
from pathlib import Path

from tickets.db import Database
from tickets.jobs.kind import Kind
from tickets.jobs.schedule import Periodic
from tickets.jobs.worker import Worker
from tickets.settings import Settings


def main(var_dir: str, file: str, every: str) -> None:
    settings = Settings(var_dir=Path(var_dir))
    slots = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)  # what is appended in one write is whole
    kind = Kind("tick", lambda job, _: os.write(slots, b"%d\n" % job.payload["slot"]) and None)
    with Database(settings) as database:
        worker = Worker(settings, database, threads=2, kinds={"tick": kind}, periodic=[Periodic("tick", int(every))])
        print("ready", flush=True)  # noqa: T201 - the test reads it
        sys.stdin.readline()
        worker.start()
        sys.stdin.readline()
        worker.stop(5)


if __name__ == "__main__":
    main(*sys.argv[1:])
