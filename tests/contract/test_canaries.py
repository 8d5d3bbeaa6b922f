"""A canary in every secret field of every operation of the contract: it sings nowhere."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from factories import Client, Tenant
from service import UNLIMITED, ProcessService
from tickets.contract.document import Document
from tickets.settings import shipped

DOCUMENT = Document(shipped("openapi.yaml"))
CANARY = "cAnArYbIrD0123456789"
SHAPES = {  # each as long and as odd as the contract wants it, so that it gets past validation, and not
    "bare": CANARY,
    "key": f"tk_abcdefgh_{CANARY}0123456789ab",
    "refresh token": f"tr_{CANARY}0123456789abcdefghijklm",
    "webhook secret": f"whsec_{CANARY}0123456789abcdef=",
    "access token": f"eyJ{CANARY}.eyJ{CANARY}.{CANARY}",
    "number": 31415926535,
}
SECRET = re.compile("password|token|secret|key|code", re.IGNORECASE)


@dataclass(frozen=True)
class Field:
    """A place of an operation where a secret is sent."""

    method: str
    path: str
    operation_id: str
    where: str
    name: str

    def __str__(self) -> str:
        return f"{self.operation_id}-{self.where}-{self.name}"


def fields() -> Iterator[Field]:
    """Walk the contract: every body and parameter with the name of a secret, and both ways to sign in."""
    for path, method, spec in DOCUMENT.operations():
        made = (method.upper(), re.sub(r"\{\w+\}", "1", path), spec["operationId"])
        yield Field(*made, "header", "authorization")
        yield Field(*made, "header", "x-api-key")
        yield Field(*made, "query", "token")  # where it does not belong
        if "requestBody" in spec:
            schema = DOCUMENT.resolve(spec["requestBody"]["content"]["application/json"]["schema"])
            yield from (Field(*made, "body", name) for name in schema["properties"] if SECRET.search(name))
            # Where they do not belong, and by their short names.
            yield from (Field(*made, "body", name) for name in ("password", "pwd", "userPass", "pin"))
            if spec.get("security") == []:
                yield Field(*made, "body", "colour")  # a password may be under any name where somebody signs in


FIELDS = sorted(set(fields()), key=str)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessService]:
    """A service with a log of its own, which tells all it has to tell."""
    limits = {f"TICKETS_{name.upper()}": rate for name, rate in UNLIMITED.items()}
    env = {**limits, "TICKETS_LOG_LEVEL": "debug", "TICKETS_AUDIT_FLUSH_SECONDS": "0.2"}
    running = ProcessService(tmp_path_factory.mktemp("canaries"), env=env)
    yield running
    running.stop()


def body(spec: dict[str, Any], field: Field, canary: Any) -> dict[str, Any]:
    """Make a body that is right but for the canary."""
    example = next(iter(spec["requestBody"]["content"]["application/json"]["examples"].values()))["value"]
    return {**example, field.name: canary}


def send(client: Client, field: Field, canary: Any, key: str) -> httpx.Response:
    spec = next(s for _, _, s in DOCUMENT.operations() if s["operationId"] == field.operation_id)
    headers = {"user-agent": f"canary {canary}" if isinstance(canary, str) and "_" in canary else "canary"}
    headers["x-api-key"] = key
    request: dict[str, Any] = {"headers": headers}
    if field.where == "header":
        del headers["x-api-key"]
        headers[field.name] = f"Bearer {canary}" if field.name == "authorization" else str(canary)
    if field.where == "query":
        request["params"] = {field.name: canary}
    if "requestBody" in spec:
        request["json"] = body(spec, field, canary) if field.where == "body" else {}
    return client.request(field.method, field.path, **request)


def test_the_contract_has_the_secrets_that_this_test_is_about():
    assert {field.name for field in FIELDS if field.where == "body"} >= {"password", "refresh_token", "token", "code"}


def test_no_canary_is_in_a_problem_an_audit_row_or_a_line_of_the_log(process: ProcessService):
    tenant = Tenant(process.database, process.origin)
    platform = tenant.key(tenant.user("platform"))
    sent = 0
    with Client(process.origin) as client:
        for field in FIELDS:
            for shape, canary in SHAPES.items():
                # An admin's calls could end the admin: each has one of its own where a body goes through.
                key = tenant.key(tenant.user("admin")) if field.where != "header" else platform
                answer = send(client, field, canary, key)
                sent += 1
                assert answer.status_code < 500, answer.text
                if answer.status_code >= 400:
                    assert str(canary) not in answer.text, (field, shape)
                    assert CANARY not in answer.text, (field, shape)
    tenant.close()
    assert process.stop() == 0
    kept = audit_rows(process.var_dir)
    assert len(kept) >= sent - 6 * 3 * 10  # all but the state of the service, which is no news
    told = process.log.read_text()
    assert told.count("request_id") >= sent
    for text in (*kept, told):
        assert CANARY not in text
        assert str(SHAPES["number"]) not in text


def audit_rows(var_dir: Path) -> list[str]:
    with closing(sqlite3.connect(var_dir / "tickets.db")) as connection:
        return [json.dumps(row) for row in connection.execute("SELECT * FROM audit_log")]
