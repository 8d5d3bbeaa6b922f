"""Who may call an operation: ``x-roles``, ``x-scope`` and ``x-verified-email`` of the contract, enforced here alone."""

from collections.abc import Iterable, Sequence
from typing import Any

from tickets.contract.document import Document
from tickets.domain.access import VERIFY_FIRST, Principal
from tickets.errors import EmailNotVerified, Forbidden, InputError, InsufficientScope


def scopes_of_roles(document: Document) -> dict[str, frozenset[str]]:
    """Collect the scopes of everything that each role may call, with what its parameters need: its rights in full."""
    found: dict[str, set[str]] = {}
    for path, _, operation in document.operations():
        item = document.data["paths"][path]
        parameters = map(document.resolve, (*item.get("parameters", ()), *operation.get("parameters", ())))
        scopes = {operation.get("x-scope", "none"), *(p["x-scope"] for p in parameters if "x-scope" in p)} - {"none"}
        for role in operation.get("x-roles", ()):
            found.setdefault(role, set()).update(scopes)
    return {role: frozenset(scopes) for role, scopes in found.items()}


class Policy:
    """Checks who may call one operation, and with which parameters.

    Args:
        operation: its Operation Object.
        parameters: its resolved Parameter Objects; one with an ``x-scope`` needs that scope too.

    Raises:
        ValueError: an operation that needs credentials names no roles or no scope.
    """

    def __init__(self, operation: dict[str, Any], parameters: Sequence[dict[str, Any]]) -> None:
        self.public = operation.get("security") == []
        if not self.public and not (operation.get("x-roles") and operation.get("x-scope")):
            raise ValueError(f"{operation['operationId']} needs x-roles and x-scope, or `security: []`.")
        self._roles = frozenset(operation.get("x-roles", ()))
        self._scope: str = operation.get("x-scope", "")
        self._needs_verified = operation.get("x-verified-email", False)
        self._more = {p["name"]: (p["x-scope"], p["in"]) for p in parameters if "x-scope" in p}

    def check(self, caller: Principal) -> None:
        """Check that the caller may call the operation.

        Raises:
            Forbidden: the role may not call the operation.
            InsufficientScope: the key has not the scope for it.
            EmailNotVerified: the operation needs a verified address, and the caller has none.
        """
        if caller.role not in self._roles:
            allowed = ", ".join(sorted(self._roles))
            raise Forbidden(f"This needs one of the roles: {allowed}. Yours is {caller.role}.")
        if self._scope not in caller.scopes and "*" not in caller.scopes and self._scope != "none":
            raise InsufficientScope(f"This needs a key with the scope {self._scope}; make one that has it.")
        if self._needs_verified and not caller.is_verified:
            raise EmailNotVerified(VERIFY_FIRST)

    def check_parameters(self, caller: Principal, given: Iterable[str]) -> None:
        """Check that the caller may use the parameters that they sent.

        Args:
            caller: who asks.
            given: the names of what they sent.

        Raises:
            InsufficientScope: the key has not the scope for one of them.
        """
        for name in self._more.keys() & given:
            scope, where = self._more[name]
            if scope not in caller.scopes and "*" not in caller.scopes:
                detail = f"{name} needs a key with the scope {scope}; make one that has it."
                raise InsufficientScope(detail, errors=[InputError(f"/{name}", detail, where)])
