"""A plain link that names the page where the flow ends, and needs no script.

For example ``/oauth/request_token?return_to=/account``.
"""

from __future__ import annotations

from urllib.parse import quote, urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.browser import ARRIVAL, CLICK
from support.flows import CLIENT, flow_for, nobody_asked
from support.responses import query
from support.site import Store, running_site

from scconnect_wsgi import HAND_OVER, OAuth2, OAuth2Provider
from scconnect_wsgi.urls import MAX_RETURN, path_of_this_origin


@pytest.fixture(params=["oauth1", "oauth2"])
def protocol(request):
    return request.param


def link(site, return_to):
    return f"{site.start}?return_to={quote(return_to, safe='')}"


def began(browser, site, return_to):
    """Follow the link, and return the address of the provider's page."""
    answer = browser.get(link(site, return_to), **CLICK)
    assert answer.status_code == 303, answer.text
    return urljoin(site.start, answer.headers["Location"])


@pytest.mark.parametrize("prefix", ["", "/shop"], ids=["root", "prefix"])
def test_the_flow_ends_where_the_link_said_with_the_fields_behind_its_query(
    browser, protocol, provider, prefix
):
    with running_site(flow_for(protocol, provider.url), prefix=prefix) as site:
        back = browser.decide(began(browser, site, f"{prefix}/account?tab=2"))
        assert "return_to" not in back  # the provider is told nothing of it
        answer = browser.get(back, **ARRIVAL)
    assert answer.status_code == 303
    # The empty fragment replaces one that the provider may have added
    assert answer.headers["Location"] == f"{prefix}/account?tab=2&username=joe&oauth_token_id=43#"


def test_a_refusal_ends_there_too(browser, protocol, provider):
    with running_site(flow_for(protocol, provider.url)) as site:
        answer = browser.get(browser.decide(began(browser, site, "/account"), "deny"), **ARRIVAL)
    assert urlsplit(answer.headers["Location"]).path == "/account"
    assert query(answer.headers["Location"])["error"] == "access_denied"


def test_a_start_that_fails_ends_there_too(browser):
    nobody = OAuth2Provider("http://127.0.0.1:9/authorize", "http://127.0.0.1:9/token")

    def raising(request):
        raise RuntimeError("no database")

    with running_site(OAuth2(*CLIENT, provider=nobody), identify=raising) as site:
        answer = browser.get(link(site, "/account"), **CLICK)
    assert urlsplit(answer.headers["Location"]).path == "/account"
    assert query(answer.headers["Location"])["error"] == "start_refused"


def test_a_flow_whose_cookie_is_gone_ends_at_close_html(browser, provider):
    with running_site(flow_for("oauth2", provider.url)) as site:
        back = browser.decide(began(browser, site, "/account"))
        browser.session.cookies.clear()
        answer = browser.get(back, **ARRIVAL)
    assert urlsplit(answer.headers["Location"]).path == "/sc-connect/close.html"
    assert query(answer.headers["Location"])["error"] == "flow_expired"


def test_two_flows_under_way_end_where_each_of_them_said(browser, provider):
    with running_site(flow_for("oauth2", provider.url)) as site:
        first = began(browser, site, "/first")
        second = began(browser, site, "/second")
        places = [
            browser.get(browser.decide(url), **ARRIVAL).headers["Location"]
            for url in (second, first)
        ]
    assert [urlsplit(place).path for place in places] == ["/second", "/first"]


def test_an_application_that_answers_itself_is_given_that_address(browser, provider):
    def app(environ, start_response):
        location = environ["scconnect.close_url"]({"username": "joe"})
        start_response("303 See Other", [("Location", location), ("Content-Type", "text/plain")])
        return [b""]

    with running_site(flow_for("oauth2", provider.url), app=app, store_token=HAND_OVER) as site:
        answer = browser.get(browser.decide(began(browser, site, "/account")), **ARRIVAL)
    assert answer.headers["Location"] == "/account?username=joe#"


def test_the_page_that_asks_keeps_the_place(browser, provider):
    with running_site(flow_for("oauth2", provider.url), store_token=Store()) as site:
        asked = browser.get(link(site, "/account"), **ARRIVAL)
        assert '<form method="post"><' in asked.text  # to its own address, the query included
        answer = browser.post(link(site, "/account"), {}, **CLICK)
        answer = browser.get(browser.decide(answer.headers["Location"]), **ARRIVAL)
    assert urlsplit(answer.headers["Location"]).path == "/account"


ELSEWHERE = [
    "//evil.example",
    "https://evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "account",
    "\\\\evil.example",
    "?account",
    " /account",
    "/account#part",
    "/" + "a" * MAX_RETURN,
]


@pytest.mark.threat(26)
@pytest.mark.parametrize("return_to", ELSEWHERE)
def test_threat_26_a_link_that_leads_off_the_site_begins_nothing(browser, provider, return_to):
    with running_site(flow_for("oauth2", provider.url)) as site, nobody_asked(provider):
        answer = browser.get(link(site, return_to), **CLICK)
    assert answer.status_code == 400
    assert "Set-Cookie" not in answer.headers
    assert "evil" not in answer.text


@pytest.mark.threat(26)
@given(st.text(alphabet=st.sampled_from("/\\.:;?&=%@\t\n\r\x0b \x85\u2028ab0"), max_size=24))
@example("/\\evil.example")
@example("/\t/evil.example")
@example("/\n/evil.example")
@example("/%09/evil.example")
@example("/%5cevil.example")
@example("/.//evil.example")
def test_threat_26_whatever_is_accepted_stays_on_the_origin(written):
    try:
        location = path_of_this_origin(written)
    except ValueError:
        return
    # As WHATWG URL parsers read a Location: they drop tabs and line breaks, and read a backslash as
    # a slash.
    assert not set(location) & set("\t\n\r\\ ")
    assert location.isascii()
    assert location.isprintable()
    read = urlsplit(urljoin("https://app.example/oauth/access_token", location))
    assert (read.scheme, read.netloc) == ("https", "app.example")
