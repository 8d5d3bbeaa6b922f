"""Serving on the command line."""

import signal
import socket
import sys
from dataclasses import replace
from typing import Any

import click
import structlog

from tickets import logs
from tickets.cli.environment import Command, expect_newest
from tickets.cli.failures import Failure
from tickets.db import Database
from tickets.settings import RESET_PAGE, Settings, SettingsError


@click.command(cls=Command)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65_535), help="Port to listen on.")
def serve(*, host: str, port: int) -> None:
    """Serve the API until SIGTERM or Ctrl-C."""
    settings = Settings.from_env()
    with Database(settings) as database:
        expect_newest(database)
    _expect_free(host, port)
    logs.configure(settings)
    # uvicorn finishes what is in flight, then raises the signal again: that is an end like any other.
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: sys.exit(0))
    origin = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    app = _build(replace(settings, password_reset_url=settings.password_reset_url or RESET_PAGE.format(origin)))

    from tickets.http.server import serve as run  # noqa: PLC0415 - see _build

    structlog.get_logger("tickets").info("serving", url=origin, console=f"{origin}/docs")
    run(app, settings, host=host, port=port)


def _build(settings: Settings) -> Any:
    # Connexion takes most of a second to import, which a mistake in the settings need not wait for.
    from connexion.exceptions import InvalidSpecification  # noqa: PLC0415
    from yaml import YAMLError  # noqa: PLC0415

    from tickets.app import create_app  # noqa: PLC0415

    try:
        return create_app(settings)
    except SettingsError:
        raise
    except (LookupError, ValueError, InvalidSpecification, YAMLError) as error:
        message = str(error) or type(error).__name__
        raise Failure(f"openapi.yaml and the code do not fit together: {message}", exit_code=3) from error


def _expect_free(host: str, port: int) -> None:
    """Find out before anything is built: uvicorn would tell in its log, and with another exit code."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise Failure(f"The address {host!r} is unknown; use one of this machine, like 127.0.0.1 or 0.0.0.0.") from None
    try:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        raise Failure(
            f"Cannot listen on {host} port {port} ({error.strerror}): stop what uses it, or choose another with --port."
        ) from None
