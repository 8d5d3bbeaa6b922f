"""What tests of the API look at again and again."""

from collections.abc import Iterator
from typing import Any

import httpx

NOBODY = 4_000_000_000
"""An id that nothing has."""

MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id"}


def problem(response: httpx.Response, status: int, code: str, *pointers: str, where: str = "body") -> dict[str, Any]:
    """Check that an answer is this problem, pointing at exactly these inputs, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body.keys() - {"errors"} == MEMBERS
    assert (body["status"], body["code"]) == (status, code), body
    assert body["type"] == f"urn:ticketing:problem:{code}"
    assert body["title"]
    assert body["detail"]
    assert body["instance"] == response.request.url.path[:2000]
    if "idempotency-replayed" not in response.headers:
        assert body["request_id"] == response.headers["x-request-id"]
    pointed = {(error["in"], error["pointer"]) for error in body.get("errors", [])}
    assert pointed == {(where, pointer) for pointer in pointers}, body
    assert all(error["detail"] for error in body.get("errors", []))
    return body


def made(response: httpx.Response) -> dict[str, Any]:
    """Check that something was created, that its address works, and return it."""
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    assert response.headers["etag"] == f'"{body["version"]}"' == '"1"'
    assert response.headers["location"].endswith(f"/{body['id']}")
    return body


def ids(response: httpx.Response) -> list[int]:
    """Check that an answer is a page and return the ids on it."""
    assert response.status_code == 200, response.text
    assert response.json().keys() == {"data", "next_cursor", "prev_cursor"}
    return [row["id"] for row in response.json()["data"]]


def walk(client: httpx.Client, path: str, **asked: Any) -> Iterator[dict[str, Any]]:
    """Follow the cursors of a list to its end."""
    cursor: dict[str, str] = {}
    while True:
        answer = client.get(path, params={**asked, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        yield from page["data"]
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}
