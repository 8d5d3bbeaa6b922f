"""The command line: `flask tickets …`, also as `tickets …` and `python -m tickets …`; it needs no application.

A command's module is imported when the command is asked for, so that `--help` and a shell's completion do
not wait for SQLAlchemy, Alembic and Connexion.
"""

import importlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tickets.cli.failures import Failure

_COMMANDS = {
    "migrate": ("database", "Bring the database to the newest revision."),
    "backup": ("database", "Copy the database into a file while the service runs."),
    "restore": ("restore", "Replace the database with a backup; stop the service first."),
    "reindex": ("search", "Compare the search index with tickets and comments, and put right what differs."),
    "create-org": ("organizations", "Found an organization with its first user, an admin."),
    "create-user": ("users", "Make an account."),
    "create-api-key": ("api_keys", "Make an API key; it is shown this once."),
    "list-api-keys": ("api_keys", "List API keys, revoked ones too."),
    "revoke-api-key": ("api_keys", "End an API key at once."),
    "seed-data": ("seed", "Fill an organization with believable tickets; the same seed gives the same data."),
    "generate": ("simulation", "Raise random tickets, in the names of an organization's accounts."),
    "process": ("simulation", "Close the tickets that wait for work, the oldest first."),
    "schedule": ("simulation", "Raise a ticket a minute and close one every five, until SIGTERM or Ctrl-C."),
    "stats": ("stats", "Show how many tickets there are."),
    "demo": ("demo", "Fill an empty database with the contract's examples and show a key."),
    "serve": ("server", "Serve the API until SIGTERM or Ctrl-C."),
    "worker": ("jobs", "Run jobs until SIGTERM or Ctrl-C, beside those that the service runs itself."),
    "purge-audit": ("audit", "Delete old entries of the audit log."),
    "jobs": ("jobs", "List jobs, and run dead letters again."),
}


_AS_JSON = "tickets.as_json"


class _Commands(click.Group):
    """A group that imports a command's module on first use, and fails in one line, with JSON for who asked for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        as_json = "--json" in args  # wherever it stands: what is wrong may be a word before it
        try:
            context = super().make_context(info_name, args, parent, **extra)
        except click.ClickException as error:
            raise _told(error, as_json=as_json) from None
        context.meta[_AS_JSON] = as_json
        return context

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            raise _told(error, as_json=ctx.meta[_AS_JSON]) from error.__cause__


def _told(error: click.ClickException, *, as_json: bool) -> click.ClickException:
    """Print a failure for programs when they wait for JSON; its line for people is printed by click."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error
    if isinstance(error, click.UsageError):
        error = _in_one_line(error)
    if as_json:
        from tickets.cli.output import show  # noqa: PLC0415 - see above

        show({"error": {"code": getattr(error, "code", "failed"), "message": error.format_message()}}, as_json=True)
    return error


def _in_one_line(error: click.UsageError) -> Failure:
    message = error.format_message().strip()
    message = message if message.endswith((".", "?", "!")) else f"{message}."
    path = error.ctx.command_path if error.ctx else "tickets"
    return Failure(f"{message} `{path} --help` shows what it takes.", code="invalid_request")


@click.group(cls=_Commands, context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ticketing-api", message="%(version)s")
def tickets() -> None:
    """Run and look after the ticketing API."""


def main(args: Sequence[str] | None = None, *, name: str | None = None) -> None:
    """Run the command line as a program of its own.

    Args:
        args: the words after the program's name; those of the process when None.
        name: how the program is called; as this process was when None.
    """
    tickets(args, prog_name=name or _called())


def _called() -> str:
    """Name the program by its name alone where that finds it, else by the path it was called by."""
    path = Path(sys.argv[0])
    found = shutil.which(path.name)
    return path.name if found is not None and path.exists() and Path(found).samefile(path) else str(path)
