"""Passwords, sessions, codes sent by mail; addresses that were verified.

Revision: 0004
Follows: 0003
"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("users", sa.Column("email_verified_at", BIG, nullable=True))
    # Until now an admin or the operator made every account, and vouched for its address.
    op.execute("UPDATE users SET email_verified_at = created_at")
    op.add_column("api_keys", sa.Column("replaced_by_id", BIG, nullable=True))
    op.create_table(
        "passwords",
        sa.Column("user_id", BIG, autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_passwords_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name="pk_passwords"),
    )
    op.create_table(
        "sessions",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("organization_id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("expires_at", BIG, nullable=False),
        sa.Column("ended_at", BIG, nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_sessions_organization_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_index("ix_sessions_organization_id", "sessions", ["organization_id"])
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_table(
        "refresh_tokens",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("session_id", BIG, nullable=False),
        sa.Column("used_at", BIG, nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name="fk_refresh_tokens_session_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name="pk_refresh_tokens"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"])
    op.create_table(
        "one_time_secrets",
        sa.Column("user_id", BIG, autoincrement=False, nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("tries_left", sa.Integer(), nullable=False),
        sa.Column("expires_at", BIG, nullable=False),
        sa.CheckConstraint("purpose = 'verify_email' OR purpose = 'reset_password'", name="purpose"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_one_time_secrets_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "purpose", name="pk_one_time_secrets"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_one_time_secrets_digest", "one_time_secrets", ["digest"])
    op.create_index("ix_one_time_secrets_expires_at", "one_time_secrets", ["expires_at"])


def downgrade() -> None:
    """Undo."""
    op.drop_table("one_time_secrets")
    op.drop_table("refresh_tokens")
    op.drop_table("sessions")
    op.drop_table("passwords")
    op.drop_column("api_keys", "replaced_by_id")
    op.drop_column("users", "email_verified_at")
