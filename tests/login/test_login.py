"""Connections.login: who is logged in, from the click to the end of the session."""

import json
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
import webob
from support.browser import ARRIVAL, Browser
from support.flows import dance, flow_for, nobody_asked
from support.logins import (
    HERE,
    OTHER_KEY,
    changed,
    codec,
    facts,
    is_login,
    let_time_pass,
    log_in,
    login_cookies,
    plant,
    running_login,
    user_at,
    value_of,
)
from support.responses import landed, query
from support.site import KEY, page_of_the_site

from scconnect_wsgi import HAND_OVER, OAuth2
from scconnect_wsgi.account import Account
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectionChanged,
    ConnectionRevoked,
    StoreUnavailable,
    Undecipherable,
)
from scconnect_wsgi.stores import MemoryStore
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.testing import SoundCloud

URN = "soundcloud:users:743372812"
LATER = 61  # seconds: the store is asked again
TWO_WEEKS = 1_209_600


class CountingStore(MemoryStore):
    """Counts how often it is asked, and can be out of order."""

    def __init__(self):
        super().__init__()
        self.loads = 0
        self.is_down = False

    def load(self, id):
        self.loads += 1
        if self.is_down:
            raise StoreUnavailable("The database cannot be reached.")
        return super().load(id)

    def claim(self, name, seconds):
        if self.is_down:
            raise StoreUnavailable("The database cannot be reached.")
        return super().claim(name, seconds)


async def asynchronous(environ):
    """Say, too late, whether a request is for users only."""


@pytest.fixture
def flow(root):
    return flow_for("oauth2", root)


@pytest.fixture
def store():
    return CountingStore()


@pytest.fixture
def connections(flow, store):
    return Connections(flow, store)


def name_of(flow, urn=URN):
    return f"{flow.provider.api_url}#{urn}"


# Logging in


@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
@pytest.mark.parametrize("prefix", ["", "/shop"])
def test_whoever_connects_is_logged_in(root, browser, protocol, prefix):
    flow = flow_for(protocol, root)
    connections = Connections(flow, MemoryStore())
    with running_login(connections, prefix=prefix) as site:
        assert user_at(browser, site) == {}
        fields = log_in(browser, site)
        assert fields["username"] == "joe"
        told = user_at(browser, site)
        assert told == {"REMOTE_USER": name_of(flow), "username": "joe"}
        (found,) = connections.of_user(told["REMOTE_USER"])
        assert found.id == fields["oauth_token_id"]
        assert browser.get(f"{site.url}/?me").json()["me"] == "joe"


def test_the_page_gets_its_files_and_its_list(connections, browser, flow):
    with running_login(connections, assets_path="/files") as site:
        address = f"{site.url}/files/connections.json"
        assert browser.get(address, **HERE).status_code == 401
        answer = browser.get(browser.decide(browser.click(site)), **ARRIVAL)
        (shown,) = browser.get(address, **HERE).json()["connections"]
        assert shown["oauth_token_id"] == query(answer.headers["Location"])["oauth_token_id"]
        assert browser.get(f"{site.url}/files/sc-connect.js").status_code == 200
        assert browser.get(address, Origin="https://evil.example").status_code == 403


def test_a_login_ends_at_the_page_that_the_link_names_without_fields(connections, browser):
    with running_login(connections) as site:
        departure = browser.get(f"{site.start}?return_to=/wiki/Page%3Fa=b")
        answer = browser.get(browser.decide(departure.headers["Location"]), **ARRIVAL)
        assert answer.headers["Location"] == "/wiki/Page?a=b#"
        assert user_at(browser, site)["username"] == "joe"


def test_a_refusal_logs_nobody_in(connections, browser):
    with running_login(connections) as site:
        assert landed(browser.connect(site, "deny"))["error"] == "access_denied"
        assert user_at(browser, site) == {}
        assert login_cookies(browser) == []


def test_the_last_of_two_logins_in_two_tabs_counts(connections, flow):
    with running_login(connections) as site, Browser() as browser, Browser() as other:
        joes_tab = browser.click(site)
        anns_tab = browser.click(site)
        assert landed(browser.get(other.decide(anns_tab, user="ann"), **ARRIVAL))
        assert user_at(browser, site)["username"] == "ann"
        landed(browser.get(browser.decide(joes_tab), **ARRIVAL))
        assert user_at(browser, site)["username"] == "joe"
        assert len(login_cookies(browser)) == 1


def test_a_flow_of_another_browser_logs_nobody_in(connections):
    with running_login(connections) as site, Browser() as attacker, Browser() as victim:
        callback = attacker.decide(attacker.click(site))
        assert "error" in query(victim.get(callback, **ARRIVAL).headers["Location"])
        assert user_at(victim, site) == {}


def test_the_button_of_another_site_starts_nothing(connections, browser, sandbox):
    with running_login(connections) as site, nobody_asked(sandbox):
        answer = browser.get(site.start, **{**ARRIVAL, "Referer": "https://evil.example/"})
        assert answer.status_code == 200
        assert "Connect your account?" in answer.text


@pytest.mark.parametrize("on_failure", [None, HAND_OVER], ids=["", "handed over"])
def test_the_application_hears_of_a_failure_even_if_strangers_are_kept_out(
    connections, browser, on_failure
):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["scconnect.error"].code.encode()]

    with running_login(connections, app, require=True, on_failure=on_failure) as site:
        answer = browser.connect(site, "deny")
    if on_failure is None:
        assert landed(answer)["error"] == "access_denied"
    else:
        assert answer.text == "access_denied"


# What a client claims


@pytest.mark.parametrize("name", ["Remote-User", "REMOTE_USER", "remote-user", "Auth-Type"])
@pytest.mark.parametrize("is_logged_in", [False, True])
def test_no_header_names_a_user(connections, browser, flow, name, is_logged_in):
    with running_login(connections) as site:
        if is_logged_in:
            log_in(browser, site)
        told = user_at(browser, site, **{name: "admin"})
    assert told == ({"REMOTE_USER": name_of(flow), "username": "joe"} if is_logged_in else {})


@pytest.mark.parametrize(
    "name",
    [
        "REMOTE_USER",
        "HTTP_REMOTE_USER",
        "HTTP_REMOTE-USER",
        "HTTP_remote_user",
        "AUTH_TYPE",
        "HTTP_AUTH-TYPE",
        "scconnect.account",
        "scconnect.session",
        "scconnect.login",
    ],
)
@pytest.mark.parametrize("path", ["/page", "/sc-connect/connections.json"])
def test_no_outer_server_names_a_user(connections, browser, name, path):
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        return page_of_the_site(environ, start_response)

    def outer(inner):
        return lambda environ, start_response: inner({**environ, name: "admin"}, start_response)

    with running_login(connections, app, around=outer) as site:
        browser.get(site.url + path, **HERE)
    assert "admin" not in seen.values()
    assert {"REMOTE_USER", "AUTH_TYPE"} & seen.keys() == set()


# The cookie


def set_cookies(response):
    return [
        value
        for value in response.raw.headers.getlist("Set-Cookie")
        if is_login(value.split("=")[0])
    ]


@pytest.mark.parametrize(
    ("base_url", "prefix", "attributes"),
    [
        (
            "https://app.example",
            "__Host-Http-scconnect-login-",
            "HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax; Secure",
        ),
        (
            lambda request: "https://app.example",
            "__Host-Http-scconnect-login-",
            "HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax; Secure",
        ),
        (
            "http://localhost:1",
            "scconnect-login-",
            "HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax",
        ),
    ],
    ids=["https", "a callable", "loopback"],
)
def test_the_cookie_follows_the_scheme_of_base_url(base_url, prefix, attributes):
    with SoundCloud() as soundcloud:
        connections = Connections(soundcloud.oauth2(), MemoryStore())
        app = connections.login(facts, secret_key=KEY, base_url=base_url)
        ended = soundcloud.connect(app, host="https://app.example")
    set_cookies = ended.response.headers.getall("Set-Cookie")
    (cookie,) = [value for value in set_cookies if is_login(value)]
    name, _, rest = cookie.partition("=")
    assert name.startswith(prefix)
    value, _, written = rest.partition("; ")
    assert written == attributes

    def user_with(name):
        request = webob.Request.blank("/", headers={"Cookie": f"{name}={value}"})
        return json.loads(request.get_response(app).body).get("username")

    assert user_with(name) == "joe"
    # The name of the other scheme is not read: on https, anybody in between may set that
    other = name.removeprefix("__Host-Http-")
    assert user_with(other if other != name else f"__Host-Http-{name}") is None


def test_a_cookie_that_was_planted_before_is_not_the_one_after(connections, browser, flow):
    with running_login(connections) as site, Browser() as attacker:
        log_in(attacker, site)
        planted = value_of(attacker)
        name = login_cookies(attacker)[0].name
        browser.session.cookies.set(name, planted, domain="localhost.local", path="/")
        log_in(browser, site)
        assert value_of(browser) != planted
        first = value_of(browser)
        log_in(browser, site)
        assert value_of(browser) != first


FOREIGN = {
    "empty": "",
    "no signature": "WyJpZCJd",
    "another key's": lambda flow, value: codec(flow, OTHER_KEY)._encode(codec(flow)._decode(value)),
    "another client's": lambda flow, value: codec(flow_for("oauth2", "http://localhost:9"))._encode(
        codec(flow)._decode(value)
    ),
    "cut off": lambda flow, value: value[:-1],
    "changed": lambda flow, value: ("X" if value[0] != "X" else "Y") + value[1:],
    "signed, but of another version": lambda flow, value: (
        codec(flow)._signer.sign("WzEsMl0").decode()
    ),
    "signed, but not a list": lambda flow, value: codec(flow)._signer.sign("NQ").decode(),
    "signed, but no Base64": lambda flow, value: codec(flow)._signer.sign("!").decode(),
    "very long": "x" * 6000,
    "quoted": '"a.b"',
    "not ASCII": "\xff\xfe.x",
}


@pytest.mark.parametrize("value", FOREIGN.values(), ids=FOREIGN)
def test_a_cookie_that_is_not_ours_is_a_strangers(connections, browser, flow, value):
    with running_login(connections) as site:
        log_in(browser, site)
        plant(browser, value(flow, value_of(browser)) if callable(value) else value)
        assert user_at(browser, site) == {}


def test_cookies_of_two_users_in_one_request_are_nobodys(connections, browser, flow):
    with running_login(connections) as site, Browser() as other:
        log_in(browser, site)
        log_in(other, site, "ann")
        (cookie,) = login_cookies(browser)
        own, theirs = (f"{cookie.name}={value_of(who)}" for who in (browser, other))
        browser.session.cookies.clear()
        assert user_at(browser, site, Cookie=f"{theirs}; {own}") == {}
        assert user_at(browser, site, Cookie=f"{own}; {own}")["username"] == "joe"
        garbage = f"{cookie.name}=garbage"
        assert user_at(browser, site, Cookie=f"{garbage}; {own}")["username"] == "joe"


def test_an_encrypted_cookie_cannot_be_read_and_older_ones_still_work(flow, store, browser):
    connections = Connections(flow, store)
    with running_login(connections) as site:
        log_in(browser, site)
        signed = value_of(browser)
    with running_login(connections, encryption=Encryption(OTHER_KEY)) as site:
        assert user_at(browser, site)["username"] == "joe"
        let_time_pass(browser, flow, LATER)
        assert user_at(browser, site)["username"] == "joe"
        sealed = value_of(browser)
        assert sealed != signed
        assert codec(flow)._decode(sealed) is None
        assert codec(flow, encryption=Encryption(OTHER_KEY))._decode(sealed).user == name_of(flow)
        assert user_at(browser, site)["username"] == "joe"


def test_an_account_that_is_too_long_for_a_cookie_is_asked_for(flow, store, browser):
    def account(fields):
        return Account(URN, "j" * 2500)

    connections = Connections(flow, store, account=account)
    with running_login(connections) as site:
        log_in(browser, site)
        assert len(value_of(browser)) < 1000
        loads = store.loads
        assert user_at(browser, site)["username"] == "j" * 2500
        assert store.loads == loads + 1


def test_a_session_shows_nothing_but_its_user(connections, browser, flow):
    with running_login(connections) as site:
        log_in(browser, site)
        session = codec(flow)._decode(value_of(browser))
    assert repr(session) == f"Session(user={name_of(flow)!r})"


# Keys


def test_an_older_key_is_still_good_and_the_next_stamp_has_the_newest(connections, browser, flow):
    with running_login(connections) as site:
        log_in(browser, site)
    with running_login(connections, secret_key=[KEY, OTHER_KEY]) as site:
        assert user_at(browser, site)["username"] == "joe"
        let_time_pass(browser, flow, LATER)
        assert user_at(browser, site)["username"] == "joe"
    assert codec(flow, OTHER_KEY)._decode(value_of(browser)) is not None
    with running_login(connections, secret_key=OTHER_KEY) as site:
        assert user_at(browser, site)["username"] == "joe"
    with running_login(connections) as site:
        assert user_at(browser, site) == {}


# The stamp


def test_the_store_is_asked_when_the_stamp_is_a_minute_old(connections, browser, flow, store):
    with running_login(connections) as site:
        log_in(browser, site)
        loads = store.loads
        first = value_of(browser)
        assert user_at(browser, site)["username"] == "joe"
        let_time_pass(browser, flow, 50)
        assert user_at(browser, site)["username"] == "joe"
        assert store.loads == loads
        let_time_pass(browser, flow, 10)
        assert user_at(browser, site)["username"] == "joe"
        assert store.loads == loads + 1
        assert value_of(browser) != first
        assert user_at(browser, site)["username"] == "joe"
        assert store.loads == loads + 1


@pytest.mark.parametrize(
    ("seconds", "is_in"),
    [
        (TWO_WEEKS - 5, True),
        (TWO_WEEKS + 1, False),
        (-30, True),  # the clock of another host is ahead
        (-600, True),  # or was, by far: the store is asked
        (-TWO_WEEKS - 600, False),
    ],
)
def test_max_age_is_enforced_by_the_server_and_slides(connections, browser, flow, seconds, is_in):
    with running_login(connections) as site:
        log_in(browser, site)
        let_time_pass(browser, flow, seconds)
        assert ("username" in user_at(browser, site)) == is_in
        if is_in:
            stamp = codec(flow)._decode(value_of(browser)).stamp / 1000
            assert abs(time.time() - stamp) < 60


def test_a_short_session_slides_too(connections, browser, flow):
    with running_login(connections, max_age=4) as site:
        log_in(browser, site)
        first = value_of(browser)
        let_time_pass(browser, flow, 2.1)
        assert user_at(browser, site)["username"] == "joe"
        assert value_of(browser) != first
        let_time_pass(browser, flow, 4.1)
        assert user_at(browser, site) == {}


# The end


def test_a_permission_that_was_taken_back_is_out_within_a_minute(
    connections, browser, flow, sandbox
):
    with running_login(connections) as site:
        log_in(browser, site)
        sandbox.revoke()
        with pytest.raises(ConnectionRevoked):
            connections.session(connections.of_user(name_of(flow))[0].id, user=name_of(flow)).me()
        assert user_at(browser, site)["username"] == "joe"
        let_time_pass(browser, flow, LATER)
        assert user_at(browser, site) == {}
        assert login_cookies(browser) == []


def test_connecting_again_after_the_end_logs_in_no_older_copy(connections, browser, flow, sandbox):
    with running_login(connections) as site, Browser() as older:
        log_in(older, site)
        sandbox.revoke()
        with pytest.raises(ConnectionRevoked):
            connections.session(connections.of_user(name_of(flow))[0].id, user=name_of(flow)).me()
        log_in(browser, site)
        let_time_pass(older, flow, LATER)
        assert user_at(older, site) == {}
        assert user_at(browser, site)["username"] == "joe"


def test_two_browsers_of_one_user_stay_logged_in(connections, browser, flow):
    with running_login(connections) as site, Browser() as other:
        log_in(browser, site)
        log_in(other, site)
        for each in (browser, other):
            let_time_pass(each, flow, LATER)
            assert user_at(each, site)["username"] == "joe"


def test_disconnect_ends_all_copies_at_once_here_and_within_a_minute_elsewhere(
    connections, browser, flow
):
    with running_login(connections) as site, Browser() as elsewhere:
        log_in(elsewhere, site)
        id = log_in(browser, site)["oauth_token_id"]
        answer = browser.post(f"{site.url}/sc-connect/disconnect", {"oauth_token_id": id}, **HERE)
        assert answer.json() == {"connected": False, "connections": []}
        assert login_cookies(browser) == []
        assert user_at(browser, site) == {}
        log_in(browser, site)  # which does not bring the other one back
        let_time_pass(elsewhere, flow, LATER)
        assert user_at(elsewhere, site) == {}
        assert user_at(browser, site)["username"] == "joe"


def test_another_users_connection_cannot_be_disconnected(connections, browser):
    with running_login(connections) as site, Browser() as other:
        id = log_in(other, site, "ann")["oauth_token_id"]
        log_in(browser, site)
        answer = browser.post(f"{site.url}/sc-connect/disconnect", {"oauth_token_id": id}, **HERE)
        assert answer.status_code == 404
        assert user_at(other, site)["username"] == "ann"
        assert len(login_cookies(browser)) == 1


def test_sign_out_everywhere_ends_all_copies_and_no_connection(connections, browser, flow):
    with running_login(connections) as site, Browser() as other, Browser() as ann:
        log_in(browser, site)
        log_in(other, site)
        log_in(ann, site, "ann")
        connections.sign_out_everywhere(name_of(flow))
        for each in (browser, other):
            let_time_pass(each, flow, LATER)
            assert user_at(each, site) == {}
        let_time_pass(ann, flow, LATER)
        assert user_at(ann, site)["username"] == "ann"
        assert len(connections.of_user(name_of(flow))) == 1
        log_in(browser, site)
        let_time_pass(browser, flow, LATER)
        assert user_at(browser, site)["username"] == "joe"


def test_sign_out_everywhere_says_what_a_user_is(connections):
    connections.sign_out_everywhere("nobody")
    connections.sign_out_everywhere("")
    with pytest.raises(TypeError, match="user must be a string"):
        connections.sign_out_everywhere(7)


def test_sign_out_everywhere_says_that_a_connection_cannot_be_decrypted(flow, root, tmp_path):
    url = f"sqlite:///{tmp_path}/connections.sqlite3"
    with (
        closing(SQLStore(url, encryption=Encryption(OTHER_KEY))) as store,
        closing(SQLStore(url, encryption=Encryption(KEY[::-1]))) as wrong,
    ):
        user = Connections(flow, store)._connect_login(dance(flow), "").user
        with pytest.raises(Undecipherable):
            Connections(flow, wrong).sign_out_everywhere(user)


def test_a_refresh_meanwhile_does_not_undo_sign_out_everywhere(connections, flow, store, sandbox):
    """The new key is written while the answer of the provider is on its way."""
    connection = connections._connect_login(dance(flow), "")
    sandbox.expire()

    class SignsOutFirst(OAuth2):
        def refresh(self, token, callback_url=""):
            connections.sign_out_everywhere(connection.user)
            return flow.refresh(token, callback_url)

    slow = SignsOutFirst("sandbox-client", "sandbox-secret", provider=flow.provider)
    session = Connections(slow, store).session(connection.id, user=connection.user)
    expired = replace(store.load(connection.id), obtained_at=1)
    expired = replace(expired, token=replace(expired.token, expires_at=2))
    store.save(expired)
    session = Connections(slow, store).session(connection.id, user=connection.user)
    assert session.me().username == "joe"
    stored = store.load(connection.id)
    assert stored.token != expired.token
    assert stored.login_key not in ("", connection.login_key)


def test_sign_out_everywhere_tries_again_if_others_write(connections, flow, store):
    connection = connections._connect_login(dance(flow), "")
    failures = [ConnectionChanged("changed"), None]
    save = store.save

    def changed_once(given):
        failure = failures.pop(0)
        if failure:
            raise failure
        return save(given)

    store.save = changed_once
    connections.sign_out_everywhere(connection.user)
    assert store.load(connection.id).login_key != connection.login_key


def test_sign_out_everywhere_of_a_connection_that_is_deleted_meanwhile(connections, flow, store):
    connection = connections._connect_login(dance(flow), "")

    def deleted(given):
        store.delete(given.id)
        raise ConnectionChanged("deleted")

    store.save = deleted
    connections.sign_out_everywhere(connection.user)
    assert connections.of_user(connection.user) == []


# Several hosts


def test_one_cookie_works_on_any_host_with_the_key_and_the_store(flow, browser, tmp_path):
    url = f"sqlite:///{tmp_path}/connections.sqlite3"
    with closing(SQLStore(url)) as here, closing(SQLStore(url)) as there:
        first, second = Connections(flow, here), Connections(flow, there)
        with running_login(first) as site, running_login(second) as other:
            log_in(browser, site)
            assert user_at(browser, other)["username"] == "joe"
            connections = second.of_user(name_of(flow))
            second.disconnect(connections[0].id, user=name_of(flow))
            let_time_pass(browser, flow, LATER)
            assert user_at(browser, site) == {}


@pytest.mark.parametrize("other_process", [False, True])
def test_a_callback_that_comes_twice_logs_in_twice(flow, browser, tmp_path, other_process):
    url = f"sqlite:///{tmp_path}/connections.sqlite3"
    with closing(SQLStore(url)) as here, closing(SQLStore(url)) as there:
        first, second = Connections(flow, here), Connections(flow, there)
        with running_login(first) as site, running_login(second) as other:
            callback = browser.decide(browser.click(site))
            before = {cookie.name: cookie.value for cookie in browser.session.cookies}
            landed(browser.get(callback, **ARRIVAL))
            again = other if other_process else site
            with Browser() as double:
                for name, value in before.items():
                    double.session.cookies.set(name, value, domain="localhost.local")
                address = again.url + callback[len(site.url) :]
                assert landed(double.get(address, **ARRIVAL))["username"] == "joe"
                assert user_at(double, again)["username"] == "joe"
                assert value_of(double) != value_of(browser)


def test_a_callback_that_comes_again_later_begins_no_login_that_has_ended(
    connections, flow, browser, monkeypatch
):
    with running_login(connections) as site, Browser() as thief:
        callback = browser.decide(browser.click(site))
        for cookie in browser.session.cookies:
            thief.session.cookies.set_cookie(cookie)
        landed(browser.get(callback, **ARRIVAL))
        connections.sign_out_everywhere(name_of(flow))
        later = time.time() + LATER
        monkeypatch.setattr(time, "time", lambda: later)
        landed(thief.get(callback, **ARRIVAL))
        assert user_at(thief, site) == {}
        assert login_cookies(thief) == []


def test_threads_do_not_mix_users_up(connections, flow):
    with running_login(connections) as site, Browser() as joe, Browser() as ann:
        log_in(joe, site)
        log_in(ann, site, "ann")
        for each in (joe, ann):
            let_time_pass(each, flow, LATER)
        barrier = threading.Barrier(8)

        def ask(number):
            barrier.wait()
            cookie = login_cookies(ann if number % 2 else joe)[0]
            with Browser() as own:
                header = f"{cookie.name}={cookie.value}"
                return [user_at(own, site, Cookie=header)["username"] for _ in range(10)]

        with ThreadPoolExecutor(8) as threads:
            for number, names in enumerate(threads.map(ask, range(8))):
                assert set(names) == {"ann" if number % 2 else "joe"}


# The store is out of order


@contextmanager
def down(store):
    store.is_down = True
    yield
    store.is_down = False


def test_nobody_is_let_in_unasked_and_nobody_is_logged_out(
    connections, browser, flow, store, caplog
):
    with running_login(connections) as site:
        log_in(browser, site)
        with down(store):
            assert user_at(browser, site)["username"] == "joe"
            let_time_pass(browser, flow, LATER)
            kept = value_of(browser)
            answer = browser.get(f"{site.url}/page")
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
            assert answer.headers["Cache-Control"] == "no-store"
            assert "You are still logged in" in answer.text
            assert re.search("<code>([0-9a-f]{8})</code>", answer.text)[1] in caplog.text
            script = browser.get(f"{site.url}/page", Accept="application/json")
            assert (script.status_code, script.json()["error"]) == (503, "storage_failed")
            assert script.json()["error_id"] in caplog.text
            assert value_of(browser) == kept
            assert browser.get(f"{site.url}/sc-connect/sc-connect.js").status_code == 200
            with Browser() as stranger:
                assert user_at(stranger, site) == {}
        assert user_at(browser, site)["username"] == "joe"


def test_a_connection_that_cannot_be_decrypted_lets_nobody_in_and_is_not_over(
    flow, browser, tmp_path
):
    url = f"sqlite:///{tmp_path}/connections.sqlite3"
    with closing(SQLStore(url, encryption=Encryption(OTHER_KEY))) as store:
        with running_login(Connections(flow, store)) as site:
            log_in(browser, site)
        let_time_pass(browser, flow, LATER)
        with (
            closing(SQLStore(url, encryption=Encryption(KEY[::-1]))) as wrong,
            running_login(Connections(flow, wrong)) as site,
        ):
            assert user_at(browser, site) == {}
        with running_login(Connections(flow, store)) as site:
            assert user_at(browser, site)["username"] == "joe"


def test_a_store_that_loses_the_login_key_is_told(flow, browser):
    class Old(MemoryStore):
        """Was written before a connection had this field."""

        def save(self, connection):
            return super().save(replace(connection, login_key=""))

    with running_login(Connections(flow, Old())) as site:
        fields = landed(browser.connect(site))
        assert fields["error"] == "storage_failed"
        assert "login_key" in fields["error_description"]
        assert user_at(browser, site) == {}


def test_a_store_without_claims_logs_in_and_out(flow, browser):
    class Old(MemoryStore):
        claim = settle = outcome = None

    with running_login(Connections(flow, Old())) as site:
        log_in(browser, site)
        let_time_pass(browser, flow, LATER)
        assert user_at(browser, site)["username"] == "joe"
        answer = browser.post(f"{site.url}/sc-connect/sign-out", **HERE)
        assert answer.status_code in (204, 303)
        assert user_at(browser, site) == {}


# Caches


@pytest.mark.parametrize(
    ("control", "expected", "has_cookie"),
    [
        (None, "private", True),
        ("max-age=60", "max-age=60, private", True),
        ("no-cache", "no-cache, private", True),
        ("no-store", "no-store", True),
        ("private, max-age=5", "private, max-age=5", True),
        ("public, max-age=60", "public, max-age=60", False),
        ("s-maxage=5", "s-maxage=5", False),
        ("Max-Age=5, Public", "Max-Age=5, Public", False),
        ("must-revalidate", "must-revalidate, private", True),
    ],
)
def test_no_shared_cache_gets_one_users_page(
    connections, browser, flow, control, expected, has_cookie
):
    def app(environ, start_response):
        headers = [("Content-Type", "text/plain")]
        start_response("200 OK", headers + ([("Cache-Control", control)] if control else []))
        return [environ.get("REMOTE_USER", "nobody").encode()]

    with running_login(connections, app) as site:
        stranger = browser.get(f"{site.url}/page")
        assert stranger.headers.get("Cache-Control") == control
        log_in(browser, site)
        let_time_pass(browser, flow, LATER)
        answer = browser.get(f"{site.url}/page")
        assert answer.text == name_of(flow)
        assert answer.headers["Cache-Control"] == expected
        assert bool(set_cookies(answer)) == has_cookie
        assert answer.headers.get("Vary") == ("Cookie" if has_cookie else None)


# What passes through


def test_a_strangers_request_reaches_the_application_untouched(connections):
    seen = []

    def app(environ, start_response):
        seen.append(start_response)
        return body

    body = object()
    start_response = object()
    site = connections.login(app, secret_key=KEY)
    assert site({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, start_response) is body
    assert seen == [start_response]


def test_a_users_response_keeps_its_body_write_and_exc_info(connections, browser, flow):
    with running_login(connections) as site:
        log_in(browser, site)
        let_time_pass(browser, flow, LATER)
        (cookie,) = login_cookies(browser)
    environ = {
        "PATH_INFO": "/",
        "REQUEST_METHOD": "GET",
        "HTTP_HOST": "localhost",
        "wsgi.url_scheme": "http",
        "HTTP_COOKIE": f"{cookie.name}={cookie.value}",
    }
    heard = []

    def start_response(status, headers, *exc_info):
        heard.append((status, dict(headers), exc_info))
        return "write"

    def app(environ, start_response):
        assert start_response("200 OK", [("X-Own", "1")]) == "write"
        assert start_response("500 Oops", [], ("exc", "in", "fo")) == "write"
        return body

    body = object()  # a file_wrapper, perhaps
    assert connections.login(app, secret_key=KEY)(environ, start_response) is body
    first, second = heard
    assert first[1]["X-Own"] == "1"
    assert first[2] == ()
    assert (second[0], second[2]) == ("500 Oops", (("exc", "in", "fo"),))
    assert all(is_login(headers["Set-Cookie"]) for _, headers, _ in heard)


def own_error_page(environ, start_response):
    """Answer as an application does that has failed half way, with exc_info by keyword."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        raise ValueError("half way")
    except ValueError:
        start_response("500 Own", [("Content-Type", "text/plain")], exc_info=sys.exc_info())
    return [b"my own words"]


def test_an_application_may_name_exc_info(connections, browser):
    with running_login(connections, own_error_page) as site:
        log_in(browser, site)
        answer = browser.get(f"{site.url}/page")
    assert (answer.status_code, answer.text) == (500, "my own words")
    assert answer.headers["Cache-Control"] == "private"


# Settings


@pytest.mark.parametrize(
    ("option", "options", "message"),
    [
        ("identify", {"identify": print}, r"is not for login\(\)"),
        ("store_token", {"store_token": print}, "stores the token itself"),
        ("sign_in_url", {"sign_in_url": "/login"}, r"is not for login\(\)"),
        ("requires", {"requires": True}, "unknown option"),
        ("secret_key", {"secret_key": None}, "is missing"),
        ("secret_key", {"secret_key": "short"}, "at least 32"),
        ("base_url", {"base_url": "http://app.example"}, "must begin with https://"),
        ("require", {"require": "yes"}, "True, False or a callable"),
        ("require", {"require": None}, "True, False or a callable"),
        ("require", {"require": lambda: True}, r"is called as require\(environ\)"),
        ("require", {"require": asynchronous}, "WSGI cannot await it"),
        ("max_age", {"max_age": 0}, "above 0"),
        ("max_age", {"max_age": -1}, "above 0"),
        ("max_age", {"max_age": 1.5}, "whole number"),
        ("max_age", {"max_age": True}, "whole number"),
        ("max_age", {"max_age": "60"}, "whole number"),
        ("max_age", {"max_age": 401 * 86400}, "at most"),
        ("max_age", {"max_age": None}, "whole number"),
        ("encryption", {"encryption": "x"}, "must be an Encryption"),
        ("assets_path", {"assets_path": "x"}, "must be a path"),
        (
            "request_token_path",
            {"request_token_path": "/sc-connect/sign-out"},
            "an address of this package",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_setting_that_cannot_work_is_named(connections, option, options, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        connections.login(page_of_the_site, **{"secret_key": KEY, **options})
    assert caught.value.option == option


def test_something_that_is_no_application_is_named(connections):
    with pytest.raises(ConfigurationError) as caught:
        connections.login(None, secret_key=KEY)
    assert caught.value.option == "app"


def test_a_site_with_users_of_its_own_is_told_to_wrap(flow, store):
    connections = Connections(flow, store, identify=lambda request: "joe")
    with pytest.raises(ConfigurationError, match=r"use wrap\(\)") as caught:
        connections.login(page_of_the_site, secret_key=KEY)
    assert caught.value.option == "identify"


def test_where_the_site_is_must_be_known(connections, browser, caplog):
    def base_url(request):
        raise KeyError("a mistake of the site")

    with running_login(connections) as site:
        log_in(browser, site)
        (cookie,) = login_cookies(browser)
    with running_login(connections, base_url=base_url) as site:
        assert user_at(browser, site) == {}
        assert "a mistake of the site" in caplog.text
        assert login_cookies(browser) == [cookie]


def test_the_stamp_of_a_cookie_is_all_that_time_changes(connections, browser, flow):
    """What these tests do in place of waiting."""
    with running_login(connections) as site:
        log_in(browser, site)
        value = value_of(browser)
        assert changed(flow, value) == value
