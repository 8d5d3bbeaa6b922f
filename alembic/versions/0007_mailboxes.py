"""Mails and wrong codes are counted by address; whose address is not verified has no contact.

Revision: 0007
Follows: 0006
"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "mailboxes",
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("misses", sa.Integer(), nullable=False),
        sa.Column("expires_at", BIG, nullable=False),
        sa.PrimaryKeyConstraint("email", "purpose", name="pk_mailboxes"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_mailboxes_expires_at", "mailboxes", ["expires_at"])
    # What is on its way was the first mail of its hour, and goes on with the tries that it has.
    op.execute(
        "INSERT INTO mailboxes (email, purpose, sent, misses, expires_at)"
        " SELECT email, purpose, 1, 5 - tries_left,"
        " expires_at + CASE purpose WHEN 'verify_email' THEN 3000000 ELSE 0 END"
        " FROM one_time_secrets JOIN users ON users.id = user_id"
    )
    op.drop_column("one_time_secrets", "tries_left")
    # Until now somebody who signed up with an address that no contact had was given one. Verified, they get it back.
    op.execute(
        "UPDATE contacts SET user_id = NULL, version = version + 1"
        " WHERE user_id IN (SELECT id FROM users WHERE email_verified_at IS NULL)"
    )


def downgrade() -> None:
    """Undo."""
    op.add_column("one_time_secrets", sa.Column("tries_left", sa.Integer(), server_default="5", nullable=False))
    op.execute(
        "UPDATE one_time_secrets SET tries_left = 5 - misses FROM users, mailboxes WHERE users.id = user_id"
        " AND mailboxes.email = users.email AND mailboxes.purpose = one_time_secrets.purpose"
    )
    op.drop_table("mailboxes")
