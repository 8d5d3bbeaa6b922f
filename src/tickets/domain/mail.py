"""Mail: a job in the transaction of what causes it, so that it neither delays nor fails a request."""

import secrets
from collections.abc import Mapping
from email.headerregistry import Address
from email.utils import parseaddr
from typing import Any

import msgspec

from tickets.db import Transaction
from tickets.domain import jobs
from tickets.sealing import seal
from tickets.settings import Settings

KIND = "send_email"
TEMPLATES = {
    "verify_email": {"code", "minutes"},
    "password_reset": {"link", "minutes"},
    "already_registered": set[str](),
}
"""The mails there are, each with what its text is told besides the recipient's name."""


def enqueue(
    tx: Transaction,
    settings: Settings,
    template: str,
    *,
    to: str,
    name: str = "",
    organization_id: int | None = None,
    **values: str | int,
) -> int:
    """Write a mail, to be sent after the commit.

    Its Message-ID is made here: a mail that is sent twice, because a worker died, can be told by it. The values
    are sealed with the service's key: a copy of the database opens no account.

    Args:
        tx: the transaction of what causes the mail.
        settings: `mail_from` gives the Message-ID its domain, the secret key seals the values.
        template: one of `TEMPLATES`.
        to: the recipient's address.
        name: the recipient's name. It is left out where the recipient may never have heard of the account, as in
            every mail that anybody can ask for: who made the account chose the name, and would write in ours.
        organization_id: the tenant it belongs to.
        values: what the template is told.

    Returns:
        The job's id.

    Raises:
        ValueError: there is no such template, or it wants other values.
    """
    if values.keys() != TEMPLATES.get(template):
        raise ValueError(f"the mail {template!r} with {sorted(values)} is not in TEMPLATES")
    domain = Address(addr_spec=parseaddr(settings.mail_from)[1]).domain
    payload = {
        "message_id": f"<{secrets.token_hex(16)}@{domain}>",
        "template": template,
        "to": to,
        "name": name,
        "sealed": seal(settings.signing_keys(), KIND).encrypt(msgspec.json.encode(values)).decode(),
    }
    return jobs.enqueue(tx, KIND, payload, organization_id=organization_id)


def values_of(settings: Settings, payload: Mapping[str, Any]) -> dict[str, str | int]:
    """Open what `enqueue` sealed.

    Raises:
        InvalidToken: the service's key was changed since.
    """
    opened = seal(settings.signing_keys(), KIND).decrypt(payload["sealed"])
    return msgspec.json.decode(opened, type=dict[str, str | int])
