"""Who belongs to a team."""

from sqlalchemy import bindparam, delete, insert, select

from tickets.db import Row, Statement, Transaction
from tickets.errors import NotFound
from tickets.models import TeamMember

_IS = (TeamMember.team_id == bindparam("of_team"), TeamMember.user_id == bindparam("of_user"))
_FIND = Statement(select(TeamMember.user_id).where(*_IS))
_ADD = Statement(insert(TeamMember).values(team_id=bindparam("team_id"), user_id=bindparam("user_id")))
_REMOVE = Statement(delete(TeamMember).where(*_IS))


def add_member(tx: Transaction, team: Row, user: Row) -> None:
    """Add a user to a team; one who belongs to it already stays."""
    if tx.first(_FIND, of_team=team.id, of_user=user.id) is None:
        tx.run(_ADD, team_id=team.id, user_id=user.id)


def remove_member(tx: Transaction, team: Row, user: Row) -> None:
    """Take a user out of a team.

    Raises:
        NotFound: the user does not belong to it.
    """
    if tx.run(_REMOVE, of_team=team.id, of_user=user.id) == 0:
        raise NotFound(f"The user {user.id} is no member of the team {team.id}.")
