"""Rate limits: counted per key or address, told in both families of headers, a 429 when used up.

The headers are the ``x-ratelimit-*`` family and ``RateLimit`` / ``RateLimit-Policy`` of the IETF's draft
"RateLimit header fields for HTTP".
"""

import math
import time
from functools import lru_cache

from limits import RateLimitItem, parse
from limits.storage import Storage

from tickets.domain.access import Principal
from tickets.errors import Problem, RateLimited
from tickets.http.exchange import Exchange
from tickets.settings import Settings


class RateLimiter:
    """Counts requests in fixed windows, in the memory of this process.

    Args:
        settings: the limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._api_key = settings.rate_limit_api_key
        self._anonymous = settings.rate_limit_anonymous
        self._storage: Storage = _Windows()

    def count(self, exchange: Exchange, caller: Principal) -> None:
        """Count a request of a caller.

        Raises:
            RateLimited: the key has used up its window.
        """
        self._hit(exchange, "api-key", caller.rate_limit or self._api_key, str(caller.api_key_id))

    def count_anonymous(self, exchange: Exchange) -> None:
        """Count a request without valid credentials, by address.

        Raises:
            RateLimited: the address has used up its window.
        """
        self._hit(exchange, "anonymous", self._anonymous, exchange.client)

    def count_refusal(self, exchange: Exchange, problem: Problem) -> Problem:
        """Count a failure that came before any count, by address; our own fault is nobody's.

        Returns:
            What to answer: the failure, or that the address has used up its window.
        """
        if exchange.rate_headers is None and problem.status < _SERVER_FAULT:
            try:
                self.count_anonymous(exchange)
            except RateLimited as limited:
                return limited
        return problem

    def _hit(self, exchange: Exchange, policy: str, rate: str, identity: str) -> None:
        item = _parsed(rate)
        window = item.get_expiry()
        # The number of the window is in the key, so one call both counts and tells when the window ends.
        number, into = divmod(time.time(), window)
        used = self._storage.incr(f"{policy}/{identity}/{rate}/{int(number)}", window)
        reset = max(1, math.ceil(window - into))
        remaining = max(0, item.amount - used)
        exchange.rate_headers = [
            (b"x-ratelimit-limit", b"%d" % item.amount),
            (b"x-ratelimit-remaining", b"%d" % remaining),
            (b"x-ratelimit-reset", b"%d" % reset),
            (b"ratelimit-policy", b'"%s";q=%d;w=%d' % (policy.encode(), item.amount, window)),
            (b"ratelimit", b'"%s";r=%d;t=%d' % (policy.encode(), remaining, reset)),
        ]
        if used > item.amount:
            raise RateLimited(
                f"The limit {policy!r} of {rate} is used up; try again in {reset} s.",
                headers={"retry-after": str(reset)},
            )


class _Windows(Storage):
    """Counters of windows, in memory, dropped some time after their window ends.

    The library's own memory storage starts a thread every ten milliseconds to do that, which costs every
    request its turn at the interpreter lock.
    """

    STORAGE_SCHEME = None
    base_exceptions = Exception

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[str, tuple[int, float]] = {}
        self._sweep_at = _FIRST_SWEEP

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count, and tell how much was counted in the window; requests come from one thread."""
        counted, ends = self._counts.get(key) or (0, time.time() + expiry)
        self._counts[key] = (counted + amount, ends)
        if len(self._counts) >= self._sweep_at:
            now = time.time()
            self._counts = {name: entry for name, entry in self._counts.items() if entry[1] > now}
            self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._counts))
        return counted + amount

    def get(self, key: str) -> int:
        """Tell how much was counted."""
        return self._counts.get(key, (0, 0.0))[0]

    def get_expiry(self, key: str) -> float:
        """Tell when the window ends."""
        return self._counts.get(key, (0, time.time()))[1]

    def check(self) -> bool:
        """Tell that the storage works."""
        return True

    def reset(self) -> int:
        """Forget everything."""
        dropped, self._counts = len(self._counts), {}
        return dropped

    def clear(self, key: str) -> None:
        """Forget one counter."""
        self._counts.pop(key, None)


_FIRST_SWEEP = 10_000
_SERVER_FAULT = 500


@lru_cache(maxsize=1024)
def _parsed(rate: str) -> RateLimitItem:
    return parse(rate)
