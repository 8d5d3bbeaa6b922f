"""Rate limits: counted per key, user, account, organization or address, told in both families of headers.

The headers are the ``x-ratelimit-*`` family and ``RateLimit`` / ``RateLimit-Policy`` of the IETF's draft
"RateLimit header fields for HTTP".
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from pathlib import Path

import structlog
from limits import parse

from tickets import clock
from tickets.db.gate import PRIVATE
from tickets.domain.access import Principal
from tickets.errors import InvalidCredentials, RateLimited
from tickets.http.exchange import Exchange
from tickets.settings import Settings

_FIRST_SWEEP = 10_000
_HOME = 64
"""Bits of an IPv6 address that its owner did not choose (RFC 4291, 2.5.4; RFC 6177): the others are theirs."""
_CEILING = 10
"""So many times the limit of wrong passwords are heard for one account, wherever they come from."""
_AUDITED = "3/minute"
"""So many refusals by limits of one name the audit log keeps of an organization, or of a network (decisions/0021)."""

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


class _Limit:
    """A limit by its name and its rate such as ``5/second``, with what its headers always say; see `_limit`."""

    __slots__ = ("amount", "header", "name", "policy_header", "rate", "window")

    def __init__(self, name: str, rate: str) -> None:
        item = parse(rate)
        self.name = name
        self.rate = rate
        self.amount: int = item.amount
        self.window = item.get_expiry() * clock.SECOND
        self.policy_header = f'"{name}";q={item.amount};w={item.get_expiry()}'
        self.header = f'"{name}";r=%d;t=%d'

    def reset(self, now: int) -> int:
        """Return in how many seconds the present window ends: at least one, so that nobody asks again at once."""
        return max(1, -((now % self.window - self.window) // clock.SECOND))

    def refusal(self, now: int) -> RateLimited:
        """Make the answer to who has used it up."""
        reset = self.reset(now)
        return RateLimited(
            f"The limit {self.name!r} of {self.rate} is used up{_TOGETHER.get(self.name, '')}; try again in {reset} s.",
            headers={"retry-after": str(reset)},
        )


_TOGETHER = {
    "account": " by all keys and sessions of this account together",
    "organization": " by all keys and sessions of this organization together",
}

_limit = cache(_Limit)
"""Return the one `_Limit` of a name and rate, the key of its counts; only operators set rates, so there are few."""


@lru_cache(maxsize=1024)
def _headers_of(limits: tuple[_Limit, ...]) -> tuple[bytes, bytes]:
    """Make `RateLimit-Policy` of some limits, and `RateLimit` but for the remaining requests and seconds of each."""
    return ", ".join(one.policy_header for one in limits).encode(), ", ".join(one.header for one in limits).encode()


_Who = int | str | tuple[str, int | str] | None
_Applying = list[tuple[_Limit, _Who]]
"""The limits that apply to a request, with whom each is counted for."""


class RateLimiter:
    """Counts requests in fixed windows, in the memory of this process.

    Args:
        settings: the limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._anonymous = _limit("anonymous", settings.rate_limit_anonymous)
        self._pages = _limit("pages", settings.rate_limit_pages)
        self._session = _limit("session", settings.rate_limit_session)
        self._api_key = _limit("api-key", settings.rate_limit_api_key)
        self._account = _limit("account", settings.rate_limit_account)
        self._auth = _limit("auth", settings.rate_limit_auth)
        self._organization = _limit("organization", settings.rate_limit_organization)
        self._windows = _Windows()
        self._audited = _limit("audited", _AUDITED)

    def count(self, exchange: Exchange, caller: Principal | None, *, signing_in: bool = False) -> None:
        """Count a request: by key or by the user of a session, by account and organization, or by address.

        A key to which the operator gave a limit of its own is counted by that alone: else nobody could have more.

        Args:
            exchange: the request.
            caller: who asks; None for anybody.
            signing_in: whether it also counts among those that sign up, in or out from an address.

        Raises:
            RateLimited: a limit is used up.
        """
        # From the narrowest to the widest: a request that one limit refuses does not count against the wider ones.
        applying: _Applying
        if caller is None:
            applying = [(self._anonymous, network_of(exchange.client))]
        elif caller.rate_limit is not None:
            applying = [(_limit("api-key", caller.rate_limit), caller.counts_as)]
        elif caller.session_id is not None:
            applying = [(self._session, caller.user_id), (self._account, caller.user_id)]
        else:
            applying = [(self._api_key, caller.counts_as), (self._account, caller.user_id)]
        if signing_in:
            applying.append((self._auth, network_of(exchange.client)))
        if caller is not None and caller.rate_limit is None:
            applying.append((self._organization, caller.organization_id))
        self._hit(exchange, applying, network_of(exchange.client) if caller is None else caller.organization_id)

    def count_page(self, exchange: Exchange) -> None:
        """Count a request for a page, or for a file of one: by address, and apart from all others.

        Raises:
            RateLimited: the limit is used up.
        """
        network = network_of(exchange.client)
        self._hit(exchange, [(self._pages, network)], network)

    def _hit(self, exchange: Exchange, applying: _Applying, widest: int | str) -> None:
        now = clock.now()
        windows = self._windows
        refused: _Limit | None = None
        tightest, fewest, longest = applying[0][0], _MANY, 0
        told: list[int] = []
        for limit, who in applying:
            if refused is None:
                used = windows.count(limit, who, now)
                if used > limit.amount:
                    refused = limit
                    exchange.audited = used > limit.amount + 1 or not self._is_audited(limit, widest, now)
            else:
                used = windows.used(limit, who, now)
            remaining = max(0, limit.amount - used)
            reset = limit.reset(now)
            told += (remaining, reset)
            if remaining < fewest or (remaining == fewest and reset >= longest):
                tightest, fewest, longest = limit, remaining, reset
        policies, left = _headers_of(tuple([limit for limit, _ in applying]))
        exchange.rate_headers = [
            (b"x-ratelimit-limit", b"%d" % tightest.amount),
            (b"x-ratelimit-remaining", b"%d" % fewest),
            (b"x-ratelimit-reset", b"%d" % longest),
            (b"ratelimit-policy", policies),
            (b"ratelimit", left % tuple(told)),
        ]
        if refused is not None:
            for limit, who in applying:
                if limit is self._auth and refused is self._organization:
                    # The address is shared with people of other organizations.
                    windows.take_back(((limit, who), now // limit.window))
            raise refused.refusal(now)

    def _is_audited(self, limit: _Limit, widest: int | str, now: int) -> bool:
        """Tell whether the first refusal of a window is audited: a few of an organization are, whatever keys it has.

        Args:
            limit: which refused it.
            widest: the organization that asks, or the network of who did not sign in.
            now: when.
        """
        return self._windows.count(self._audited, (limit.name, widest), now) <= self._audited.amount


_MANY = 2**63


class FailedLogins:
    """Counts wrong passwords, so that nobody can try many: from an address, for an account, or both.

    An attempt counts from its beginning, since many can begin at once, and is uncounted unless it ends with a wrong
    password. An account under attack from many addresses is not locked at once: after its limit is used up, an address
    without a wrong password in this window may still try, until the account has ten times its limit of wrong passwords.
    From then on nobody may try, its owner included, until the window ends.

    Args:
        settings: the limit.
    """

    def __init__(self, settings: Settings) -> None:
        self._limit = _limit("login", settings.rate_limit_login)
        self._windows = _Windows()

    @contextmanager
    def attempt(self, client: str, email: str) -> Iterator[None]:
        """Count what happens within as a wrong password, if it ends with `InvalidCredentials`.

        Raises:
            RateLimited: too many were wrong.
        """
        begun = self._begin(client, email)
        try:
            yield
        except InvalidCredentials:
            raise
        except BaseException:
            self._take_back(begun)
            raise
        self._take_back(begun)

    def _begin(self, client: str, email: str) -> "list[_At]":
        now = clock.now()
        number = now // self._limit.window
        account, network = email.lower(), network_of(client)
        whom = (f"{network} {account}", network, f"* {account}")
        begun: list[_At] = [((self._limit, who), number) for who in whom]
        pair, address, everywhere = (self._windows.count(self._limit, who, now) for who in whom)
        most = self._limit.amount
        is_tried = everywhere > most and (pair > 1 or everywhere > _CEILING * most)
        if pair > most or address > most or is_tried:
            # Only what is heard counts: nobody shall use up a limit by what is refused.
            self._take_back(begun)
            raise self._limit.refusal(now)
        return begun

    def _take_back(self, begun: "list[_At]") -> None:
        for at in begun:
            self._windows.take_back(at)


_At = tuple[tuple[_Limit, _Who], int]
"""A window of a limit for somebody, by its number since 1970."""


class _Windows:
    """Counters of fixed windows, dropped some time after their window ends; all calls come from one thread.

    The library's own memory storage starts a thread every ten milliseconds to do that, which costs every
    request its turn at the interpreter lock.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[_Limit, _Who], tuple[int, int]] = {}
        self._sweep_at = _FIRST_SWEEP

    def count(self, limit: _Limit, who: _Who, now: int) -> int:
        """Count within the present window, and return how many there were."""
        counts, name, number = self._counts, (limit, who), now // limit.window
        last = counts.get(name)
        used = last[1] + 1 if last is not None and last[0] == number else 1
        counts[name] = (number, used)
        if len(counts) >= self._sweep_at:
            self._counts = {
                (limit, who): last for (limit, who), last in counts.items() if last[0] == now // limit.window
            }
            self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._counts))
        return used

    def used(self, limit: _Limit, who: _Who, now: int) -> int:
        """Return how many there were within the present window."""
        last = self._counts.get((limit, who))
        return last[1] if last is not None and last[0] == now // limit.window else 0

    def take_back(self, at: _At) -> None:
        """Count one less in a window, unless it is over."""
        name, number = at
        last = self._counts.get(name)
        if last is not None and last[0] == number:
            self._counts[name] = (number, last[1] - 1)
