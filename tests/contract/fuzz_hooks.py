"""What schemathesis cannot know from the contract: values that only the server can make or judge."""

import json
import os
import re
import uuid
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import schemathesis
from hypothesis import strategies as st

from tickets.domain.expansion import MOST_ROWS
from tickets.domain.search import read
from tickets.errors import InvalidRequest

schemathesis.openapi.format("idempotency-key", st.uuids(version=4).map(str))
schemathesis.openapi.format("entity-tag", st.just("*"))
schemathesis.openapi.format("entity-tags", st.sampled_from(['"1"', '"1", "2"', '"0"']))
schemathesis.openapi.format("iana-timezone", st.sampled_from(sorted(available_timezones())))

# The accounts, keys and organizations that the fuzzer itself signs in with: it shall not saw off its branch.
_OWN: dict[str, list[int]] = json.loads(Path(os.environ["TICKETS_FUZZ_OWN"]).read_text())
_NOBODY = 4_000_000_000


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Use cursors of the very list that is asked, and spare what the fuzzer signs in with."""
    if case.method.upper() in {"DELETE", "PATCH"}:
        for name, spared in _OWN.items():
            if case.path_parameters.get(name) in spared:
                case.path_parameters[name] = _NOBODY
    if not _is_positive(case):
        return
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if isinstance(case.body, dict):
        _mend(case.body)
    if case.query:
        _keep_one_place(case.query)
        _keep_in_order(case.query)
        _ask_for_less(case.query)
        if "cursor" in case.query:
            _use_real_cursor(case)


def _mend(body: dict[str, Any]) -> None:
    """Keep to what OpenAPI has no words for."""
    for operation in body.get("operations", ()):
        _mend(operation.get("patch", {}))
    for name in {"custom_fields", "attributes"} & body.keys():
        if isinstance(body[name], dict):
            # x-property-names: OpenAPI 3.0 lacks the keyword
            body[name] = {_field_name(key): value for key, value in body[name].items()}
    if isinstance(body.get("expires_at"), str):
        body["expires_at"] = "2100" + body["expires_at"][4:]


def _keep_one_place(query: dict[str, Any]) -> None:
    """Ask by page, by offset or by cursor."""
    if {"page", "per_page"} & query.keys():
        query.pop("offset", None)
    if {"page", "per_page", "offset"} & query.keys():
        query.pop("cursor", None)


def _keep_in_order(query: dict[str, Any]) -> None:
    """Let a span of time begin before its end, and not so long before that it has too many buckets."""
    if {"from", "to"} & query.keys():
        query |= {"from": "2026-03-28T12:00:00+01:00", "to": "2026-03-30T00:00:00Z"}


def _ask_for_less(query: dict[str, Any]) -> None:
    """Search for no more words than can be looked up, and for no more tickets than there is room for."""
    for name in {"limit", "per_page"} & query.keys() if {"comments", "history"} & {*query.get("expand", ())} else ():
        query[name] = min(query[name], MOST_ROWS)
    for name in {"q", "search"} & query.keys():
        try:
            read(str(query[name]), name)
        except InvalidRequest:
            query[name] = str(query[name])[:4]


def _field_name(key: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", "x", key)[:100] or "x"


def _is_positive(case: Any) -> bool:
    return case.meta is None or case.meta.generation.mode.is_positive


def _use_real_cursor(case: Any) -> None:
    first = case.operation.Case(
        path_parameters=dict(case.path_parameters or {}),
        query={**{k: v for k, v in case.query.items() if k != "cursor"}, "limit": 1},
        headers=dict(case.headers or {}),
    )
    response = first.call()
    cursor = response.json().get("next_cursor") if response.status_code == 200 else None
    if cursor is None:
        del case.query["cursor"]
    else:
        case.query["cursor"] = cursor
