"""The first start: the secret key is made once; when it is missing later, that is an error."""

from sqlalchemy import select

from tickets import migrations
from tickets.db import Database, Statement
from tickets.models import Organization
from tickets.settings import Settings

_ANY = Statement(select(Organization.id).limit(1))


def prepare(settings: Settings, database: Database) -> None:
    """Make the secret key, unless there is one, or the database has an organization (then the key was lost).

    Whoever calls this before an organization is made can rely on the key afterwards; two processes that do so at once
    get the same one.
    """
    if not settings.has_secret_key and not _was_used(database):
        settings.make_secret_key()


def signing_keys(settings: Settings, database: Database) -> list[bytes]:
    """Return the secret keys for a process that signs, seals or opens; on the first start the key is made.

    Raises:
        SettingsError: the key of a database that is in use is not there.
    """
    prepare(settings, database)
    return settings.signing_keys()


def _was_used(database: Database) -> bool:
    if not database.path.exists():
        return False
    with database.read() as tx:
        return migrations.revision(tx) is not None and tx.first(_ANY) is not None
