"""A running service for tests: the real server, in a thread of this process or as a process of its own."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from tickets import migrations
from tickets.app import create_app
from tickets.db import Database
from tickets.http.server import configuration
from tickets.settings import Settings

UNLIMITED = {
    f"rate_limit_{policy}": "1000000/second"
    for policy in ("anonymous", "session", "account", "organization", "auth", "login", "pages")
}


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ThreadService:
    """The service in a thread: what it runs is measured by coverage, and its database is at hand."""

    def __init__(self, var_dir: Path, **settings: Any) -> None:
        self.settings = Settings(var_dir=var_dir, **{**UNLIMITED, **settings})
        self.database = Database(self.settings)
        migrations.upgrade(self.database)
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.server = uvicorn.Server(
            configuration(create_app(self.settings), self.settings, host="127.0.0.1", port=self.port)
        )
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()
        wait_for(self.origin)

    def stop(self) -> None:
        """Stop as SIGTERM would."""
        self.server.should_exit = True
        self._thread.join(timeout=15)
        assert not self._thread.is_alive()
        self.database.close()


class ProcessService:
    """The service as a process of its own: what can be killed, starved or cut off."""

    def __init__(
        self,
        var_dir: Path,
        *,
        port: int | None = None,
        env: dict[str, str] | None = None,
        open_files: int | None = None,
    ) -> None:
        self.var_dir = var_dir
        self.open_files = open_files
        self.port = port or free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.settings = Settings(var_dir=var_dir)
        self.database = Database(self.settings)
        migrations.upgrade(self.database)
        self.env = {
            **os.environ,
            "TICKETS_VAR_DIR": str(var_dir),
            **{f"TICKETS_{name.upper()}": rate for name, rate in UNLIMITED.items()},
            "TICKETS_LOG_LEVEL": "warning",
            **(env or {}),
        }
        self.log = var_dir / "service.log"
        self.process = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it, or start it again."""
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "tickets", "serve", "--port", str(self.port)]
            if self.open_files is not None:
                command = ["/bin/sh", "-c", f'ulimit -n {self.open_files}; exec "$@"', "sh", *command]
            self.process = subprocess.Popen(
                command,
                env=self.env,
                stdout=log,
                stderr=log,
            )
        wait_for(self.origin, self.process)
        return self.process

    def stop(self) -> int:
        """End it with SIGTERM and return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(timeout=15)
        self.database.close()
        return code


def wait_for(origin: str, process: "subprocess.Popen[bytes] | None" = None) -> None:
    """Wait until a service answers.

    Raises:
        TimeoutError: it does not within 20 seconds.
    """
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise ChildProcessError(f"the service ended with {process.returncode}")
        try:
            if httpx.get(f"{origin}/health", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            threading.Event().wait(0.05)
    raise TimeoutError("the service does not answer")
