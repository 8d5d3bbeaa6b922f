"""The command line: `flask tickets …`, also as `tickets …`; it needs no application.

A command's module is imported when the command is asked for, so that `--help` and a shell's completion do
not wait for SQLAlchemy, Alembic and Connexion.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import click

from tickets import __version__
from tickets.cli.failures import Failure

_COMMANDS = {
    "migrate": ("database", "Bring the database to the newest revision."),
    "backup": ("database", "Copy the database into a file while the service runs."),
    "create-org": ("organizations", "Found an organization with its first user, an admin."),
    "create-user": ("users", "Make an account."),
    "create-api-key": ("api_keys", "Make an API key; it is shown this once."),
    "list-api-keys": ("api_keys", "List API keys, revoked ones too."),
    "revoke-api-key": ("api_keys", "End an API key at once."),
    "seed-data": ("seed", "Fill an organization with believable tickets; the same seed gives the same data."),
    "demo": ("demo", "Fill an empty database with the contract's examples and show a key."),
    "serve": ("server", "Serve the API until SIGTERM or Ctrl-C."),
    "worker": ("jobs", "Run jobs until SIGTERM or Ctrl-C, beside those that the service runs itself."),
    "jobs": ("jobs", "List jobs, and run dead letters again."),
}


class _Commands(click.Group):
    """A group that imports a command's module on first use and puts a wrong argument in one line."""

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
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            raise _in_one_line(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _in_one_line(error) from None


def _in_one_line(error: click.UsageError) -> click.ClickException:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error
    message = error.format_message().strip()
    message = message if message.endswith((".", "?", "!")) else f"{message}."
    path = error.ctx.command_path if error.ctx else "flask tickets"
    return Failure(f"{message} `{path} --help` shows what it takes.")


@click.group(cls=_Commands, context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def tickets() -> None:
    """Run and look after the ticketing API."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line as a program of its own.

    Args:
        args: the words after the program's name; those of the process when None.
    """
    tickets(args, prog_name="tickets")
