"""How much mail strangers can have sent to an address, and how many codes they can try for it.

Both are counted until an hour has passed since the last mail: no hour sees more, wherever it begins, and a new code
brings no new tries.
"""

from sqlalchemy import bindparam, delete, insert, select, update

from tickets import clock
from tickets.db import Row, Statement, Transaction
from tickets.models import Mailbox

MOST = 5
"""Mails for a purpose in an hour; wrong codes, too."""

_OF = (Mailbox.email == bindparam("of_email"), Mailbox.purpose == bindparam("for_purpose"))
_FIND = Statement(select(Mailbox.sent, Mailbox.misses).where(*_OF, Mailbox.expires_at > bindparam("now")))
_FORGET = Statement(delete(Mailbox).where(*_OF))
_KEEP = Statement(
    insert(Mailbox).values({name: bindparam(name) for name in ("email", "purpose", "sent", "misses", "expires_at")})
)
_MISS = Statement(update(Mailbox).where(*_OF).values(misses=Mailbox.misses + 1))


def takes(tx: Transaction, email: str, purpose: str) -> bool:
    """Count a mail to an address, unless it had as many for the purpose as it takes.

    Returns:
        Whether the mail may be sent.
    """
    found = _find(tx, email, purpose)
    sent, misses = (0, 0) if found is None else (found.sent, found.misses)
    if sent >= MOST:
        return False
    tx.run(_FORGET, of_email=email, for_purpose=purpose)
    values = {"email": email, "purpose": purpose, "sent": sent + 1, "misses": misses}
    tx.run(_KEEP, **values, expires_at=clock.now() + clock.HOUR)
    return True


def hears(tx: Transaction, email: str, purpose: str) -> bool:
    """Tell whether another code may be tried for an address that was sent one."""
    found = _find(tx, email, purpose)
    return found is not None and found.misses < MOST


def miss(tx: Transaction, email: str, purpose: str) -> None:
    """Count a wrong code."""
    tx.run(_MISS, of_email=email, for_purpose=purpose)


def _find(tx: Transaction, email: str, purpose: str) -> Row | None:
    return tx.first(_FIND, of_email=email, for_purpose=purpose, now=clock.now())
