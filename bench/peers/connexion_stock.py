"""Connexion's FlaskApp as it comes, with our contract and our handlers.

Its own middlewares, its own validation, its own bridge to Flask; only what the handlers ask for (a call
with a transaction) is put around them where Connexion resolves them.
"""

import copy
import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import connexion
import flask
import msgspec
from bench.data import settings
from connexion.exceptions import OAuthProblem
from connexion.frameworks.flask import FlaskJSONProvider
from connexion.operations import AbstractOperation
from connexion.resolver import Resolution
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from tickets import clock, migrations
from tickets.contract.document import Document
from tickets.contract.resolver import TagResolver
from tickets.db import Database
from tickets.domain import api_keys
from tickets.domain.one_time_secrets import OneTimeSecrets
from tickets.errors import Problem
from tickets.http.context import Call, Services
from tickets.http.exchange import Exchange
from tickets.http.pagination import Cursors
from tickets.http.rate_limit import FailedLogins
from tickets.security import AccessTokens
from tickets.settings import shipped

SETTINGS = settings(Path(os.environ["BENCH_DATABASE"]))
DATABASE = Database(SETTINGS)
DOCUMENT = Document(shipped("openapi.yaml"))
SERVICES = Services(
    settings=SETTINGS,
    database=DATABASE,
    document=DOCUMENT,
    cursors=Cursors(SETTINGS.signing_keys()),
    tokens=AccessTokens(SETTINGS.signing_keys(), SETTINGS.access_token_seconds),
    one_time=OneTimeSecrets(SETTINGS.signing_keys()),
    failed_logins=FailedLogins(SETTINGS),
    revision=migrations.head(),
    started_at=clock.now(),
)
LIMITER = FixedWindowRateLimiter(MemoryStorage())


def check_key(key: str, required_scopes: Any = None) -> dict[str, Any]:  # noqa: ARG001 - Connexion passes it
    """Look the key up and count the request."""
    with DATABASE.read() as tx:
        found = api_keys.authenticate(tx, key)
    if found is None:
        raise OAuthProblem("The API key is not valid.")
    caller, _ = found
    if not LIMITER.hit(_limit(caller.rate_limit or "5/second"), str(caller.api_key_id)):
        raise connexion.exceptions.ProblemException(status=429, title="Too Many Requests")
    return {"sub": caller.user_id, "caller": caller}


_limit = functools.lru_cache(parse)


class Resolver(TagResolver):
    """Finds our handlers and opens what they need for each call."""

    def resolve(self, operation: AbstractOperation) -> Resolution:
        """Wrap the handler."""
        found = super().resolve(operation)
        return Resolution(_with_call(found.function, operation), found.operation_id)


def _with_call(handler: Callable[..., Any], operation: AbstractOperation) -> Callable[..., Any]:
    open_transaction = DATABASE.read if operation.method.lower() == "get" else DATABASE.write
    status = next(int(code) for code in operation._operation["responses"] if code.startswith("2"))

    @functools.wraps(handler)
    def view(**arguments: Any) -> Any:
        caller = arguments.pop("token_info", {}).get("caller") or connexion.context.context["token_info"]["caller"]
        arguments.pop("user", None)
        try:
            with open_transaction() as tx:
                flask.g.call = Call(SERVICES, caller, tx, Exchange("bench", "127.0.0.1", "/"), operation.operation_id)
                body = handler(**arguments)
        except Problem as problem:
            raise connexion.exceptions.ProblemException(
                status=problem.status, title=problem.title, detail=problem.detail
            ) from problem
        return body, status, {"Content-Type": "application/json"}

    return view


class _Json(FlaskJSONProvider):
    """Connexion's, which also knows the encoded JSON that lists pass through."""

    def default(self, o: Any) -> Any:
        return json.loads(bytes(o)) if isinstance(o, msgspec.Raw) else super().default(o)


def _build() -> Any:
    document = copy.deepcopy(DOCUMENT.data)
    for scheme, function in (("apiKey", "x-apikeyInfoFunc"), ("bearer", "x-bearerInfoFunc")):
        document["components"]["securitySchemes"][scheme][function] = f"{__name__}.check_key"
    made = connexion.FlaskApp("tickets")
    made.app.json = _Json(made.app)
    made.add_api(document, strict_validation=True, resolver=Resolver("tickets.api"))
    return made


app = _build()
