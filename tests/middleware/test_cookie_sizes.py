"""How many bytes the cookies of flows take up, in requests and in responses.

gunicorn refuses a header of more than 8,190 bytes, so that a user with too many cookies could open
no page of the site. nginx answers 502 to a response whose headers have more than 4,096 bytes.
"""

from __future__ import annotations

import random
import re
import socket
import string
from urllib.parse import urlsplit

import pytest
from support.browser import ARRIVAL, CLICK, Browser
from support.flow_cookies import AUDIENCE, BASE, PENDING, kept, named, set_cookies
from support.flows import flow_for
from support.responses import landed, query
from support.servers import HTTPS, gunicorn, running
from support.site import JOE, KEY, running_site

from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import ConnectError, ProviderError
from scconnect_wsgi.middleware._cookies import MAX_FLOWS, FlowCookies
from scconnect_wsgi.sandbox import Sandbox, serve

pytestmark = pytest.mark.threat(16)

MOST = 4096  # bytes, in a request and in a response
RETURN_TO = f"/{'a' * 500}"
SCHEMES = pytest.mark.parametrize("base", [BASE, "https://app.example"], ids=["http", "https"])
ENCRYPTED = pytest.mark.parametrize(
    "encryption", [None, Encryption(KEY)], ids=["signed", "encrypted"]
)
RANDOM = random.Random(14)


def noise(length):
    """Return letters that cannot be compressed to fewer bytes than base64 makes of them again."""
    return "".join(RANDOM.choices(string.ascii_letters + string.digits + "-_", k=length))


def begun(cookies, header, flow_id, base, length):
    """Return the Cookie header of a browser after another start, whose token has this length."""
    pending = {"token": flow_id, "secret": noise(length)}
    return kept(cookies.issue(header, flow_id, base, "", pending), header)


def readable(cookies, header, flow_id, base):
    try:
        return bool(cookies.read(header, flow_id, base.startswith("https")))
    except ConnectError:
        return False


@pytest.mark.threat(17)
@SCHEMES
@ENCRYPTED
@pytest.mark.parametrize(
    "lengths",
    [[30] * 9, [700] * 9, [1500] * 9, [30, 30, 30, 30, 2500], [2500, 30, 30, 30, 30], [2400, 2400]],
    ids=str,
)
def test_threat_17_the_oldest_flows_go_when_all_have_too_many_bytes(base, encryption, lengths):
    cookies = FlowCookies(KEY, AUDIENCE, 600, encryption)
    header = ""
    for number, length in enumerate(lengths):
        header = begun(cookies, header, f"flow {number}", base, length)
        assert len(header) <= MOST
        assert readable(cookies, header, f"flow {number}", base)
    left = [readable(cookies, header, f"flow {number}", base) for number in range(len(lengths))]
    assert left == sorted(left), "the newest are left"
    assert sum(left) <= MAX_FLOWS
    assert header.count("=") == 2 * sum(left), "nothing is left of the others"


@pytest.mark.threat(17)
@SCHEMES
@pytest.mark.parametrize("length", [1300, 1500, 2000])
def test_threat_17_the_oldest_flow_goes_however_little_room_the_response_has(base, length):
    cookies = FlowCookies(KEY, AUDIENCE, 600)
    header = ""
    for number in range(9):
        flow_id = f"{number} {noise(length)}"
        pending = {"token": flow_id, "secret": noise(length)}
        location = f"https://provider.example/?oauth_token={flow_id}"
        made = cookies.issue(header, flow_id, base, "", pending, RETURN_TO, location)
        header = kept(made, header)
        assert len(header) <= MOST
        assert readable(cookies, header, flow_id, base)


@SCHEMES
def test_threat_16_what_is_remembered_of_ended_flows_is_in_the_sum(base):
    cookies = FlowCookies(KEY, AUDIENCE, 600)
    header = ""
    for number in range(12):
        for step in range(2):
            header = begun(cookies, header, f"flow {number} {step}", base, 600)
        ended = cookies.end(header, f"flow {number} 0", base.startswith("https"))
        header = kept(ended, header)
        assert len(header) <= MOST


def test_threat_16_the_flows_of_two_middlewares_on_one_host_are_in_one_sum():
    ours = [FlowCookies(KEY, f"{AUDIENCE} {number}", 600) for number in range(3)]
    header = ""
    for number in range(9):
        header = begun(ours[number % 3], header, f"flow {number}", BASE, 700)
        assert len(header) <= MOST
        assert readable(ours[number % 3], header, f"flow {number}", BASE)


def test_threat_16_cookies_that_are_not_ours_go_before_ours():
    cookies = FlowCookies(KEY, AUDIENCE, 600)
    header = begun(cookies, "", "flow 0", BASE, 700)
    foreign = "; ".join(f"{named(f'foreign {number}')}={noise(250)}" for number in range(10))
    header = begun(cookies, f"{foreign}; {header}", "flow 1", BASE, 700)
    assert len(header) <= MOST
    assert readable(cookies, header, "flow 0", BASE)


@SCHEMES
def test_threat_16_however_many_cookies_there_are_one_response_removes_what_fits_into_it(base):
    cookies = FlowCookies(KEY, AUDIENCE, 600)
    prefix = "__Host-Http-" if base.startswith("https") else ""
    header = "; ".join(f"{prefix}{named(f'foreign {number}')}=x" for number in range(200))
    location = f"https://provider.example/?oauth_token={'t' * 1000}"
    for number in range(12):
        made = cookies.issue(header, f"flow {number}", base, "", PENDING, "", location)
        lines = [f"Set-Cookie: {value}\r\n" for value in made]
        assert len("".join(lines)) + len(location) < MOST - 400
        header = kept(made, header)
    assert len(header) <= MOST


def test_threat_16_what_cannot_be_finished_is_removed_before_what_can():
    cookies = FlowCookies(KEY, AUDIENCE, 600)
    header = ""
    for number in range(4):
        header = begun(cookies, header, f"flow {number}", BASE, 500)
    foreign = [f"{named(f'foreign {number}')}=x" for number in range(200)]
    header = begun(cookies, "; ".join([header, *foreign]), "flow 4", BASE, 1200)
    assert len(header) > MOST, "one response cannot remove all"
    assert readable(cookies, header, "flow 0", BASE)
    header = begun(cookies, header, "flow 5", BASE, 500)
    assert readable(cookies, header, "flow 4", BASE)


@SCHEMES
def test_threat_16_a_token_that_leaves_no_room_is_an_error_at_the_start(base):
    cookies = FlowCookies(KEY, AUDIENCE, 600)
    header = begun(cookies, "", "flow 0", base, 30)
    for length in (3300, 3350, 3400):
        assert len(begun(cookies, header, "flow 1", base, length)) <= MOST
    for length in (3700, 4000, 8000):
        with pytest.raises(ProviderError, match="too long"):
            begun(cookies, header, "flow 1", base, length)


def answered(site, path, cookie=""):
    """Return the bytes of the headers that a site answers with."""
    parts = urlsplit(site.url)
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in CLICK.items()]
    lines += [f"Cookie: {cookie}"] if cookie else []
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        with connection.makefile("rb") as stream:
            head, end, _ = stream.read().partition(b"\r\n\r\n")
    return head + end


@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
@pytest.mark.parametrize("encryption", [None, Encryption(KEY)], ids=["signed", "encrypted"])
def test_threat_16_the_headers_of_every_start_fit_into_nginx_buffer(protocol, encryption):
    sandbox = Sandbox(redirect_uris=[f"{HTTPS}/oauth/access_token"], misbehave=["long-tokens"])
    with (
        serve(sandbox) as server,
        running_site(flow_for(protocol, server.url), base_url=HTTPS, encryption=encryption) as site,
    ):
        header = ""
        for _ in range(6):
            head = answered(site, f"/oauth/request_token?return_to={RETURN_TO}", header)
            assert head.startswith(b"HTTP/1.1 303")
            assert len(head) <= MOST
            values = re.findall(rb"(?im)^set-cookie: (.*?)\r$", head)
            header = kept([value.decode() for value in values], header)
            assert len(header) <= MOST


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.threat(17)
@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_threat_17_flows_that_nobody_finishes_do_not_lock_a_user_out_of_gunicorn(
    protocol, tmp_path
):
    sandbox = Sandbox(redirect_uris=[f"{HTTPS}/oauth/access_token"], misbehave=["long-tokens"])
    with (
        serve(sandbox) as provider,
        running(gunicorn("sync"), tmp_path, protocol=protocol, provider=provider.url) as site,
        Browser() as joe,
    ):
        own = f"theme={'x' * 3800}"  # a large cookie of the site's own
        header = own
        for _ in range(8):
            started = joe.get(f"{site.start}?return_to={RETURN_TO}", **{**CLICK, "Cookie": header})
            assert started.status_code == 303
            header = kept(set_cookies(started), header)
            assert joe.get(site.url, Cookie=header).status_code == 200
        back = joe.decide(started.headers["Location"]).replace(HTTPS, site.url)
        ended = joe.get(back, **{**ARRIVAL, "Cookie": header})
        assert ended.headers["Location"].startswith(RETURN_TO)
        assert query(ended.headers["Location"]) == JOE
        again = joe.get(back, **{**ARRIVAL, "Cookie": kept(set_cookies(ended), header)})
        assert landed(again)["error"] == "flow_finished"
