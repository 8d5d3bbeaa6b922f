"""The mail a service wrote, as its recipients would read it."""

import email
import re
import threading
import time
from email.message import EmailMessage
from email.policy import default
from pathlib import Path


class Mailbox:
    """The mails in a service's folder.

    Args:
        folder: where the service writes them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, address: str) -> list[EmailMessage]:
        """Return the mails to an address, oldest first."""
        files = sorted(self._folder.glob("*.eml")) if self._folder.exists() else []
        read = [email.message_from_bytes(file.read_bytes(), _class=EmailMessage, policy=default) for file in files]
        return [mail for mail in read if address.lower() in {to.addr_spec.lower() for to in mail["To"].addresses}]

    def wait(self, address: str, count: int = 1) -> list[EmailMessage]:
        """Wait for so many mails to an address.

        Raises:
            TimeoutError: they do not come within 30 seconds.
        """
        deadline = time.monotonic() + 30
        while len(found := self.of(address)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(found)} of {count} mails to {address}")
            threading.Event().wait(0.02)
        return found

    def code(self, address: str, count: int = 1) -> str:
        """Return the six digits of the last mail."""
        return _found(r"^ +(\d{6})$", self.wait(address, count)[-1])

    def token(self, address: str, count: int = 1) -> str:
        """Return the token in the link of the last mail."""
        return _found(r"token=([\w-]+)", self.wait(address, count)[-1])


def _found(pattern: str, message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    text = body.get_content().replace("\r\n", "\n")
    match = re.search(pattern, text, re.MULTILINE)
    assert match, text
    return match[1]
