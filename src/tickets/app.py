"""Wiring: the one place where everything meets."""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import connexion
import structlog
from connexion.exceptions import ProblemException
from connexion.lifecycle import ConnexionRequest, ConnexionResponse
from connexion.middleware.exceptions import ExceptionMiddleware
from connexion.middleware.lifespan import LifespanMiddleware
from starlette.exceptions import HTTPException

from tickets import __version__, clock, migrations
from tickets.contract.authentication import BareSecurityMiddleware
from tickets.contract.document import Document
from tickets.contract.operation import OperationMiddleware, Runtime
from tickets.contract.policy import scopes_of_roles
from tickets.contract.resolver import TagResolver
from tickets.contract.routing import StrictRoutingMiddleware
from tickets.db import Database
from tickets.domain import first_start, jobs
from tickets.domain.access import Rights
from tickets.domain.one_time_secrets import OneTimeSecrets
from tickets.errors import (
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Problem,
    Unauthorized,
    UnsupportedMediaType,
    forget_origin,
)
from tickets.http import pages, problems
from tickets.http.audit import Audit
from tickets.http.context import Services
from tickets.http.exchange import App, exchange_of
from tickets.http.guard import Guard
from tickets.http.idempotency import Idempotency
from tickets.http.pagination import Cursors
from tickets.http.pool import Pool
from tickets.http.rate_limit import FailedLogins, RateLimiter, counting_alone
from tickets.http.refusals import Refusals
from tickets.http.transaction import Reader, Writer
from tickets.jobs.worker import Worker
from tickets.security import AccessTokens, Authenticator, security_map
from tickets.settings import Settings, shipped

_Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]

log = structlog.get_logger("tickets")

WORKER_PATIENCE = 1.5
"""Seconds that running jobs get at the end, after those that the server gave to requests (7)."""


def create_app(settings: Settings) -> App:
    """Build the application; nothing is shared between two of them.

    Args:
        settings: how it shall run.

    Returns:
        An ASGI application.

    Raises:
        ResolverError: an operation of the contract has no handler.
        ValueError: the contract has an operation without a rule for who may call it.
    """
    document = Document(shipped("openapi.yaml"))
    database = Database(settings)
    with Database(settings) as first:  # closed again: what serves opens its own once it is asked for something
        secrets = first_start.signing_keys(settings, first)
    worker = Worker(settings, database, threads=settings.worker_threads)
    services = Services(
        settings=settings,
        database=database,
        document=document,
        cursors=Cursors(secrets),
        tokens=AccessTokens(secrets, settings.access_token_seconds),
        one_time=OneTimeSecrets(secrets),
        failed_logins=FailedLogins(settings),
        rights=Rights(scopes_of_roles(document)),
        revision=migrations.head(),
        started_at=clock.now(),
    )
    writer = Writer(database, {jobs.TOPIC: worker.wake})
    runtime = Runtime(
        services=services,
        reader=Reader(database),
        writer=writer,
        limiter=RateLimiter(settings),
        audit=Audit(settings, writer),
        idempotency=Idempotency(secrets),
        pool=Pool("hash"),
        bodies=Pool("body"),
    )
    authenticator = Authenticator(runtime.reader, runtime.writer, services.tokens)
    refusals = Refusals(runtime.limiter, authenticator)
    app = _connexion_app(document, runtime, authenticator, refusals, _lifespan(runtime, database, worker))
    return Guard(app, settings, document, limiter=runtime.limiter, refusals=refusals, audit=runtime.audit)


def _connexion_app(
    document: Document, runtime: Runtime, authenticator: Authenticator, refusals: Refusals, lifespan: _Lifespan
) -> Any:
    """Put Connexion around Flask: the layers between a request and the plan of its operation, or a page."""
    app = connexion.FlaskApp(
        "tickets",
        lifespan=lifespan,
        middlewares=[
            ExceptionMiddleware,
            StrictRoutingMiddleware,
            BareSecurityMiddleware,
            partial(OperationMiddleware, document=document, runtime=runtime),
            LifespanMiddleware,
        ],
        server_args={"static_folder": None},
        resolver=TagResolver("tickets.api"),
        security_map=security_map(authenticator),
    )
    runtime.flask_app = app.app
    app.app.register_blueprint(pages.blueprint(document, __version__, runtime.services.settings.well_known_dir))
    # A dictionary, since Connexion would render a file as a Jinja template; a copy, since it changes it.
    app.add_api(copy.deepcopy(document.data))
    for kind in (Problem, ProblemException, HTTPException, Exception):
        app.add_error_handler(kind, partial(_answer_failure, document, refusals))
    # Connexion would build this on the first request: a contract without handlers shall not start at all.
    app.middleware.app, app.middleware.middleware_stack = app.middleware._build_middleware_stack()
    return app


def _lifespan(runtime: Runtime, database: Database, worker: Worker) -> _Lifespan:
    """Make what starts with the server and ends after its last request."""

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        database.presence.enter()  # though nobody may ask for anything for long: it is in use
        if runtime.services.settings.worker_threads:
            worker.start()
        runtime.audit.start()
        with counting_alone(database.path):
            yield
        # Nobody takes a new job from here on. Those that run have as long as the rest of this takes, at least; who
        # overstays is given back, and keeps its connection until it ends or the process does.
        stopping = asyncio.get_running_loop().run_in_executor(None, worker.stop, WORKER_PATIENCE)
        async with AsyncExitStack() as ending:  # from the last to the first, whatever fails among them
            ending.callback(database.close)
            ending.callback(runtime.reader.close)
            ending.push_async_callback(_finished, stopping)
            ending.push_async_callback(runtime.writer.close)
            ending.push_async_callback(runtime.audit.close)
            # A write that had begun when the server stopped waiting is still answered and audited.
            ending.push_async_callback(runtime.writer.finish)
            ending.callback(runtime.bodies.close)
            ending.callback(runtime.pool.close)

    return lifespan


async def _finished(future: asyncio.Future[None]) -> None:
    await future


async def _answer_failure(
    document: Document, refusals: Refusals, request: ConnexionRequest, error: Exception
) -> ConnexionResponse:
    """Render what a layer of Connexion or a page of Flask raised."""
    exchange = exchange_of(request.scope)
    path = request.scope["path"]
    problem = _problem_of(error, document.methods(path))
    if isinstance(problem, InternalError):
        log.error("failed", request_id=exchange.request_id, path=exchange.path, exc_info=error)
    forget_origin(error)
    problem = await refusals.charge(request.scope, problem)
    response = problems.render(problem, path=path, request_id=exchange.request_id)
    headers = {name.decode(): value.decode() for name, value in response.headers}
    return ConnexionResponse(
        status_code=response.status, mimetype=headers.pop("content-type"), body=response.body, headers=headers
    )


def _problem_of(error: Exception, methods: tuple[str, ...]) -> Problem:
    if isinstance(error, Problem):
        return error
    status = getattr(error, "status", getattr(error, "status_code", 500))
    if status == 401:  # noqa: PLR2004 - Connexion found no credentials
        return Unauthorized(
            "Send an API key as `x-api-key: <key>`, or an access token as `Authorization: Bearer <token>`."
        )
    if status == 404:  # noqa: PLR2004 - Flask found no page
        return NotFound("There is nothing at this address; / shows where things are.")
    if status == 405:  # noqa: PLR2004 - the path takes other methods; pages can only be read
        allow = ", ".join(methods or ("GET", "HEAD"))
        return MethodNotAllowed(f"This address takes: {allow}.", headers={"allow": allow})
    if 400 <= status < 500:  # noqa: PLR2004 - whatever else the libraries below find to object
        kind = next((kind for kind in (PayloadTooLarge, UnsupportedMediaType) if kind.status == status), InvalidRequest)
        return kind("This request cannot be served; /docs shows what can be asked, and how.")
    return InternalError("Something went wrong on our side; quote the request id.")
