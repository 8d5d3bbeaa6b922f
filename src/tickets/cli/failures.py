"""How a command fails: one line that says what is wrong and what to do next."""

import click


class Failure(click.ClickException):
    """Ends a command with a line that begins with ``Error: ``.

    Args:
        message: what is wrong and what to do next; line breaks become spaces.
        exit_code: 2 for what the caller can put right, 3 for a service that is put together wrongly.
    """

    def __init__(self, message: str, *, exit_code: int = 2) -> None:
        super().__init__(" ".join(message.split()))
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it of the instance
