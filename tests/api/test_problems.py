"""What every answer has: a request id, security headers, and one shape for each failure."""

import re

import pytest
from connexion.exceptions import ProblemException
from starlette.exceptions import HTTPException

from api.checks import NOBODY, made, problem
from tickets.app import _problem_of

SANE = ["a", "A-b_c.9", "x" * 128, "0123456789abcdef"]
INSANE = ["", "x" * 129, "a b", "a/b", "a:b", "<script>", "a\tb", "\u00e4"]


class TestRequestId:
    @pytest.mark.parametrize("given", SANE)
    def test_a_sane_one_is_taken(self, admin, given):
        assert admin.get("/tickets", headers={"x-request-id": given}).headers["x-request-id"] == given
        refused = admin.get(f"/tickets/{NOBODY}", headers={"x-request-id": given})
        assert problem(refused, 404, "not_found")["request_id"] == given

    @pytest.mark.parametrize("given", INSANE)
    def test_any_other_is_replaced(self, admin, given):
        response = admin.get("/tickets", headers=[(b"x-request-id", given.encode("latin-1"))])
        assert response.status_code == 200
        assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])

    def test_each_request_gets_one_of_its_own(self, admin):
        assert len({admin.get("/health").headers["x-request-id"] for _ in range(5)}) == 5


class TestProblems:
    @pytest.mark.parametrize("is_chunked", [False, True])
    @pytest.mark.parametrize(("method", "path"), [("GET", "/tickets"), ("POST", "/auth/logout"), ("GET", "/health")])
    def test_a_body_that_nobody_would_read_is_refused(self, admin, method, path, is_chunked):
        body = iter([b"{}"]) if is_chunked else b"{}"
        refused = problem(admin.request(method, path, content=body), 400, "invalid_request")
        assert refused["detail"] == "This operation takes no body; send none."

    def test_an_empty_body_is_no_body(self, admin):
        assert admin.request("GET", "/tickets", headers={"content-length": "0"}).status_code == 200

    def test_an_empty_text_is_one_fault_though_it_breaks_two_rules(self, admin):
        answer = admin.post("/tickets", json={"subject": "", "description": "x"})
        refused = problem(answer, 400, "invalid_request", "/subject")
        assert [(fault["pointer"], fault["detail"]) for fault in refused["errors"]] == [
            ("/subject", "must not be empty")
        ]

    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/nowhere", 404, "not_found"),
            ("GET", "/tickets/", 404, "not_found"),
            ("GET", "//tickets", 404, "not_found"),
            ("GET", "/tickets/1%2Fcomments", 404, "not_found"),
            ("GET", "/tickets/%00", 400, "invalid_request"),
            ("GET", "/tickets/%zz", 400, "invalid_request"),
            ("GET", "/tickets/%ff", 400, "invalid_request"),
            ("PUT", "/tickets", 405, "method_not_allowed"),
            ("OPTIONS", "/tickets", 405, "method_not_allowed"),
            ("BREW", "/tickets", 400, "invalid_request"),
            ("GET", "/tickets?x=" + "x" * 9000, 414, "uri_too_long"),
            ("GET", f"/tickets/{NOBODY}", 404, "not_found"),
            ("GET", "/tickets?limit=0", 400, "invalid_request"),
            ("GET", "/tickets?%ff", 400, "invalid_request"),
        ],
    )
    def test_every_failure_has_one_shape(self, admin, service, method, path, status, code):
        response = admin.request(method, f"{service.origin}/api/v1{path}")
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        body = response.json()
        assert body.keys() - {"errors"} == {"type", "title", "status", "detail", "instance", "code", "request_id"}
        assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:ticketing:problem:{code}")
        assert body["request_id"] == response.headers["x-request-id"]
        assert response.headers["x-content-type-options"] == "nosniff"

    @pytest.mark.parametrize(
        ("error", "status", "code"),
        [
            (HTTPException(406), 400, "invalid_request"),
            (HTTPException(413), 413, "payload_too_large"),
            (HTTPException(415), 415, "unsupported_media_type"),
            (HTTPException(416), 400, "invalid_request"),
            (HTTPException(418), 400, "invalid_request"),
            (ProblemException(status=422), 400, "invalid_request"),
            (HTTPException(503), 500, "internal_error"),
            (ZeroDivisionError(), 500, "internal_error"),
        ],
        ids=repr,
    )
    def test_what_the_libraries_below_object_to_is_a_problem_of_ours(self, error, status, code):
        made = _problem_of(error, ())
        assert (made.status, made.code) == (status, code)

    def test_what_was_wrong_is_told_without_the_value(self, admin):
        response = admin.post("/contacts", json={"email": "hunter2", "name": "N", "external_id": {"a": "hunter2"}})
        problem(response, 400, "invalid_request", "/email", "/external_id")
        assert "hunter2" not in response.text

    def test_the_instance_is_the_path_without_the_query(self, admin):
        body = admin.get(f"/tickets/{NOBODY}?limit=1").json()
        assert body["instance"] == f"/api/v1/tickets/{NOBODY}"

    def test_nothing_tells_what_the_service_is_built_with(self, admin):
        for response in (admin.get("/tickets"), admin.get("/nowhere"), admin.get("/health")):
            assert "server" not in response.headers
            assert "x-powered-by" not in response.headers

    def test_a_body_larger_than_a_megabyte_is_a_413(self, admin):
        problem(admin.post("/tickets", content=b"x" * 1_048_577), 413, "payload_too_large")

    @pytest.mark.parametrize("is_chunked", [False, True])
    def test_who_has_not_signed_in_may_send_little(self, anonymous, is_chunked):
        body = b" " * 16_385
        refused = anonymous.post("/auth/login", content=iter([body]) if is_chunked else body)
        assert "16384 bytes" in problem(refused, 413, "payload_too_large")["detail"]

    def test_a_large_body_is_read_as_a_small_one_is(self, admin):
        body = {"subject": "S", "description": "\N{EURO SIGN}" * 50_000}
        assert made(admin.post("/tickets", json=body))["description"] == body["description"]
        body["description"] += "x"
        problem(admin.post("/tickets", json=body), 400, "invalid_request", "/description")

    def test_a_chunked_body_larger_than_a_megabyte_is_a_413(self, admin):
        chunks = (b"x" * 65_536 for _ in range(17))
        response = admin.post("/tickets", content=chunks, headers={"content-type": "application/json"})
        problem(response, 413, "payload_too_large")

    def test_a_chunked_body_is_read_like_any_other(self, admin):
        chunks = iter([b'{"subject": "S",', b' "description": ""}'])
        response = admin.post("/tickets", content=chunks, headers={"content-type": "application/json"})
        assert response.status_code == 201

    def test_browsers_of_other_origins_are_told_nothing(self, admin):
        response = admin.get("/tickets", headers={"origin": "https://evil.example"})
        assert not [name for name in response.headers if name.startswith("access-control")]
