"""One registered callback for several deployments (line 50 of the list of threats).

Production is at 127.0.0.1 and a laptop at localhost, so that their cookies are apart; the provider
knows the callback of production only.
"""

from __future__ import annotations

import base64
import logging
import time
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import webob
from support.browser import ARRIVAL, CLICK, Browser
from support.flows import CLIENT, flow_for, nobody_asked
from support.ports import free_port
from support.responses import landed, query
from support.site import JOE, KEY, Mounted, Store, page_of_the_site

from scconnect_wsgi import HAND_OVER, OAuth1, OAuth2, SCConnect
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.flow import Flow
from scconnect_wsgi.middleware import _relay
from scconnect_wsgi.middleware._relay import RelayTags
from scconnect_wsgi.query import with_query
from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.stores import MemoryStore

pytestmark = pytest.mark.threat(50)

RELAY_KEY = "what production and the laptops share: 7qW_e3"
OLD_KEY = "what they shared last year, and some do yet: z8"
OWN_KEY = "the secret key of the laptop is another one, k2"
PROTOCOLS = ("oauth1", "oauth2")
FLOWS: dict[str, Flow] = {"oauth1": OAuth1(*CLIENT), "oauth2": OAuth2(*CLIENT)}
PRODUCTION = "https://app.example"
LAPTOP = "http://localhost:8000"
STAGING = "https://staging.example"
CALLBACK = "/oauth/access_token"
TAG = {"oauth1": "scconnect_relay", "oauth2": "state"}
ID = {"oauth1": "oauth_token", "oauth2": "state"}


class Deployment:
    """A deployment of the site: a port, a root, and what it keeps. ``options`` set it up."""

    def __init__(self, host, prefix=""):
        self.port = free_port()
        self.prefix = prefix
        self.root = f"http://{host}:{self.port}{prefix}"
        self.start = f"{self.root}/oauth/request_token"
        self.callback = f"{self.root}{CALLBACK}"
        self.store = Store()
        self.visits = []

    def serve(self, flow, **options):
        options = {"secret_key": KEY, "store_token": self.store, **options}
        return self.serve_app(SCConnect(page_of_the_site, flow, **options))

    def serve_app(self, app):
        def logged(environ, start_response):
            self.visits.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
            return app(environ, start_response)

        return serve(Mounted(logged, self.prefix) if self.prefix else logged, self.port)


@contextmanager
def world(protocol, *, production="", laptop="", relay_to=None, **options):
    """Run a provider, production and a laptop, each below a prefix if one is given."""
    production = Deployment("127.0.0.1", production)
    laptop = Deployment("localhost", laptop)
    sandbox = Sandbox(redirect_uris=[production.callback])
    with ExitStack() as stack:
        provider = stack.enter_context(serve(sandbox))
        flow = flow_for(protocol, provider.url)
        targets = [laptop.root] if relay_to is None else relay_to(laptop)
        stack.enter_context(production.serve(flow, relay_to=targets, relay_key=RELAY_KEY))
        shared = {"callback_url": production.callback, "relay_key": RELAY_KEY, **options}
        stack.enter_context(laptop.serve(flow, **{"secret_key": OWN_KEY, **shared}))
        yield SimpleNamespace(
            production=production, laptop=laptop, sandbox=sandbox, provider=provider, flow=flow
        )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_laptop_connects_through_the_callback_of_production(protocol, browser):
    with world(protocol) as here:
        back = browser.decide(browser.click(here.laptop))
        assert back.startswith(f"{here.production.callback}?")
        before = dict(here.sandbox.counts)
        relayed = browser.get(back, **ARRIVAL)
        assert dict(here.sandbox.counts) == before
        assert relayed.status_code == 303
        assert relayed.headers["Location"] == back.replace(here.production.root, here.laptop.root)
        assert "Set-Cookie" not in relayed.headers
        assert relayed.headers["Cache-Control"] == "no-store"
        assert relayed.headers["Referrer-Policy"] == "no-referrer"
        assert relayed.content == b""
        assert landed(browser.get(relayed.headers["Location"], **ARRIVAL)) == JOE
        assert len(here.laptop.store.tokens) == 1
        assert here.production.store.tokens == []
        assert here.production.visits == [f"GET {CALLBACK}"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_owner_connects_as_before(protocol, browser):
    with world(protocol) as here:
        assert landed(browser.connect(here.production)) == JOE
        assert len(here.production.store.tokens) == 1
        assert here.laptop.visits == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_refusal_comes_back_as_well(protocol, browser):
    with world(protocol) as here:
        relayed = browser.connect(here.laptop, choice="deny")
        assert relayed.headers["Location"].startswith(here.laptop.callback)
        fields = landed(browser.get(relayed.headers["Location"], **ARRIVAL))
        assert fields["error"] == "access_denied"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_owner_and_laptop_at_once_do_not_disturb_each_other(protocol, browser):
    with world(protocol) as here:
        ours = browser.decide(browser.click(here.production))
        theirs = browser.decide(browser.click(here.laptop))
        relayed = browser.get(theirs, **ARRIVAL)
        assert landed(browser.get(ours, **ARRIVAL)) == JOE
        assert landed(browser.get(relayed.headers["Location"], **ARRIVAL)) == JOE


def test_the_provider_gets_the_registered_address_byte_for_byte(browser):
    with world("oauth2") as here:
        departure = query(browser.click(here.laptop))
        assert departure["redirect_uri"] == here.production.callback
        # The sandbox compares the one of the exchange with it
        relayed = browser.connect(here.laptop)
        assert landed(browser.get(relayed.headers["Location"], **ARRIVAL)) == JOE


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_connection_keeps_the_registered_address_and_can_be_refreshed(protocol, browser):
    with ExitStack() as stack:
        production = Deployment("127.0.0.1")
        laptop = Deployment("localhost")
        sandbox = Sandbox(redirect_uris=[production.callback])
        provider = stack.enter_context(serve(sandbox))
        flow = flow_for(protocol, provider.url)
        connections = Connections(flow, MemoryStore(), identify=lambda request: "joe")
        stack.enter_context(production.serve(flow, relay_to=[laptop.root], relay_key=RELAY_KEY))
        options = {
            "store_token": connections.store_token,
            "identify": lambda request: "joe",
            "callback_url": production.callback,
            "relay_key": RELAY_KEY,
        }
        stack.enter_context(laptop.serve(flow, **options))
        relayed = browser.connect(laptop)
        fields = landed(browser.get(relayed.headers["Location"], **ARRIVAL))
        assert fields["username"] == "joe"
        (connection,) = connections.of_user("joe")
        assert connection.callback_url == production.callback
        if protocol == "oauth2":
            sandbox.expire()
        assert connections.session(connection.id, user="joe").me().username == "joe"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("production", "laptop", "relay_to"),
    [
        ("/site", "/site", lambda laptop: [laptop.root.removesuffix("/site")]),
        ("", "/app", lambda laptop: [laptop.root]),
        ("/site", "", lambda laptop: [laptop.root]),
        ("", "", lambda laptop: [laptop.root.upper().replace("HTTP", "http") + "/"]),
    ],
    ids=["both below the same prefix", "only the laptop", "only production", "another spelling"],
)
def test_deployments_may_be_below_a_prefix(protocol, production, laptop, relay_to, browser):
    with world(protocol, production=production, laptop=laptop, relay_to=relay_to) as here:
        relayed = browser.connect(here.laptop)
        assert landed(browser.get(relayed.headers["Location"], **ARRIVAL)) == JOE


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("way", ["wrap", "login"])
def test_a_whole_site_that_is_wired_in_one_line_takes_part(way, protocol, browser):
    production = Deployment("127.0.0.1")
    laptop = Deployment("localhost")
    sandbox = Sandbox(redirect_uris=[production.callback])
    identify = (lambda request: "joe") if way == "wrap" else None
    with ExitStack() as stack:
        flow = flow_for(protocol, stack.enter_context(serve(sandbox)).url)
        stores = [MemoryStore(), MemoryStore()]
        sites = [getattr(Connections(flow, store, identify=identify), way) for store in stores]
        owner = sites[0](
            page_of_the_site, secret_key=KEY, relay_to=[laptop.root], relay_key=RELAY_KEY
        )
        other = sites[1](
            page_of_the_site,
            secret_key=OWN_KEY,
            callback_url=production.callback,
            relay_key=RELAY_KEY,
        )
        stack.enter_context(production.serve_app(owner))
        stack.enter_context(laptop.serve_app(other))
        relayed = browser.connect(laptop)
        assert "Set-Cookie" not in relayed.headers
        fields = landed(browser.get(relayed.headers["Location"], **ARRIVAL))
        assert fields["username"] == "joe"
    assert [len(store.all("", 10)) for store in stores] == [0, 1]
    assert stores[1].all("", 10)[0].callback_url == production.callback


def test_the_callback_that_is_logged_is_the_registered_one(browser, caplog):
    with world("oauth2") as here, caplog.at_level(logging.INFO, "scconnect_wsgi"):
        relayed = browser.connect(here.laptop)
        browser.get(relayed.headers["Location"], **ARRIVAL)
        assert f"The callback URL is {here.production.callback}." in caplog.text
        assert "base_url is not set" not in caplog.text
        assert f"sent on to the deployment at {here.laptop.root}," in caplog.text
        for name in ("code", "state"):
            assert query(relayed.headers["Location"])[name] not in caplog.text


def test_a_second_callback_is_answered_as_the_first(browser):
    with world("oauth2") as here:
        back = browser.decide(browser.click(here.laptop))
        once, again = (browser.get(back, **ARRIVAL).headers["Location"] for _ in range(2))
        assert once == again
        assert landed(browser.get(once, **ARRIVAL)) == JOE
        assert landed(browser.get(once, **ARRIVAL))["error"] == "flow_finished"
        assert len(here.laptop.store.tokens) == 1


# One process is enough for what production answers to a callback that somebody made up.


def owner(protocol="oauth2", **options):
    """Return production, which relays to a laptop and to staging."""
    given = {
        "secret_key": KEY,
        "store_token": Store(),
        "base_url": PRODUCTION,
        "relay_to": [LAPTOP, STAGING],
        "relay_key": RELAY_KEY,
        **options,
    }
    app = given.pop("app", page_of_the_site)
    flow = given.pop("flow", FLOWS[protocol])
    return SCConnect(app, flow, **given)


def tag_for(root, protocol="oauth2", *, key=RELAY_KEY, lifetime=600, ago=0):
    """Return the tag of a flow that the deployment at ``root`` began so many seconds ago."""
    audience = FLOWS[protocol].audience
    tags = RelayTags([key.encode()], audience, lambda: time.time() - ago)
    return tags.tag("nonce", root=root, lifetime=lifetime)


def answer(app, protocol, tag, method="GET", host="", **fields):
    """Return what production answers to a callback with a tag."""
    return callback_request(protocol, tag, method, host, **fields).get_response(app)


def callback_request(protocol, tag, method="GET", host="", **fields):
    """Return a callback with a tag."""
    given = {"code": "4", "oauth_token": "token", "oauth_verifier": "v", **fields}
    given[TAG[protocol]] = tag
    request = webob.Request.blank(f"{CALLBACK}?{urlencode(given)}", method=method)
    request.headers.update(ARRIVAL)
    request.host = host or request.host
    return request


def failed(response, mount=""):
    """Return the fields of a failure, which ends at this site's own page and sets no cookie."""
    assert response.status_int == 303
    location = urlsplit(response.headers["Location"])
    assert (location.scheme, location.netloc) == ("", "")
    assert location.path == f"{mount}/sc-connect/close.html"
    assert "Set-Cookie" not in response.headers
    fields = dict(parse_qsl(location.query))
    assert fields["relay"] == "refused"  # for close.html, whose opener is at another deployment
    return fields


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("target", [LAPTOP, STAGING])
def test_a_signed_name_is_relayed(protocol, target):
    response = answer(owner(protocol), protocol, tag_for(target, protocol))
    assert response.headers["Location"].startswith(f"{target}{CALLBACK}?code=4&oauth_token=token&")


def test_the_query_is_kept_as_it_came():
    raw = f"code=a%2Fb+c%20d&scope=&iss=https://p.example&y=%C3%A4&state={tag_for(LAPTOP)}&z='"
    request = webob.Request.blank(f"{CALLBACK}?{raw}")
    assert request.get_response(owner()).headers["Location"].partition("?")[2] == raw


def test_a_query_that_is_not_ascii_is_encoded():
    # Servers pass on such bytes as they come
    request = webob.Request.blank(CALLBACK)
    request.environ["QUERY_STRING"] = f"state={tag_for(LAPTOP)}&y=\xc3\xa4&z=\r\nSet-Cookie: a"
    location = request.get_response(owner()).headers["Location"]
    assert location.endswith("&y=%C3%A4&z=%0D%0ASet-Cookie:%20a")


FORGED = {
    "unsigned": lambda tag: tag.rpartition(".")[0],
    "an empty signature": lambda tag: tag.rpartition(".")[0] + ".",
    "another signature": lambda tag: tag_for(STAGING).rpartition(".")[0] + "." + tag.split(".")[3],
    "another nonce": lambda tag: "x" + tag,
    "another time": lambda tag: ".".join(
        [tag.split(".")[0], str(int(tag.split(".")[1]) + 1), *tag.split(".")[2:]]
    ),
    "another key": lambda tag: tag_for(LAPTOP, key=OLD_KEY),
    "another client": lambda tag: RelayTags(
        [RELAY_KEY.encode()], OAuth2("another", "secret").audience, time.time
    ).tag("nonce", root=LAPTOP, lifetime=600),
    "the other protocol": lambda tag: tag_for(LAPTOP, "oauth1"),
    "an address in the clear": lambda tag: "nonce.1.https://evil.example.sig",
    "an address in Base64": lambda tag: (
        "nonce.9999999999."
        + base64.urlsafe_b64encode(b"https://evil.example").decode().rstrip("=")
        + ".c2ln"
    ),
    "no Base64": lambda tag: "nonce.9999999999.a.sig",
    "not ASCII": lambda tag: "nonce.9999999999.w6Q.s\u00e4g",
    "dots": lambda tag: "....",
    "twice": lambda tag: f"{tag}.{tag}",
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=list(FORGED))
def test_a_forged_name_is_refused(forge):
    fields = failed(answer(owner(), "oauth2", forge(tag_for(LAPTOP))))
    assert fields["error"] == "flow_mismatch"
    assert "relay_key differs" in fields["error_description"]


def test_no_character_of_a_tag_can_be_changed():
    tag = tag_for(LAPTOP)
    app = owner()
    for place in range(len(tag)):
        other = "A" if tag[place] != "A" else "B"
        changed = tag[:place] + other + tag[place + 1 :]
        assert "Location" in (response := answer(app, "oauth2", changed)).headers
        assert failed(response)["error"] in ("flow_mismatch", "flow_expired")


def test_the_bits_that_base64_ignores_count():
    tag = tag_for(LAPTOP)
    same_bytes = [
        tag[:-1] + last
        for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        if last != tag[-1]
        and base64.urlsafe_b64decode(tag[-43:-1] + last + "=")
        == base64.urlsafe_b64decode(tag[-43:] + "=")
    ]
    assert len(same_bytes) == 3
    for other in same_bytes:
        assert failed(answer(owner(), "oauth2", other))["error"] == "flow_mismatch"


NOT_ALLOWED = {
    "another port": "http://localhost:9000",
    "no port": "http://localhost",
    "another name of the same host": "http://127.0.0.1:8000",
    "another scheme": "https://localhost:8000",
    "a host that begins alike": "http://localhost:8000.evil.example",
    "a host below": "https://evil.staging.example",
    "another host": "https://evil.example",
    "a name before the host": "https://staging.example@evil.example",
    "a path": "https://staging.example/elsewhere",
    "a query": "https://staging.example?x=",
    "a slash": "https://staging.example/",
    "a host in upper case": "https://STAGING.example",
    "a line break": "https://staging.example/\r\nSet-Cookie: a=b",
    "a line break before the host": "https://\nstaging.example",
    "a backslash": "https://staging.example\\@evil.example",
    "a path that goes up": "https://staging.example/..",
    "a script": "javascript:alert(1)//",
    "nothing": "",
    "no scheme": "//staging.example",
}


@pytest.mark.parametrize("target", NOT_ALLOWED.values(), ids=list(NOT_ALLOWED))
def test_not_even_the_key_leads_to_another_origin(target):
    # Whoever has stolen the key signs what they like
    fields = failed(answer(owner(), "oauth2", tag_for(target)))
    assert fields["error"] == "flow_mismatch"
    assert "is not in the relay_to of this one" in fields["error_description"]


def test_the_page_names_what_is_missing_in_the_list():
    fields = failed(answer(owner(), "oauth2", tag_for("http://localhost:9000")))
    assert "the deployment at http://localhost:9000," in fields["error_description"]


def test_the_page_names_the_prefix_if_it_is_that_which_is_missing():
    fields = failed(answer(owner(), "oauth2", tag_for(f"{STAGING}/shop")))
    assert f"the deployment at {STAGING}/shop," in fields["error_description"]


@pytest.mark.parametrize("root", ["https://a\x0bb", "https://a\x00", "https://a\x1b[2Jb", "a\x7f"])
def test_what_the_key_signs_brings_no_control_character_into_the_log(root, caplog):
    fields = failed(answer(owner(), "oauth2", tag_for(root)))
    assert "an unusable address" in fields["error_description"]
    assert fields["error_description"].isprintable()
    assert all(record.getMessage().isprintable() for record in caplog.records)


@pytest.mark.parametrize(
    ("ago", "relayed"),
    [(0, True), (650, True), (670, False), (86_400, False), (-86_400, False)],
    ids=["now", "a minute too old", "older", "of yesterday", "of tomorrow"],
)
def test_a_name_lives_as_long_as_its_flow(ago, relayed):
    response = answer(owner(), "oauth2", tag_for(LAPTOP, ago=ago))
    if relayed:
        assert response.headers["Location"].startswith(f"{LAPTOP}/")
    else:
        assert failed(response)["error"] == "flow_expired"


def test_a_name_does_not_live_forever():
    fields = failed(answer(owner(), "oauth2", tag_for(LAPTOP, lifetime=10**9)))
    assert fields["error"] == "flow_expired"
    assert "clock" in fields["error_description"]


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [([OLD_KEY, RELAY_KEY], OLD_KEY), ([OLD_KEY, RELAY_KEY], RELAY_KEY)],
    ids=["the laptop is behind", "the laptop has it"],
)
def test_the_key_can_be_changed(mine, theirs):
    response = answer(owner(relay_key=mine), "oauth2", tag_for(LAPTOP, key=theirs))
    assert response.headers["Location"].startswith(f"{LAPTOP}/")


@pytest.mark.parametrize("method", ["HEAD", "POST"])
def test_only_get_is_relayed(method):
    response = answer(owner(), "oauth2", tag_for(LAPTOP), method)
    assert response.status_int == {"HEAD": 200, "POST": 405}[method]
    assert "Location" not in response.headers


def test_nothing_of_a_browser_that_loads_in_advance_is_relayed():
    request = webob.Request.blank(f"{CALLBACK}?code=4&state={tag_for(LAPTOP)}")
    request.headers["Sec-Purpose"] = "prefetch"
    assert request.get_response(owner()).status_int == 403


def test_a_name_that_comes_twice_is_refused():
    # Somebody adds a second one, in the hope that the two sides read different ones
    tag = tag_for(LAPTOP)
    request = webob.Request.blank(f"{CALLBACK}?code=4&state={tag}&state={tag_for(STAGING)}")
    response = request.get_response(owner())
    assert response.status_int == 400
    assert "Location" not in response.headers


def test_the_owner_calls_none_of_the_sites_functions():
    def fail(*arguments):
        raise AssertionError("called")

    app = owner(store_token=fail, identify=fail, on_failure=fail, app=fail)
    assert answer(app, "oauth2", tag_for(LAPTOP)).headers["Location"].startswith(LAPTOP)


def test_a_failure_is_handed_over_as_any_other():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["scconnect.error"].code.encode()]

    site = owner(app=app, on_failure=HAND_OVER)
    assert answer(site, "oauth2", tag_for("https://evil.example")).text == "flow_mismatch"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_owner_that_is_not_set_up_says_what_is_missing(protocol):
    app = owner(protocol, relay_to=[], relay_key=None)
    fields = failed(answer(app, protocol, tag_for(LAPTOP, protocol)))
    assert fields["error"] == "flow_mismatch"
    assert "give this deployment relay_to and relay_key" in fields["error_description"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("tag", ["a.b", "....", "n.1.*.sig"])
def test_a_made_up_state_is_no_other_deployments_where_there_is_no_relay(tag, protocol):
    location = answer(owner(protocol, relay_to=[], relay_key=None), protocol, tag).location
    assert location.startswith("/sc-connect/close.html?error=flow_expired&")
    assert "relay=" not in location


def test_a_laptop_that_gets_a_callback_of_another_does_not_relay_it():
    laptop = owner(base_url=LAPTOP, relay_to=[], callback_url=f"{PRODUCTION}{CALLBACK}")
    fields = failed(answer(laptop, "oauth2", tag_for(STAGING)))
    assert "is not in the relay_to of this one" in fields["error_description"]


def test_there_is_no_circle():
    # Each of the two relays to the other
    staging = owner(base_url=STAGING, relay_to=[PRODUCTION])
    production = owner(relay_to=[STAGING])
    tag = tag_for(STAGING)
    assert answer(production, "oauth2", tag).headers["Location"].startswith(f"{STAGING}/")
    arrived = answer(staging, "oauth2", tag).headers["Location"]
    assert arrived.startswith("/sc-connect/close.html?error=flow_expired&")  # there is no cookie
    assert "relay=" not in arrived


@pytest.mark.parametrize("base_url", [PRODUCTION, lambda request: PRODUCTION])
@pytest.mark.parametrize("host", ["www.app.example", "WWW.app.example:443"])
def test_a_deployment_does_not_send_users_to_itself(base_url, host):
    # It answers at a second address, which somebody took for another deployment
    alias = "https://www.app.example"
    app = owner(base_url=base_url, relay_to=[alias])
    fields = failed(answer(app, "oauth2", tag_for(alias), host=host))
    assert f"the deployment at {PRODUCTION} answers there" in fields["error_description"]
    assert fields["error"] == "flow_mismatch"
    assert answer(app, "oauth2", tag_for(alias)).headers["Location"].startswith(f"{alias}/")


def test_a_deployment_on_a_loopback_host_does_not_send_users_to_itself():
    laptop = "http://localhost:8000"
    app = owner(base_url=lambda request: "http://127.0.0.1:8000", relay_to=[laptop])
    fields = failed(answer(app, "oauth2", tag_for(laptop), host="localhost:8000"))
    assert "would send the user to itself forever" in fields["error_description"]


@pytest.mark.parametrize("mount", ["", "/y"])
def test_a_deployment_below_another_path_of_a_second_host_does_not_send_users_to_itself(mount):
    alias = f"{PRODUCTION}{mount}"
    app = owner(base_url="https://www.app.example/x", relay_to=[alias])
    request = callback_request("oauth2", tag_for(alias), host="app.example")
    request.script_name = mount
    fields = failed(request.get_response(app), mount="/x")
    assert "would send the user to itself forever" in fields["error_description"]


def test_a_proxy_may_take_the_prefix_away():
    shop = f"{PRODUCTION}/shop"
    app = owner(base_url=lambda request: shop, relay_to=[PRODUCTION])
    response = answer(app, "oauth2", tag_for(PRODUCTION), host="app.example")
    assert response.headers["Location"].startswith(f"{PRODUCTION}{CALLBACK}?")


def test_an_ipv6_address_is_written_as_browsers_do():
    alias = "https://[2001:db8::1]"
    app = owner(base_url=PRODUCTION, relay_to=["https://[2001:DB8:0::1]:443"])
    fields = failed(answer(app, "oauth2", tag_for(alias), host="[2001:db8::1]"))
    assert "would send the user to itself forever" in fields["error_description"]


def test_a_proxy_may_send_its_own_host():
    # nginx does, unless it is told otherwise; it is no sign that the answer has come back
    response = answer(owner(), "oauth2", tag_for(LAPTOP), host=urlsplit(LAPTOP).netloc)
    assert response.headers["Location"].startswith(f"{LAPTOP}/")


def test_another_deployment_may_be_below_another_path_of_the_same_host():
    shop, blog = f"{PRODUCTION}/shop", f"{PRODUCTION}/blog"
    app = owner(base_url=shop, relay_to=[blog])
    response = answer(app, "oauth2", tag_for(blog), host=urlsplit(PRODUCTION).netloc)
    assert response.headers["Location"].startswith(f"{blog}/")


def test_all_deployments_may_have_the_same_list():
    shared = {"callback_url": f"{PRODUCTION}{CALLBACK}", "relay_to": [LAPTOP, STAGING]}
    staging = owner(base_url=STAGING, **shared)
    arrived = answer(staging, "oauth2", tag_for(STAGING)).headers["Location"]
    assert "error=flow_expired" in arrived  # it looked for the cookie of its own flow


def test_the_spelling_of_a_host_does_not_matter(browser):
    with world("oauth2") as here:
        host = {"Host": f"LocalHost:{here.laptop.port}"}
        departure = browser.get(here.laptop.start, **CLICK, **host).headers["Location"]
        relayed = browser.get(browser.decide(departure), **ARRIVAL).headers["Location"]
        assert relayed.startswith(f"{here.laptop.callback}?")
        assert landed(browser.get(relayed, **ARRIVAL, **host)) == JOE


# What somebody can do who may use one of the deployments.


def test_a_user_who_is_led_to_a_flow_of_a_stranger_connects_nothing(browser):
    """A stranger begins a flow at the laptop and sends the provider's address to a user."""
    with world("oauth2") as here:
        with Browser() as stranger:
            trap = stranger.click(here.laptop)
        relayed = browser.get(browser.decide(trap), **ARRIVAL)
        with nobody_asked(here.sandbox):
            arrived = browser.get(relayed.headers["Location"], **ARRIVAL)
        assert landed(arrived)["error"] in ("flow_expired", "flow_mismatch")
        assert (here.laptop.store.tokens, here.production.store.tokens) == ([], [])


def test_a_code_that_leaks_at_one_deployment_is_worthless_at_another(browser):
    """A stranger has read the code of a user in the log of a laptop: PKCE binds it to its flow."""
    with world("oauth2") as here:
        leaked = query(browser.decide(browser.click(here.laptop)))["code"]
        with Browser() as stranger:
            own = query(stranger.click(here.production))["state"]
            put_in = with_query(here.production.callback, {"code": leaked, "state": own})
            fields = landed(stranger.get(put_in, **ARRIVAL))
        assert fields["error"] == "provider_error"
        assert here.production.store.tokens == []


def test_the_cookies_of_a_laptop_are_worthless_at_production(browser):
    """The relay key does not sign cookies, and the secret keys differ."""
    with world("oauth2") as here:
        back = browser.decide(browser.click(here.laptop))
        flow = {cookie.name: cookie.value for cookie in browser.session.cookies}
        state = query(back)["state"]
        with Browser() as stranger:
            for name, value in flow.items():
                stranger.session.cookies.set(name, value, domain="127.0.0.1")
            relayed = stranger.get(back, **ARRIVAL)
        assert relayed.headers["Location"].startswith(here.laptop.root)
        assert state in relayed.headers["Location"]
        assert here.production.store.tokens == []


def test_a_page_of_another_site_starts_no_flow_at_a_laptop():
    laptop = owner(base_url=LAPTOP, relay_to=[], callback_url=f"{PRODUCTION}{CALLBACK}")
    request = webob.Request.blank("/oauth/request_token", base_url=LAPTOP)
    request.headers.update({**CLICK, "Sec-Fetch-Site": "cross-site", "Referer": PRODUCTION + "/"})
    assert request.get_response(laptop).status_int == 200  # the page that asks first
    request.headers.update({**CLICK, "Referer": LAPTOP + "/"})
    assert request.get_response(laptop).status_int == 303


def test_what_the_key_and_an_origin_of_the_list_are_worth_together(browser):
    """docs/relay.md says so: PKCE binds a code to a flow, and the stranger has made that flow."""
    with world("oauth2") as here, Browser() as stranger:
        departure = stranger.click(here.production)
        own = query(departure)["state"]
        tags = RelayTags([RELAY_KEY.encode()], here.flow.audience, time.time)
        trap = departure.replace(own, tags.tag("nonce", root=here.laptop.root, lifetime=600))
        relayed = browser.get(browser.decide(trap), **ARRIVAL)
        read = query(relayed.headers["Location"])["code"]
        put_in = with_query(here.production.callback, {"code": read, "state": own})
        assert landed(stranger.get(put_in, **ARRIVAL)) == JOE


# Settings.


REFUSED = {
    "callback_url, no URL": ("callback_url", {"callback_url": "app.example"}),
    "callback_url, http": ("callback_url", {"callback_url": f"http://app.example{CALLBACK}"}),
    "callback_url, query": ("callback_url", {"callback_url": f"{PRODUCTION}{CALLBACK}?a=b"}),
    "callback_url, path": ("callback_url", {"callback_url": f"{PRODUCTION}/elsewhere"}),
    "callback_url, number": ("callback_url", {"callback_url": 1}),
    "callback_url, no key": ("relay_key", {"callback_url": f"{STAGING}{CALLBACK}"}),
    "callback_url, no key, any root": (
        "relay_key",
        {"callback_url": f"{STAGING}{CALLBACK}", "base_url": None},
    ),
    "relay_to, no key": ("relay_key", {"relay_to": [LAPTOP]}),
    "relay_to, one string": ("relay_to", {"relay_to": LAPTOP, "relay_key": RELAY_KEY}),
    "relay_to, None": ("relay_to", {"relay_to": None, "relay_key": RELAY_KEY}),
    "relay_to, number": ("relay_to", {"relay_to": [1], "relay_key": RELAY_KEY}),
    "relay_to, http": ("relay_to", {"relay_to": ["http://a.example"], "relay_key": RELAY_KEY}),
    "relay_to, any": ("relay_to", {"relay_to": ["*"], "relay_key": RELAY_KEY}),
    "relay_to, wildcard": (
        "relay_to",
        {"relay_to": ["https://*.app.example"], "relay_key": RELAY_KEY},
    ),
    "relay_to, port": ("relay_to", {"relay_to": ["http://localhost:*"], "relay_key": RELAY_KEY}),
    "relay_to, query": ("relay_to", {"relay_to": [f"{STAGING}?"], "relay_key": RELAY_KEY}),
    "relay_to, user": ("relay_to", {"relay_to": ["https://a@b.example"], "relay_key": RELAY_KEY}),
    "relay_to, an encoded host": (
        "relay_to",
        {"relay_to": ["https://app%2eexample"], "relay_key": RELAY_KEY},
    ),
    "relay_to, half an address": (
        "relay_to",
        {"relay_to": ["https://127.1:8000"], "relay_key": RELAY_KEY},
    ),
    "relay_to, a number": (
        "relay_to",
        {"relay_to": ["https://0x7f000001"], "relay_key": RELAY_KEY},
    ),
    "relay_to, an address and a dot": (
        "relay_to",
        {"relay_to": ["https://192.0.2.1."], "relay_key": RELAY_KEY},
    ),
    "relay_to, a zone": (
        "relay_to",
        {"relay_to": ["https://[fe80::1%25a]"], "relay_key": RELAY_KEY},
    ),
    "relay_key, short": ("relay_key", {"relay_key": "short"}),
    "relay_key, none": ("relay_key", {"relay_key": []}),
    "relay_key, secret_key": ("relay_key", {"relay_key": RELAY_KEY, "secret_key": RELAY_KEY}),
    "relay_key, an older secret_key": (
        "relay_key",
        {"relay_key": RELAY_KEY, "secret_key": [RELAY_KEY, OWN_KEY]},
    ),
    "relay_to, itself": ("relay_to", {"relay_to": [PRODUCTION], "relay_key": RELAY_KEY}),
    "relay_to, its own origin": (
        "relay_to",
        {"relay_to": [PRODUCTION], "relay_key": RELAY_KEY, "base_url": f"{PRODUCTION}/shop"},
    ),
    "relay_to, itself by its callback": (
        "relay_to",
        {
            "relay_to": [PRODUCTION],
            "relay_key": RELAY_KEY,
            "callback_url": f"{PRODUCTION}{CALLBACK}",
        },
    ),
    "relay_key, client secret": ("relay_key", {"relay_key": CLIENT[1] * 3}),
}


@pytest.mark.parametrize(("option", "options"), REFUSED.values(), ids=list(REFUSED))
def test_settings_that_cannot_work_are_refused(option, options):
    with pytest.raises(ConfigurationError) as raised:
        owner(**{"relay_to": [], "relay_key": None, **options})
    assert raised.value.option == option
    assert RELAY_KEY not in str(raised.value)


@pytest.mark.parametrize(
    "options",
    [{"callback_url": f"{STAGING}{CALLBACK}", "relay_to": []}, {"relay_to": [LAPTOP]}],
    ids=["callback_url", "relay_to"],
)
def test_a_flow_of_ones_own_that_cannot_be_relayed_is_refused(options):
    flow = SimpleNamespace(audience="mine", begin=None, flow_id=None, finish=None)
    with pytest.raises(ConfigurationError, match="begin_relayed") as raised:
        owner(flow=flow, **options)
    assert raised.value.option == next(iter(options))


@pytest.mark.parametrize(
    "given",
    [f"{PRODUCTION}{CALLBACK}", f"https://APP.example:443{CALLBACK}"],
    ids=["as it is made", "another spelling"],
)
def test_a_deployment_may_be_told_its_own_callback(given):
    # One configuration for all; the spelling is the registered one
    app = owner(callback_url=given, relay_to=[], relay_key=None)
    request = webob.Request.blank("/oauth/request_token", base_url=PRODUCTION, headers=CLICK)
    departure = query(request.get_response(app).headers["Location"])
    assert departure["redirect_uri"] == given
    assert "." not in departure["state"]


def test_nothing_of_the_key_is_shown():
    app = owner()
    assert RELAY_KEY not in repr(vars(app)) + repr(vars(app._relay))
    assert _relay.RelayTags([b"k"], "a", time.time).is_signed("a.b") is False
