"""Rate limits: counted per key, user or address, told in both families of headers, a 429 when used up.

The headers are the ``x-ratelimit-*`` family and ``RateLimit`` / ``RateLimit-Policy`` of the IETF's draft
"RateLimit header fields for HTTP".
"""

import math
from functools import lru_cache
from typing import NamedTuple

from limits import RateLimitItem, parse

from tickets import clock
from tickets.domain.access import Principal
from tickets.errors import RateLimited
from tickets.http.exchange import Exchange
from tickets.settings import Settings

_FIRST_SWEEP = 10_000


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
        if caller is None:
            policy = _Policy("anonymous", settings.rate_limit_anonymous, exchange.client)
        elif caller.session_id is not None:
            policy = _Policy("session", settings.rate_limit_session, str(caller.user_id))
        else:
            policy = _Policy("api-key", caller.rate_limit or settings.rate_limit_api_key, str(caller.api_key_id))
        more = (_Policy("auth", settings.rate_limit_auth, exchange.client),) if signing_in else ()
        self._hit(exchange, policy, *more)

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
                raise one.refusal()


class FailedLogins:
    """Counts wrong passwords, so that nobody can try many: from an address, for an account, or both.

    An attempt counts when it begins, since many could begin at once, and is taken back when it succeeds. Who
    is tried from everywhere is not locked out: after the limit for an account is used up, an address that was
    not wrong yet is still heard.

    Args:
        settings: the limit.
    """

    def __init__(self, settings: Settings) -> None:
        self._rate = settings.rate_limit_login
        self._windows = _Windows()

    def begin(self, client: str, email: str) -> None:
        """Count an attempt.

        Raises:
            RateLimited: too many were wrong.
        """
        account = email.lower()
        pair, address, everywhere = (
            self._windows.count(_Policy("login", self._rate, who))
            for who in (f"{client} {account}", client, f"* {account}")
        )
        for one in (pair, address):
            if one.is_over:
                raise one.refusal()
        if everywhere.is_over and pair.used > 1:
            raise everywhere.refusal()

    def succeed(self, client: str, email: str) -> None:
        """Take an attempt back."""
        account = email.lower()
        for who in (f"{client} {account}", client, f"* {account}"):
            self._windows.count(_Policy("login", self._rate, who), -1)


class _Counted(NamedTuple):
    """What is left of a limit after a count."""

    policy: _Policy
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
        self._counts: dict[tuple[_Policy, int], tuple[int, float]] = {}
        self._sweep_at = _FIRST_SWEEP

    def count(self, policy: _Policy, amount: int = 1) -> _Counted:
        """Count within the present window of a policy."""
        item = _parsed(policy.rate)
        window = item.get_expiry()
        now = clock.now() / clock.SECOND
        number, into = divmod(now, window)
        key = (policy, int(number))
        used = (self._counts[key][0] if key in self._counts else 0) + amount
        self._counts[key] = (used, now - into + window)
        if len(self._counts) >= self._sweep_at:
            self._counts = {name: entry for name, entry in self._counts.items() if entry[1] > now}
            self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._counts))
        return _Counted(policy, item.amount, used, window, max(1, math.ceil(window - into)))


@lru_cache(maxsize=1024)
def _parsed(rate: str) -> RateLimitItem:
    return parse(rate)
