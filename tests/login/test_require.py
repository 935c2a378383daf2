"""``require``: the page that strangers get, and the way back to the page that they asked for."""

import html
import re
from urllib.parse import urljoin

import pytest
from support.browser import ARRIVAL, Browser
from support.flows import flow_for
from support.logins import FORM, HERE, SCRIPT, facts, log_in, running_login, user_at
from support.responses import landed, query

from scconnect_wsgi import OAuth2, OAuth2Provider
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores import MemoryStore

WAY_ON = re.compile(r'<p class="way"><a href="([^"]*)">([^<]*)</a></p>')


@pytest.fixture
def connections(provider):
    return Connections(flow_for("oauth2", provider.url), MemoryStore())


def way_on(answer):
    """Return the address that the button of the page leads to."""
    return html.unescape(WAY_ON.search(answer.text)[1])


def way_back(answer):
    """Return the page that the button leads back to in the end."""
    return query(way_on(answer))["return_to"]


@pytest.mark.parametrize("prefix", ["", "/shop"])
@pytest.mark.parametrize(
    "page", ["/", "/wiki/Page", "/wiki/Page?action=edit&x=%C3%A9+1", "/caf%C3%A9/a%20b"]
)
def test_a_stranger_gets_the_button_and_comes_back_to_the_page(connections, browser, prefix, page):
    with running_login(connections, require=True, prefix=prefix) as site:
        answer = browser.get(site.url + page)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (401, "no-store")
        assert "Connect with SoundCloud" in answer.text
        assert "basic" not in answer.headers["WWW-Authenticate"].lower()
        started = browser.get(urljoin(site.url, way_on(answer)))
        ended = browser.get(browser.decide(started.headers["Location"]), **ARRIVAL)
        assert ended.headers["Location"] == f"{prefix}{page}#"
        assert browser.get(urljoin(site.url, ended.headers["Location"])).json()["username"] == "joe"


@pytest.mark.parametrize("of_request", [False, True], ids=["", "a callable"])
def test_behind_a_proxy_that_removes_the_prefix(connections, browser, of_request):
    root = "https://app.example/shop"
    options = {"require": True, "base_url": (lambda request: root) if of_request else root}
    with running_login(connections, **options) as site:
        link = way_on(browser.get(f"{site.url}/wiki?x=1"))
    assert link == "/shop/oauth/request_token?return_to=%2Fshop%2Fwiki%3Fx%3D1"


def test_a_page_is_shown_even_if_nobody_knows_where_the_site_is(connections, browser):
    def forwarded(inner):
        return lambda environ, start: inner({**environ, "HTTP_X_FORWARDED_FOR": "1.2.3.4"}, start)

    with running_login(connections, require=True, around=forwarded) as site:
        assert way_back(browser.get(f"{site.url}/wiki")) == "/wiki"


def test_the_paths_of_the_button_and_the_files_follow_the_options(connections, browser):
    options = {"require": True, "request_token_path": "/begin", "assets_path": "/files"}
    with running_login(connections, **options) as site:
        answer = browser.get(f"{site.url}/wiki")
        assert way_on(answer) == "/begin?return_to=%2Fwiki"
        assert 'href="/files/sc-connect.css"' in answer.text
        assert browser.get(f"{site.url}/files/sc-connect.css").status_code == 200


def test_a_callable_says_what_is_for_users_only(connections, browser):
    def require(environ):
        return environ["PATH_INFO"].startswith("/private")

    with running_login(connections, require=require) as site:
        assert user_at(browser, site) == {}
        assert browser.get(f"{site.url}/private/x").status_code == 401
        log_in(browser, site)
        assert browser.get(f"{site.url}/private/x").json()["username"] == "joe"


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_a_callable_that_raises_lets_nobody_in(connections, browser, caplog, accept):
    def require(environ):
        raise KeyError("a mistake of the site")

    with running_login(connections, require=require) as site:
        answer = browser.get(f"{site.url}/page", Accept=accept)
    assert answer.status_code == 500
    assert "KeyError: 'a mistake of the site'" in caplog.text
    found = re.search(r'(?:<code>|"error_id": ")([0-9a-f]{8})', answer.text)
    assert found[1] in caplog.text
    assert "a mistake of the site" not in answer.text


def test_require_false_lets_everybody_in(connections, browser):
    with running_login(connections, require=False) as site:
        assert user_at(browser, site) == {}


def test_after_a_refusal_the_page_says_so_and_the_way_back_is_clean(connections, browser):
    with running_login(connections, require=True) as site:
        started = browser.get(urljoin(site.url, way_on(browser.get(f"{site.url}/wiki?a=b"))))
        denied = browser.get(browser.decide(started.headers["Location"], "deny"), **ARRIVAL)
        assert query(denied.headers["Location"])["error"] == "access_denied"
        again = browser.get(urljoin(site.url, denied.headers["Location"].rstrip("#")))
        assert again.status_code == 401
        assert "you have cancelled it" in again.text
        assert way_back(again) == "/wiki?a=b"


# What a link cannot lead back to


def test_a_form_leads_back_to_the_page_that_it_is_on(connections, browser):
    with running_login(connections, require=True) as site:

        def post(**headers):
            answer = browser.post(f"{site.url}/save", {"text": "x"}, **headers)
            assert answer.status_code == 401
            assert "was not saved" in answer.text
            return way_back(answer)

        own = {**FORM, "Origin": site.url}
        assert post(**own, Referer=f"{site.url}/edit?page=1") == "/edit?page=1"
        assert post(**own) == "/"
        assert post(**FORM, Referer=f"{site.url}/edit") == "/edit"
        assert post(**own, Referer="https://evil.example/edit") == "/"
        assert post(Origin="https://evil.example", Referer="https://evil.example/edit") == "/"
        assert post(**own, Referer=f"{site.url}//evil.example/edit") == "/"
        assert post(Origin="null", Referer="http://[x") == "/"  # nobody can read that
        assert post(Origin="http://[x", Referer="http://[x") == "/"


@pytest.mark.parametrize("failed", ["", "error=access_denied&error_id=1&"])
def test_a_query_that_nobody_has_encoded_leads_back_as_it_came(connections, browser, failed):
    def as_curl_sends_it(inner):
        def outer(environ, start_response):
            query = f"{failed}q=caf\u00c3\u00a9&x=%FF"  # the bytes of an e with an accent, in UTF-8
            return inner({**environ, "QUERY_STRING": query}, start_response)

        return outer

    with running_login(connections, require=True, around=as_curl_sends_it) as site:
        answer = browser.get(f"{site.url}/wiki")
    assert way_back(answer) == "/wiki?q=caf%C3%A9&x=%FF"


def test_a_form_outside_of_the_mount_leads_back_to_the_first_page(connections, browser):
    with running_login(connections, require=True, prefix="/shop") as site:
        root = site.url.removesuffix("/shop")
        headers = {**FORM, "Origin": root, "Referer": f"{root}/elsewhere"}
        assert way_back(browser.post(f"{site.url}/save", **headers)) == "/shop/"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("/slash/evil.example/y", "/"),
        ("/slash/evil.example/x", "/"),
        ("/%5Cevil.example", "/%5Cevil.example"),
        ("/%2F%2Fevil.example", "/"),
        ("/x?" + "y" * 600, "/x"),
        ("/" + "x" * 600, "/"),
        ("/x?next=https://evil.example", "/x?next=https://evil.example"),
    ],
)
def test_no_address_leads_elsewhere(connections, browser, page, expected):
    def as_some_servers_do(inner):  # wsgiref removes the second slash
        def outer(environ, start_response):
            path = environ["PATH_INFO"].replace("/slash", "/")
            return inner({**environ, "PATH_INFO": path}, start_response)

        return outer

    with running_login(connections, require=True, around=as_some_servers_do) as site:
        answer = browser.get(site.url + page)
    assert way_back(answer) == expected


# Who asks


def test_head_is_answered_without_a_body(connections, browser):
    with running_login(connections, require=True) as site:
        answer = browser.session.head(f"{site.url}/wiki", timeout=10)
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [SCRIPT, {**HERE, "Accept": "application/json"}, {"X-Requested-With": "XMLHttpRequest"}],
    ids=["fetch", "JSON", "XMLHttpRequest"],
)
def test_a_script_gets_json_with_the_address_to_open(connections, browser, headers):
    with running_login(connections, require=True) as site:
        page = f"{site.url}/tracks?page=2"
        answer = browser.get(f"{site.url}/data?x=1", **headers, Referer=page)
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json() == {
        "error": "not_signed_in",
        "error_description": "This page is for users who are logged in.",
        "sign_in": "/oauth/request_token?return_to=%2Ftracks%3Fpage%3D2",
    }


def test_a_script_whose_page_is_not_known_leads_back_to_the_first_page(connections, browser):
    def forwarded(inner):
        return lambda environ, start: inner({**environ, "HTTP_X_FORWARDED_FOR": "1.2.3.4"}, start)

    def sign_in(site, **headers):
        answer = browser.get(f"{site.url}/data", **SCRIPT, **headers)
        return query(answer.json()["sign_in"])["return_to"]

    with running_login(connections, require=True, prefix="/shop") as site:
        assert sign_in(site) == "/shop/"
        assert sign_in(site, Referer="https://evil.example/shop/page") == "/shop/"
        assert sign_in(site, Referer=site.url.removesuffix("/shop")) == "/shop/"
    with running_login(connections, require=True, around=forwarded) as site:
        assert sign_in(site, Referer=f"{site.url}/page") == "/"


@pytest.mark.parametrize(
    "headers",
    [
        FORM,
        {**SCRIPT, "Accept": "text/html, application/xhtml+xml"},  # Turbo
        {**SCRIPT, "HX-Request": "true", "HX-Boosted": "true"},
        {"Accept": "text/html,*/*;q=0.8"},
        {"Accept": "*/*"},
    ],
    ids=["navigation", "Turbo", "htmx", "an old browser", "a program"],
)
def test_a_person_gets_a_page(connections, browser, headers):
    with running_login(connections, require=True) as site:
        answer = browser.get(f"{site.url}/data", **headers)
    assert answer.status_code == 401
    assert way_back(answer) == "/data"


def test_the_button_of_another_provider_does_not_name_soundcloud(browser):
    provider = OAuth2Provider(
        "https://other.example/a", "https://other.example/t", api_url="https://other.example"
    )
    connections = Connections(OAuth2("id", "secret", provider=provider), MemoryStore())
    with running_login(connections, facts, require=True) as site:
        answer = browser.get(f"{site.url}/")
    assert WAY_ON.search(answer.text)[2] == "Connect your account"
    assert "SoundCloud" not in answer.text


def test_the_button_works_in_the_popup_too(connections):
    with running_login(connections, require=True) as site, Browser() as browser:
        assert landed(browser.connect(site))["username"] == "joe"
        assert user_at(browser, site)["username"] == "joe"
