"""Start one of the servers: ``python -m bench.serve <name> <port> <database file>``."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import uvicorn
from bench.data import settings

PEERS = {
    "connexion": "bench.peers.connexion_stock:app",
    "fastapi-usual": "bench.peers.fastapi_usual:app",
    "fastapi-best": "bench.peers.fastapi_best:app",
}


def granian_app() -> Any:
    """Make our application for granian, in its worker."""
    from tickets import logs  # noqa: PLC0415 - the peers do not pay for it
    from tickets.app import create_app  # noqa: PLC0415 - the peers do not pay for it

    chosen = settings(Path(os.environ["BENCH_DATABASE"]))
    logs.configure(chosen)
    return create_app(chosen)


def bare_app() -> Any:
    """Make an application that does nothing but answer, with as many headers as ours has."""
    from tickets.http.guard import SECURITY_HEADERS  # noqa: PLC0415 - the peers do not pay for it

    body = b'{"data":"' + b"x" * 600 + b'"}'
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", b"0" * 32),
            *((b"x-ratelimit-%d" % n, b"100000000") for n in range(5)),
            *SECURITY_HEADERS,
        ],
    }

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await receive()
            await send(start)
            await send({"type": "http.response.body", "body": body})

    return app


def main() -> None:
    name, port, file = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    os.environ["BENCH_DATABASE"] = str(file)
    if name in PEERS:
        uvicorn.run(
            PEERS[name],
            host="127.0.0.1",
            port=port,
            loop="uvloop",
            http="httptools",
            access_log=False,
            log_level="warning",
        )
    elif name.startswith("granian"):
        from granian import Granian  # noqa: PLC0415 - the others do not pay for it
        from granian.constants import Interfaces, Loops  # noqa: PLC0415

        Granian(
            "bench.serve:granian_app",
            address="127.0.0.1",
            port=port,
            interface=Interfaces.ASGI,
            factory=True,
            workers=1,
            loop=Loops.uvloop,
            log_access=False,
            log_level="warning",
        ).serve()
    else:
        from tickets import logs  # noqa: PLC0415 - the peers do not pay for it
        from tickets.http.server import serve  # noqa: PLC0415 - the peers do not pay for it

        chosen = settings(file)
        if name == "no-audit":
            chosen = dataclasses.replace(chosen, audit="off")
        logs.configure(chosen)
        if name == "bare":
            app = bare_app()
        else:
            from tickets.app import create_app  # noqa: PLC0415

            app = create_app(chosen)
        serve(app, chosen, host="127.0.0.1", port=port)


if __name__ == "__main__":
    main()
