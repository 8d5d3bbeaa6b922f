"""Settings from the environment, checked once at start."""

import contextlib
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

MIN_SECRET = 32
RESET_PAGE = "{}/reset-password#token={{token}}"
"""The service's own page for a new password, after the address it is served at."""
MAX_DAYS = 36_500
_LONGEST = 3_600
"""Most seconds of a pause."""
SMTP_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
"""How mail can be sent, with the usual ports."""
_RATE = re.compile(r"([1-9][0-9]{0,8})/(?:([1-9][0-9]{0,4})[ ]?)?(second|minute|hour|day)")
_MAPPED = 96
"""Bits of an IPv6 address before the IPv4 address that it stands for (RFC 4291, 2.5.5.2)."""
_CHECKOUT = Path(__file__).parents[2]


class SettingsError(ValueError):
    """A setting has a value the service cannot run with; the message is one line for the operator."""


def shipped(name: str) -> Path:
    """Find a file that comes with the project: openapi.yaml, alembic.

    In a checkout it lies at the top; a wheel carries it inside the package.
    """
    inside = Path(__file__).with_name("shipped") / name
    return inside if inside.exists() else _CHECKOUT / name


def _default_var() -> Path:
    return (_CHECKOUT if (_CHECKOUT / "openapi.yaml").exists() else Path.cwd()) / "var"


def _rate(text: str) -> str:
    if _RATE.fullmatch(text) is None:
        raise ValueError("write it like 5/second, 60/minute or 100/15 minute")
    return text


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"use one of {', '.join(allowed)}")
        return text

    return parse


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(_unmapped(ip_network(word)) for word in _words(text))


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Write a network of IPv4 addresses in the form of IPv6 as one of IPv4."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return (
        network if mapped is None or network.prefixlen < _MAPPED else IPv4Network((mapped, network.prefixlen - _MAPPED))
    )


def _database_url(text: str) -> str:
    try:
        url = make_url(text)
    except ArgumentError:
        raise ValueError("write it like sqlite:////srv/tickets/tickets.db") from None
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        raise ValueError("only a SQLite file is supported: sqlite:////srv/tickets/tickets.db")
    return text


def _reset_url(text: str) -> str:
    if "{token}" not in text or not text.startswith(("http://", "https://")):
        raise ValueError("write it like https://help.example.com/reset?token={token}")
    return text


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("it must be 1 or more")
    return number


def _days(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MAX_DAYS:
        raise ValueError(f"it must be 1 to {MAX_DAYS} days")
    return number


def _duration(text: str) -> float:
    number = float(text)
    if not 0 < number <= _LONGEST:
        raise ValueError(f"it must be more than 0 and at most {_LONGEST} seconds")
    return number


def _not_negative(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError("it must be 0 or more")
    return number


def _mailbox(text: str) -> str:
    name, address = parseaddr(text)
    try:
        sound = text.isprintable() and Address(name, addr_spec=address).domain
    except (ValueError, IndexError, MessageError):
        sound = ""
    if not sound:
        raise ValueError("write it like Ticketing <tickets@example.com>")
    return text


def _smtp_url(text: str) -> str:
    try:
        url = urlsplit(text)
        sound = url.scheme in SMTP_PORTS and url.hostname and url.port != 0
    except ValueError:
        sound = False
    if (
        not sound
        or url.path.strip("/")
        or url.query
        or url.fragment
        or (url.username is None) != (url.password is None)
    ):
        raise ValueError("write it like smtp+starttls://user:password@mail.example.com:587, smtps://… or smtp://…")
    return text


def _setting(parse: Callable[[str], Any], default: Any = None, **more: Any) -> Any:
    return field(default=default, metadata={"parse": parse}, **more)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an operator can choose; each field is the environment variable ``TICKETS_<NAME>``.

    Attributes:
        var_dir: folder for what the service writes.
        database_url: SQLAlchemy URL; the default is ``tickets.db`` under `var_dir`.
        env: ``development`` or ``production``.
        secret_key: signs tokens and cursors and seals stored secrets, at least 32 characters; made on first start
            for the embedded default, and never again in silence; required in production. Several, separated by commas,
            while one replaces another: the first signs, all are accepted.
        rate_limit_api_key: requests an API key may make, like ``5/second``.
        rate_limit_session: requests a user may make with sessions.
        rate_limit_account: requests all API keys and sessions of a user may make together, those keys apart that have a
            limit of their own.
        rate_limit_organization: requests those of an organization may make together.
        rate_limit_anonymous: requests an IP address may make without valid credentials.
        rate_limit_auth: requests an IP address may make to sign up, in and out.
        rate_limit_pages: pages, and files of pages, that an IP address may ask for.
        rate_limit_login: wrong passwords that are heard from an IP address.
        access_token_seconds: how long an access token is good.
        session_seconds: how long a session can be prolonged.
        password_reset_url: the page that sets a forgotten password; ``{token}`` becomes the token. The default is
            the service's own, at the address that it is served at; required in production, where people reach it by
            another.
        cors_origins: origins that browsers may call from; none by default.
        trusted_proxies: networks whose ``X-Forwarded-For`` is believed.
        log_level: debug, info, warning or error.
        sqlite_synchronous: ``FULL`` (what was acknowledged is on disk) or ``NORMAL``.
        max_body_bytes: largest request body.
        request_timeout: seconds a request may take to arrive, and a client may take nothing of its answer.
        max_connections: connections served at once; more get a 503, except for health.
        max_connections_per_address: how many of them may be of one IP address, trusted proxies excepted; the default
            is half of `max_connections`.
        worker_threads: jobs the service runs at once beside requests; 0 leaves all to ``flask tickets worker``.
        worker_lease: seconds after which the jobs of a worker that died are run by another.
        audit: ``on``, or ``off`` for no audit log.
        audit_flush_seconds: how long the audit entries of reads and refusals wait to be stored together.
        audit_keep_days: how long entries of the audit log are kept.
        events_keep_days: how long events are listed; what the history of a ticket needs of them is kept longer.
        smtp_url: the server that takes mail; without one, mail is written to `mail_dir`.
        mail_dir: folder for mail as files; the default is ``mail`` under `var_dir`.
        mail_from: whom mail is from.
        well_known_dir: folder whose JSON files are served under ``/.well-known/`` (RFC 8615); the default is
            ``well-known`` under `var_dir`.
    """

    var_dir: Path = _setting(Path, default=None)
    database_url: str = _setting(_database_url, default="")
    env: str = _setting(_one_of("development", "production"), default="development")
    secret_key: str = _setting(str, default="", repr=False)
    rate_limit_api_key: str = _setting(_rate, default="5/second")
    rate_limit_session: str = _setting(_rate, default="60/minute")
    rate_limit_account: str = _setting(_rate, default="25/second")
    rate_limit_organization: str = _setting(_rate, default="100/second")
    rate_limit_anonymous: str = _setting(_rate, default="30/minute")
    rate_limit_auth: str = _setting(_rate, default="100/15 minute")
    rate_limit_pages: str = _setting(_rate, default="300/minute")
    rate_limit_login: str = _setting(_rate, default="10/minute")
    access_token_seconds: int = _setting(_positive, default=86_400)
    session_seconds: int = _setting(_positive, default=30 * 86_400)
    password_reset_url: str = _setting(_reset_url, default="")
    cors_origins: tuple[str, ...] = _setting(_words, default=())
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = _setting(_networks, default=())
    log_level: str = _setting(_one_of("debug", "info", "warning", "error"), default="info")
    sqlite_synchronous: str = _setting(_one_of("FULL", "NORMAL"), default="FULL")
    max_body_bytes: int = _setting(_positive, default=1_048_576)
    request_timeout: int = _setting(_positive, default=20)
    max_connections: int = _setting(_positive, default=2_000)
    max_connections_per_address: int | None = _setting(_positive)
    worker_threads: int = _setting(_not_negative, default=4)
    worker_lease: int = _setting(_positive, default=30)
    audit: str = _setting(_one_of("on", "off"), default="on")
    audit_flush_seconds: float = _setting(_duration, default=1.0)
    audit_keep_days: int = _setting(_days, default=90)
    events_keep_days: int = _setting(_days, default=30)
    smtp_url: str = _setting(_smtp_url, default="", repr=False)
    mail_dir: Path = _setting(Path, default=None)
    mail_from: str = _setting(_mailbox, default="Ticketing <tickets@localhost>")
    well_known_dir: Path = _setting(Path, default=None)

    def __post_init__(self) -> None:
        var_dir = (self.var_dir or _default_var()).absolute()
        object.__setattr__(self, "var_dir", var_dir)
        for name, folder in (("mail_dir", "mail"), ("well_known_dir", "well-known")):
            object.__setattr__(self, name, (getattr(self, name) or var_dir / folder).absolute())
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{var_dir / 'tickets.db'}")
        if any(len(key) < MIN_SECRET for key in self._secret_keys()):
            raise SettingsError("TICKETS_SECRET_KEY is too short: use at least 32 random characters.")
        if self.env == "production" and not self.secret_key:
            raise SettingsError("TICKETS_ENV=production needs TICKETS_SECRET_KEY: set at least 32 random characters.")
        if self.env == "production" and not self.password_reset_url:
            raise SettingsError(
                "TICKETS_ENV=production needs TICKETS_PASSWORD_RESET_URL: set the page that mails link to, "
                "like https://help.example.com/reset-password#token={token}."
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the settings from environment variables.

        Raises:
            SettingsError: a value cannot be used.
        """
        values: dict[str, Any] = {}
        for spec in fields(cls):
            name = f"TICKETS_{spec.name.upper()}"
            text = environ.get(name, "")
            if not text:
                continue
            try:
                values[spec.name] = spec.metadata["parse"](text)
            except ValueError as error:
                shown = name if name.endswith("_URL") else f"{name}={text!r}"  # it may hold a password
                raise SettingsError(f"{shown} cannot be used: {error}.") from None
        return cls(**values)

    def _secret_keys(self) -> list[str]:
        return [key.strip() for key in self.secret_key.split(",")] if self.secret_key else []

    def reset_link(self, token: str, page: str = "") -> str:
        """Make the address of the page where a password is set with a token.

        Args:
            token: for it.
            page: the page as the process that got the request knows it; a separate worker does not know the address.
        """
        return (page or self.password_reset_url or RESET_PAGE.format("http://127.0.0.1:8080")).replace("{token}", token)

    def connections_of_an_address(self) -> int:
        """Tell how many connections of one IP address are served at once."""
        return min(self.max_connections, self.max_connections_per_address or max(1, self.max_connections // 2))

    def signing_keys(self) -> list[bytes]:
        """Return the secret keys, of which the first signs; they are read once, and stay what they were.

        Raises:
            SettingsError: there is none, or it is damaged.
        """
        return self._signing_keys

    @property
    def _secret_file(self) -> Path:
        return self.var_dir / "secret.key"

    @cached_property
    def _signing_keys(self) -> list[bytes]:
        if self.secret_key:
            return [key.encode() for key in self._secret_keys()]
        try:
            key = self._secret_file.read_bytes()
        except FileNotFoundError:
            raise SettingsError(
                f"{self._secret_file} is gone: put it back. To start with a new key on purpose, write 32 or more "
                "random characters into it, or set TICKETS_SECRET_KEY; that ends all sessions, and with them mailed "
                "codes and links, mail that waits, cursors, and answers kept for Idempotency-Keys that show a secret."
            ) from None
        if len(key) < MIN_SECRET:
            raise SettingsError(
                f"{self._secret_file.name} is damaged: put the old key back, or write 32 or more random characters "
                "into it to start with a new one."
            )
        return [key]

    @property
    def has_secret_key(self) -> bool:
        """Whether there is a secret key."""
        return bool(self.secret_key) or self._secret_file.exists()

    def make_secret_key(self) -> None:
        """Make the secret key of the embedded default, readable by its owner only, unless another process did."""
        file = self._secret_file
        file.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: a key that was cut off would be one that anybody can guess.
        draft = file.with_name(f"secret.key.{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(secrets.token_urlsafe(48))
            new.flush()
            os.fsync(new.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first, and its key counts
            os.link(draft, file)
        draft.unlink()
