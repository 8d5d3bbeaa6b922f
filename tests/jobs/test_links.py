"""Links in mail that a worker of its own sends lead to where the service serves."""

import os
import subprocess
import sys
from pathlib import Path

import httpx

from factories import Tenant
from post import Mailbox
from service import ProcessService


def test_a_worker_of_its_own_mails_links_to_the_address_that_serves(tmp_path: Path):
    service = ProcessService(tmp_path, env={"TICKETS_WORKER_THREADS": "0"})
    worker = subprocess.Popen(
        [sys.executable, "-m", "tickets", "worker", "--threads", "1"],
        env={**os.environ, "TICKETS_VAR_DIR": str(tmp_path), "TICKETS_LOG_LEVEL": "warning"},
        stdout=subprocess.DEVNULL,
    )
    try:
        user = Tenant(service.database, service.origin).with_password("admin")
        api = f"{service.origin}/api/v1"
        assert httpx.post(f"{api}/auth/password-reset", json={"email": user.email}).status_code == 202
        [message] = Mailbox(tmp_path / "mail").wait(user.email)
        body = message.get_body(("plain",))
        assert body is not None
        assert f"{service.origin}/reset-password#token=" in body.get_content().replace("\r\n", "\n").replace("=\n", "")
    finally:
        worker.terminate()
        worker.wait(15)
        service.stop()
