"""The service and workers, quick to start: built once, then a fork for each line on stdin.

Importing and building takes seconds, of which twenty starts would spend a minute; nothing of a run outlives
its process, since the database is opened by the first request. A line is ``serve`` or ``worker``; the answer is
the id of the new process.
"""

import os
import signal
import sys

from tickets import logs
from tickets.app import create_app
from tickets.cli import jobs
from tickets.http.server import serve
from tickets.settings import Settings


def main(port: str) -> None:
    settings = Settings.from_env()
    logs.configure(settings)
    app = create_app(settings)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            if line.strip() == "serve":
                serve(app, settings, host="127.0.0.1", port=int(port))
            else:
                jobs.worker.main([], standalone_mode=False)
            os._exit(0)
        print(child, flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main(*sys.argv[1:])
