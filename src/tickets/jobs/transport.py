"""How a message leaves: to a mail server, or into a folder."""

import os
import re
import secrets
import smtplib
import ssl
from contextlib import closing, suppress
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tickets.jobs.kind import JobFailed
from tickets.settings import SMTP_PORTS

TIMEOUT = 15.0
"""Seconds for each step of the conversation with a mail server."""

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
    try:
        with closing(_connect(url)) as server:
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
        raise JobFailed(f"The mail server cannot be used: {error}; look at TICKETS_SMTP_URL.") from None


def _connect(url: str) -> smtplib.SMTP:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or SMTP_PORTS[parts.scheme]
    server = (
        smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=ssl.create_default_context())
        if parts.scheme == "smtps"
        else smtplib.SMTP(host, port, timeout=TIMEOUT)
    )
    try:
        if parts.scheme == "smtp+starttls":
            server.starttls(context=ssl.create_default_context())
        if parts.username is not None and parts.password is not None:
            server.login(unquote(parts.username), unquote(parts.password))
    except BaseException:
        server.close()
        raise
    return server


def _said(code: int, reply: bytes | str) -> str:
    return f"{code} {reply.decode(errors='replace') if isinstance(reply, bytes) else reply}"


def _numbers(error: smtplib.SMTPDataError) -> str:
    """Keep the numbers of the reply alone: a server that has seen the message may quote its secrets."""
    enhanced = re.match(r"[245]\.\d{1,3}\.\d{1,3}\b", _said(0, error.smtp_error)[2:])  # RFC 3463
    return f"{error.smtp_code} {enhanced[0] if enhanced else ''}"
