"""Cookies that another host of the domain sets, on real servers: line 49 of the list of threats.

Somebody begins a flow, and so has cookies that the site has signed. A host of the same domain gives
them to a user, under names that begin with a no-break space: browsers see no prefix in such a name.
Some servers remove that byte from both ends of the Cookie header, before any application sees it.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from support.browser import ARRIVAL, Browser
from support.flow_cookies import kept, set_cookies
from support.flows import nobody_asked
from support.responses import landed
from support.servers import GEVENT, HTTPS, WSGIREF, gunicorn, running, script
from support.site import JOE

from scconnect_wsgi.sandbox import Sandbox, serve

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.threat(49)]

SERVERS = {
    "wsgiref": script(WSGIREF),
    "gevent": script(GEVENT),
    "gunicorn": gunicorn("gevent_pywsgi"),
}
STRIPPED = pytest.mark.parametrize("odd", [b"\xa0", b"\x85"], ids=ascii)


@pytest.fixture(scope="module")
def provider():
    sandbox = Sandbox(redirect_uris=[f"{HTTPS}/oauth/access_token"])
    with serve(sandbox) as server:
        yield SimpleNamespace(url=server.url, sandbox=sandbox)


@pytest.fixture(scope="module", params=["oauth2", "oauth1"])
def protocol(request):
    return request.param


@pytest.fixture(scope="module", params=SERVERS)
def site(request, protocol, provider, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    server = SERVERS[request.param]
    with running(server, folder, protocol=protocol, provider=provider.url) as site:
        yield site


def begun(site):
    """Return the cookies of a new flow, one by one, and its callback."""
    with Browser() as somebody:
        started = somebody.get(site.start)
        back = somebody.decide(started.headers["Location"]).replace(HTTPS, site.url)
    return kept(set_cookies(started)).encode().split(b"; "), back


def arrived(browser, back, *cookies):
    return landed(browser.get(back, **{**ARRIVAL, "Cookie": b"; ".join(cookies)}))


@STRIPPED
def test_threat_49_these_servers_believe_the_first_cookie_and_no_other(site, browser, odd):
    """This is what the defence relies on."""
    header = b"; ".join(odd + name + b"=1" for name in (b"first", b"second", b"third"))
    seen = browser.get(f"{site.url}/cookies", Cookie=header).content
    assert seen == header.removeprefix(odd)
    assert browser.get(f"{site.url}/cookies", Cookie=b"a=b; " + header).content == b"a=b; " + header


@STRIPPED
def test_threat_49_cookies_that_another_host_planted_connect_nobody(site, provider, browser, odd):
    cookies, back = begun(site)
    planted = [odd + cookie for cookie in cookies]
    first_bare = [cookies[0], *planted[1:]]
    with nobody_asked(provider.sandbox):
        for theirs in (
            *([cookie] for cookie in planted),
            planted,
            planted[::-1],
            [b"theme=dark", *planted],
            [*planted, b"theme=dark"],
            [planted[0], *planted],
            first_bare,
        ):
            answer = arrived(browser, back, *theirs)
            assert answer.get("error") == "flow_expired", (theirs, answer)
    assert arrived(browser, back, *cookies) == JOE


@STRIPPED
def test_threat_49_a_user_with_a_flow_of_their_own_finishes_that_one_only(
    site, provider, browser, odd
):
    theirs, their_back = begun(site)
    own, own_back = begun(site)
    for planted in ([odd + theirs[0]], [odd + theirs[-1]], [odd + cookie for cookie in theirs]):
        with nobody_asked(provider.sandbox):
            answer = arrived(browser, their_back, *planted, *own)
            assert answer.get("error") == "flow_expired", (planted, answer)
    assert arrived(browser, own_back, odd + theirs[0], *own) == JOE


@STRIPPED
def test_threat_49_what_is_planted_under_the_name_of_a_users_own_flow_does_not_hide_it(
    site, browser, odd
):
    theirs, _ = begun(site)
    own, back = begun(site)
    name = own[0].partition(b"=")[0]
    planted = odd + name + b"=" + theirs[0].partition(b"=")[2]
    assert arrived(browser, back, planted, *own) == JOE
