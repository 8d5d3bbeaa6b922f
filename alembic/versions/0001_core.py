"""Organizations, users, keys, teams, contacts, tickets and comments.

Revision: 0001
Follows: nothing
"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _people()
    _tickets()


def _people() -> None:
    op.create_table(
        "organizations",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("slug", sa.String(length=63), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("updated_at", BIG, nullable=False),
        sa.Column("version", BIG, server_default="1", nullable=False),
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("ck_organizations_name_length")),
        sa.CheckConstraint("length(slug) BETWEEN 1 AND 63", name=op.f("ck_organizations_slug_length")),
        sa.PrimaryKeyConstraint("id", name="pk_organizations"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_organizations_created_at", "organizations", ["created_at", "id"])
    op.create_index("ix_organizations_name", "organizations", ["name", "id"])
    op.create_index("ix_organizations_updated_at", "organizations", ["updated_at", "id"])
    op.create_index("uq_organizations_slug", "organizations", ["slug"], unique=True)

    op.create_table(
        "counters",
        sa.Column("organization_id", BIG, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("value", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_counters_organization_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("organization_id", "name", name="pk_counters"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "teams",
        sa.Column("organization_id", BIG, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=2000), nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("updated_at", BIG, nullable=False),
        sa.Column("version", BIG, server_default="1", nullable=False),
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.CheckConstraint("length(description) BETWEEN 0 AND 2000", name=op.f("ck_teams_description_length")),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("ck_teams_name_length")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_teams_organization_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_teams"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_teams_organization_id_created_at", "teams", ["organization_id", "created_at", "id"])
    op.create_index("ix_teams_organization_id_updated_at", "teams", ["organization_id", "updated_at", "id"])
    op.create_index("uq_teams_organization_id_name", "teams", ["organization_id", "name"], unique=True)

    op.create_table(
        "users",
        sa.Column("organization_id", BIG, nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("updated_at", BIG, nullable=False),
        sa.Column("version", BIG, server_default="1", nullable=False),
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.CheckConstraint(
            "role = 'admin' OR role = 'agent' OR role = 'user' OR role = 'platform'", name=op.f("ck_users_role")
        ),
        sa.CheckConstraint("length(email) BETWEEN 3 AND 254", name=op.f("ck_users_email_length")),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("ck_users_name_length")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_users_organization_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_users_organization_id_created_at", "users", ["organization_id", "created_at", "id"])
    op.create_index("ix_users_organization_id_name", "users", ["organization_id", "name", "id"])
    op.create_index("ix_users_organization_id_role", "users", ["organization_id", "role", "created_at", "id"])
    op.create_index("ix_users_organization_id_updated_at", "users", ["organization_id", "updated_at", "id"])
    op.create_index("uq_users_email", "users", ["email"], unique=True)

    op.create_table(
        "api_keys",
        sa.Column("organization_id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("prefix", sa.String(length=11), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("rate_limit", sa.String(length=40), nullable=True),
        sa.Column("expires_at", BIG, nullable=True),
        sa.Column("last_used_at", BIG, nullable=True),
        sa.Column("revoked_at", BIG, nullable=True),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("updated_at", BIG, nullable=False),
        sa.Column("version", BIG, server_default="1", nullable=False),
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("ck_api_keys_name_length")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_api_keys_organization_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_api_keys_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_api_keys_organization_id_created_at", "api_keys", ["organization_id", "created_at", "id"])
    op.create_index("ix_api_keys_organization_id_updated_at", "api_keys", ["organization_id", "updated_at", "id"])
    op.create_index("ix_api_keys_user_id", "api_keys", ["user_id", "created_at", "id"])
    op.create_index("uq_api_keys_digest", "api_keys", ["digest"], unique=True)

    op.create_table(
        "contacts",
        sa.Column("organization_id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=True),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("external_id", sa.String(length=255), nullable=True),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("updated_at", BIG, nullable=False),
        sa.Column("version", BIG, server_default="1", nullable=False),
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.CheckConstraint("length(email) BETWEEN 3 AND 254", name=op.f("ck_contacts_email_length")),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("ck_contacts_name_length")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_contacts_organization_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_contacts_user_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_contacts"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_contacts_organization_id_created_at", "contacts", ["organization_id", "created_at", "id"])
    op.create_index("ix_contacts_organization_id_name", "contacts", ["organization_id", "name", "id"])
    op.create_index("ix_contacts_organization_id_updated_at", "contacts", ["organization_id", "updated_at", "id"])
    op.create_index("uq_contacts_organization_id_email", "contacts", ["organization_id", "email"], unique=True)
    op.create_index(
        "uq_contacts_organization_id_external_id", "contacts", ["organization_id", "external_id"], unique=True
    )
    op.create_index("uq_contacts_user_id", "contacts", ["user_id"], unique=True)

    op.create_table(
        "team_members",
        sa.Column("team_id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_team_members_team_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_team_members_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("team_id", "user_id", name="pk_team_members"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_team_members_user_id", "team_members", ["user_id"])


def _tickets() -> None:
    op.create_table(
        "tickets",
        sa.Column("organization_id", BIG, nullable=False),
        sa.Column("number", BIG, nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("priority", sa.String(length=20), nullable=False),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("contact_id", BIG, nullable=False),
        sa.Column("assignee_id", BIG, nullable=True),
        sa.Column("team_id", BIG, nullable=True),
        sa.Column("created_by_id", BIG, nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("custom_fields", sa.JSON(), nullable=False),
        sa.Column("first_responded_at", BIG, nullable=True),
        sa.Column("resolved_at", BIG, nullable=True),
        sa.Column("closed_at", BIG, nullable=True),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("updated_at", BIG, nullable=False),
        sa.Column("version", BIG, server_default="1", nullable=False),
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.CheckConstraint(
            "priority = 'low' OR priority = 'medium' OR priority = 'high' OR priority = 'urgent'",
            name=op.f("ck_tickets_priority"),
        ),
        sa.CheckConstraint(
            "source = 'api' OR source = 'import' OR source = 'simulation'", name=op.f("ck_tickets_source")
        ),
        sa.CheckConstraint(
            "status = 'open' OR status = 'in_progress' OR status = 'pending'"
            " OR status = 'resolved' OR status = 'closed'",
            name=op.f("ck_tickets_status"),
        ),
        sa.CheckConstraint(
            "type = 'question' OR type = 'incident' OR type = 'problem' OR type = 'task'", name=op.f("ck_tickets_type")
        ),
        sa.CheckConstraint("length(description) BETWEEN 0 AND 50000", name=op.f("ck_tickets_description_length")),
        sa.CheckConstraint("length(subject) BETWEEN 1 AND 255", name=op.f("ck_tickets_subject_length")),
        sa.ForeignKeyConstraint(["assignee_id"], ["users.id"], name="fk_tickets_assignee_id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["contact_id"], ["contacts.id"], name="fk_tickets_contact_id"),
        sa.ForeignKeyConstraint(["created_by_id"], ["users.id"], name="fk_tickets_created_by_id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_tickets_organization_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_tickets_team_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_tickets"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_tickets_assignee_id", "tickets", ["assignee_id"], sqlite_where=sa.text("assignee_id IS NOT NULL")
    )
    op.create_index("ix_tickets_contact_id", "tickets", ["contact_id", "created_at", "id"])
    op.create_index("ix_tickets_created_by_id", "tickets", ["created_by_id"])
    op.create_index(
        "ix_tickets_organization_id_assignee_id", "tickets", ["organization_id", "assignee_id", "created_at", "id"]
    )
    op.create_index("ix_tickets_organization_id_created_at", "tickets", ["organization_id", "created_at", "id"])
    op.create_index(
        "ix_tickets_organization_id_priority", "tickets", ["organization_id", "priority", "created_at", "id"]
    )
    op.create_index("ix_tickets_organization_id_status", "tickets", ["organization_id", "status", "created_at", "id"])
    op.create_index(
        "ix_tickets_organization_id_status_priority",
        "tickets",
        ["organization_id", "status", "priority", "created_at", "id"],
    )
    op.create_index("ix_tickets_organization_id_type", "tickets", ["organization_id", "type", "created_at", "id"])
    op.create_index("ix_tickets_organization_id_updated_at", "tickets", ["organization_id", "updated_at", "id"])
    op.create_index(
        "ix_tickets_team_id", "tickets", ["team_id", "created_at", "id"], sqlite_where=sa.text("team_id IS NOT NULL")
    )
    op.create_index("uq_tickets_organization_id_number", "tickets", ["organization_id", "number"], unique=True)

    op.create_table(
        "comments",
        sa.Column("organization_id", BIG, nullable=False),
        sa.Column("ticket_id", BIG, nullable=False),
        sa.Column("author_type", sa.String(length=10), nullable=False),
        sa.Column("user_id", BIG, nullable=True),
        sa.Column("contact_id", BIG, nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("visibility", sa.String(length=10), nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("updated_at", BIG, nullable=False),
        sa.Column("version", BIG, server_default="1", nullable=False),
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.CheckConstraint("author_type = 'user' OR author_type = 'contact'", name=op.f("ck_comments_author_type")),
        sa.CheckConstraint("visibility = 'public' OR visibility = 'internal'", name=op.f("ck_comments_visibility")),
        sa.CheckConstraint("length(body) BETWEEN 1 AND 50000", name=op.f("ck_comments_body_length")),
        sa.ForeignKeyConstraint(["contact_id"], ["contacts.id"], name="fk_comments_contact_id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_comments_organization_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name="fk_comments_ticket_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_comments_user_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_comments"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_comments_contact_id", "comments", ["contact_id"])
    op.create_index("ix_comments_organization_id_created_at", "comments", ["organization_id", "created_at", "id"])
    op.create_index("ix_comments_organization_id_updated_at", "comments", ["organization_id", "updated_at", "id"])
    op.create_index("ix_comments_ticket_id_created_at", "comments", ["ticket_id", "created_at", "id"])
    op.create_index("ix_comments_ticket_id_updated_at", "comments", ["ticket_id", "updated_at", "id"])
    op.create_index("ix_comments_user_id", "comments", ["user_id"])


def downgrade() -> None:
    """Undo."""
    op.drop_table("comments")
    op.drop_table("tickets")
    op.drop_table("team_members")
    op.drop_table("contacts")
    op.drop_table("api_keys")
    op.drop_table("users")
    op.drop_table("teams")
    op.drop_table("counters")
    op.drop_table("organizations")
