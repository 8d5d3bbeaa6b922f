"""An operation, compiled: what the contract says about it becomes one plan, made once at start.

This is the layer behind Connexion's routing and security (decisions/0001). A plan validates, limits and
authorizes a call, binds its arguments, runs the handler inside Flask's application context and its own
transaction, and finishes the answer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from inspect import iscoroutinefunction
from typing import Any

import flask
import msgspec
from connexion.middleware.abstract import RoutedAPI, RoutedMiddleware
from connexion.operations import AbstractOperation

from tickets.contract.bodies import MIN_VALUES, check_media, check_values, most_values, parse_json
from tickets.contract.document import Document
from tickets.contract.parameters import Parameters
from tickets.contract.policy import Policy
from tickets.contract.validation import Checker
from tickets.db import TookTooLong, Transaction
from tickets.domain.access import Principal
from tickets.errors import InvalidRequest, NotFound, Problem
from tickets.http import idempotency, problems, redaction
from tickets.http.audit import Audit
from tickets.http.budget import took_too_long
from tickets.http.context import Call, Services, Stages, matches
from tickets.http.exchange import JSON, Exchange, Receive, Response, Scope, Send, exchange_of, while_connected
from tickets.http.fair_queue import tenant_of
from tickets.http.guard import too_large
from tickets.http.idempotency import Attempt, Idempotency
from tickets.http.pagination import link_header
from tickets.http.pool import Pool
from tickets.http.rate_limit import RateLimiter
from tickets.http.transaction import Reader, Writer
from tickets.security import confirm

MAX_ID = 2**63 - 1
MAX_PUBLIC_BODY = 16_384
"""Bytes that somebody who has not signed in may send: no such operation needs more."""
MAX_INLINE_BODY = 32_768
"""Bytes that are read on the event loop: 1 MB of short numbers takes a third of a second."""
MOST_INLINE_VALUES = 4
"""Values of a parameter up to which an answer is made on the event loop: each is a walk of its own, to be compiled."""

_Work = Callable[[Transaction, Principal | None], Response]


@dataclass(kw_only=True)
class Runtime:
    """What plans work with; the application makes one, and names its Flask application in it."""

    services: Services
    reader: Reader
    writer: Writer
    limiter: RateLimiter
    audit: Audit
    idempotency: Idempotency
    pool: Pool
    bodies: Pool
    flask_app: flask.Flask = field(init=False)


class Plan:
    """One operation of the contract, ready to be called.

    Args:
        operation: Connexion's view of it, with handler and resolved schemas.
        document: the contract.
        runtime: what it works with.
    """

    def __init__(self, operation: AbstractOperation, document: Document, runtime: Runtime) -> None:
        spec = operation._operation
        self.operation_id: str = operation.operation_id
        self.method: str = operation.method.upper()
        self.handler: Callable[..., Any] = operation.function
        self.rate_limit: str = spec.get("x-rate-limit", "")
        self.long = spec.get("x-execution") == "thread"
        self.secret = spec.get("x-secret-response", False)
        self._runtime = runtime
        parameters = operation.parameters
        self.policy = Policy(spec, parameters)
        self._long_with = frozenset(p["name"] for p in parameters if p.get("x-execution") == "thread")
        self._query = Parameters([p for p in parameters if p["in"] == "query"], "query")
        headers = [p for p in parameters if p["in"] == "header"]
        self._headers = Parameters(headers, "header")
        self._header_names = {p["name"].lower().encode(): p["name"] for p in headers}
        body = _body_schema(operation)
        self._fields = frozenset(body.get("properties", ()))
        self._most_values = max(MIN_VALUES, most_values(body))
        self._needs_body = bool(operation.request_body) and operation.request_body.get("required", False)
        self._status = next(int(status) for status in spec["responses"] if status.startswith("2"))
        success = document.resolve(_raw(document, operation)["responses"][str(self._status)])
        answered = success.get("headers", {})
        self._has_etag = "ETag" in answered
        self._location = _location(document, success) if "Location" in answered else None
        shown = document.shown(success, self._fields)
        self._body = Checker(body, "body", shown) if operation.request_body else None
        self._writes = self.method != "GET"
        self._in_stages = iscoroutinefunction(self.handler)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        exchange = exchange_of(scope)
        exchange.operation_id = self.operation_id
        exchange.audited = self.rate_limit == "exempt"  # that somebody asked for the state of the service is no news
        try:
            response = await self._answer(scope, receive, exchange)
        except Problem as problem:
            response = problems.render(problem, path=scope["path"], request_id=exchange.request_id)
        await response.send(send)

    async def _answer(self, scope: Scope, receive: Receive, exchange: Exchange) -> Response:
        caller = self._admit(scope, exchange)
        headers = self._read_headers(scope)
        arguments = self._arguments(scope)
        if caller is not None:
            self.policy.check_parameters(caller, arguments)
        if self._writes and self.long:
            self._runtime.writer.expect_room(tenant_of(exchange), long=True)
        if self._body is not None:
            arguments["body"] = await self._read_body(scope, receive, exchange)
        elif exchange.sends_body:
            raise InvalidRequest("This operation takes no body; send none.")
        runtime = self._runtime
        if self._in_stages:
            return await self._stage_by_stage(scope, arguments, exchange)

        def perform(transaction: Transaction | Reader, acting: Principal | None) -> Response:
            call = Call(runtime.services, acting, transaction, exchange, self.operation_id, headers.get("If-Match"))
            with runtime.flask_app.app_context():
                flask.g.call = call
                response = self._finish(self.handler(**arguments), scope, alone="expand" not in arguments)
            known = None if call.is_newer_than_version else headers.get("If-None-Match")
            return _not_modified(response, known)

        if not self._writes:
            if self._is_long(arguments):
                return await self._read_apart(caller, perform, receive, exchange)
            return self._read(caller, perform)
        key = headers.get("Idempotency-Key")
        if key is None or caller is None:
            return await self._write(scope, caller, perform, exchange)
        attempt = idempotency.attempt(caller, self.method, scope["path"], key, arguments.get("body"))
        return await self._once(scope, caller, attempt, perform, exchange)

    def _is_long(self, arguments: dict[str, Any]) -> bool:
        """Tell whether a read may take long, by what it is and by what is asked for."""
        if self.long or not self._long_with.isdisjoint(arguments):
            return True
        return any(len(value) > MOST_INLINE_VALUES for value in arguments.values() if isinstance(value, list))

    async def _stage_by_stage(self, scope: Scope, arguments: dict[str, Any], exchange: Exchange) -> Response:
        """Let a handler that is a coroutine open its transactions itself; nobody has signed in to call it."""
        runtime, tenant = self._runtime, tenant_of(exchange)
        with runtime.flask_app.app_context():
            flask.g.call = Stages(
                services=runtime.services,
                exchange=exchange,
                status=self._status,
                reader=runtime.reader,
                run=partial(runtime.writer.run, tenant=tenant),
                store=lambda tx, status: runtime.audit.store(tx, scope, exchange, status),
                pool=runtime.pool,
                tenant=tenant,
            )
            return self._finish(await self.handler(**arguments), scope)

    def _read(self, caller: Principal | None, work: Callable[..., Response]) -> Response:
        reader = self._runtime.reader
        try:
            return work(reader, caller)
        finally:
            reader.end()

    async def _read_apart(
        self, caller: Principal | None, work: Callable[..., Response], receive: Receive, exchange: Exchange
    ) -> Response:
        """Run a long read in a thread, and cancel it when the client disconnects."""
        reading = self._runtime.reader.apart(lambda transaction: work(transaction, caller), tenant=tenant_of(exchange))
        try:
            found: Response = await while_connected(receive, reading)
        except TookTooLong:
            raise took_too_long(self._query.names) from None
        return found

    async def _write(self, scope: Scope, caller: Principal | None, work: _Work, exchange: Exchange) -> Response:
        """Run a write for who its caller is when its turn comes: what went before it may have taken a right away.

        Its audit row is in the same transaction, so that neither is ever there without the other.
        """
        runtime = self._runtime

        def confirmed(transaction: Transaction) -> tuple[Response, bool]:
            acting = caller
            if caller is not None:
                acting = confirm(transaction, caller)
                self.policy.check(acting)
            response = work(transaction, acting)
            return response, runtime.audit.store(transaction, scope, exchange, response.status)

        answer: Response
        answer, exchange.audited = await runtime.writer.run(confirmed, tenant=tenant_of(exchange), long=self.long)
        return answer

    def _admit(self, scope: Scope, exchange: Exchange) -> Principal | None:
        """Count the call and let its caller pass."""
        limiter = self._runtime.limiter
        caller: Principal | None = None
        if not self.policy.public:
            caller = scope["extensions"]["connexion_context"]["token_info"]["caller"]
        if self.rate_limit != "exempt":
            limiter.count(exchange, caller, signing_in=self.rate_limit == "auth")
        if caller is not None:
            self.policy.check(caller)
        return caller

    async def _once(
        self,
        scope: Scope,
        caller: Principal,
        attempt: Attempt,
        perform: _Work,
        exchange: Exchange,
    ) -> Response:
        """Perform a call that came with an Idempotency-Key, or answer it again."""
        memory = self._runtime.idempotency

        def once(transaction: Transaction, acting: Principal | None) -> Response:
            earlier = memory.replay(transaction, attempt)
            if earlier is not None:
                return earlier
            try:
                with transaction.savepoint():
                    response = perform(transaction, acting)
            except Problem as problem:
                if problem.status >= 500 or problem.status in (401, 429):  # noqa: PLR2004 - never stored
                    raise
                response = problems.render(problem, path=scope["path"], request_id=exchange.request_id)
            memory.store(transaction, attempt, response, secret=self.secret)
            return response

        memory.enter(attempt)
        try:
            return await self._write(scope, caller, once, exchange)
        finally:
            memory.leave(attempt)

    def _read_headers(self, scope: Scope) -> dict[str, Any]:
        if not self._header_names:
            return {}
        names = self._header_names
        given = [(names[name], value.decode("latin-1")) for name, value in scope["headers"] if name in names]
        return self._headers.read(given) if given else {}

    def _arguments(self, scope: Scope) -> dict[str, Any]:
        arguments = self._query.arguments(scope["query_string"])
        for name, value in scope["path_params"].items():
            if value > MAX_ID:
                raise NotFound(f"There is nothing with the id {value}.")
            arguments[name] = value
        return arguments

    async def _read_body(self, scope: Scope, receive: Receive, exchange: Exchange) -> Any:
        chunks = []
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise InvalidRequest("The connection closed before the body was complete.")
            chunks.append(message.get("body", b""))
            if self.policy.public and sum(map(len, chunks)) > MAX_PUBLIC_BODY:
                raise too_large(MAX_PUBLIC_BODY)
            more = message.get("more_body", False)
        body = b"".join(chunks)
        if not body:
            if self._needs_body:
                raise InvalidRequest("This operation needs a body; send JSON.")
            return {}
        check_media(scope["headers"])
        if len(body) <= MAX_INLINE_BODY:
            return self._value(body, exchange)
        return await self._runtime.bodies.run(self._value, body, exchange, tenant=tenant_of(exchange))

    def _value(self, body: bytes, exchange: Exchange) -> Any:
        check_values(body, self._most_values)
        value = parse_json(body)
        exchange.body_size = len(body)
        exchange.body = self._known(value) if self.policy.public else value
        self._body.check(value)  # type: ignore[union-attr]  # only called where there is one
        return value

    def _known(self, value: Any) -> Any:
        """Leave what the contract knows of a body that signs somebody in: whatever else it has may be a password."""
        if not isinstance(value, dict):
            return redaction.REDACTED
        return {
            name: redaction.REDACTED if isinstance(item, dict | list) else item
            for name, item in value.items()
            if name in self._fields
        }

    def _finish(self, body: Any, scope: Scope, *, alone: bool = True) -> Response:
        """Turn what a handler returned into the answer the contract promises.

        Args:
            body: what it returned.
            scope: of the request.
            alone: whether nothing stands beside the entity; else its version does not tell one answer from another.
        """
        if body is None:
            return Response(self._status, [])
        headers = [(b"content-type", JSON)]
        if self._has_etag and alone:
            headers.append((b"etag", b'"%d"' % body["version"]))
        if self._location is not None:
            headers.append((b"location", self._location(body)))
        if "next_cursor" in body:
            link = link_header(scope["path"], scope["query_string"], body)
            if link:
                headers.append((b"link", link.encode("latin-1")))
        return Response(self._status, headers, msgspec.json.encode(body))


def _not_modified(response: Response, if_none_match: str | None) -> Response:
    """Answer 304 when the caller already has this version (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return response
    etag = dict(response.headers).get(b"etag")
    if etag is None or not matches(if_none_match, int(etag.strip(b'"')), weak=True):
        return response
    return Response(304, [(b"etag", etag)])


def _body_schema(operation: AbstractOperation) -> dict[str, Any]:
    """Return the schema of the body; empty without one.

    Connexion puts all components of the document into it, though no reference is left: compiled for each operation,
    these were two thirds of the memory of the service.
    """
    return {name: value for name, value in operation.body_schema().items() if name != "components"}


def _raw(document: Document, operation: AbstractOperation) -> dict[str, Any]:
    found: dict[str, Any] = document.data["paths"][operation.path][operation.method]
    return found


def _location(document: Document, response: dict[str, Any]) -> Callable[[dict[str, Any]], bytes]:
    """Make the Location of what was created: the address of the operation that the first link names."""
    link = document.resolve(next(iter(response["links"].values())))
    path = next(path for path, _, spec in document.operations() if spec["operationId"] == link["operationId"])
    template = document.base_path + path
    fields = {name: value.removeprefix("$response.body#/") for name, value in link["parameters"].items()}

    def location(body: dict[str, Any]) -> bytes:
        return template.format(**{name: body[field] for name, field in fields.items()}).encode()

    return location


class _PlanAPI(RoutedAPI[Plan]):  # type: ignore[misc]  # connexion ships no types
    """The plans of the document, by operationId, as Connexion's layers keep theirs."""

    def __init__(self, *args: Any, document: Document, runtime: Runtime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._document = document
        self._runtime = runtime
        self.add_paths()

    def make_operation(self, operation: AbstractOperation) -> Plan:
        return Plan(operation, self._document, self._runtime)


class OperationMiddleware(RoutedMiddleware[_PlanAPI]):  # type: ignore[misc]  # connexion ships no types
    """Calls the plan of the operation; what is none goes on to Flask.

    Args:
        app: Flask.
        document: the contract.
        runtime: what plans work with.
    """

    api_cls = _PlanAPI

    def __init__(self, app: Any, *, document: Document, runtime: Runtime) -> None:
        super().__init__(app)
        self._document = document
        self._runtime = runtime

    def add_api(self, specification: Any, **kwargs: Any) -> Any:
        """Make the plans."""
        return super().add_api(specification, document=self._document, runtime=self._runtime, **kwargs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an operation, or refuse what only looks like one."""
        if scope["type"] == "http" and scope["extensions"]["connexion_routing"].get("operation_id") is None:
            path = scope["path"]
            if path == self._document.base_path or path.startswith(self._document.base_path + "/"):
                raise NotFound("There is nothing at this address (an id is a whole number); /docs shows all addresses.")
        await super().__call__(scope, receive, send)
