"""One flow has one outcome in all processes, if its storage is a store of this package.

And a flow's token is stored for the user to whom the flow is bound. Lines 14, 42 and 48 of the list
of threats. What one process does by itself is tested in tests/middleware/test_outcomes.py.
"""

from __future__ import annotations

import functools
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import requests
import webob
from support import databases
from support.browser import ARRIVAL, Browser
from support.flows import flow_for, nobody_asked
from support.paths import TESTS
from support.ports import free_port
from support.refresher import store_at
from support.responses import landed
from support.site import KEY, Site, page_of_the_site, running_site
from support.stores import KEYS, SHARED_KINDS, SQLITE_FILE

from scconnect_wsgi import ConnectError, SCConnect
from scconnect_wsgi.config import from_env
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import ConfigurationError, StoreUnavailable
from scconnect_wsgi.middleware._outcomes import SharedOutcomes
from scconnect_wsgi.middleware._replay import PATIENCE
from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.stores import Store
from scconnect_wsgi.stores.sql import SQLStore

PROTOCOLS = ("oauth1", "oauth2")
EXCHANGE = {"oauth1": "access_token", "oauth2": "token"}  # the sandbox's names in its counts


def identify(request):
    return request.cookies.get("user") or None


def another_identify(request):
    return request.cookies.get("other_user") or None


@pytest.fixture(params=[SQLITE_FILE])
def store(request, tmp_path):
    with closing(request.param(tmp_path)) as store:
        yield store


@contextmanager
def hosts(flow, *storages, **options):
    """Run several hosts of one site, each with a memory and a storage of its own."""
    with ExitStack() as stack:
        options = {"identify": identify, **options}
        yield [
            stack.enter_context(running_site(flow, store_token=storage, **options))
            for storage in storages
        ]


@contextmanager
def signed_in(user="joe"):
    with Browser() as browser:
        browser.session.cookies.set("user", user, domain="localhost.local")
        yield browser


def came_back(browser, site):
    """Return the callback's query, and the headers with which the browser sends it."""
    back = browser.decide(browser.click(site))
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.session.cookies)
    return "?" + back.partition("?")[2], {**ARRIVAL, "Cookie": cookies}


def fetched(url, headers):
    with Browser() as plain:
        return plain.get(url, **headers)


# Several hosts, one store


@pytest.mark.slow
@pytest.mark.threat(42)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("make", SHARED_KINDS)
def test_threat_42_two_hosts_answer_the_two_clicks_alike(make, protocol, tmp_path):
    sandbox = Sandbox(misbehave=("slow=0.3",))
    with (
        serve(sandbox) as provider,
        closing(make(tmp_path)) as store,
        ThreadPoolExecutor(4) as threads,
        signed_in() as browser,
    ):
        flow = flow_for(protocol, provider.url)
        connections = [Connections(flow, store, identify=identify) for _ in range(2)]
        with hosts(flow, *[each.store_token for each in connections]) as sites:
            query, headers = came_back(browser, sites[0])
            urls = [site.callback + query for site in sites * 2]
            answers = list(threads.map(lambda url: fetched(url, headers), urls))
        (stored,) = connections[0].of_user("joe")
        assert [landed(answer) for answer in answers] == [
            {"username": "joe", "oauth_token_id": stored.id}
        ] * 4
        assert stored.version == 1  # it was stored once
        with connections[0].session(stored.id, user="joe") as session:
            assert session.me().username == "joe"  # and the token works
    assert sandbox.counts[EXCHANGE[protocol]] == 1


@pytest.mark.threat(42)
def test_threat_42_two_hosts_fail_alike(store, browser):
    def refuse(token, request):
        raise LookupError("the site's own")

    link(refuse, SimpleNamespace(identify=None, outcomes=store, encryption=None))
    sandbox = Sandbox()
    with (
        serve(sandbox) as provider,
        hosts(flow_for("oauth2", provider.url), refuse, refuse, identify=None) as sites,
    ):
        query, headers = came_back(browser, sites[0])
        first, second = [fetched(site.callback + query, headers) for site in sites]
    assert landed(first)["error"] == "storage_failed"
    assert second.headers["Location"] == first.headers["Location"]
    assert sandbox.counts["token"] == 1


def own_function(connections, result=None):
    """Return a site's own function which stores through Connections, as docs/tokens.md has it."""

    def store_token(token, request):
        connection = connections.connect(token, user=identify(request))
        return {"mine": connection.id} if result is None else result

    return link(store_token, connections.flow_storage)


def link(function: Any, flow_storage):
    function.flow_storage = flow_storage
    return function


@pytest.mark.threat(42)
def test_threat_42_a_function_of_the_sites_own_can_be_linked_to_the_store(store):
    sandbox = Sandbox()
    with serve(sandbox) as provider, signed_in() as browser:
        flow = flow_for("oauth2", provider.url)
        connections = Connections(flow, store, identify=identify)
        linked = [own_function(connections), own_function(connections)]
        with hosts(flow, *linked) as sites:
            query, headers = came_back(browser, sites[0])
            first, second = [fetched(site.callback + query, headers) for site in sites]
        assert landed(first) == landed(second) == {"mine": connections.of_user("joe")[0].id}
    assert sandbox.counts["token"] == 1


@pytest.mark.threat(42)
def test_threat_42_a_response_of_the_sites_own_stays_in_its_process(store, tmp_path, provider):
    """The login that it carries is in no database; the other host still says no failure."""
    welcome = webob.Response(status=303, location="/welcome?ticket=secret-of-the-site")
    welcome.set_cookie("session", "secret-of-the-site")
    flow = flow_for("oauth2", provider.url)
    connections = Connections(flow, store, identify=identify)
    linked = [own_function(connections, welcome), own_function(connections, welcome)]
    with hosts(flow, *linked) as sites, signed_in() as browser:
        query, headers = came_back(browser, sites[0])
        urls = [sites[0].callback + query, sites[0].callback + query, sites[1].callback + query]
        first, same, other = [fetched(url, headers) for url in urls]
    assert same.headers["Location"] == first.headers["Location"]
    assert same.cookies["session"] == "secret-of-the-site"
    assert other.headers["Location"] == "/sc-connect/close.html"
    assert "session" not in other.cookies
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"scconnect_claims" in files
    assert b"secret-of-the-site" not in files


@pytest.mark.threat(42)
@pytest.mark.parametrize("encryption", [None, Encryption(KEYS)], ids=["plain", "encrypted"])
def test_threat_42_the_store_keeps_no_secret_of_a_flow_and_nothing_that_can_be_read_if_encrypted(
    tmp_path, provider, encryption
):
    store = SQLStore(f"sqlite:///{tmp_path}/connections.sqlite3", encryption=encryption)
    flow = flow_for("oauth2", provider.url)
    connections = Connections(flow, store, identify=identify)
    linked = own_function(connections, {"field": "of-the-page"})
    with hosts(flow, linked) as (site,), signed_in() as browser:
        query, headers = came_back(browser, site)
        assert landed(fetched(site.callback + query, headers)) == {"field": "of-the-page"}
    store.close()
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    values = [part.partition("=")[2].encode() for part in query[1:].split("&")]
    assert [value for value in values if value in files] == []
    assert (b"of-the-page" in files) == (encryption is None)


@pytest.mark.threat(26, 42)
@pytest.mark.parametrize("forged", ["//evil.example", "", "\xff", "copied"])
def test_threat_42_nobody_who_writes_to_the_database_leads_a_user_away(store, provider, forged):
    flow = flow_for("oauth2", provider.url)
    connections = Connections(flow, store, identify=identify)
    with hosts(flow, connections.store_token) as (site,), signed_in() as browser:
        query, headers = came_back(browser, site)
        ended = fetched(site.callback + query, headers)
        (own,) = names_of_claims(store)
        query, headers = came_back(browser, site)
        fetched(site.callback + query, headers)
    (other,) = set(names_of_claims(store)) - {own}
    another_host = SharedOutcomes(store, [KEY.encode()], flow.audience, 60)
    assert another_host.outcome(own).location == ended.headers["Location"]
    store.settle(own, store.outcome(other) if forged == "copied" else forged)
    assert another_host.outcome(own) is None
    assert another_host.outcome(other) is not None
    assert SharedOutcomes(store, [b"another key"], flow.audience, 60).outcome(other) is None


def names_of_claims(store):
    from sqlalchemy import text

    with store._engines.current().connect() as db:
        return list(db.scalars(text("SELECT name FROM scconnect_claims")))


@pytest.mark.threat(42, 43)
def test_threat_42_only_a_verified_cookie_claims_a_flow(store, provider):
    flow = flow_for("oauth2", provider.url)
    connections = Connections(flow, store, identify=identify)
    with hosts(flow, connections.store_token) as (site,), signed_in() as browser:
        query, headers = came_back(browser, site)
        store.of_user("nobody")  # the tables are made
        cookie = headers["Cookie"]
        renamed = cookie.replace("scconnect-", "x-")
        damaged = re.sub(r"(scconnect-[0-9a-f]+=)", r"\1x", cookie)
        for stranger in ("", "user=joe", renamed, damaged):
            answer = fetched(site.callback + query, {**ARRIVAL, "Cookie": stranger})
            assert landed(answer)["error"] in ("flow_expired", "flow_mismatch", "wrong_user")
        assert names_of_claims(store) == []
        assert "error" not in landed(fetched(site.callback + query, headers))
        assert len(names_of_claims(store)) == 1


class Away:
    """A store whose memory of flows cannot be reached, or breaks in a way of its own."""

    def __init__(self, store, error):
        self._store = store
        self._error = error

    def __getattr__(self, name):
        return getattr(self._store, name)

    def claim(self, name, seconds):
        raise self._error

    def settle(self, name, outcome):
        raise self._error

    def outcome(self, name):
        raise self._error


@pytest.mark.threat(42)
@pytest.mark.parametrize("error", [StoreUnavailable("It is away."), KeyError("its own")], ids=repr)
def test_threat_42_a_store_that_forgets_costs_no_flow(store, provider, caplog, error):
    flow = flow_for("oauth2", provider.url)
    connections = Connections(flow, Away(store, error), identify=identify)
    with hosts(flow, connections.store_token) as (site,), signed_in() as browser:
        query, headers = came_back(browser, site)
        first, second = [fetched(site.callback + query, headers) for _ in range(2)]
    assert landed(first) == landed(second)
    assert landed(first)["username"] == "joe"
    warnings = [record for record in caplog.records if "could not remember" in record.message]
    assert len(warnings) == 2  # of the claim and of the outcome


class OfBefore:
    """A store of the site's own, with the seven methods that a store had before."""

    def __init__(self, store):
        for name in ("save", "load", "delete", "of_user", "of_account", "lease", "release"):
            setattr(self, name, getattr(store, name))


class DeclaredOfBefore(OfBefore, Store):
    """A store that names the protocol as its base, and so inherits its empty methods."""


@pytest.mark.threat(42)
@pytest.mark.parametrize("kind", [OfBefore, DeclaredOfBefore])
def test_threat_42_a_store_of_before_serves_and_one_process_remembers_by_itself(
    kind, store, provider
):
    flow = flow_for("oauth2", provider.url)
    kept: Any = kind(store)
    connections = Connections(flow, kept, identify=identify)
    with hosts(flow, connections.store_token) as (site,), signed_in() as browser:
        query, headers = came_back(browser, site)
        first, second = [fetched(site.callback + query, headers) for _ in range(2)]
    assert landed(first) == landed(second)
    assert landed(first)["username"] == "joe"


# Who is connected


def site_of(connections, flow, **options):
    return SCConnect(page_of_the_site, flow, **{"secret_key": KEY, **options})


@pytest.fixture
def flow(provider):
    return flow_for("oauth2", provider.url)


def methods(connections):
    return {
        "the method": connections.store_token,
        "a linked function": own_function(connections),
    }


@pytest.mark.threat(14, 48)
@pytest.mark.parametrize("kind", ["the method", "a linked function"])
def test_threat_14_a_middleware_that_identifies_nobody_is_refused_around_connections_that_do(
    store, flow, kind
):
    connections = Connections(flow, store, identify=identify)
    store_token = methods(connections)[kind]
    with pytest.raises(ConfigurationError, match="Give SCConnect the same identify") as caught:
        site_of(connections, flow, store_token=store_token)
    assert caught.value.option == "identify"
    site_of(connections, flow, store_token=store_token, identify=identify)


def test_connections_without_identify_ask_for_none(store, flow):
    """They are for sites that name the user themselves, or log users in with their account."""
    connections = Connections(flow, store)
    site_of(connections, flow, store_token=own_function(connections))
    site_of(connections, flow, store_token=own_function(connections), identify=identify)


def test_a_storage_that_has_every_attribute_offers_nothing(flow):
    """A site's tests may give a Mock."""
    site_of(None, flow, store_token=Mock())
    site_of(None, flow, store_token=Mock().method, identify=identify)


def test_a_configuration_names_its_own_option(store, flow, monkeypatch):
    connections = Connections(flow, store, identify=identify)
    module: Any = type(sys)("a_shop")
    module.store_token = connections.store_token
    monkeypatch.setitem(sys.modules, "a_shop", module)
    variables = {
        "SCCONNECT_CLIENT_ID": "an id",
        "SCCONNECT_CLIENT_SECRET": "a secret",
        "SCCONNECT_SECRET_KEY": secrets.token_urlsafe(32),
        "SCCONNECT_STORE_TOKEN": "a_shop:store_token",
    }
    with pytest.raises(ConfigurationError) as caught:
        from_env(page_of_the_site, variables)
    assert caught.value.option == "SCCONNECT_IDENTIFY"


@pytest.mark.threat(14)
def test_threat_14_two_identifies_that_disagree_start_no_flow(store, flow, provider, caplog):
    connections = Connections(flow, store, identify=another_identify)
    with hosts(flow, connections.store_token) as (site,), signed_in("joe") as browser:
        browser.session.cookies.set("other_user", "joe", domain="localhost.local")
        assert landed(browser.connect(site))["username"] == "joe"  # they name the same user
        browser.session.cookies.set("other_user", "ann", domain="localhost.local")
        with nobody_asked(provider):
            fields = landed(browser.get(site.start))
    assert fields["error"] == "start_refused"
    assert "Give both the same callable" in fields["error_description"]
    assert "raised" not in caplog.text  # neither of the two callables did
    assert [found.user for found in store.of_user("joe")] == ["joe"]
    assert store.of_user("ann") == []


@pytest.mark.parametrize("user", [5, b"joe"])
def test_beside_another_identify_one_that_gives_no_string_is_told_so(store, flow, browser, user):
    connections = Connections(flow, store, identify=lambda request: user)
    application = SCConnect(
        page_of_the_site,
        flow,
        secret_key=secrets.token_urlsafe(32),
        store_token=connections.store_token,
        identify=lambda request: user,
    )
    with serve(application) as server:
        fields = landed(browser.get(f"{server.url}/oauth/request_token"))
    assert fields["error"] == "start_refused"
    assert fields["error_description"].startswith("identify must return a string, not ")


@pytest.mark.threat(14)
def test_threat_14_two_identifies_that_disagree_at_the_callback_ask_nobody(store, flow, provider):
    connections = Connections(flow, store, identify=another_identify)
    with hosts(flow, connections.store_token) as (site,), signed_in("joe") as browser:
        browser.session.cookies.set("other_user", "joe", domain="localhost.local")
        back = browser.decide(browser.click(site))
        browser.session.cookies.set("other_user", "ann", domain="localhost.local")
        with nobody_asked(provider):
            assert landed(browser.get(back, **ARRIVAL))["error"] == "start_refused"
    assert store.of_user("joe") == store.of_user("ann") == []


@pytest.mark.threat(14, 48)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda method: lambda token, request: method(token, request),
        functools.partial,
    ],
    ids=["a function", "a partial"],
)
def test_threat_14_a_function_in_between_stores_nothing_for_another_user(store, flow, wrap):
    """joe starts the flow, and ann is signed in when it ends: her account must not become his."""
    connections = Connections(flow, store, identify=identify)
    with (
        hosts(flow, wrap(connections.store_token), identify=None) as (site,),
        signed_in("joe") as browser,
    ):
        back = browser.decide(browser.click(site))
        browser.session.cookies.set("user", "ann", domain="localhost.local")
        fields = landed(browser.get(back, **ARRIVAL))
    assert fields["error"] == "storage_failed"
    assert "the same identify" in fields["error_description"]
    assert store.of_user("joe") == store.of_user("ann") == []


# Several processes


SITE = """
import os
import signal

from support.flows import flow_for
from support.refresher import store_at
from support.site import KEY
from scconnect_wsgi import SCConnect
from scconnect_wsgi.connections import Connections

flow = flow_for({protocol!r}, {provider!r})


def identify(request):
    return request.cookies.get("user")


connections = Connections(flow, store_at({store!r}), identify=identify)


def dies(token, request):
    with open({log!r}, "a") as log:
        log.write(f"{{os.getpid()}} stores a token\\n")
    os.kill(os.getpid(), signal.SIGKILL)


def page(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


store_token = connections.store_token
if {dies!r}:
    store_token = dies
    store_token.flow_storage = connections.flow_storage
application = SCConnect(page, flow, secret_key=KEY, store_token=store_token, identify=identify)
"""


@contextmanager
def gunicorn(folder, *options, **site):
    """Run SITE behind gunicorn, and end it with the block."""
    log = folder / "log"
    settings = {"dies": False, "log": str(folder / "tokens"), **site}
    (folder / "shop.py").write_text(SITE.format(**settings))
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-t", "60", *options]
    path = os.pathsep.join([str(folder), str(TESTS), *filter(None, sys.path)])
    env = {**os.environ, "PYTHONPATH": path, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "shop:application"], cwd=folder, env=env, stdout=output, stderr=output
        )
    try:
        patience = time.monotonic() + 60
        while not answers(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < patience, log.read_text()
            time.sleep(0.05)
        yield Site(f"http://localhost:{port}", None)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 5):
            return True
    except OSError:
        return False


def double_clicked(threads, url, headers, gap):
    """Send a request, and once more a moment later, over two connections."""

    def later(seconds):
        time.sleep(seconds)  # what a finger does, not a wait for anything
        return requests.get(url, headers=headers, allow_redirects=False, timeout=60)

    return list(threads.map(later, (0, gap)))


@pytest.mark.slow
@pytest.mark.stores
@pytest.mark.threat(42)
@pytest.mark.parametrize("server", ["sqlite", "postgresql", "redis", "mariadb"])
@pytest.mark.parametrize("clicks", [40])
def test_threat_42_double_clicks_at_two_workers_leave_every_token_alive(
    server, clicks, tmp_path, sandbox_process
):
    """The provider revokes what it gave for a code that is used twice, as OAuth 2.1 asks it to."""
    url = f"sqlite:///{tmp_path}/connections.sqlite3"
    if server != "sqlite":
        database = databases.running(server)
        database.clear()
        url = database.url
    counted = sandbox_process.counts().get("token", 0)
    site = {"protocol": "oauth2", "provider": sandbox_process.url, "store": url}
    pairs = []
    with gunicorn(tmp_path, "-w", "2", **site) as running, ThreadPoolExecutor(2) as threads:
        for number in range(clicks):
            with signed_in(f"user-{number}") as browser:
                query, headers = came_back(browser, running)
                gap = 0.02 * (number % 4)
                pairs.append(double_clicked(threads, running.callback + query, headers, gap))
    exchanges = sandbox_process.counts()["token"] - counted
    dead = 0
    with closing(store_at(url)) as store:
        connections = Connections(flow_for("oauth2", sandbox_process.url), store)
        for number in range(clicks):
            user = f"user-{number}"
            try:
                (stored,) = connections.of_user(user)
                with connections.session(stored.id, user=user) as session:
                    session.me()
            except (ConnectError, ValueError):  # it was revoked, before or after it was stored
                dead += 1
    alike = sum(first.headers["Location"] == second.headers["Location"] for first, second in pairs)
    failures = sum("error" in landed(answer) for pair in pairs for answer in pair)
    print(
        f"{server}: {clicks} double clicks, {dead} tokens dead, {exchanges} exchanges, "
        f"{alike} pairs alike, {failures} answers with a failure"
    )
    assert (dead, exchanges, alike, failures) == (0, clicks, clicks, 0)


@pytest.mark.slow
@pytest.mark.threat(42)
def test_threat_42_a_worker_that_was_killed_holds_nobody_up_and_its_code_is_not_used_again(
    tmp_path, sandbox_process
):
    store = f"sqlite:///{tmp_path}/connections.sqlite3"
    counted = sandbox_process.counts().get("token", 0)
    site = {"protocol": "oauth2", "provider": sandbox_process.url, "store": store, "dies": True}
    with gunicorn(tmp_path, "-w", "2", **site) as running, signed_in() as browser:
        query, headers = came_back(browser, running)
        with pytest.raises(requests.ConnectionError):
            fetched(running.callback + query, headers)
        begun = time.monotonic()
        second = fetched(running.callback + query, headers)
        took = time.monotonic() - begun
    print(f"the second callback was answered after {took:.1f} s")
    assert landed(second)["error"] == "flow_finished"
    assert took < PATIENCE + 5
    assert sandbox_process.counts()["token"] - counted == 1
    assert (tmp_path / "tokens").read_text().count("stores a token") == 1


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.threat(42, 57)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("-k", "gevent"), id="gevent"),
        pytest.param(("-k", "gevent", "--preload"), id="gevent, patched after the import"),
        pytest.param(("-k", "gthread", "--threads", "4"), id="threads"),
    ],
)
def test_threat_42_one_worker_of_each_kind_answers_both_clicks_alike(
    options, tmp_path, sandbox_process
):
    """While the second callback waits, the first one goes on, and so do the site's other pages."""
    counted = sandbox_process.counts().get("token", 0)
    site = {
        "protocol": "oauth2",
        "provider": f"{sandbox_process.url}/misbehave/slow=1",
        "store": f"sqlite:///{tmp_path}/connections.sqlite3",
    }
    with (
        gunicorn(tmp_path, "-w", "1", *options, **site) as running,
        signed_in() as browser,
        ThreadPoolExecutor(2) as threads,
    ):
        query, headers = came_back(browser, running)
        clicks = threads.submit(
            lambda: double_clicked(ThreadPoolExecutor(2), running.callback + query, headers, 0.1)
        )
        longest = 0.0
        while not clicks.done():
            begun = time.monotonic()
            assert fetched(running.url + "/", headers).status_code == 200
            longest = max(longest, time.monotonic() - begun)
        first, second = clicks.result()
    print(f"the longest other page took {longest:.2f} s")
    assert landed(first) == landed(second)
    assert landed(first)["username"] == "joe"
    assert sandbox_process.counts()["token"] - counted == 1
