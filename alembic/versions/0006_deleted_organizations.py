"""Organizations that are deleted, while their rows still go.

Revision: 0006
Follows: 0005
"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("organizations", sa.Column("deleted_at", BIG, nullable=True))
    op.create_index(
        "ix_organizations_deleted_at", "organizations", ["deleted_at"], sqlite_where=sa.text("deleted_at IS NOT NULL")
    )


def downgrade() -> None:
    """Undo."""
    # What is not gone yet is there again, but nobody can sign in to it; the operator deletes it once more.
    op.execute(
        "UPDATE users SET is_active = 0"
        " WHERE organization_id IN (SELECT id FROM organizations WHERE deleted_at IS NOT NULL)"
    )
    op.drop_index("ix_organizations_deleted_at", "organizations")
    op.drop_column("organizations", "deleted_at")
