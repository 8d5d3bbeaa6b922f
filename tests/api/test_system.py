"""The state of the service itself."""

import hashlib

import pytest

from api.checks import problem
from factories import Client
from service import ThreadService
from tickets import __version__
from tickets.settings import shipped

PLACES = ["/api/v1", ""]
each_place = pytest.mark.parametrize("place", PLACES, ids=["below-the-base-path", "at-the-root"])


def get(client: Client, service, path: str, **kwargs):
    return client.get(f"{service.origin}{path}", **kwargs)


@each_place
class TestGetHealth:
    def test_it_says_ok_without_a_key(self, anonymous, service, place):
        response = get(anonymous, service, f"{place}/health")
        assert response.status_code == 200
        assert response.json() == {"status": "ok"}
        assert response.headers["content-type"] == "application/json"

    def test_it_counts_against_no_limit(self, anonymous, service, place):
        assert not [name for name in get(anonymous, service, f"{place}/health").headers if "ratelimit" in name]

    def test_a_bad_key_does_not_matter(self, anonymous, service, place):
        assert get(anonymous, service, f"{place}/health", headers={"x-api-key": "x"}).status_code == 200

    def test_an_unknown_parameter_is_a_400(self, anonymous, service, place):
        response = get(anonymous, service, f"{place}/health?verbose=1")
        assert response.status_code == 400
        assert response.json()["errors"][0]["pointer"] == "/verbose"

    def test_another_method_is_a_405(self, anonymous, service, place):
        response = anonymous.post(f"{service.origin}{place}/health")
        assert response.status_code == 405
        assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD"}


@each_place
class TestGetReadiness:
    def test_it_says_ready_once_the_database_answers(self, anonymous, service, place):
        response = get(anonymous, service, f"{place}/health/ready")
        assert response.status_code == 200
        assert response.json() == {"status": "ready", "checks": {"database": "ok"}}
        assert not [name for name in response.headers if "ratelimit" in name]


class TestReadinessOfADatabase:
    @pytest.mark.parametrize(
        "spoil",
        [
            "UPDATE alembic_version SET version_num = '0003'",
            "DELETE FROM alembic_version",
            "DROP TABLE alembic_version",
        ],
    )
    def test_one_of_another_version_is_not_ready(self, tmp_path, spoil):
        service = ThreadService(tmp_path)
        with service.database.engine.begin() as connection:
            connection.exec_driver_sql(spoil)
        with Client(service.origin) as client:
            body = problem(client.get("/health/ready"), 503, "service_unavailable")
            assert "flask tickets migrate" in body["detail"]
        service.stop()


@each_place
class TestGetMeta:
    def test_it_says_what_is_running(self, anonymous, service, place):
        response = get(anonymous, service, f"{place}/_meta")
        assert response.status_code == 200
        body = response.json()
        assert body.pop("uptime_seconds") >= 0
        digest = hashlib.sha256(shipped("openapi.yaml").read_bytes()).hexdigest()
        assert body == {"name": "Ticketing API", "version": __version__, "contract_sha256": digest}


class TestPages:
    @pytest.mark.parametrize("path", ["/", "/docs", "/openapi.yaml", "/openapi.json"])
    def test_pages_need_no_key_and_have_a_limit_of_their_own(self, anonymous, service, path):
        response = get(anonymous, service, path)
        assert response.status_code == 200
        assert "x-request-id" in response.headers
        assert response.headers["ratelimit-policy"].startswith('"pages";')

    def test_the_contract_is_served_as_the_file_it_is(self, anonymous, service):
        assert get(anonymous, service, "/openapi.yaml").content == shipped("openapi.yaml").read_bytes()

    def test_the_contract_as_json_leaks_nothing_of_the_runtime(self, anonymous, service):
        body = get(anonymous, service, "/openapi.json")
        assert "InfoFunc" not in body.text
        assert body.json()["components"]["securitySchemes"].keys() == {"apiKey", "bearer"}

    def test_an_unchanged_contract_is_a_304(self, anonymous, service):
        etag = get(anonymous, service, "/openapi.json").headers["etag"]
        assert get(anonymous, service, "/openapi.json", headers={"if-none-match": etag}).status_code == 304

    def test_the_old_address_of_the_console_leads_to_it(self, anonymous, service):
        response = get(anonymous, service, "/api-docs")
        assert response.status_code == 302
        assert response.headers["location"] == "/docs"

    @pytest.mark.parametrize("path", ["/nowhere", "/docs/../../etc/passwd", "/docs/%2e%2e%2fpyproject.toml", "/static"])
    def test_anything_else_is_a_404(self, anonymous, service, path):
        problem(get(anonymous, service, path), 404, "not_found")
