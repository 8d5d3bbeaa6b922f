"""serve: starts, logs, ends, and says in one line why it does not."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import structlog
from commands import Desk

from service import free_port, wait_for
from tickets import logs
from tickets.settings import Settings


class Serving:
    """`tickets serve` as a process."""

    def __init__(self, desk: Desk, **env: str) -> None:
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tickets", "serve", "--port", str(self.port)],
            env={**os.environ, **desk.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, signum: int) -> tuple[int, str, str]:
        """Send a signal and return the exit code, stdout and stderr."""
        self.process.send_signal(signum)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_logs_in_json_and_ends_with_0(desk: Desk, signum: int):
    serving = Serving(desk)
    wait_for(serving.origin, serving.process)
    httpx.get(f"{serving.origin}/api/v1/tickets", headers={"x-request-id": "one"})
    code, out, err = serving.end(signum)
    assert code == 0
    assert out == ""
    lines = [json.loads(line) for line in err.splitlines()]
    assert lines[0]["event"] == "serving"
    assert lines[0]["url"] == serving.origin
    request = next(line for line in lines if line.get("request_id") == "one")
    assert request["level"] == "info"
    assert request["status"] == 401
    assert request["time"].endswith("Z")


def test_the_log_level_is_kept_to(desk: Desk):
    serving = Serving(desk, TICKETS_LOG_LEVEL="warning")
    wait_for(serving.origin, serving.process)
    assert serving.end(signal.SIGTERM) == (0, "", "")


def test_a_port_in_use_is_one_line(desk: Desk):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        line = desk.fails("serve", "--port", str(taken.getsockname()[1]))
    assert "--port" in line


def test_an_unknown_address_is_one_line(desk: Desk):
    assert "'nowhere.invalid'" in desk.fails("serve", "--host", "nowhere.invalid")
    assert "--port" in desk.fails("serve", "--port", "70000")


@pytest.mark.parametrize(
    "error", ["LookupError('listTickets needs a function')", "ValueError('no rule\\nfor who may call it')"]
)
def test_a_contract_that_does_not_fit_ends_with_3(desk: Desk, tmp_path: Path, error: str):
    script = tmp_path / "broken.py"
    script.write_text(
        f"import tickets.app\ndef broken(settings): raise {error}\ntickets.app.create_app = broken\n"
        "from tickets.cli import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, script, "serve", "--port", str(free_port())],
        env={**os.environ, **desk.env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.startswith("Error: openapi.yaml and the code do not fit together")
    assert done.stderr.count("\n") == 1


def test_a_damaged_secret_key_is_not_blamed_on_the_contract(desk: Desk):
    Path(desk.env["TICKETS_VAR_DIR"], "secret.key").write_text("short")
    line = desk.fails("serve", "--port", str(free_port()))
    assert "secret.key" in line
    assert "openapi" not in line


SCRIPT = """
import logging, warnings, sys
import structlog
from tickets import logs
from tickets.settings import Settings
logs.configure(Settings(log_level="info"))
log = structlog.get_logger("tickets")
log.debug("unheard")
log.info("heard", number=1, thing={1, 2}.__class__)
try:
    1 / 0
except ZeroDivisionError as error:
    log.error("failed", exc_info=error)
logging.getLogger("uvicorn.error").info("unheard")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("uvicorn.error").exception("said %s", "so")
warnings.warn("careful", stacklevel=1)
"""


def test_every_line_is_json_whoever_wrote_it():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines[:3]] == ["heard", "failed", "said so"]
    assert lines[0]["thing"] == "<class 'set'>"
    assert "ZeroDivisionError" in lines[1]["exception"]
    assert lines[2]["logger"] == "uvicorn.error"
    assert "ZeroDivisionError" in lines[2]["exception"]
    assert lines[3]["logger"] == "py.warnings"
    assert len(lines) == 4


def test_a_disk_that_takes_no_more_of_the_log_fails_nobody(tmp_path: Path):
    # A file that may not grow refuses to be written to as a full disk does, on every system.
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))\n"
    script = limit + SCRIPT + "\nprint('alive')"
    log = tmp_path / "log"
    with log.open("w") as file:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=file, text=True, check=False
        )
    assert done.stdout == "alive\n"
    assert log.stat().st_size == 100


def test_a_terminal_gets_readable_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        logs.configure(Settings())
        structlog.get_logger("tickets").bind(a=1).info("hello")
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(capture=False)
        root.handlers = handlers
        root.setLevel(level)
    assert "hello" in capsys.readouterr().err
