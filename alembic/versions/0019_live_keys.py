"""The keys of a user that are not revoked, found by when they end, since only so many may be good at a time.

Revision: 0019
Follows: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    live = sa.text("revoked_at IS NULL")
    op.create_index("ix_api_keys_user_id_live", "api_keys", ["user_id", "expires_at"], sqlite_where=live)


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_api_keys_user_id_live", "api_keys")
