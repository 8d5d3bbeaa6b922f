"""Service level policies."""

from tickets import wire
from tickets.domain import access, records, sla_policies
from tickets.domain.listings import SLA_POLICIES, where
from tickets.http.context import current
from tickets.models import SlaPolicy
from tickets.shapes.sla_policies import sla_policy as show


def list_sla_policies(*, sort: str, limit: int, cursor: str | None = None) -> wire.SlaPolicyList:
    """List the policies of the organization."""
    call = current()
    filters = where(organization_id=call.caller.organization_id)
    page: wire.SlaPolicyList = call.page(SLA_POLICIES, show, where=filters, sort=sort, limit=limit, cursor=cursor)
    return page


def create_sla_policy(*, body: wire.SlaPolicyCreate) -> wire.SlaPolicy:
    """Make a policy."""
    call = current()
    return show(sla_policies.create(call.tx, call.caller.organization_id, body))


def get_sla_policy(*, sla_policy_id: int) -> wire.SlaPolicy:
    """Show a policy."""
    call = current()
    return show(access.sla_policy(call.tx, call.caller, sla_policy_id))


def update_sla_policy(*, sla_policy_id: int, body: wire.SlaPolicyUpdate) -> wire.SlaPolicy:
    """Change a policy."""
    call = current()
    policy = access.sla_policy(call.tx, call.caller, sla_policy_id)
    return show(sla_policies.change(call.tx, policy, call.expect(policy, body)))


def delete_sla_policy(*, sla_policy_id: int) -> None:
    """Delete a policy; tickets keep the targets that it gave them."""
    call = current()
    policy = access.sla_policy(call.tx, call.caller, sla_policy_id)
    call.expect(policy)
    records.remove(call.tx, SlaPolicy, policy)
