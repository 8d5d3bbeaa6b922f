"""The service, quick to start again: built once, then a fork for each line on stdin.

Importing and building takes seconds, of which twenty starts would spend a minute; nothing of a run outlives
its process, since the database is opened by the first request.
"""

import os
import sys

from tickets import logs
from tickets.app import create_app
from tickets.http.server import serve
from tickets.settings import Settings


def main() -> None:
    settings = Settings.from_env()
    logs.configure(settings)
    app = create_app(settings)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            serve(app, settings, host="127.0.0.1", port=int(sys.argv[1]))
            os._exit(0)
        print(child, flush=True)  # noqa: T201 - the test reads it
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
