"""schemathesis against the running service: all checks, all phases, every operation, nothing found."""

import re

import pytest
from fuzz import ROLES, run

from tickets.contract.document import Document
from tickets.settings import shipped


@pytest.fixture
def output(capfd):
    return lambda: "".join(capfd.readouterr())


@pytest.mark.parametrize("role", ROLES)
def test_the_fuzzer_finds_nothing(tmp_path, output, role):
    code = run(tmp_path / "var", ["--max-examples", "6" if role == "admin" else "2"], role=role)
    report = re.sub(r"\x1b\[[0-9;]*m", "", output())
    assert code == 0, report[-6000:]
    operations = len(list(Document(shipped("openapi.yaml")).operations()))
    assert f"Selected: {operations}/{operations}" in report
    assert f"Tested: {operations}" in report
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in report, report[-6000:]
