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
    page.evaluate("localStorage.clear()")  # the next test's browser is nobody's
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


def authorize(page: Page, key: str) -> None:
    page.locator(".btn.authorize").first.click()
    form = page.locator(".auth-container").first
    form.locator("input").fill(key)
    form.get_by_role("button", name="Apply credentials").click()
    form.get_by_role("button", name="Close").click()


def stored(page: Page) -> str:
    return page.evaluate("JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie")


@pytest.mark.parametrize("width", [1280, 390])
def test_what_is_tried_out_is_shown(page, service, tenant, width):
    page.set_viewport_size({"width": width, "height": 844})
    ticket = tenant.ticket(subject="Seen in the console")
    page.goto(f"{service.origin}/docs")
    authorize(page, tenant.client("admin").key)
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
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.complaints == []


def test_a_key_stays_in_the_browser_only_when_its_owner_wants_it_there(page, service, tenant):
    key, remember = tenant.client("admin").key, page.get_by_label("Remember my key in this browser")
    page.goto(f"{service.origin}/docs")
    expect(remember).not_to_be_checked()
    authorize(page, key)
    assert key not in stored(page)
    page.reload()
    expect(page.locator(".btn.authorize.unlocked")).to_be_visible()

    remember.check()
    authorize(page, key)
    assert key in stored(page)
    page.reload()
    expect(remember).to_be_checked()
    expect(page.locator(".btn.authorize.locked")).to_be_visible()

    remember.uncheck()
    assert key not in stored(page)
    page.reload()
    expect(remember).not_to_be_checked()
    expect(page.locator(".btn.authorize.unlocked")).to_be_visible()

    authorize(page, key)
    remember.check()  # after it was given
    assert key in stored(page)
    page.locator(".btn.authorize").first.click()
    page.locator(".auth-container").first.get_by_role("button", name="Remove authorization").click()
    assert key not in stored(page)


def test_a_key_that_an_earlier_console_kept_unasked_is_forgotten(page, service):
    page.goto(f"{service.origin}/docs")
    page.evaluate("localStorage.setItem('authorized', '{\"apiKey\": \"tk_old\"}')")
    page.reload()
    expect(page.locator(".btn.authorize.unlocked")).to_be_visible()
    assert "tk_old" not in stored(page)


def test_where_the_script_of_the_reset_page_fails_the_password_is_not_in_the_address(page, service):
    page.route("**/static/reset_password.js*", lambda route: route.abort())
    page.goto(f"{service.origin}/reset-password#token=tr_something")
    page.get_by_label("New password").fill("chosen on the page")
    page.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_contain_text("Your password was not set")
    assert all("chosen" not in url for url in (page.url, *page.asked))


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
