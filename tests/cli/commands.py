"""Running commands in tests: in this process, and as an operator would."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from tickets.cli import tickets
from tickets.db import Database
from tickets.settings import Settings


class Desk:
    """A folder for the service's files and the commands that work on it."""

    def __init__(self, var_dir: Path) -> None:
        self.var_dir = var_dir
        self.env = {"TICKETS_VAR_DIR": str(var_dir)}
        self.database_path = var_dir / "tickets.db"

    def run(self, *words: str, **env: str) -> Result:
        """Run a command in this process."""
        return CliRunner().invoke(tickets, list(words), env={**self.env, **env}, prog_name="tickets")

    def ok(self, *words: str) -> str:
        """Run a command that succeeds and return what it prints."""
        result = self.run(*words)
        assert result.exit_code == 0, result.stderr
        assert result.stderr == ""
        return result.stdout

    def json(self, *words: str) -> dict[str, Any]:
        """Run a command with --json and return its one object."""
        text = self.ok(*words, "--json")
        assert text.count("\n") == 1
        value = json.loads(text)
        assert isinstance(value, dict)
        return value

    def fails(self, *words: str, code: int = 2, **env: str) -> str:
        """Run a command that fails with one line and return the line."""
        result = self.run(*words, **env)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        assert result.stderr.startswith("Error: "), result.stderr
        assert result.stderr.count("\n") == 1, result.stderr
        return result.stderr

    def process(self, *command: str, cwd: Path | None = None, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run a program of the virtual environment, or a module with ``-m``, as a process."""
        program = [sys.executable] if command[0] == "-m" else [str(Path(sys.executable).with_name(command[0]))]
        words = command if command[0] == "-m" else command[1:]
        return subprocess.run(
            [*program, *words],
            env={**os.environ, **self.env, **env},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def database(self) -> Database:
        """Open the database."""
        return Database(Settings(var_dir=self.var_dir))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Query the database."""
        with self.database() as database:
            connection = database.engine.raw_connection()
            try:
                return connection.cursor().execute(sql).fetchall()
            finally:
                connection.close()
