"""What the console fills in by itself can be sent as it is: Execute on any list shows the list, not a 400."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from factories import Client
from service import ThreadService
from tickets.cli import tickets
from tickets.contract.document import Document
from tickets.settings import shipped

DOCUMENT = Document(shipped("openapi.yaml"))
READS = {spec["operationId"]: (path, spec) for path, method, spec in DOCUMENT.operations() if method == "get"}
OPERATORS = {"listOrganizations", "getOrganization"}


def parameters(path: str, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of an operation, with those of its path."""
    return [
        DOCUMENT.resolve(p) for p in (*DOCUMENT.data["paths"][path].get("parameters", ()), *spec.get("parameters", ()))
    ]


def filled_in(parameter: dict[str, Any]) -> Any:
    """Return what swagger-ui writes into the field of a parameter: the first of these that there is, or nothing."""
    schema = DOCUMENT.resolve(parameter["schema"])
    examples = [each["value"] for each in parameter.get("examples", {}).values()]
    given = [*examples[:1], parameter.get("example"), schema.get("example"), schema.get("default")]
    return next((value for value in given if value is not None), None)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The admin of the demo."""
    var_dir: Path = tmp_path_factory.mktemp("demo")
    service = ThreadService(var_dir)
    made = CliRunner().invoke(tickets, ["demo", "--json"], env={"TICKETS_VAR_DIR": str(var_dir)})
    with Client(service.origin, json.loads(made.stdout)["key"]) as client:
        yield client
    service.stop()


@pytest.mark.parametrize("name", READS)
def test_what_has_to_be_given_is_filled_in_and_nothing_else_but_its_default(name):
    for parameter in parameters(*READS[name]):
        if parameter.get("required"):
            assert parameter["example"] is not None, parameter["name"]
        else:
            usual = DOCUMENT.resolve(parameter["schema"]).get("default")
            assert filled_in(parameter) == usual, parameter["name"]


@pytest.mark.parametrize("name", READS)
def test_what_the_console_fills_in_can_be_sent_as_it_is(demo, name):
    path, spec = READS[name]
    query, given = {}, {}
    for parameter in parameters(path, spec):
        value = filled_in(parameter)
        if value is not None:
            (query if parameter["in"] == "query" else given)[parameter["name"]] = value
    answer = demo.get(path.format(**given), params=query)
    assert answer.status_code == (403 if name in OPERATORS else 200), answer.text
