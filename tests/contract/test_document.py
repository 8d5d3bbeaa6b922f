"""openapi.yaml as a document: valid, complete, and nothing in it that the service does not do."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from connexion.exceptions import ResolverError
from openapi_spec_validator import validate

from tickets.app import create_app
from tickets.contract.document import Document
from tickets.contract.resolver import TagResolver
from tickets.settings import Settings, shipped

DOCUMENT = Document(shipped("openapi.yaml"))
OPERATIONS = [spec for _, _, spec in DOCUMENT.operations()]
TESTS = Path(__file__).parents[1] / "api"


def each_operation(function: Any) -> Any:
    return pytest.mark.parametrize("spec", OPERATIONS, ids=[spec["operationId"] for spec in OPERATIONS])(function)


class TestDocument:
    def test_it_is_valid_openapi(self):
        validate(DOCUMENT.data)

    def test_nothing_in_it_would_act_as_a_template(self):
        assert not re.search(rb"\{\{|\{#|\{%", DOCUMENT.text)

    def test_operation_ids_are_unique(self):
        names = [spec["operationId"] for spec in OPERATIONS]
        assert len(names) == len(set(names))

    def test_operation_ids_begin_with_a_verb_and_make_method_names(self):
        assert all(
            re.fullmatch(
                r"(list|get|search|create|update|replace|merge|delete|add|remove|rotate)([A-Z][a-z]+)+",
                spec["operationId"],
            )
            for spec in OPERATIONS
            if spec["tags"] != ["auth"]  # these say what people do there
        )

    @each_operation
    def test_an_operation_has_one_tag_and_a_handler_of_its_name(self, spec):
        [tag] = spec["tags"]
        handler = TagResolver("tickets.api").handler(tag, spec["operationId"])
        assert handler.__module__ == f"tickets.api.{tag}"
        assert handler.__name__.replace("_", "") == spec["operationId"].lower()
        assert handler.__doc__

    @each_operation
    def test_an_operation_says_who_may_call_it(self, spec):
        if spec.get("security") == []:
            assert "x-roles" not in spec
            assert "x-scope" not in spec
        else:
            assert "security" not in spec
            assert spec["x-roles"]
            assert set(spec["x-roles"]) <= {"admin", "agent", "user", "platform"}
            verb = "read" if spec["operationId"].startswith(("list", "get", "search")) else "write"
            # Whoever may do anything may ask who they are, and sign out.
            shows_tickets = re.fullmatch(r"list\w+Tickets", spec["operationId"])
            resource = "tickets" if shows_tickets else spec["tags"][0]
            assert spec["x-scope"] == ("none" if spec["tags"] == ["auth"] else f"{resource}:{verb}")

    @each_operation
    def test_an_operation_declares_the_failures_that_any_can_have(self, spec):
        failures = {"400", "414", "431", "500", "503"}
        if spec.get("security") != []:
            failures |= {"401", "403", "429"}
        if "requestBody" in spec:
            failures |= {"408", "413", "415"}
        assert failures <= spec["responses"].keys()

    @each_operation
    def test_an_answer_that_can_come_again_says_so(self, spec):
        """All but what is never stored, and what says that the key cannot be used."""
        parameters = [DOCUMENT.resolve(parameter)["name"] for parameter in spec.get("parameters", ())]
        for status, response in spec["responses"].items():
            stored = status in {"200", "201", "202", "400", "403", "404", "409", "412"}
            if "Idempotency-Key" in parameters and stored:
                assert "Idempotency-Replayed" in DOCUMENT.resolve(response)["headers"], status

    @each_operation
    def test_an_operation_has_a_class_of_tests(self, spec):
        [tag] = spec["tags"]
        # A tag with much to test has more than one file: test_tickets.py, test_tickets_bulk.py.
        trees = [ast.parse(file.read_text()) for file in TESTS.glob(f"test_{tag}*.py")]
        classes = {node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}
        assert f"Test{spec['operationId'][0].upper()}{spec['operationId'][1:]}" in classes

    def test_every_handler_is_an_operation(self):
        promised = {
            (spec["tags"][0], TagResolver("tickets.api").handler(spec["tags"][0], spec["operationId"]).__name__)
            for spec in OPERATIONS
        }
        written = {
            (file.stem, node.name)
            for file in (Path(shipped("openapi.yaml")).parent / "src" / "tickets" / "api").glob("*.py")
            for node in ast.parse(file.read_text()).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
        }
        assert written == promised

    def test_every_component_is_used(self):
        used = set(re.findall(r"#/components/(\w+/[\w.-]+)", DOCUMENT.text.decode()))
        kinds = DOCUMENT.data["components"].items()
        declared = {f"{kind}/{name}" for kind, items in kinds if kind != "securitySchemes" for name in items}
        assert declared == used

    def test_a_schema_that_a_patch_uses_has_no_default(self):
        # Generated clients would send it, and overwrite what is stored.
        def walk(node: Any) -> None:
            if isinstance(node, dict):
                if "$ref" in node:
                    node = DOCUMENT.resolve(node)
                assert "default" not in node
                for inner in node.values():
                    walk(inner)

        for _, method, spec in DOCUMENT.operations():
            if method == "patch":
                walk(spec["requestBody"]["content"]["application/json"]["schema"])


class TestBrokenContract:
    """A contract that the code does not keep is no reason for a 500 later: it does not start."""

    @staticmethod
    def _start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any]) -> None:
        file = tmp_path / "openapi.yaml"
        file.write_text(yaml.safe_dump(data, sort_keys=False))
        monkeypatch.setattr("tickets.app.shipped", lambda _: file)
        create_app(Settings(var_dir=tmp_path))

    @pytest.fixture
    def data(self) -> dict[str, Any]:
        return Document(shipped("openapi.yaml")).data

    def test_the_contract_as_it_is_starts(self, tmp_path, monkeypatch, data):
        self._start(tmp_path, monkeypatch, data)

    def test_an_operation_without_a_handler_is_refused(self, tmp_path, monkeypatch, data):
        data["paths"]["/teams"]["get"]["operationId"] = "listTeems"
        with pytest.raises(ResolverError, match=r"listTeems needs the function list_teems in tickets\.api\.teams"):
            self._start(tmp_path, monkeypatch, data)

    def test_a_tag_without_a_module_is_refused(self, tmp_path, monkeypatch, data):
        data["paths"]["/teams"]["get"]["tags"] = ["teems"]
        with pytest.raises(ResolverError, match=r"tickets\.api\.teems"):
            self._start(tmp_path, monkeypatch, data)

    @pytest.mark.parametrize("rule", ["x-roles", "x-scope"])
    def test_an_operation_without_a_rule_is_refused(self, tmp_path, monkeypatch, data, rule):
        del data["paths"]["/teams"]["get"][rule]
        with pytest.raises(ValueError, match="listTeams needs x-roles and x-scope"):
            self._start(tmp_path, monkeypatch, data)
