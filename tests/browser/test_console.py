"""The console as a person meets it: offline, authorized once, trying things out."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from factories import Client
from tickets.contract.document import Document
from tickets.settings import shipped

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    node = Path(sys.executable).with_name("node")
    command = [str(node) if node.exists() else shutil.which("node"), "unpack.mjs"]
    executable = subprocess.run(command, cwd=HERE, check=True, capture_output=True, text=True).stdout
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=executable,
            args=["--no-sandbox", "--disable-gpu", "--no-zygote", "--headless=shell"],
        )
        yield context
        context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.complaints = []
    page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
    yield page
    page.close()


def test_the_landing_page_says_what_this_is_and_every_link_leads_somewhere(page, service, anonymous):
    page.goto(service.origin)
    expect(page.get_by_role("heading", name="Ticketing API")).to_be_visible()
    for link in page.get_by_role("link").all():
        response = anonymous.get(f"{service.origin}{link.get_attribute('href')}")
        assert response.status_code == 200, link.get_attribute("href")


def test_the_console_shows_every_operation_and_asks_nothing_of_other_hosts(page, service):
    page.goto(f"{service.origin}/docs")
    expect(page.locator(".opblock")).to_have_count(len(list(Document(shipped("openapi.yaml")).operations())))
    assert page.asked
    assert all(url.startswith((service.origin, "data:")) for url in page.asked), page.asked
    assert page.complaints == []


def test_api_docs_leads_to_the_console(page, service):
    page.goto(f"{service.origin}/api-docs")
    assert page.url == f"{service.origin}/docs"


def test_authorization_survives_a_reload_and_try_it_out_works(page, service, tenant):
    ticket = tenant.ticket(subject="Seen in the console")
    page.goto(f"{service.origin}/docs")
    page.locator(".btn.authorize").first.click()
    form = page.locator(".auth-container").first
    form.locator("input").fill(tenant.client("admin").key)
    form.get_by_role("button", name="Authorize").click()
    form.get_by_role("button", name="Close").click()
    page.reload()
    page.locator("#operations-tickets-listTickets .opblock-summary").click()
    listing = page.locator("#operations-tickets-listTickets")
    listing.get_by_role("button", name="Execute").click()  # with what the console fills in by itself
    expect(listing.locator(".live-responses-table .response .response-col_status").first).to_contain_text("200")
    expect(listing.locator(".live-responses-table")).to_contain_text("Seen in the console")
    page.locator("#operations-tickets-getTicket .opblock-summary").click()
    operation = page.locator("#operations-tickets-getTicket")
    operation.locator("input[placeholder='ticket_id']").fill(str(ticket["id"]))
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table .response .response-col_status").first).to_contain_text("200")
    expect(operation.locator(".live-responses-table")).to_contain_text("Seen in the console")


def test_the_link_of_a_mail_leads_to_a_page_that_sets_the_password(page, service, tenant, anonymous, mailbox):
    user = tenant.with_password("agent")
    anonymous.post("/auth/password-reset", json={"email": user.email})
    page.goto(f"{service.origin}/reset-password#token={mailbox.token(user.email)}")
    page.get_by_label("New password").fill("1234567890")
    page.get_by_role("button").click()
    expect(page.get_by_role("status")).to_contain_text("tried first")
    page.get_by_label("New password").fill("chosen on the page")
    page.get_by_role("button").click()
    expect(page.get_by_role("status")).to_contain_text("is set")
    assert "token" not in page.url
    page.reload()
    expect(page.get_by_role("status")).to_contain_text("Open the link in the mail once more")
    expect(page.get_by_role("button")).to_be_hidden()
    with Client(service.origin) as client:
        body = {"email": user.email, "password": "chosen on the page"}
        assert client.post("/auth/login", json=body).status_code == 200
