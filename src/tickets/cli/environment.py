"""What commands share: settings, a database that is ready, arguments checked against the contract."""

import errno
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import click
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from tickets import clock, migrations
from tickets.cli.failures import Failure, program
from tickets.db import Database, Row, Statement, Transaction
from tickets.domain import first_start, organizations, users
from tickets.errors import InvalidRequest, Problem
from tickets.models import Organization
from tickets.settings import Settings, SettingsError, shipped

if TYPE_CHECKING:
    from tickets.contract.document import Document
    from tickets.contract.validation import Checker

_UNITS = {"d": clock.DAY, "h": clock.HOUR, "m": clock.MINUTE}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([dhm])", re.ASCII)
_FIRST_ORGANIZATION = Statement(
    select(*Organization.__table__.c).where(Organization.deleted_at.is_(None)).order_by(Organization.id).limit(1)
)


class Command(click.Command):
    """A command whose expected failures become one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            Failure: a setting, an argument, the database or the disk does not allow it.
        """
        try:
            return super().invoke(ctx)
        except Problem as error:
            raise Failure(error.detail, code=error.code) from error
        except SettingsError as error:
            raise Failure(str(error)) from error
        except (DBAPIError, sqlite3.DatabaseError) as error:
            cause = getattr(error, "orig", None) or error
            raise Failure(f"The database says: {cause}. Look at TICKETS_DATABASE_URL and its file.") from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read our output went away: click ends quietly
                raise
            raise Failure(f"{error.strerror or error}: {error.filename or 'see TICKETS_VAR_DIR'}.") from error


class Contracted(click.ParamType[str]):
    """An argument that fits a schema of the contract.

    Args:
        schema: the name of a component schema without references.
        wanted: how to write it, for the message.
    """

    def __init__(self, schema: str, wanted: str = "") -> None:
        self.name = schema.removeprefix("New").lower()
        self._schema = schema
        self._wanted = wanted

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value when the contract allows it."""
        try:
            _checker(self._schema).check(value)
        except InvalidRequest:
            wanted = self._wanted or f"use one of {', '.join(allowed(self._schema))}"
            self.fail(f"{value!r} cannot be used; {wanted}.", param, ctx)
        return value


EMAIL = Contracted("Email", "write an e-mail address like ada@acme.example")
NAME = Contracted("NewName", "write a name of 1 to 200 characters on one line, without invisible ones")
SLUG = Contracted("Slug", "write up to 63 lower-case letters, digits and inner hyphens, like acme")
ROLE = Contracted("Role")


@cache
def contract() -> "Document":
    """Read openapi.yaml, once a process and not before a word of it is asked for: that takes long."""
    from tickets.contract.document import Document  # noqa: PLC0415 - and so does this

    return Document(shipped("openapi.yaml"))


@cache
def _checker(schema: str) -> "Checker":
    from tickets.contract.validation import Checker  # noqa: PLC0415 - as above

    return Checker(contract().data["components"]["schemas"][schema], "body")


def allowed(schema: str) -> list[str]:
    """Name the values of an enumeration of the contract."""
    return [*contract().data["components"]["schemas"][schema]["enum"]]


@contextmanager
def ready_database() -> Iterator[Database]:
    """Open the database of the settings, which must be at the newest revision.

    Raises:
        Failure: it is missing, or at another revision.
        SettingsError: a setting cannot be used.
    """
    settings = Settings.from_env()
    with Database(settings) as database, _lines_on_stderr():
        expect_newest(database)
        first_start.prepare(settings, database)
        yield database


@contextmanager
def _lines_on_stderr() -> Iterator[None]:
    """Keep lines of the log apart from the result, which is on stdout.

    Commands that may log import structlog themselves; the others shall not wait for it.
    """
    structlog = sys.modules.get("structlog")
    if structlog is None or structlog.is_configured():
        yield
        return
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        yield
    finally:
        structlog.reset_defaults()


def expect_newest(database: Database) -> None:
    """Go on only with a database at the newest revision.

    Raises:
        Failure: it is missing, or at another revision.
    """
    if not database.path.exists():
        raise Failure(f"There is no database at {database.path} yet: run `{program()} migrate` first.")
    found, newest = migrations.current(database), migrations.head()
    expect_known(found)
    if found != newest:
        raise Failure(
            f"The database is at revision {found or 'none'}, this version needs {newest}: run `{program()} migrate`."
        )


def expect_known(revision: str | None) -> None:
    """Go on only with a revision this version knows.

    Raises:
        Failure: a newer version was there.
    """
    if revision is not None and not migrations.known(revision):
        raise Failure(
            f"The database is at revision {revision}, which this version does not know: it is that of a newer "
            "version, which you need to go on with it. Nothing was changed."
        )


def organization_of(tx: Transaction, slug: str | None) -> Row:
    """Find the organization a command is about: the named one, else the first.

    Raises:
        Failure: there is none.
    """
    found = tx.first(_FIRST_ORGANIZATION) if slug is None else organizations.by_slug(tx, slug)
    if found is None:
        what = "There is no organization yet" if slug is None else f"There is no organization with the slug {slug!r}"
        raise Failure(f"{what}: make one with `{program()} create-org --name N --email E`.", code="not_found")
    return found


def user_of(tx: Transaction, email: str, organization: Row | None = None) -> Row:
    """Find the account with an e-mail, within an organization when one is given.

    Raises:
        Failure: there is none.
    """
    found = users.by_email(tx, email)
    if found is None or (organization is not None and found.organization_id != organization.id):
        where = f" in {organization.slug}" if organization is not None else ""
        raise Failure(
            f"There is no user with the e-mail {email!r}{where}: make one with "
            f"`{program()} create-user --org SLUG --email E --role R`.",
            code="not_found",
        )
    return found


def duration(text: str) -> int | None:
    """Read a length of time like 90d, 12h or 30m, in milliseconds; None when the text is none.

    >>> duration("12h") == 12 * clock.HOUR
    True
    """
    found = _DURATION.fullmatch(text)
    return None if found is None else int(found[1]) * _UNITS[found[2]]


def name_from(email: str) -> str:
    """Make a name of an e-mail for an account whose name was not given.

    >>> name_from("ada.king@acme.example")
    'Ada King'
    """
    words = email.partition("@")[0].replace(".", " ").replace("_", " ").replace("-", " ").split()
    return " ".join(words).title() or email
