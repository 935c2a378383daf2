"""``on_event`` hears of everything once, learns no secret, and can harm nothing."""

import dataclasses
import inspect
import typing
from dataclasses import replace
from typing import Any

import pytest
from support.browser import ARRIVAL, CLICK
from support.flows import flow_for, quick_transport
from support.paths import CHECKOUT
from support.responses import landed
from support.site import KEY, Site, Store, page_of_the_site, running_site

from scconnect_wsgi import HAND_OVER, SCConnect
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.connections._refresh import Refresher
from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectionRevoked,
    NotConnected,
    ProviderUnavailable,
    StoreUnavailable,
)
from scconnect_wsgi.events import Event, EventName, Events
from scconnect_wsgi.sandbox import serve
from scconnect_wsgi.stores import MemoryStore

JOE = "joe"


@pytest.fixture
def heard():
    return []


def named(heard):
    """Return the names of the events, with the codes of their errors."""
    return [f"{event.name} {event.error}".strip() for event in heard]


@pytest.fixture(params=["oauth1", "oauth2"])
def flow(request, provider):
    return flow_for(request.param, provider.url)


def raising(event):
    raise LookupError("the metrics are out of order")


# Flows


def test_a_flow_starts_and_connects(flow, browser, heard):
    with running_site(flow, on_event=heard.append) as site:
        browser.get(f"{site.url}/")
        browser.connect(site)
    assert named(heard) == ["flow_started", "connected"]
    assert all(0 < event.seconds < 60 for event in heard)
    assert [event.error_id for event in heard] == ["", ""]


def test_a_failure_has_the_code_and_the_id_of_the_log(flow, browser, heard, caplog):
    caplog.set_level("INFO")
    with running_site(flow, on_event=heard.append) as site:
        fields = landed(browser.connect(site, "deny"))
    failed = heard[1]
    assert (failed.name, failed.error, failed.error_id) == (
        "failed",
        "access_denied",
        fields["error_id"],
    )
    assert f"(error_id {failed.error_id})" in caplog.text


def test_a_page_that_ends_a_flow_is_a_failure_and_any_other_is_none(flow, browser, heard):
    with running_site(flow, on_event=heard.append, base_url="http://localhost:9") as site:
        browser.get(site.start, **{**CLICK, "Sec-Fetch-Dest": "image"})
        assert heard == []
        elsewhere = {"Origin": site.url, "Referer": f"{site.url}/"}
        assert browser.get(site.start, **CLICK, **elsewhere).status_code == 403
    assert named(heard) == ["failed start_refused"]
    assert heard[0].error_id


def boom(*_):
    raise LookupError("the site's own")


def answering(status):
    def app(environ, start_response):
        start_response(status, [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return [b""]

    return app


def test_a_token_that_cannot_be_stored_is_a_failure(flow, browser, heard):
    with running_site(flow, on_event=heard.append, store_token=boom) as site:
        browser.connect(site)
    assert named(heard) == ["flow_started", "failed storage_failed"]


@pytest.mark.parametrize(
    ("status", "end"), [("200 OK", "connected"), ("503 Busy", "failed storage_failed")]
)
def test_the_application_s_own_answer_says_how_a_flow_ended(flow, browser, heard, status, end):
    options = {"store_token": HAND_OVER, "app": answering(status)}
    with running_site(flow, on_event=heard.append, **options) as site:
        browser.connect(site)
    assert named(heard) == ["flow_started", end]


def test_a_failure_that_is_handed_over_is_reported_once(flow, browser, heard):
    options = {"on_failure": HAND_OVER, "app": answering("500 Sorry")}
    with running_site(flow, on_event=heard.append, **options) as site:
        browser.connect(site, "deny")
    assert named(heard) == ["flow_started", "failed access_denied"]


def test_a_double_click_is_one_connection(flow, browser, heard):
    with running_site(flow, on_event=heard.append) as site:
        back = browser.decide(browser.click(site))
        cookies = browser.session.cookies.copy()
        browser.get(back, **ARRIVAL)
        browser.session.cookies = cookies
        browser.get(back, **ARRIVAL)
    assert named(heard) == ["flow_started", "connected"]


@pytest.mark.threat(58)
def test_58_a_hook_that_raises_harms_no_flow_and_is_logged(flow, browser, caplog):
    store = Store()
    with running_site(flow, on_event=raising, store_token=store) as site:
        assert landed(browser.connect(site)) == {"username": "joe", "oauth_token_id": "43"}
    assert len(store.tokens) == 1
    lines = [record for record in caplog.records if "on_event callable" in record.getMessage()]
    assert [record.levelname for record in lines] == ["ERROR", "ERROR"]
    assert "LookupError" in lines[0].getMessage()


# Connections


class Connected:
    """A site on Connections whose user has connected, and its events since then."""

    def __init__(self, provider, browser, on_event=None):
        self.heard = []
        self.store = MemoryStore()
        self.flow = flow_for("oauth2", provider.url, transport=quick_transport(timeout=5.0))
        self.connections = Connections(
            self.flow,
            self.store,
            identify=lambda request: JOE,
            on_event=on_event or self.heard.append,
        )
        with serve(self.connections.wrap(page_of_the_site, secret_key=KEY)) as server:
            site = Site(server.url.replace("127.0.0.1", "localhost"))
            self.id = landed(browser.connect(site))["oauth_token_id"]
        self.first = named(self.heard)
        self.heard.clear()

    def expire(self, **token):
        stored = self.store.load(self.id)
        self.store.save(replace(stored, token=replace(stored.token, expires_at=1, **token)))

    def call(self, connections=None):
        with (connections or self.connections).session(self.id, user=JOE) as session:
            return session.me()


@pytest.fixture
def connected(provider, browser):
    return Connected(provider, browser)


def test_wrap_hands_the_hook_on(connected):
    assert connected.first == ["flow_started", "connected"]


def test_a_login_hands_it_on_as_well(provider, browser, heard):
    flow = flow_for("oauth2", provider.url)
    connections = Connections(flow, MemoryStore(), on_event=heard.append)
    with serve(connections.login(page_of_the_site, secret_key=KEY)) as server:
        browser.connect(Site(server.url.replace("127.0.0.1", "localhost")))
    assert named(heard) == ["flow_started", "connected"]


def test_a_refresh_is_reported_and_a_call_without_one_is_not(connected):
    connected.call()
    assert connected.heard == []
    connected.expire()
    connected.call()
    assert named(connected.heard) == ["token_refreshed"]
    assert connected.heard[0].seconds > 0


def test_a_refresh_that_failed_has_the_id_of_the_error_and_of_one_line_in_the_log(
    connected, caplog
):
    connected.expire()
    root = connected.flow.provider.api_url
    unreachable = flow_for("oauth2", root, token_url="http://127.0.0.1:1/")
    connections = Connections(unreachable, connected.store, on_event=connected.heard.append)
    with pytest.raises(ProviderUnavailable) as caught:
        connected.call(connections)
    (event,) = connected.heard
    assert (event.name, event.error) == ("refresh_failed", "provider_unavailable")
    assert event.error_id == caught.value.error_id
    with pytest.raises(ProviderUnavailable, match="a moment ago"):
        connected.call(connections)
    (line,) = [record for record in caplog.records if "refreshed" in record.getMessage()]
    assert line.levelname == "WARNING"
    assert line.getMessage() == (
        f"The token of connection {connected.id} could not be refreshed, provider_unavailable: "
        f"{caught.value.message} (error_id {event.error_id}) See {caught.value.documentation}"
    )


def test_a_connection_that_ends_is_reported_once(connected, provider):
    connected.expire(refresh_token="one that the provider does not know")
    for _ in range(2):
        with pytest.raises(ConnectionRevoked):
            connected.call()
    assert named(connected.heard) == ["connection_ended connection_revoked"]


class LosesNewTokens(MemoryStore):
    """A store that breaks when it is to keep another token than the first one."""

    def __init__(self, connection):
        super().__init__()
        self.first = connection.token
        super().save(replace(connection, version=0))

    def save(self, connection):
        if connection.token != self.first:
            raise StoreUnavailable("The store is down.")
        return super().save(connection)


class Hooked:
    """Looks into the store at the moment of each event."""

    def __init__(self):
        self.site: Any = None
        self.seen = []

    def __call__(self, event):
        if event.name == "token_refreshed":
            self.seen.append(self.site.store.load(self.site.id).token.expires_at)
            raise SystemExit  # as a server's timeout does


@pytest.mark.threat(58)
def test_58_a_new_token_is_stored_before_a_hook_that_takes_too_long_is_called(provider, browser):
    hook = Hooked()
    connected = Connected(provider, browser, on_event=hook)
    hook.site = connected
    connected.expire()
    with pytest.raises(SystemExit):
        connected.call()
    assert len(hook.seen) == 1
    assert hook.seen[0] > 1
    assert connected.call().username == "joe"


def test_a_token_that_the_store_cannot_keep_is_a_refresh_that_failed(connected):
    connected.expire()
    store = LosesNewTokens(connected.store.load(connected.id))
    seconds = iter(range(0, 1000, 5))  # each look at the clock takes five of them
    refresher = Refresher(
        store,
        connected.flow,
        events=Events(connected.heard.append),
        monotonic=lambda: next(seconds),
        sleep=lambda _: None,
    )
    with pytest.raises(StoreUnavailable):
        refresher.refresh(store.load(connected.id))
    assert named(connected.heard) == ["refresh_failed storage_failed"]


def test_a_disconnect_is_reported(connected):
    connected.connections.disconnect(connected.id, user=JOE)
    with pytest.raises(NotConnected):
        connected.connections.disconnect(connected.id, user=JOE)
    assert named(connected.heard) == ["disconnected"]


def test_an_adopted_token_is_refreshed_and_reported(connected):
    token = connected.store.load(connected.id).token
    store = MemoryStore()
    connections = Connections(connected.flow, store, on_event=connected.heard.append)
    connections.adopt(token, user=JOE)
    assert named(connected.heard) == ["token_refreshed"]


@pytest.mark.threat(58)
def test_58_a_hook_that_raises_harms_no_refresh_and_no_disconnect(provider, browser, caplog):
    connected = Connected(provider, browser, on_event=raising)
    connected.expire()
    assert connected.call().username == "joe"
    connected.connections.disconnect(connected.id, user=JOE)
    assert connected.store.of_user(JOE) == []
    assert caplog.text.count("The on_event callable of this site raised") == 4


# What an event is


@pytest.mark.threat(58)
def test_58_an_event_cannot_be_changed_and_has_no_room_for_a_secret():
    event: Any = Event("connected", seconds=0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.name = "failed"
    assert [field.name for field in dataclasses.fields(Event)] == [
        "name",
        "error",
        "error_id",
        "seconds",
    ]


def test_the_docs_have_every_event():
    page = (CHECKOUT / "docs" / "operations.md").read_text("utf-8")
    for name in typing.get_args(EventName):
        assert f"\n| `{name}` | " in page


@pytest.mark.parametrize("given", [7, lambda: None, inspect])
def test_something_that_cannot_be_called_with_an_event_is_refused(flow, given):
    options: dict[str, Any] = {"secret_key": KEY, "store_token": Store()}
    for build in (
        lambda: SCConnect(page_of_the_site, flow, on_event=given, **options),
        lambda: Connections(flow, MemoryStore(), on_event=given),
    ):
        with pytest.raises(ConfigurationError) as caught:
            build()
        assert caught.value.option == "on_event"


def test_it_is_given_once(provider):
    connections = Connections(
        flow_for("oauth2", provider.url), MemoryStore(), identify=lambda request: JOE
    )
    options: Any = {"secret_key": KEY, "on_event": print}
    for build in (connections.wrap, connections.login):
        with pytest.raises(ConfigurationError, match="given once, to Connections"):
            build(page_of_the_site, **options)
