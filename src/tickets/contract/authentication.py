"""Connexion's security layer over the bare scope: its verdicts, without a request object for each call."""

from typing import Any

from connexion.middleware.security import SecurityAPI, SecurityMiddleware, SecurityOperation


class _Request:
    """The two things that Connexion's verification and our handlers ask of a request."""

    __slots__ = ("scope",)

    def __init__(self, scope: Any) -> None:
        self.scope = scope

    @property
    def context(self) -> dict[str, Any]:
        context: dict[str, Any] = self.scope["extensions"].setdefault("connexion_context", {})
        return context


class _BareOperation(SecurityOperation):  # type: ignore[misc]  # connexion ships no types
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.security:
            await self.verification_fn(_Request(scope))
        await self.next_app(scope, receive, send)


class _BareAPI(SecurityAPI):  # type: ignore[misc]  # connexion ships no types
    def make_operation(self, operation: Any) -> _BareOperation:
        made: _BareOperation = _BareOperation.from_operation(
            operation, next_app=self.next_app, security_handler_factory=self.security_handler_factory
        )
        return made


class BareSecurityMiddleware(SecurityMiddleware):  # type: ignore[misc]  # connexion ships no types
    """Verifies who is asking, as the contract's ``security`` says."""

    api_cls = _BareAPI
