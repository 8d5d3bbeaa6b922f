"""How a command fails: one line that says what is wrong and what to do next."""

import click


class Failure(click.ClickException):
    """Ends a command with a line that begins with ``Error: ``.

    Args:
        message: what is wrong and what to do next; line breaks become spaces.
        code: what a program goes by; that of the API where it has one.
        exit_code: 2 for what the caller can put right, 3 for a service that is put together wrongly.
    """

    def __init__(self, message: str, *, code: str = "failed", exit_code: int = 2) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it of the instance


def program() -> str:
    """Name the commands as they were called, so that what a line proposes can be typed.

    Returns:
        ``tickets``, ``flask tickets`` or ``python -m tickets``.
    """
    context = click.get_current_context()
    while context.parent is not None and context.command.name != "tickets":
        context = context.parent
    return context.command_path
