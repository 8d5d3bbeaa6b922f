"""Rate limits: counted per key, user or address, told in both families of headers, a 429 when used up.

The headers are the ``x-ratelimit-*`` family and ``RateLimit`` / ``RateLimit-Policy`` of the IETF's draft
"RateLimit header fields for HTTP".
"""

import fcntl
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import NamedTuple

import structlog
from limits import RateLimitItem, parse

from tickets import clock
from tickets.db.gate import PRIVATE
from tickets.domain.access import Principal
from tickets.errors import RateLimited
from tickets.http.exchange import Exchange
from tickets.settings import Settings

_FIRST_SWEEP = 10_000
_HOME = 64
"""Bits of an IPv6 address that its owner did not choose (RFC 4291, 2.5.4; RFC 6177): the others are theirs."""
_CEILING = 10
"""So many times the limit of wrong passwords are heard for one account, wherever they come from."""

log = structlog.get_logger("tickets")


@contextmanager
def counting_alone(database: Path) -> Iterator[None]:
    """Warn when another process serves the same database: each counts by itself, and every limit is doubled.

    Args:
        database: the file; a lock beside it is held as long as the process serves.
    """
    with ExitStack() as stack:
        try:
            # Read-only, so that a disk can become so while the service goes on.
            file = os.open(database.with_name(f"{database.name}.serving"), os.O_RDONLY | os.O_CREAT, PRIVATE)
            stack.callback(os.close, file)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("another process serves this database: rate limits are counted by each alone")
        except OSError as error:
            log.warning("nobody can tell whether another process serves this database", error=str(error))
        yield


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Name the network that a client counts as: all addresses that one machine can have at will are one.

    >>> network_of("2001:db8:1:2:aaaa::1"), network_of("::ffff:192.0.2.1"), network_of("192.0.2.1")
    ('2001:db8:1:2::/64', '192.0.2.1', '192.0.2.1')
    """
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if not isinstance(known, IPv6Address):
        return str(known)
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(IPv6Network((int(known), _HOME), strict=False))


class _Policy(NamedTuple):
    """A limit that applies to a request: its name, its rate such as ``5/second``, and who it is counted for."""

    name: str
    rate: str
    who: str


class RateLimiter:
    """Counts requests in fixed windows, in the memory of this process.

    Args:
        settings: the limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._windows = _Windows()

    def count(self, exchange: Exchange, caller: Principal | None, *, signing_in: bool = False) -> None:
        """Count a request, by key, by the user of a session, or by address.

        Args:
            exchange: the request.
            caller: who asks; None for anybody.
            signing_in: whether it also counts among those that sign up, in or out from an address.

        Raises:
            RateLimited: a limit is used up.
        """
        settings = self._settings
        network = network_of(exchange.client)
        if caller is None:
            policy = _Policy("anonymous", settings.rate_limit_anonymous, network)
        elif caller.session_id is not None:
            policy = _Policy("session", settings.rate_limit_session, str(caller.user_id))
        else:
            policy = _Policy("api-key", caller.rate_limit or settings.rate_limit_api_key, str(caller.api_key_id))
        more = (_Policy("auth", settings.rate_limit_auth, network),) if signing_in else ()
        self._hit(exchange, policy, *more)

    def count_page(self, exchange: Exchange) -> None:
        """Count a request for a page, or for a file of one: by address, and apart from all others.

        Raises:
            RateLimited: the limit is used up.
        """
        self._hit(exchange, _Policy("pages", self._settings.rate_limit_pages, network_of(exchange.client)))

    def _hit(self, exchange: Exchange, *policies: _Policy) -> None:
        counted = [self._windows.count(policy) for policy in policies]
        tightest = min(counted, key=lambda one: one.remaining)
        exchange.rate_headers = [
            (b"x-ratelimit-limit", b"%d" % tightest.limit),
            (b"x-ratelimit-remaining", b"%d" % tightest.remaining),
            (b"x-ratelimit-reset", b"%d" % tightest.reset),
            (b"ratelimit-policy", b", ".join(one.policy_header for one in counted)),
            (b"ratelimit", b", ".join(one.limit_header for one in counted)),
        ]
        for one in counted:
            if one.is_over:
                # Of refusals the first of each window is news (decisions/0021).
                exchange.audited = one.used > one.limit + 1
                raise one.refusal()


class FailedLogins:
    """Counts wrong passwords, so that nobody can try many: from an address, for an account, or both.

    An attempt counts when it begins, since many could begin at once, and is taken back when it succeeds. Who
    is tried from everywhere is not locked out: after the limit for an account is used up, an address that was
    not wrong yet is still heard, until ten times as many were. Beyond, whoever has that many addresses is kept from
    more, and so is the owner until the window ends.

    Args:
        settings: the limit.
    """

    def __init__(self, settings: Settings) -> None:
        self._rate = settings.rate_limit_login
        self._windows = _Windows()

    def begin(self, client: str, email: str) -> "Begun":
        """Count an attempt.

        Returns:
            What `succeed` takes back.

        Raises:
            RateLimited: too many were wrong.
        """
        account, network = email.lower(), network_of(client)
        pair, address = (self._count(who) for who in (f"{network} {account}", network))
        for one in (pair, address):
            if one.is_over:
                raise one.refusal()
        # Of what is heard only: nobody shall use up an account's limit by what is refused.
        everywhere = self._count(f"* {account}")
        if everywhere.is_over and (pair.used > 1 or everywhere.used > _CEILING * everywhere.limit):
            self._windows.take_back(everywhere.at)
            raise everywhere.refusal()
        return pair.at, address.at, everywhere.at

    def _count(self, who: str) -> "_Counted":
        return self._windows.count(_Policy("login", self._rate, who))

    def succeed(self, begun: "Begun") -> None:
        """Take an attempt back, where it was counted: its minute may be over."""
        for at in begun:
            self._windows.take_back(at)


_At = tuple[_Policy, int]
"""A window of a policy, by its number since 1970."""

Begun = tuple[_At, _At, _At]


class _Counted(NamedTuple):
    """What is left of a limit after a count."""

    policy: _Policy
    at: _At
    limit: int
    used: int
    window: int
    reset: int

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)

    @property
    def is_over(self) -> bool:
        return self.used > self.limit

    @property
    def policy_header(self) -> bytes:
        return b'"%s";q=%d;w=%d' % (self.policy.name.encode(), self.limit, self.window)

    @property
    def limit_header(self) -> bytes:
        return b'"%s";r=%d;t=%d' % (self.policy.name.encode(), self.remaining, self.reset)

    def refusal(self) -> RateLimited:
        return RateLimited(
            f"The limit {self.policy.name!r} of {self.policy.rate} is used up; try again in {self.reset} s.",
            headers={"retry-after": str(self.reset)},
        )


class _Windows:
    """Counters of fixed windows, dropped some time after their window ends; all calls come from one thread.

    The library's own memory storage starts a thread every ten milliseconds to do that, which costs every
    request its turn at the interpreter lock.
    """

    def __init__(self) -> None:
        self._counts: dict[_At, tuple[int, float]] = {}
        self._sweep_at = _FIRST_SWEEP

    def count(self, policy: _Policy) -> _Counted:
        """Count within the present window of a policy."""
        item = _parsed(policy.rate)
        window = item.get_expiry()
        now = clock.now() / clock.SECOND
        number, into = divmod(now, window)
        at = (policy, int(number))
        used = (self._counts[at][0] if at in self._counts else 0) + 1
        self._counts[at] = (used, now - into + window)
        if len(self._counts) >= self._sweep_at:
            self._counts = {name: entry for name, entry in self._counts.items() if entry[1] > now}
            self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._counts))
        return _Counted(policy, at, item.amount, used, window, max(1, math.ceil(window - into)))

    def take_back(self, at: _At) -> None:
        """Count one less in a window, unless it was dropped."""
        if at in self._counts:
            used, end = self._counts[at]
            self._counts[at] = (used - 1, end)


@lru_cache(maxsize=1024)
def _parsed(rate: str) -> RateLimitItem:
    return parse(rate)
