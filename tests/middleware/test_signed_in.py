"""Whether somebody is signed in: at the start of a flow, and when the user comes back."""

import logging
import re
from urllib.parse import urljoin, urlsplit

import pytest
from support.browser import ARRIVAL, hidden_fields
from support.flows import flow_for, nobody_asked
from support.responses import landed, query
from support.site import JOE, KEY, Store, page_of_the_site, running_site

from scconnect_wsgi import SCConnect
from scconnect_wsgi.errors import ConfigurationError

STRICT = "session"  # the name of a session cookie, which a browser sends from the site itself only


@pytest.fixture(params=["oauth2", "oauth1"])
def flow(request, provider):
    return flow_for(request.param, provider.url)


def identify(request):
    """Name the user of the session, as a site whose session cookie is SameSite=Strict."""
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        return None
    return request.cookies.get(STRICT)


def sign_in(browser, user):
    browser.session.cookies.set(STRICT, user, domain="localhost.local")


def sign_out(browser):
    browser.session.cookies.set(STRICT, None)


def warnings(caplog):
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "scconnect_wsgi" and record.levelno >= logging.WARNING
    ]


def flow_cookies(browser):
    names = [cookie.name for cookie in browser.session.cookies]
    return [name for name in names if re.fullmatch("scconnect-[0-9a-f]{24}", name)]


# At the start


@pytest.mark.threat(14)
@pytest.mark.parametrize("user", [None, "", " ", "None"], ids=repr)
def test_threat_14_a_start_by_nobody_fails_before_the_provider_is_asked(
    flow, browser, provider, user, caplog
):
    with running_site(flow, identify=lambda request: user) as site, nobody_asked(provider):
        fields = landed(browser.get(site.start))
    assert fields["error"] == "not_signed_in"
    assert "sign_in_url" in fields["error_description"]
    assert flow_cookies(browser) == []


@pytest.mark.threat(14)
def test_a_start_by_nobody_ends_where_the_link_says(flow, browser):
    with running_site(flow, identify=identify) as site:
        answer = browser.get(f"{site.start}?return_to=/account")
    assert urlsplit(answer.headers["Location"]).path == "/account"
    assert query(answer.headers["Location"])["error"] == "not_signed_in"


@pytest.mark.threat(14, 26)
@pytest.mark.parametrize("prefix", ["", "/shop"])
@pytest.mark.parametrize("return_to", ["", "/account", "/account?tab=2&x=%C3%A9"])
@pytest.mark.parametrize("page", ["/login", "/login?lang=de"])
def test_a_sign_in_page_leads_there_and_back(flow, browser, provider, prefix, return_to, page):
    options = {"identify": identify, "sign_in_url": page, "prefix": prefix}
    with running_site(flow, **options) as site:
        start = site.start + (f"?return_to={return_to.replace('&', '%26')}" if return_to else "")
        with nobody_asked(provider):
            answer = browser.get(start)
        assert answer.status_code == 303
        location = answer.headers["Location"]
        assert location.startswith(f"{prefix}{page}")
        assert flow_cookies(browser) == []
        back = query(location)["next"]
        assert back.startswith(f"{prefix}/oauth/request_token?")
        sign_in(browser, "joe")
        departure = browser.get(urljoin(site.url, back))
        answer = browser.come_back(browser.decide(departure.headers["Location"]))
        home = answer.headers["Location"]
        assert urlsplit(home).path == (
            urlsplit(return_to).path or f"{prefix}/sc-connect/close.html"
        )
        assert query(home) == {**query(return_to), **JOE}


@pytest.mark.threat(14)
def test_a_sign_in_that_names_nobody_does_not_go_in_a_circle(flow, browser, provider):
    with (
        running_site(flow, identify=identify, sign_in_url="/login") as site,
        nobody_asked(provider),
    ):
        answer = browser.get(site.start)
        again = browser.get(urljoin(site.url, query(answer.headers["Location"])["next"]))
        fields = landed(again)
    assert fields["error"] == "not_signed_in"
    assert "identify still names nobody" in fields["error_description"]


@pytest.mark.threat(26)
def test_threat_26_nothing_in_the_request_changes_where_a_sign_in_leads(flow, browser):
    with running_site(flow, identify=identify, sign_in_url="/login") as site:
        for extra in ("?next=https://evil.example", "?sign_in_url=//evil.example", "?a=%0d%0aX:1"):
            location = browser.get(site.start + extra).headers["Location"]
            assert location == "/login?next=%2Foauth%2Frequest_token%3Fscconnect_signed_in%3D1"


@pytest.mark.threat(1)
def test_threat_01_another_site_leads_nobody_to_the_sign_in(flow, browser):
    with running_site(flow, identify=identify, sign_in_url="/login") as site:
        assert browser.get(site.start, **ARRIVAL).status_code == 200


def site_with_sign_in(flow, url):
    return SCConnect(
        page_of_the_site,
        flow,
        secret_key=KEY,
        store_token=Store(),
        identify=identify,
        sign_in_url=url,
    )


@pytest.mark.parametrize(
    "url",
    ["", "login", "//evil.example", "https://evil.example/login", "/login#top", 5, "/" + 600 * "a"],
)
def test_a_sign_in_page_that_is_not_on_this_site_is_refused(flow, url):
    with pytest.raises(ConfigurationError, match=r"^sign_in_url must be the path of a page"):
        site_with_sign_in(flow, url)


@pytest.mark.parametrize(
    "url",
    ["/oauth/request_token", "/oauth/request_token?x=1", "/oauth/access_token"],
)
def test_a_sign_in_page_is_none_of_the_flow_s_own_paths(flow, url):
    """The first would lead to itself without end."""
    with pytest.raises(ConfigurationError, match=r"^sign_in_url must be a page of the wrapped"):
        site_with_sign_in(flow, url)


def test_a_sign_in_page_needs_identify(flow):
    with pytest.raises(ConfigurationError, match=r"^sign_in_url needs identify"):
        SCConnect(page_of_the_site, flow, secret_key=KEY, store_token=Store(), sign_in_url="/login")


# On the way back


@pytest.mark.threat(14)
@pytest.mark.parametrize("choice", ["allow", "deny"])
def test_threat_14_a_session_that_the_provider_does_not_bring_along_comes_from_the_site(
    flow, browser, provider, choice, caplog
):
    with running_site(flow, identify=identify) as site:
        sign_in(browser, "joe")
        back = browser.decide(browser.click(site), choice)
        with nobody_asked(provider):
            page = browser.get(back, **ARRIVAL)
        assert warnings(caplog) == []  # nothing has failed yet
        assert page.status_code == 200
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert "Set-Cookie" not in page.headers
        again = hidden_fields(page.text)
        assert again == {**query(back), "scconnect_returned": "1"}
        answer = landed(browser.come_back(back))
    assert answer == JOE if choice == "allow" else answer["error"] == "access_denied"


def test_the_page_on_the_way_back_is_no_failure_in_the_log(flow, browser, caplog):
    with running_site(flow, identify=identify) as site:
        sign_in(browser, "joe")
        assert landed(browser.come_back(browser.decide(browser.click(site)))) == JOE
    assert "error_id" not in caplog.text


@pytest.mark.threat(14)
def test_threat_14_somebody_who_signed_out_meanwhile_is_told_so(flow, browser, provider):
    with running_site(flow, identify=identify) as site:
        sign_in(browser, "joe")
        back = browser.decide(browser.click(ending_at_account(site)))
        sign_out(browser)
        with nobody_asked(provider):
            answer = browser.come_back(back)
        assert urlsplit(answer.headers["Location"]).path == "/account"
        assert query(answer.headers["Location"])["error"] == "not_signed_in"
        assert flow_cookies(browser) == []
        assert site.store.tokens == []


@pytest.mark.threat(14)
def test_threat_14_a_mark_that_somebody_made_up_opens_nothing(flow, browser, provider):
    with running_site(flow, identify=identify) as site:
        sign_in(browser, "joe")
        back = browser.decide(browser.click(site))
        with nobody_asked(provider):
            answer = browser.get(f"{back}&scconnect_returned=1", **ARRIVAL)
        assert landed(answer)["error"] == "not_signed_in"
        assert site.store.tokens == []


@pytest.mark.threat(14)
def test_a_callback_that_belongs_to_no_flow_gets_no_page(flow, browser):
    with running_site(flow, identify=identify) as site:
        answer = browser.get(f"{site.callback}?state=a&code=b&oauth_token=c", **ARRIVAL)
        assert landed(answer)["error"] in ("flow_mismatch", "flow_expired")


@pytest.mark.threat(22)
def test_the_page_on_the_way_back_is_text_whatever_the_query_holds(browser, provider):
    with running_site(flow_for("oauth2", provider.url), identify=identify) as site:
        sign_in(browser, "joe")
        back = browser.decide(browser.click(site))
        page = browser.get(f"{back}&x=%22%3E%3Cscript%3E&%3Cb%3E=1", **ARRIVAL).text
    assert re.findall("<script|<b>", page) == []


def ending_at_account(site):
    """Return the site with a start that ends at /account."""
    site.start += "?return_to=/account"
    return site
