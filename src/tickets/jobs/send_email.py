"""send_email: a template becomes a message of text and HTML, and goes out."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from typing import Any

from cryptography.fernet import InvalidToken
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tickets import clock
from tickets.domain import mail
from tickets.jobs import transport
from tickets.jobs.kind import Context, JobFailed, Kind
from tickets.jobs.queue import Claimed

_TEMPLATES = Environment(
    loader=PackageLoader("tickets.jobs"),
    autoescape=select_autoescape(["html"], default=False),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def compose(payload: Mapping[str, Any], values: Mapping[str, str | int], *, sender: str, date: int) -> EmailMessage:
    """Make the message; a repeated one differs in nothing that tells mails apart.

    Args:
        payload: what `tickets.domain.mail.enqueue` wrote.
        values: what it sealed.
        sender: the mailbox it is from.
        date: when it was written.

    Raises:
        JobFailed: the address cannot be written into a message.
    """
    shown = {name: _on_one_line(value) for name, value in {**values, "name": payload["name"]}.items()}
    text = _TEMPLATES.get_template(f"{payload['template']}.txt").render(shown)
    subject, _, body = text.partition("\n")
    message = EmailMessage(SMTP)
    message["From"] = _address(*parseaddr(sender))
    try:
        message["To"] = _address(shown["name"], payload["to"])
    except (ValueError, IndexError, MessageError):
        raise JobFailed("The recipient's address cannot be used in a mail.", permanent=True) from None
    message["Subject"] = subject.removeprefix("Subject: ")
    message["Date"] = datetime.fromtimestamp(date // clock.SECOND, UTC)
    message["Message-ID"] = payload["message_id"]
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no automatic answers, please
    html = _TEMPLATES.get_template(f"{payload['template']}.html").render(shown)
    message.set_content(body.lstrip("\n"), cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    return message


def _address(name: str, address: str) -> Address:
    local, _, domain = address.rpartition("@")
    return Address(name, addr_spec=f"{local}@{domain.encode('idna').decode()}")


def _on_one_line(value: str | int) -> str:
    """Take away line breaks and control characters: a name shall be no header, and no paragraph of ours."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())


def _run(job: Claimed, context: Context) -> None:
    settings = context.settings
    try:
        values = mail.values_of(settings, job.payload)
    except InvalidToken:
        raise JobFailed("The secret key was changed since the mail was written.", permanent=True) from None
    message = compose(job.payload, values, sender=settings.mail_from, date=job.created_at)
    if settings.smtp_url:
        transport.send(message, settings.smtp_url)
    else:
        # The same name at each attempt: a repeated mail replaces itself, and a folder is sorted by time.
        time = clock.rfc3339(job.created_at).translate(str.maketrans("", "", "-:."))
        unique = job.payload["message_id"].strip("<>").partition("@")[0]
        transport.write(message, settings.mail_dir / f"{time}-{unique}.eml")


KIND = Kind(mail.KIND, _run, waits_outside=True)
