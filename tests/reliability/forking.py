"""A service that can be killed and started anew many times."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from service import free_port, wait_for
from tickets import migrations
from tickets.db import Database
from tickets.settings import Settings


class Forked:
    """The service in a process that is started anew in milliseconds; see forked.py."""

    def __init__(self, var_dir: Path) -> None:
        self.settings = Settings(var_dir=var_dir)
        self.database = Database(self.settings)
        migrations.upgrade(self.database)
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.pid = 0
        with (var_dir / "service.log").open("ab") as log:
            self._parent = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("forked.py")), str(self.port)],
                env={**os.environ, "TICKETS_VAR_DIR": str(var_dir), "TICKETS_LOG_LEVEL": "warning"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def start(self) -> None:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write("start\n")
        self._parent.stdin.flush()
        self.pid = int(self._parent.stdout.readline())
        wait_for(self.origin)

    def kill(self) -> None:
        pid, self.pid = self.pid, 0
        if pid:
            os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        self.kill()
        with self._parent as parent:
            assert parent.stdin is not None
            parent.stdin.close()
            parent.wait(10)
        self.database.close()
