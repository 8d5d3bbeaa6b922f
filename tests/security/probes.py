"""Bad requests byte for byte, and the problem that each deserves; the lists are in test_raw_*.py."""

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest
from rawhttp import JSON, request

KEY = "x-api-key: {KEY}"
MEGABYTE = 1 << 20

BAD = (400, "invalid_request")
MISSING = (404, "not_found")
MEDIA = (415, "unsupported_media_type")
LARGE = (413, "payload_too_large")


class Probe(NamedTuple):
    """Bytes, and the answer they deserve."""

    name: str
    data: bytes
    status: int
    code: str
    closes: bool = False


def get(target: str | bytes, *headers: str | bytes, method: str = "GET") -> bytes:
    return request(method, target, KEY, *headers)


def post(body: bytes, *headers: str | bytes, target: str = "/api/v1/tickets", length: bool = True) -> bytes:
    return request("POST", target, KEY, *(headers or (JSON,)), body=body, length=length)


def ticket(**fields: object) -> bytes:
    return post(json.dumps({"subject": "Printer", "description": "", **fields}).encode())


def raw_ticket(subject: bytes) -> bytes:
    return post(b'{"subject": %b, "description": ""}' % subject)


def custom(value: bytes) -> bytes:
    return post(b'{"subject": "s", "description": "", "custom_fields": {"n": %b}}' % value)


def each(*probes: Probe) -> Callable[..., None]:
    """Run a test with each probe."""
    decorate: Callable[..., None] = pytest.mark.parametrize("probe", [pytest.param(one, id=one.name) for one in probes])
    return decorate
