"""The tour in README does what it says, typed as it is there."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from docs.walk import answers, walk
from tickets.settings import shipped


def test_the_tour_shows_what_it_promises(tmp_path: Path):
    tour = walk(shipped("README.md").read_text().split("## Five minutes")[1].split("## ")[0], tmp_path)
    raised, listed, found, worked, stale, comment, answered, nonsense, key = answers(tour)
    assert (raised["id"], raised["priority"], raised["first_responded_at"]) == (4, "urgent", None)
    assert re.search(r"^location: /api/v1/tickets/4\r?$", tour, re.MULTILINE | re.IGNORECASE)
    assert [ticket["id"] for ticket in listed["data"]] == [4]
    assert f'cursor={listed["next_cursor"]}>; rel="next"' in tour
    assert [result["ticket"]["id"] for result in found["data"]] == [4]
    assert found["data"][0]["snippets"][0]["text"] == "The <mark>printer</mark> is on <mark>fire</mark>"
    assert (worked["status"], worked["version"]) == ("in_progress", 2)
    assert stale["code"] == "precondition_failed"
    assert comment["author_type"] == "user"
    assert answered["first_responded_at"] is not None
    assert nonsense["code"] == "invalid_request"
    assert {error["pointer"] for error in nonsense["errors"]} >= {"/subject", "/colour", "/description"}
    assert key["scopes"] == ["tickets:read"]
    assert key["key"].startswith(key["prefix"])


def test_the_command_for_types_keeps_null_and_lets_fields_be_added(tmp_path: Path):
    shutil.copy(shipped("openapi.yaml"), tmp_path)
    [command] = re.findall(
        r"^datamodel-codegen (.*?)$", shipped("README.md").read_text().replace("\\\n", ""), re.MULTILINE
    )
    program = Path(sys.executable).with_name("datamodel-codegen")
    subprocess.run([program, *shlex.split(command)], cwd=tmp_path, check=True, capture_output=True)
    text = (tmp_path / "ticketing.py").read_text()
    fields = {
        f"{made.name}.{field.target.id}": ast.unparse(field.annotation)
        for made in ast.parse(text).body
        if isinstance(made, ast.ClassDef)
        for field in made.body
        if isinstance(field, ast.AnnAssign)
    }
    for name in ("Ticket.merged_into_id", "Sla.policy_id", "Actor.id", "SlaAttainment.rate"):
        assert fields[name].endswith("| None"), fields[name]
    assert set(re.findall(r"extra=.(\w+)", text)) == {"ignore"}
