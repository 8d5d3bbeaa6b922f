"""How a message leaves: to a mail server, or into a folder."""

import os
import re
import secrets
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tickets.jobs.kind import JobFailed
from tickets.settings import SMTP_PORTS

TIMEOUT = 15.0
"""Seconds for each step of the conversation with a mail server."""
DEADLINE = 60.0
"""Seconds for the whole of it: a server that says a little at a time would keep a thread of the worker for ever."""

_READY = 220
_REFUSED = 500


def write(message: EmailMessage, file: Path) -> None:
    """Write a message into a file, whole or not at all, readable by its owner only."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
            new.write(message.as_bytes())
            new.flush()
            os.fsync(new.fileno())
        draft.replace(file)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise JobFailed(f"The mail could not be written: {error.strerror}; look at TICKETS_MAIL_DIR.") from error


def send(message: EmailMessage, url: str) -> None:
    """Hand a message to a mail server.

    Args:
        message: with one recipient.
        url: ``smtp://``, ``smtps://`` (TLS from the start) or ``smtp+starttls://``, with user and password if
            it wants them. Certificates are checked.

    Raises:
        JobFailed: it did not take it. Permanent when it refuses the recipient or the message for good (5xx);
            anything else, a wrong password too, an operator can put right.
    """
    late = threading.Event()
    try:
        with _connection(url, late) as server:
            server.send_message(message)
            with suppress(smtplib.SMTPException, OSError):
                server.quit()  # it has the message; what it says now must not send another
    except smtplib.SMTPRecipientsRefused as error:
        code, reply = next(iter(error.recipients.values()))
        raise JobFailed(
            f"The mail server refuses the recipient: {_said(code, reply)}", permanent=code >= _REFUSED
        ) from None
    except smtplib.SMTPDataError as error:
        raise JobFailed(
            f"The mail server refuses the message: {_numbers(error)}", permanent=error.smtp_code >= _REFUSED
        ) from None
    except smtplib.SMTPResponseException as error:
        raise JobFailed(f"The mail server says: {_said(error.smtp_code, error.smtp_error)}") from None
    except (smtplib.SMTPException, OSError) as error:
        why = f"it took longer than {DEADLINE:g} s" if late.is_set() else error
        raise JobFailed(f"The mail server cannot be used: {why}; look at TICKETS_SMTP_URL.") from None


@contextmanager
def _connection(url: str, late: threading.Event) -> Iterator[smtplib.SMTP]:
    """Connect and sign in; when the deadline passes, `late` is set and the connection shut down."""
    parts = urlsplit(url)
    server = (
        smtplib.SMTP_SSL(timeout=TIMEOUT, context=ssl.create_default_context())
        if parts.scheme == "smtps"
        else smtplib.SMTP(timeout=TIMEOUT)
    )
    server._host = parts.hostname or ""  # type: ignore[attr-defined]  # what certificates are checked for; only its constructor sets it
    over = threading.Event()
    threading.Thread(target=_hang_up, args=(server, over, late), name="mail-deadline", daemon=True).start()
    try:
        code, greeting = server.connect(parts.hostname or "", parts.port or SMTP_PORTS[parts.scheme])
        if code != _READY:
            raise smtplib.SMTPConnectError(code, greeting)
        if parts.scheme == "smtp+starttls":
            server.starttls(context=ssl.create_default_context())
        if parts.username is not None and parts.password is not None:
            server.login(unquote(parts.username), unquote(parts.password))
        yield server
    finally:
        over.set()
        server.close()


def _hang_up(server: smtplib.SMTP, over: threading.Event, late: threading.Event) -> None:
    """Shut the connection down at the deadline, and again: it may be one that opens only now, or gets TLS."""
    wait = DEADLINE
    while not over.wait(wait):
        late.set()
        if server.sock is not None:
            # Not as an SSLSocket does it, which would let the other thread go on in the clear.
            with suppress(OSError):
                socket.socket.shutdown(server.sock, socket.SHUT_RDWR)
        wait = 0.1


def _said(code: int, reply: bytes | str) -> str:
    return f"{code} {reply.decode(errors='replace') if isinstance(reply, bytes) else reply}"


def _numbers(error: smtplib.SMTPDataError) -> str:
    """Keep the numbers of the reply alone: a server that has seen the message may quote its secrets."""
    enhanced = re.match(r"[245]\.\d{1,3}\.\d{1,3}\b", _said(0, error.smtp_error)[2:])  # RFC 3463
    return f"{error.smtp_code} {enhanced[0] if enhanced else ''}"
