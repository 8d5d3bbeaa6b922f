"""Failures as ``application/problem+json`` (RFC 9457), rendered here and nowhere else."""

from typing import Any

import msgspec

from tickets.errors import Problem, forget_origin
from tickets.http.exchange import Response

MEDIA_TYPE = b"application/problem+json"


def document(problem: Problem, *, path: str, request_id: str) -> dict[str, Any]:
    """Make the Problem Details object of a failure.

    Args:
        problem: what failed.
        path: the path that was asked, which becomes ``instance``.
        request_id: what to quote to support.
    """
    made: dict[str, Any] = {
        "type": f"urn:ticketing:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": path[:2000],
        "code": problem.code,
        "request_id": request_id,
    }
    if problem.errors:
        made["errors"] = [
            {"pointer": error.pointer, "in": error.where, "detail": error.detail} for error in problem.errors
        ]
    return made


def render(problem: Problem, *, path: str, request_id: str) -> Response:
    """Make the response of a failure, which ends here: it forgets where it came from."""
    headers = [(b"content-type", MEDIA_TYPE)]
    headers += [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    body = msgspec.json.encode(document(problem, path=path, request_id=request_id))
    forget_origin(problem)
    return Response(problem.status, headers, body)
