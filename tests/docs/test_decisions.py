"""What code, tests and pages say about decisions can be looked up."""

import re

from tickets.settings import shipped

ROOT = shipped("openapi.yaml").parent
DECISIONS = ROOT / "docs" / "decisions"
_CITED = re.compile(r"decisions/(\d{4})")


def records() -> dict[str, str]:
    """Find the file of each decision by its number."""
    return {file.name[:4]: file.name for file in DECISIONS.glob("[0-9]*.md")}


def test_each_decision_that_is_cited_has_its_record():
    cited: dict[str, str] = {}
    for folder in ("src", "docs", "tests", "alembic", "bench"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in {".py", ".md", ".yaml", ".toml"} and "node_modules" not in file.parts:
                for number in _CITED.findall(file.read_text()):
                    cited.setdefault(number, str(file.relative_to(ROOT)))
    assert len(cited) > 5
    assert {number: file for number, file in cited.items() if number not in records()} == {}


def test_the_list_of_decisions_has_every_record_and_no_other():
    listed = re.findall(r"^\| \[(\d{4})\]\((.*?)\) \|", (DECISIONS / "README.md").read_text(), re.MULTILINE)
    assert dict(listed) == records()
    assert [number for number, _ in listed] == sorted(records())
