"""Teams and who belongs to them."""

from typing import Any

from tickets import wire
from tickets.domain import access, entities, teams
from tickets.domain.listings import TEAM_MEMBERS, TEAMS, where
from tickets.http.context import current
from tickets.models import Team
from tickets.shapes.teams import team as show
from tickets.shapes.users import user as show_user


def list_teams(*, sort: str, limit: int, cursor: str | None = None) -> wire.TeamList:
    """List the teams of the organization."""
    call = current()
    filters = where(organization_id=call.caller.organization_id)
    page: wire.TeamList = call.page(TEAMS, show, where=filters, sort=sort, limit=limit, cursor=cursor)
    return page


def create_team(*, body: wire.TeamCreate) -> wire.Team:
    """Make a team."""
    call = current()
    values: dict[str, Any] = {"description": "", **body}
    return show(entities.add(call.tx, call.caller.actor, Team, organization_id=call.caller.organization_id, **values))


def get_team(*, team_id: int) -> wire.Team:
    """Show a team."""
    call = current()
    return show(access.team(call.tx, call.caller, team_id))


def update_team(*, team_id: int, body: wire.TeamUpdate) -> wire.Team:
    """Change a team."""
    call = current()
    team = access.team(call.tx, call.caller, team_id)
    return show(entities.change(call.tx, call.caller.actor, Team, team, call.expect(team, body)))


def delete_team(*, team_id: int) -> None:
    """Delete a team; its tickets stay, without a team."""
    call = current()
    team = access.team(call.tx, call.caller, team_id)
    call.expect(team)
    entities.remove(call.tx, call.caller.actor, Team, team)


def list_team_members(*, team_id: int, sort: str, limit: int, cursor: str | None = None) -> wire.UserList:
    """List the members of a team."""
    call = current()
    team = access.team(call.tx, call.caller, team_id)
    page: wire.UserList = call.page(
        TEAM_MEMBERS, show_user, where=where(team_id=team.id), sort=sort, limit=limit, cursor=cursor
    )
    return page


def add_team_member(*, team_id: int, user_id: int) -> None:
    """Let a user belong to a team."""
    call = current()
    team = access.team(call.tx, call.caller, team_id)
    teams.add_member(call.tx, team, access.user(call.tx, call.caller, user_id))


def remove_team_member(*, team_id: int, user_id: int) -> None:
    """Let a user no longer belong to a team."""
    call = current()
    team = access.team(call.tx, call.caller, team_id)
    teams.remove_member(call.tx, team, access.user(call.tx, call.caller, user_id))
