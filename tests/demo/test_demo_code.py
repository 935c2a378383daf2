"""The code to copy is run here: its Python serves its HTML to a real browser."""

import contextlib

import pytest
from support.flows import CLIENT
from support.ports import free_port
from support.windows import closed, decide, log_in, opened, popup_of

from scconnect_wsgi import OAuth2, SCConnect
from scconnect_wsgi.config import sandbox_environment
from scconnect_wsgi.demo._page import LOOKS, PICTURES, USE_CASES
from scconnect_wsgi.sandbox import serve

pytestmark = [pytest.mark.browser, pytest.mark.slow]

KEY = "a secret key that is long enough for code to copy"
CASES = {case.name: case for case in USE_CASES}
TRACKS = [
    "Morning on the Spree",
    "Night Bus (demo)",
    "Kreuzberg Rain",
    "For Ann, unfinished",
    "Loops 1 to 9",
]
PAGE = '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>A site</title><p>{}</p>{}'


def site_of(markup):
    """Return an application whose pages say their path, and hold the markup."""

    def site(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [PAGE.format(environ["PATH_INFO"], markup).encode()]

    return site


def current_user(request):
    return request.cookies.get("user") or None


class Copied:
    """The Python of a use case, run as it is, with a site of its own."""

    def __init__(self, case, port):
        self.url = f"http://localhost:{port}"
        self.names = {"application": site_of(case.code("html")), "current_user": current_user}
        exec(compile(case.code("python"), case.name, "exec"), self.names)

    def __getitem__(self, name):
        return self.names[name]


@pytest.fixture
def running(root, tmp_path, monkeypatch):
    """Return a function that serves an application of the copied code.

    Its environment is what `scconnect sandbox -- COMMAND` gives the command.
    """
    monkeypatch.chdir(tmp_path)  # for connections.sqlite3
    for name, value in sandbox_environment(root, {"SCCONNECT_SECRET_KEY": KEY}).items():
        monkeypatch.setenv(name, value)
    with contextlib.ExitStack() as stack:

        def run(case, change=lambda code: code["application"]):
            port = free_port()
            code = Copied(CASES[case], port)
            stack.callback(code["connections"]._store.close)
            stack.enter_context(serve(change(code), port))
            return code

        yield run


@pytest.fixture
def signed_in(context):
    """A user of the site, whose name is in a cookie."""
    context.add_cookies([{"name": "user", "value": "jo", "domain": "localhost", "path": "/"}])
    return context


def connect(page):
    popup = popup_of(page, "[data-sc-connect]")
    decide(popup)
    assert closed(popup)


def test_optional(running, signed_in):
    code = running("optional")
    page = opened(signed_in, f"{code.url}/settings")
    connect(page)
    page.wait_for_url("**/settings?*username=joe*")
    assert list(code["track_titles"]("jo")) == TRACKS
    page.click("button:text('Disconnect joe')")
    page.wait_for_selector("#accounts:empty", state="attached")
    assert code["connections"].of_user("jo") == []


def test_mandatory(running, signed_in, sandbox):
    code = running("mandatory")
    page = opened(signed_in, f"{code.url}/library")
    assert page.url == f"{code.url}/connect"
    connect(page)
    page.wait_for_url(f"{code.url}/?*username=joe*")
    assert page.goto(f"{code.url}/library").url == f"{code.url}/library"

    sandbox.revoke("joe")
    connections = code["connections"]
    (connection,) = connections.of_user("jo")
    with pytest.raises(Exception, match="no longer accept"):
        connections.session(connection.id, user="jo").get("/me")

    assert page.goto(f"{code.url}/library").url == f"{code.url}/connect"
    connect(page)
    page.wait_for_url(f"{code.url}/?*username=joe*")


def test_mandatory_leaves_strangers_to_the_site(running, context):
    code = running("mandatory")
    assert opened(context, f"{code.url}/about").url == f"{code.url}/about"


def test_login(running, context):
    code = running("login")
    page = opened(context, code.url)
    page.click("a[href*=request_token]")  # that page needs no script, and so no popup
    log_in(page)
    page.click("#allow")
    page.wait_for_selector(f"body:has-text({TRACKS[-1]!r})")
    shown = page.inner_text("body").split("\n")
    (connection,) = code["connections"].of_user(shown[1])
    assert shown == ["joe", connection.user, *TRACKS]
    assert connection.user.endswith(connection.account.urn)


def test_login_and_out_with_pages_of_ones_own(running, context):
    def with_its_html(code):
        site = site_of(CASES["login"].code("html"))
        options = {"secret_key": KEY, "base_url": code.url}
        return code["connections"].login(site, **options)

    code = running("login", with_its_html)
    page = opened(context, code.url)
    connect(page)
    page.wait_for_url(f"{code.url}/?*username=joe*")
    assert any("scconnect" in cookie["name"] for cookie in context.cookies(code.url))
    page.click("button:text('Sign out')")
    page.wait_for_url(f"{code.url}/")


def test_the_markup_of_the_looks_starts_flows(sandbox, root, context):
    head = CASES["mandatory"].code("html").partition("<h1>")[0]
    pieces = [look.markup for look in LOOKS] + [picture.markup for picture in PICTURES]
    site = SCConnect(
        site_of(head + "".join(pieces)),
        OAuth2(*CLIENT, provider=sandbox.oauth2_provider(root)),
        secret_key=KEY,
        store_token=lambda token, request: {"username": "joe"},
    )
    with serve(site) as server:
        page = opened(context, server.url.replace("127.0.0.1", "localhost"))
        buttons = page.locator("[data-sc-connect]")
        assert buttons.count() == len(pieces) - 3  # all but those that disconnect
        for button in buttons.all():
            with page.expect_popup() as popup:
                button.click()
            popup.value.wait_for_selector("#login, #allow")
            popup.value.close()
