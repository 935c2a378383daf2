"""Connections.wrap: a whole site in one line, over real sockets."""

import inspect
import json
from contextlib import contextmanager
from types import SimpleNamespace
from wsgiref.validate import validator

import pytest
from support.browser import ARRIVAL, Browser
from support.flows import flow_for
from support.responses import landed, query
from support.site import KEY, Mounted, page_of_the_site

from scconnect_wsgi import HAND_OVER, SCConnect
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.connections._options import WrapOptions
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import ConfigurationError, StorageFailed
from scconnect_wsgi.sandbox import serve
from scconnect_wsgi.stores import MemoryStore

HERE = {"Sec-Fetch-Site": "same-origin"}
OLD_KEY = "an older secret key, which is long enough too"


def identify(request):
    return request.cookies.get("user")


@pytest.fixture(params=["oauth2", "oauth1"])
def flow(request, provider):
    return flow_for(request.param, provider.url)


@pytest.fixture
def connections(flow):
    return Connections(flow, MemoryStore(), identify=identify)


@contextmanager
def running(connections, app=page_of_the_site, prefix="", **options):
    options.setdefault("secret_key", KEY)
    whole = validator(connections.wrap(app, **options))
    with serve(Mounted(whole, prefix) if prefix else whole) as server:
        url = server.url.replace("127.0.0.1", "localhost") + prefix
        path = options.get("request_token_path", "/oauth/request_token")
        yield SimpleNamespace(url=url, start=url + path)


@pytest.fixture
def joe(browser):
    browser.session.cookies.set("user", "joe", domain="localhost.local")
    return browser


def listed(browser, address):
    """Return the oauth_token_ids of the user's connections, as the page's script gets them."""
    answer = browser.get(address, **HERE)
    assert answer.status_code == 200, answer.text
    return [connection["oauth_token_id"] for connection in answer.json()["connections"]]


@pytest.mark.parametrize("prefix", ["", "/shop"])
def test_one_line_has_the_button_the_list_and_disconnect(connections, joe, prefix):
    with running(connections, prefix=prefix) as site:
        fields = landed(joe.connect(site))
        assert fields["username"] == "joe"
        assert listed(joe, f"{site.url}/sc-connect/connections.json") == [fields["oauth_token_id"]]
        assert joe.get(f"{site.url}/sc-connect/sc-connect.js").status_code == 200
        assert "the site's own page at '/x'" in joe.get(f"{site.url}/x").text
        (stored,) = connections.of_user("joe")
        assert stored.callback_url == f"{site.url}/oauth/access_token"
        ended = joe.post(
            f"{site.url}/sc-connect/disconnect",
            {"oauth_token_id": fields["oauth_token_id"]},
            **HERE,
        )
        assert ended.json() == {"connected": False, "connections": []}
    assert connections.of_user("joe") == []


def test_nobody_connects_without_signing_in_and_a_sign_in_page_leads_back(connections, browser):
    with running(connections, sign_in_url="/login") as site:
        answer = browser.get(site.start)
        assert answer.headers["Location"].startswith("/login?next=%2Foauth%2Frequest_token")
    with running(connections) as site:
        assert landed(browser.get(site.start))["error"] == "not_signed_in"


def test_the_application_finds_the_connections_in_its_environ(connections, joe):
    def app(environ, start_response):
        mine = environ["scconnect.connections"].of_user("joe")
        body = json.dumps([connection.account.username for connection in mine]).encode()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]

    with running(connections, app) as site:
        assert joe.get(f"{site.url}/").json() == []
        landed(joe.connect(site))
        assert joe.get(f"{site.url}/").json() == ["joe"]


def test_on_failure_finds_the_connections_in_its_environ(connections, joe):
    def on_failure(error, request):
        assert request.environ["scconnect.connections"] is connections
        return {"error": error.code, "heard": "yes"}

    with running(connections, on_failure=on_failure) as site:
        assert query(joe.connect(site, "deny").headers["Location"])["heard"] == "yes"


def test_a_failure_can_be_handed_over(connections, joe):
    def app(environ, start_response):
        error = environ["scconnect.error"]
        assert environ["scconnect.connections"] is connections
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{error.code} handed over".encode()]

    with running(connections, app, on_failure=HAND_OVER) as site:
        assert joe.connect(site, "deny").text == "access_denied handed over"


def test_paths_and_assets_path_move_every_address(connections, joe):
    options = {
        "request_token_path": "/begin",
        "access_token_path": "/done",
        "assets_path": "/files/sc",
        "cookie_max_age": 60,
        "encryption": Encryption(KEY[::-1]),
        "secret_key": [OLD_KEY, KEY],
    }
    with running(connections, **options) as site:
        answer = joe.get(joe.decide(joe.click(site)), **ARRIVAL)
        location = answer.headers["Location"]
        assert location.startswith("/files/sc/close.html?")
        assert listed(joe, f"{site.url}/files/sc/connections.json") == [
            query(location)["oauth_token_id"]
        ]
        assert "the site's own page" in joe.get(f"{site.url}/sc-connect/connections.json").text


# Whose pages the endpoints answer

ELSEWHERE = {"Origin": "https://evil.example"}


@pytest.mark.parametrize("of_request", [False, True], ids=["a string", "a callable"])
def test_the_endpoints_follow_base_url(connections, joe, of_request):
    root = "https://app.example/shop"
    base_url = (lambda request: root) if of_request else root
    with running(connections, base_url=base_url) as site:
        address = f"{site.url}/sc-connect/connections.json"
        assert joe.get(address, Origin="https://app.example").status_code == 200
        assert joe.get(address, Origin=site.url).status_code == 403
        assert joe.get(address, **ELSEWHERE).status_code == 403


def raising(request):
    raise KeyError("a mistake of the site")


@pytest.mark.parametrize(
    ("base_url", "logged"),
    [
        pytest.param(raising, "KeyError: 'a mistake of the site'", id="it raises"),
        pytest.param(lambda request: "shop", "base_url must be a full URL", id="no address"),
        pytest.param(lambda request: None, "base_url must be a URL", id="nothing"),
    ],
)
def test_a_base_url_callable_that_fails_is_a_500_whose_id_is_in_the_log(
    connections, joe, caplog, base_url, logged
):
    with running(connections, base_url=base_url) as site:
        answer = joe.get(f"{site.url}/sc-connect/connections.json", **HERE)
    assert answer.status_code == 500
    assert answer.json()["error"].startswith("base_url ")
    assert answer.json()["error_id"] in caplog.text
    assert logged in caplog.text


# Settings that cannot work


@pytest.mark.parametrize(
    ("option", "options", "message"),
    [
        ("identify", {"identify": identify}, "is given once, to Connections"),
        ("store_token", {"store_token": print}, "Connections stores the token itself"),
        ("flow", {"flow": None}, "is given once, to Connections"),
        ("store", {"store": None}, "is given once, to Connections"),
        ("asset_path", {"asset_path": "/x"}, r"unknown option\. Did you mean assets_path\?"),
        ("secret_keys", {"secret_keys": "x"}, r"unknown option\. Did you mean secret_key\?"),
        ("zzz", {"zzz": 1}, r"is an unknown option\.\n"),
        ("secret_key", {"secret_key": None}, "is missing: `scconnect secret`"),
        ("secret_key", {"secret_key": ""}, "must have at least 32 characters"),
        ("secret_key", {"secret_key": []}, "must not be empty"),
        ("base_url", {"base_url": "http://app.example"}, "must begin with https://"),
        ("base_url", {"base_url": 7}, "must be a string"),
        ("assets_path", {"assets_path": "sc"}, "must be a path"),
        ("cookie_max_age", {"cookie_max_age": 0}, "must be above 0"),
        ("on_failure", {"on_failure": 7}, "must be a callable"),
        ("encryption", {"encryption": "x"}, "must be an Encryption"),
        ("sign_in_url", {"sign_in_url": "//evil"}, "must be the path of a page"),
        (
            "request_token_path",
            {"request_token_path": "/sc-connect/disconnect"},
            "an address of this package",
        ),
        (
            "access_token_path",
            {"assets_path": "/x", "access_token_path": "/x/connections.json"},
            "an address of this package",
        ),
        (
            "sign_in_url",
            {"sign_in_url": "/sc-connect/disconnect?a=b"},
            "an address of this package",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_setting_that_cannot_work_is_named(connections, option, options, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        connections.wrap(page_of_the_site, **{"secret_key": KEY, **options})
    assert caught.value.option == option


def test_a_missing_key_is_named(connections):
    with pytest.raises(ConfigurationError) as caught:
        connections.wrap(page_of_the_site)
    assert caught.value.option == "secret_key"


def test_something_that_is_no_application_is_named(connections):
    with pytest.raises(ConfigurationError) as caught:
        connections.wrap("app", secret_key=KEY)
    assert caught.value.option == "app"


def test_without_identify_it_says_what_to_do(flow):
    connections = Connections(flow, MemoryStore())
    with pytest.raises(ConfigurationError, match=r"Give it, or use login\(\)") as caught:
        connections.wrap(page_of_the_site, secret_key=KEY)
    assert caught.value.option == "identify"


def test_every_option_of_scconnect_passes_through():
    signature = inspect.signature(SCConnect.__init__)
    keywords = {
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    # wrap has its own parameters for the first two, Connections has the others
    passed = keywords - {"secret_key", "base_url", "identify", "store_token", "on_event"}
    assert set(WrapOptions.__annotations__) == passed


# What an adopter does with it


def test_two_providers_have_a_button_each(flow, provider, joe):
    first = Connections(flow, MemoryStore(), identify=identify)
    second = Connections(flow_for("oauth2", provider.url), MemoryStore(), identify=identify)
    inner = second.wrap(
        page_of_the_site,
        secret_key=KEY,
        request_token_path="/second/begin",
        access_token_path="/second/done",
        assets_path="/second",
    )
    with running(first, inner) as site:
        landed(joe.connect(site))
        assert len(listed(joe, f"{site.url}/sc-connect/connections.json")) == 1
        assert listed(joe, f"{site.url}/second/connections.json") == []


def test_a_store_that_fails_ends_the_flow_as_without_wrap(flow, joe):
    class Broken(MemoryStore):
        def save(self, connection):
            raise StorageFailed("The disk is full.")

    with running(Connections(flow, Broken(), identify=identify)) as site:
        assert landed(joe.connect(site))["error"] == "storage_failed"


def test_a_fresh_browser_is_nobody(connections):
    with running(connections) as site, Browser() as stranger:
        answer = stranger.get(f"{site.url}/sc-connect/connections.json", **HERE)
    assert (answer.status_code, answer.json()["connected"]) == (401, False)
