"""Every failure a partner can see, as a type. `http/problems.py` renders them (RFC 9457)."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple


class InputError(NamedTuple):
    """One fault of the input.

    Attributes:
        pointer: JSON pointer (RFC 6901) into what `where` names, for example ``/subject``.
        detail: what is wrong, without the value itself: it may be a secret.
        where: ``body``, ``query``, ``path`` or ``header``.
    """

    pointer: str
    detail: str
    where: str = "body"


class Problem(Exception):
    """A failure with a status, a stable code and a title.

    Args:
        detail: what happened and what to do next, in one or two sentences.
        errors: the faults of the input, if any.
        headers: response headers that belong to the failure.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[InputError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})


def forget_origin(error: BaseException | None) -> None:
    """Drop where an error was raised, and what it was raised from; the same of each error before it.

    A traceback holds the frames of the request, and those its body. When one of the frames holds the error too, only
    the garbage collector would free all of it, and it looks seldom. Whoever has dealt with an error calls this.
    """
    while error is not None:
        before = error.__cause__ or error.__context__
        error.__traceback__ = error.__cause__ = error.__context__ = None
        error = before


class InternalError(Problem):
    """Something failed that should not have."""


class InvalidRequest(Problem):
    status, code, title = 400, "invalid_request", "Invalid request"


class Unauthorized(Problem):
    status, code, title = 401, "unauthorized", "Authentication required"

    def __init__(self, detail: str) -> None:
        # RFC 9110, 15.5.2 asks for it.
        super().__init__(detail, headers={"www-authenticate": 'Bearer realm="ticketing"'})


class InvalidCredentials(Unauthorized):
    code, title = "invalid_credentials", "Wrong e-mail or password"


class InvalidCode(Unauthorized):
    code, title = "invalid_code", "Wrong, used or expired"


class EmailNotVerified(Problem):
    status, code, title = 403, "email_not_verified", "Verify your e-mail first"


class Forbidden(Problem):
    status, code, title = 403, "forbidden", "Not allowed"


class InsufficientScope(Problem):
    status, code, title = 403, "insufficient_scope", "The key lacks a scope"


class NotFound(Problem):
    status, code, title = 404, "not_found", "Not found"


class MethodNotAllowed(Problem):
    status, code, title = 405, "method_not_allowed", "Method not allowed"


class RequestTimeout(Problem):
    status, code, title = 408, "request_timeout", "The request took too long to arrive"


class AlreadyExists(Problem):
    status, code, title = 409, "already_exists", "Already exists"


class AlreadyMerged(Problem):
    status, code, title = 409, "already_merged", "Already merged"


class AlreadyReplaced(Problem):
    status, code, title = 409, "already_replaced", "Already replaced"


class Conflict(Problem):
    status, code, title = 409, "conflict", "Not possible as things are"


class InUse(Problem):
    status, code, title = 409, "in_use", "Still in use"


class LastAdmin(Problem):
    status, code, title = 409, "last_admin", "The last admin stays"


class TicketFull(Problem):
    status, code, title = 409, "ticket_full", "The ticket is full"


class TooManyKeys(Problem):
    status, code, title = 409, "too_many_keys", "Too many API keys"


class UserInactive(Problem):
    status, code, title = 409, "user_inactive", "The user is deactivated"


class VersionConflict(Problem):
    status, code, title = 409, "version_conflict", "Changed in the meantime"


class InvalidTransition(Problem):
    status, code, title = 409, "invalid_transition", "Status change not possible"


class IdempotencyInProgress(Problem):
    status, code, title = 409, "idempotency_in_progress", "Still being processed"


class IdempotencyAnswerGone(Problem):
    status, code, title = 409, "idempotency_answer_gone", "Done, but the answer is gone"


class PreconditionFailed(Problem):
    status, code, title = 412, "precondition_failed", "Precondition failed"


class PayloadTooLarge(Problem):
    status, code, title = 413, "payload_too_large", "Body too large"


class UriTooLong(Problem):
    status, code, title = 414, "uri_too_long", "Address too long"


class UnsupportedMediaType(Problem):
    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class IdempotencyKeyReused(Problem):
    status, code, title = 422, "idempotency_key_reused", "Idempotency key reused"


class RateLimited(Problem):
    status, code, title = 429, "rate_limited", "Too many requests"


class HeadersTooLarge(Problem):
    status, code, title = 431, "headers_too_large", "Header fields too large"


class ServiceUnavailable(Problem):
    status, code, title = 503, "service_unavailable", "Temporarily unavailable"

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"retry-after": str(retry_after)})
