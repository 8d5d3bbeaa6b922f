"""What the FastAPI peers take in: the fields and bounds of openapi.yaml."""

from typing import Annotated, Literal

from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

Status = Literal["open", "in_progress", "pending", "resolved", "closed"]
Priority = Literal["low", "medium", "high", "urgent"]
Type = Literal["question", "incident", "problem", "task"]
Sort = Literal["created_at", "-created_at", "updated_at", "-updated_at"]
Assignee = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]{0,18}|me|none)$")]
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Limit = Annotated[int, Query(ge=1, le=200)]
Few = Query(min_length=1, max_length=20)
MAX_EXACT = 2**53 - 1


def _each_once(tags: list[str]) -> list[str]:
    if len(set(tags)) != len(tags):
        raise ValueError("a tag is given twice")
    return tags


Tag = Annotated[str, StringConstraints(min_length=1, max_length=50, pattern=r"^[^\s\x00-\x1f\x7f]+$")]
FieldName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
FieldValue = (
    Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00]*$")]
    | bool
    | Annotated[int, Field(ge=-MAX_EXACT, le=MAX_EXACT)]
    | Annotated[float, Field(ge=-MAX_EXACT, le=MAX_EXACT)]
    | None
)


class TicketCreate(BaseModel):
    """The body of a POST."""

    model_config = ConfigDict(extra="forbid")

    subject: Annotated[
        str,
        StringConstraints(
            min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
        ),
    ]
    description: Annotated[str, StringConstraints(max_length=50_000, pattern=r"^[^\x00]*$")]
    priority: Priority = "medium"
    type: Type = "question"
    contact_id: Id
    assignee_id: Id | None = None
    team_id: Id | None = None
    tags: Annotated[list[Tag], Field(max_length=50), AfterValidator(_each_once)] = []
    custom_fields: Annotated[dict[FieldName, FieldValue], Field(max_length=50)] = {}
