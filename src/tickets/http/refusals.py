"""Who pays for a request that no operation counted: an address nobody knows, a method nobody takes."""

import structlog

from tickets.errors import Problem, RateLimited
from tickets.http.exchange import Scope, exchange_of
from tickets.http.rate_limit import RateLimiter
from tickets.security import Authenticator

log = structlog.get_logger("tickets")

_UNAUTHORIZED = 401
_SERVER_FAULT = 500


class Refusals:
    """Counts refusals against who asked, or against the address when nobody proved to be anybody.

    Args:
        limiter: counts.
        authenticator: tells whose credentials came along.
    """

    def __init__(self, limiter: RateLimiter, authenticator: Authenticator) -> None:
        self._limiter = limiter
        self._authenticator = authenticator

    async def charge(self, scope: Scope, problem: Problem) -> Problem:
        """Count a refusal, unless the request was counted before; our own fault is nobody's.

        Returns:
            What to answer: the refusal, or that a limit is used up.
        """
        exchange = exchange_of(scope)
        if exchange.rate_headers is not None or problem.status >= _SERVER_FAULT:
            return problem
        try:
            # Of a 401 the credentials were looked up already, and were none.
            caller = None if problem.status == _UNAUTHORIZED else await self._authenticator.caller_of(scope)
            self._limiter.count(exchange, caller)
        except RateLimited as limited:
            return limited
        except Exception:
            # What is refused is refused, also while the database does not say who asks.
            log.exception("not counted", request_id=exchange.request_id)
        return problem
