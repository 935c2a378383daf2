"""The names of the flow's cookies: the prefix, what the signature covers, and an upgrade.

Lines 16, 19, 20 and 49 of the list of threats.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from wsgiref.util import setup_testing_defaults

import pytest
from itsdangerous import Signer
from support.browser import ARRIVAL, Browser
from support.flow_cookies import AUDIENCE, BASE, PENDING, issued, kept, named, set_cookies
from support.flows import flow_for, nobody_asked
from support.responses import landed, query
from support.site import JOE, KEY, Site, Store, page_of_the_site, running_site
from support.windows import opened

from scconnect_wsgi import SCConnect
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import FlowExpired, FlowFinished, FlowMismatch
from scconnect_wsgi.middleware._cookies import FlowCookies
from scconnect_wsgi.middleware._replay import MEMORY
from scconnect_wsgi.sandbox import Sandbox, serve

HTTPS = "https://app.example"
PROTOCOLS = ("oauth1", "oauth2")
FLOW_ID = {"oauth1": "oauth_token", "oauth2": "state"}
NEW_PREFIX = {BASE: "", HTTPS: "__Host-Http-"}
OLD_PREFIX = {BASE: "", HTTPS: "__Host-"}
SCHEMES = pytest.mark.parametrize("base", [BASE, HTTPS], ids=["http", "https"])


@pytest.fixture(params=[None, Encryption(KEY)], ids=["signed", "encrypted"])
def encryption(request):
    return request.param


def cookies(encryption=None, clock=None):
    options = {} if clock is None else {"clock": clock}
    return FlowCookies(KEY, AUDIENCE, 600, encryption, **options)


def read(header, base, flow_id="an id", encryption=None, clock=None):
    return cookies(encryption, clock).read(header, flow_id, base == HTTPS)


def of_before(base, pending=PENDING, *, encryption=None, flow_id="an id", audience=AUDIENCE, at=0):
    """Return the Cookie header of a flow that the version before this one began."""
    salt = f"scconnect_wsgi flow cookie {audience}"
    packed = json.dumps([at or time.time_ns() // 1000, base, "", pending, ""]).encode()
    if encryption:
        packed = encryption.sealer(salt).seal(packed, named(flow_id))
    signer = Signer(KEY, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
    value = signer.sign(base64.urlsafe_b64encode(packed).rstrip(b"=")).decode()
    return f"{OLD_PREFIX[base]}{named(flow_id)}={value}"


# The prefix


@pytest.mark.threat(49)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_threat_49_on_https_every_cookie_has_the_strongest_prefix(browser, protocol):
    sandbox = Sandbox(redirect_uris=[f"{HTTPS}/oauth/access_token"])
    with (
        serve(sandbox) as server,
        running_site(flow_for(protocol, server.url), base_url=HTTPS) as site,
    ):
        started = browser.get(site.start)
        back = browser.decide(started.headers["Location"]).replace(HTTPS, site.url)
        ended = browser.get(back, **{**ARRIVAL, "Cookie": kept(set_cookies(started))})
    values = set_cookies(started) + set_cookies(ended)
    assert len(values) == 5
    for value in values:
        assert value.startswith("__Host-Http-scconnect-")
        assert {"HttpOnly", "Path=/", "Secure"} <= set(value.split("; "))
        assert "domain" not in value.lower()


@pytest.mark.threat(49)
@pytest.mark.browser
def test_threat_49_no_script_and_no_other_host_writes_a_cookie_of_ours_in_chromium(context):
    """Chromium trusts every name below localhost like https."""
    hosts = {}

    def app(environ, start_response):
        return hosts[environ["HTTP_HOST"].partition(":")[0]](environ, start_response)

    with serve(app) as server:
        visited = f"http://site.localhost:{server.port}"
        base = visited.replace("http", "https")
        with serve(Sandbox(redirect_uris=[f"{base}/oauth/access_token"])) as provider:
            flow = flow_for("oauth2", provider.url)
            hosts["site.localhost"] = SCConnect(
                page_of_the_site, flow, secret_key=KEY, store_token=Store(), base_url=base
            )
            hosts["evil.site.localhost"] = setting(
                "Domain=site.localhost; HttpOnly; Secure; Path=/"
            )
            window = opened(context, f"{visited}/oauth/request_token")
            window.wait_for_selector("#login")
            ours = kept_by(context, visited)
            assert len(ours) == 2

            others = [re.sub("[0-9a-f]{24}", "f" * 24, name) for name in ours]
            window.goto(f"{visited}/page")
            for name in (*ours, *others):
                window.evaluate(f"document.cookie = '{name}=evil; Secure; Path=/'")
            evil = visited.replace("site", "evil.site", 1)
            window.goto(f"{evil}/?{'&'.join([*ours, *others])}")
            assert "here" in [one["name"] for one in context.cookies(evil)]
            assert kept_by(context, visited) == ours


def kept_by(context, url):
    """Return the cookies of ours that a browser sends to an address."""
    return {one["name"]: one["value"] for one in context.cookies(url) if "scconnect" in one["name"]}


def setting(attributes):
    """Return an application that sets a cookie of each name in its query."""

    def app(environ, start_response):
        values = [f"{name}=evil; {attributes}" for name in environ["QUERY_STRING"].split("&")]
        headers = [("Set-Cookie", value) for value in ["here=1", *values]]
        start_response("200 OK", [("Content-Type", "text/plain"), *headers])
        return [b"evil"]

    return app


# What the signature covers


@pytest.mark.threat(20)
@SCHEMES
def test_threat_20_a_flow_under_the_name_of_another_one_is_refused(base, encryption):
    ours = issued(cookies(encryption), base=base)
    other = issued(cookies(encryption), "another id", base=base)
    assert read(ours, base, encryption=encryption).pending == PENDING
    moved = ours.replace(named("an id"), named("another id"))
    state, signature = ours.split("; ")
    other_state, other_signature = other.split("; ")
    mixed = [f"{state}; {other_signature}", f"{other_state}; {signature}"]
    mixed = [header.replace(named("an id"), named("another id")) for header in mixed]
    for header in (moved, *mixed):
        with pytest.raises(FlowExpired):
            read(header, base, "another id", encryption)


@pytest.mark.threat(16)
@pytest.mark.parametrize(("base", "other"), [(BASE, HTTPS), (HTTPS, BASE)], ids=["http", "https"])
def test_threat_16_a_flow_under_the_prefix_of_the_other_scheme_is_refused(base, other, encryption):
    ours = issued(cookies(encryption), base=base)
    moved = ours.replace(NEW_PREFIX[base] + "scconnect", NEW_PREFIX[other] + "scconnect")
    with pytest.raises(FlowExpired):
        read(moved, other, encryption=encryption)


@pytest.mark.threat(49)
@SCHEMES
@pytest.mark.parametrize("which", [0, 1], ids=["without the signature", "without the state"])
def test_threat_49_one_of_two_cookies_is_none_and_the_reader_is_told(base, which, encryption):
    half = issued(cookies(encryption), base=base).split("; ")[which]
    with pytest.raises(FlowExpired, match=r"one of the two cookies .* is an attack"):
        read(half, base, encryption=encryption)


def test_threat_20_a_flow_id_is_not_kept_and_is_back_when_the_flow_is_read():
    long = "t" * 3000
    header = issued(cookies(), long)
    assert len(header) < 400
    pending = {"token": long, "secret": "s", "empty": ""}
    header = kept(cookies().issue("", long, BASE, "", pending))
    assert len(header) < 400
    assert read(header, BASE, long).pending == pending


# An upgrade of the site while a flow is under way


@pytest.mark.threat(19)
@SCHEMES
def test_threat_19_a_flow_that_began_before_the_upgrade_finishes(base, encryption):
    before = of_before(base, encryption=encryption)
    assert read(before, base, encryption=encryption).pending == PENDING
    assert read(of_before(base), base, encryption=encryption).pending == PENDING


@pytest.mark.threat(19)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_threat_19_over_the_wire_such_a_flow_finishes_and_its_cookie_goes_away(browser, protocol):
    sandbox = Sandbox(redirect_uris=[f"{HTTPS}/oauth/access_token"])
    with serve(sandbox) as server:
        flow = flow_for(protocol, server.url)
        departure = flow.begin(f"{HTTPS}/oauth/access_token")
        before = of_before(
            HTTPS, departure.pending, flow_id=departure.flow_id, audience=flow.audience
        )
        with running_site(flow, base_url=HTTPS) as site:
            back = browser.decide(departure.authorize_url).replace(HTTPS, site.url)
            ended = browser.get(back, **{**ARRIVAL, "Cookie": before})
            after = kept(set_cookies(ended), before)
            again = browser.get(back, **{**ARRIVAL, "Cookie": after})
    assert landed(ended) == JOE
    assert "__Host-scconnect" not in after
    assert landed(again)["error"] == "flow_finished"


@pytest.mark.threat(19)
@SCHEMES
def test_threat_19_of_two_cookies_of_one_flow_the_newer_kind_wins(base):
    before = of_before(base, {"state": "an id", "verifier": "old"})
    ours = issued(cookies(), base=base)
    for header in (f"{before}; {ours}", f"{ours}; {before}"):
        assert read(header, base).pending == PENDING


@pytest.mark.threat(19)
@SCHEMES
def test_threat_19_what_is_from_before_lives_as_long_as_a_flow_and_no_longer(base):
    now = 1_800_000_000.0
    before = of_before(base, at=int(now * 1_000_000))
    assert read(before, base, clock=lambda: now + 600).pending == PENDING
    with pytest.raises(FlowExpired, match="longer than 600 seconds"):
        read(before, base, clock=lambda: now + 601)


@pytest.mark.threat(20)
@SCHEMES
def test_threat_20_what_is_from_before_is_refused_under_the_name_of_another_flow(base, encryption):
    before = of_before(base).replace(named("an id"), named("another id"))
    with pytest.raises((FlowExpired, FlowMismatch)):
        read(before, base, "another id", encryption)


@pytest.mark.threat(49)
def test_threat_49_what_is_made_now_is_not_accepted_under_the_weaker_name(encryption):
    state, signature = issued(cookies(encryption), base=HTTPS).split("; ")
    value, signed = (cookie.partition("=")[2] for cookie in (state, signature))
    name = named("an id")
    for header in (
        f"__Host-{name}={value}; __Host-{name}-signature={signed}",
        f"__Host-{name}={value}.{signed}",
        f"__Host-Http-{name}={value}.{signed}",
    ):
        with pytest.raises(FlowExpired):
            read(header, HTTPS, encryption=encryption)
    before = of_before(HTTPS, encryption=encryption)
    with pytest.raises(FlowExpired):
        read(before.replace("__Host-", "__Host-Http-"), HTTPS, encryption=encryption)


@pytest.mark.threat(20)
def test_threat_20_that_a_flow_ended_before_the_upgrade_is_still_known():
    finished = cookies().end("", "an id", True)
    header = kept(finished).replace("__Host-Http-", "__Host-")
    with pytest.raises(FlowFinished):
        read(header, HTTPS)


# The memory of flows that were finished


@pytest.mark.slow
@pytest.mark.threat(20)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_threat_20_a_stranger_does_not_make_a_process_forget_who_clicked_twice(
    browser, provider, protocol
):
    """The stranger has one flow, and gives its cookies the names of ten thousand others."""
    store = Store()
    site = SCConnect(
        page_of_the_site, flow_for(protocol, provider.url), secret_key=KEY, store_token=store
    )
    with serve(site) as server:
        at = Site(server.url.replace("127.0.0.1", "localhost"))
        started = browser.get(at.start)
        back = browser.decide(started.headers["Location"])
        click = {**ARRIVAL, "Cookie": kept(set_cookies(started))}
        assert landed(browser.get(back, **click)) == JOE

        with Browser() as stranger:
            begun = stranger.get(at.start)
            own_id = query(stranger.decide(begun.headers["Location"]))[FLOW_ID[protocol]]
        cookie = kept(set_cookies(begun))
        for number in range(MEMORY + 1):
            called_back(
                site,
                f"{FLOW_ID[protocol]}={number}",
                cookie.replace(named(own_id), named(str(number))),
            )
        # Meanwhile the server may have closed the connection of the first browser, which was idle
        with nobody_asked(provider), Browser() as later:
            later.get(back, **click)
    assert len(store.tokens) == 1


def called_back(site, query_string, cookie):
    """Call the callback of a site without a socket."""
    environ = {"QUERY_STRING": query_string, "HTTP_COOKIE": cookie}
    setup_testing_defaults(environ)
    environ |= {"PATH_INFO": "/oauth/access_token", "HTTP_HOST": "localhost"}
    statuses = []
    list(site(environ, lambda status, headers, exc_info=None: statuses.append(status) or bytes))
    assert statuses == ["303 See Other"]
