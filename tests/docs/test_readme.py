"""The tour in README does what it says, typed as it is there."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service import ProcessService
from tickets.settings import shipped

README = shipped("README.md").read_text()


@pytest.fixture
def tour(tmp_path: Path) -> str:
    """What a newcomer sees who types the whole tour into a shell beside a fresh service."""
    var_dir = tmp_path / "var"
    var_dir.mkdir()
    service = ProcessService(var_dir, env={"TICKETS_RATE_LIMIT_API_KEY": "1000/second"})
    try:
        subprocess.run([sys.executable, "-m", "tickets", "demo"], env=service.env, check=True, capture_output=True)
        section = README.split("## Five minutes")[1].split("## ")[0]
        script = "\n".join(re.findall(r"```bash\n(.*?)```", section, re.DOTALL)).replace(":8080/", f":{service.port}/")
        return subprocess.run(
            [shutil.which("bash") or "bash", "-euo", "pipefail", "-c", script.replace("\ncurl", "\necho; curl")],
            cwd=tmp_path,
            env=os.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
    finally:
        service.stop()


def test_the_tour_shows_what_it_promises(tour: str):
    raised, listed, worked, stale, comment, answered, nonsense, key = (
        json.loads(line) for line in tour.splitlines() if line.startswith("{")
    )
    assert (raised["id"], raised["priority"], raised["first_responded_at"]) == (4, "urgent", None)
    assert re.search(r"^location: /api/v1/tickets/4\r?$", tour, re.MULTILINE | re.IGNORECASE)
    assert [ticket["id"] for ticket in listed["data"]] == [4]
    assert f'cursor={listed["next_cursor"]}>; rel="next"' in tour
    assert (worked["status"], worked["version"]) == ("in_progress", 2)
    assert stale["code"] == "precondition_failed"
    assert comment["author_type"] == "user"
    assert answered["first_responded_at"] is not None
    assert nonsense["code"] == "invalid_request"
    assert {error["pointer"] for error in nonsense["errors"]} >= {"/subject", "/colour", "/description"}
    assert key["scopes"] == ["tickets:read"]
    assert key["key"].startswith(key["prefix"])
