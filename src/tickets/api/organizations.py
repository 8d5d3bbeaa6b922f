"""Organizations: the operator's list of tenants, and everybody's own."""

from tickets import wire
from tickets.db import Row
from tickets.domain import access, organizations
from tickets.domain.listings import ORGANIZATIONS, where
from tickets.http.context import Call, current
from tickets.shapes.organizations import organization as show


def list_organizations(
    *, sort: str, limit: int, cursor: str | None = None, slug: str | None = None
) -> wire.OrganizationList:
    """List all organizations."""
    page: wire.OrganizationList = current().page(
        ORGANIZATIONS, show, where=where(slug=slug), sort=sort, limit=limit, cursor=cursor
    )
    return page


def create_organization(*, body: wire.OrganizationCreate) -> wire.Organization:
    """Found an organization."""
    return show(organizations.create(current().tx, **body))


def get_organization(*, organization_id: int) -> wire.Organization:
    """Show an organization."""
    return show(access.organization(current().tx, organization_id))


def update_organization(*, organization_id: int, body: wire.OrganizationUpdate) -> wire.Organization:
    """Change an organization."""
    call = current()
    return _change(call, access.organization(call.tx, organization_id), body)


def delete_organization(*, organization_id: int) -> None:
    """Delete an organization with everything in it."""
    call = current()
    organization = access.organization(call.tx, organization_id)
    call.expect(organization)
    organizations.remove(call.tx, organization)


def get_own_organization() -> wire.Organization:
    """Show the caller's organization."""
    call = current()
    return show(access.organization(call.tx, call.caller.organization_id))


def update_own_organization(*, body: wire.OrganizationUpdate) -> wire.Organization:
    """Change the caller's organization."""
    call = current()
    return _change(call, access.organization(call.tx, call.caller.organization_id), body)


def _change(call: Call, organization: Row, body: wire.OrganizationUpdate) -> wire.Organization:
    changes = call.expect(organization, body)
    for role, field in organizations.given_by(organization, changes):
        call.services.rights.expect(call.caller, role, [field])
    return show(organizations.change(call.tx, organization, changes))
