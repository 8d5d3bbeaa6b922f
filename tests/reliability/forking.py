"""A service, and workers beside it, that can be killed and started anew many times."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from service import free_port, wait_for
from tickets import migrations
from tickets.db import Database
from tickets.domain import first_start
from tickets.settings import Settings


class Forked:
    """Processes on one database that start in milliseconds and die together; see crew.py.

    Args:
        var_dir: the folder of the service.
        members: what each process is, ``serve`` or ``worker``.
        env: more settings.
    """

    def __init__(self, var_dir: Path, *members: str, **env: str) -> None:
        self.settings = Settings(var_dir=var_dir)
        self.database = Database(self.settings)
        migrations.upgrade(self.database)
        first_start.prepare(self.settings, self.database)  # as the command does; a test may add tenants at once
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.log = var_dir / "service.log"
        self._members = members or ("serve",)
        self._pids: list[int] = []
        with self.log.open("ab") as log:
            self._parent = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("crew.py")), str(self.port)],
                env={**os.environ, "TICKETS_VAR_DIR": str(var_dir), "TICKETS_LOG_LEVEL": "warning", **env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def start(self) -> None:
        """Start all of them."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        for member in self._members:
            self._parent.stdin.write(f"{member}\n")
            self._parent.stdin.flush()
            self._pids.append(int(self._parent.stdout.readline()))
        wait_for(self.origin)

    def kill(self) -> None:
        """Kill all of them, and wait until they are gone: their locks and their port are free then."""
        gone = [psutil.Process(pid) for pid in self._pids]
        for process in gone:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(gone, timeout=10)
        self._pids.clear()

    def stop(self) -> None:
        """Kill what runs, and end."""
        self.kill()
        with self._parent as parent:
            assert parent.stdin is not None
            parent.stdin.close()
            parent.wait(10)
        self.database.close()
