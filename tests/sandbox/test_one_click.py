"""The login page: one click for each user who is there."""

import html
import re

import pytest
from support.browser import Browser, hidden_fields
from support.flows import CALLBACK, flow_for
from support.responses import query

from scconnect_wsgi.sandbox import Sandbox, serve


@pytest.fixture
def sandbox():
    with serve(Sandbox()) as server:
        yield server


@pytest.fixture
def browser():
    with Browser() as opened:
        yield opened


def offered(page):
    """Return the names on the buttons of a login page, which all belong to one form."""
    found = re.findall(r'<button form="one-click" name="as" value="([^"]*)">([^<]*)</button>', page)
    names = [html.unescape(value) for value, _ in found]
    assert [html.unescape(label) for _, label in found] == [f"Log in as {name}" for name in names]
    return names


def sign_up(sandbox, *names):
    for name in names:
        with Browser() as another:
            another.sign_up(sandbox.url, name)


def click(browser, sandbox, page, name, **changes):
    fields = {**hidden_fields(page.text), "as": name, **changes}
    return browser.post(f"{sandbox.url}/login", fields)


@pytest.mark.parametrize("protocol", ["oauth2", "oauth1"])
@pytest.mark.parametrize("name", ["joe", "ann"])
def test_one_click_logs_in_and_leads_back(sandbox, browser, protocol, name):
    flow = flow_for(protocol, sandbox.url)
    asked = flow.begin(CALLBACK).authorize_url
    page = browser.get(asked)
    assert offered(page.text) == ["joe", "ann"]
    answer = click(browser, sandbox, page, name)
    assert answer.status_code == 303
    assert query(answer.headers["Location"]) == query(asked)
    consent = browser.get(asked).text
    assert f'<strong id="account">{name}</strong>' in consent


def test_those_who_signed_up_are_offered_too(sandbox, browser):
    name = "Zoë <b> & \"co\" 'x'"
    sign_up(sandbox, name)
    page = browser.get(f"{sandbox.url}/login")
    assert offered(page.text) == ["joe", "ann", name]
    assert click(browser, sandbox, page, name).status_code == 303


def test_of_many_the_first_and_the_newest_are_offered(sandbox, browser):
    names = [f"user {number}" for number in range(10)]
    sign_up(sandbox, *names)
    page = browser.get(f"{sandbox.url}/login").text
    assert offered(page) == ["joe", "ann", *names[-6:]]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"csrf": ""}, "Please try again."),
        ({"csrf": "made-up"}, "Please try again."),
        ({"as": "nobody"}, "Wrong username or password."),
        ({"as": ""}, "Wrong username or password."),
    ],
    ids=["no token", "another token", "a user that is not there", "nobody"],
)
def test_a_forged_click_logs_nobody_in(sandbox, browser, changes, problem):
    page = browser.get(f"{sandbox.url}/login")
    refused = click(browser, sandbox, page, "joe", **changes)
    assert refused.status_code == 400
    assert problem in refused.text
    assert offered(refused.text) == ["joe", "ann"]


def test_the_password_still_works(sandbox, browser):
    fields = hidden_fields(browser.get(f"{sandbox.url}/login").text)
    answer = browser.post(
        f"{sandbox.url}/login", {**fields, "username": "joe", "password": "joe", "as": ""}
    )
    assert answer.status_code == 303


def test_the_page_works_below_a_mount(browser):
    sandbox = Sandbox()

    def mounted(environ, start_response):
        environ["SCRIPT_NAME"] = "/soundcloud"
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/soundcloud")
        return sandbox(environ, start_response)

    with serve(mounted) as server:
        page = browser.get(f"{server.url}/soundcloud/login")
        assert '<form id="one-click" method="post" action="/soundcloud/login">' in page.text
