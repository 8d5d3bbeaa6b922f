"""The page on backups does what it says, typed as it is there."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from docs.walk import walk
from tickets.settings import shipped


def test_what_was_backed_up_is_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TICKETS_VAR_DIR", str(tmp_path / "var"))
    live, stopped = shipped("docs").joinpath("backup.md").read_text().split("## Restore")
    printed = walk(live, tmp_path)
    assert "var/backups/monday.db: " in printed
    assert "var/drill/tickets.db is restored from var/backups/monday.db. There was no database before." in printed
    assert (tmp_path / "var" / "drill" / "secret.key").read_bytes() == (tmp_path / "var" / "secret.key").read_bytes()
    path = tmp_path / "var" / "tickets.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE organizations SET name = 'Gone'")
    script = "\n".join(re.findall(r"```bash\n(.*?)```", stopped, re.DOTALL))
    bash = [shutil.which("bash") or "bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(bash, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert "is kept" not in done.stdout
    [replaced] = re.findall(r"What was there before is (\S+)\.\n", done.stdout)
    for file, name in ((path, "Acme"), (Path(replaced), "Gone")):
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("SELECT name FROM organizations").fetchall() == [(name,)]
