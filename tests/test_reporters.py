"""What an error reporter keeps of an error of this package holds no secret (threat 32)."""

import logging
import signal
import socket
import ssl
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any

import pytest
import requests
import trustme
from support import canary
from support.browser import ARRIVAL
from support.flows import CALLBACK, flow_for, quick_transport
from support.reporter import kept
from support.site import KEY, running_site
from support.stores import connection
from support.wire import answer, saying_once, wire

from scconnect_wsgi import (
    ConnectError,
    OAuth1,
    OAuth1Provider,
    OAuth2,
    OAuth2Provider,
    SCConnect,
    Transport,
)
from scconnect_wsgi.config import (
    connections_from_env,
    filter_app_factory,
    flow_from_env,
    flow_from_settings,
    from_env,
)
from scconnect_wsgi.connections import ApiSession, Connections
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import ConfigurationError, StoreUnavailable
from scconnect_wsgi.redaction import hides_locals
from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.stores.redis import RedisStore
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken

pytestmark = pytest.mark.threat(32)

SECRETS = {
    name: f"canary-{name}-0123456789"
    for name in (
        "client-secret",
        "code",
        "state",
        "verifier",
        "request-token",
        "request-secret",
        "access-token",
        "token-secret",
        "refresh-token",
        "proxy-password",
        "api-key",
        "cookie",
        "statement",
    )
}
TOKEN = AccessToken(
    SECRETS["access-token"],
    SECRETS["token-secret"],
    SECRETS["refresh-token"],
    extra={"id_token": SECRETS["access-token"]},
)
HEADERS = {"X-Api-Key": SECRETS["api-key"]}


def oauth1(root, **transport):
    provider = OAuth1Provider(
        f"{root}/request", f"{root}/authorize", f"{root}/access", api_url=root, headers=HEADERS
    )
    return OAuth1(
        "key", SECRETS["client-secret"], provider=provider, transport=quick_transport(**transport)
    )


def oauth2(root, **transport):
    provider = OAuth2Provider(
        f"{root}/authorize",
        f"{root}/token",
        api_url=root,
        sign_out_url=f"{root}/out",
        headers=HEADERS,
    )
    return OAuth2(
        "id", SECRETS["client-secret"], provider=provider, transport=quick_transport(**transport)
    )


def finish_oauth1(flow):
    response = {"oauth_token": SECRETS["request-token"], "oauth_verifier": SECRETS["verifier"]}
    pending = {"token": SECRETS["request-token"], "secret": SECRETS["request-secret"]}
    flow.finish(CALLBACK, response, pending)


def finish_oauth2(flow):
    response = {"code": SECRETS["code"], "state": SECRETS["state"]}
    flow.finish(CALLBACK, response, {"state": SECRETS["state"], "verifier": SECRETS["verifier"]})


def api_session(flow):
    store = SQLStore("sqlite://")
    api_url = flow.provider.api_url
    stored = store.save(connection(token=TOKEN, api_url=api_url, obtained_at=int(time.time())))
    return ApiSession(stored, store, flow)


def connections(flow):
    return Connections(flow, SQLStore("sqlite://"))


def revive(flow):
    store = SQLStore("sqlite://")
    api_url = flow.provider.api_url
    store.save(connection(token=TOKEN, api_url=api_url, ended="connection_revoked"))
    Connections(flow, store).revive("one", user="user 1")


CALLS = {
    "oauth1, request token": (oauth1, lambda flow: flow.begin(CALLBACK)),
    "oauth1, exchange": (oauth1, finish_oauth1),
    "oauth1, call": (oauth1, lambda flow: api_session(flow).get("/me")),
    "oauth1, me": (oauth1, lambda flow: api_session(flow).me()),
    "oauth1, connect": (oauth1, lambda flow: connections(flow).connect(TOKEN, user="joe")),
    "oauth1, revive": (oauth1, revive),
    "oauth2, exchange": (oauth2, finish_oauth2),
    "oauth2, refresh": (oauth2, lambda flow: flow.refresh(TOKEN, CALLBACK)),
    "oauth2, sign out": (oauth2, lambda flow: flow.sign_out(TOKEN)),
    "oauth2, call": (oauth2, lambda flow: api_session(flow).get("/me")),
    "oauth2, upload": (oauth2, lambda flow: api_session(flow).post("/me", data={"a": "b"})),
    "oauth2, prepared": (
        oauth2,
        lambda flow: api_session(flow).send(
            requests.Request("GET", f"{flow.provider.api_url}/me").prepare(), timeout=1
        ),
    ),
    "oauth2, me": (oauth2, lambda flow: api_session(flow).me()),
    "oauth2, collection": (oauth2, lambda flow: list(api_session(flow).collection("/me/tracks"))),
    "oauth2, connect": (oauth2, lambda flow: connections(flow).connect(TOKEN, user="joe")),
    "oauth2, revive": (oauth2, revive),
}
CALLING = pytest.mark.parametrize(("make", "call"), CALLS.values(), ids=CALLS)


def raised(call, *args):
    """Return what a call raises, as the code that catches it gets it."""
    try:
        call(*args)
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def leaks(error):
    text = kept(error)
    return [name for name, secret in SECRETS.items() if secret in text]


@pytest.mark.slow
def test_the_reporters_find_what_an_unprotected_frame_holds():
    source = "def exchange(codes):\n    body = codes[0].encode()\n    raise ConnectError('no')"
    namespace = {"ConnectError": ConnectError}
    exec(compile(source, "/a/file/of/a/library.py", "exec"), namespace)
    assert leaks(raised(namespace["exchange"], [SECRETS["code"]])) == ["code"]


FAULTS = {
    "hangs up": b"",
    "breaks off": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
    "is no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "redirects": answer(b"", "Location: /me", status="302 Found"),  # in a circle
}


@CALLING
@pytest.mark.parametrize("data", FAULTS.values(), ids=FAULTS)
def test_threat_32_nothing_of_a_failed_call_is_kept(make, call, data):
    with wire(saying_once(data)) as server:
        error = raised(call, make(server.url))
    assert isinstance(error, (ConnectError, requests.RequestException))
    assert leaks(error) == []


@CALLING
@pytest.mark.parametrize("through_a_proxy", [False, True], ids=["directly", "through a proxy"])
def test_threat_32_nothing_of_a_refused_connection_is_kept(make, call, through_a_proxy):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        proxy = f"http://joe:{SECRETS['proxy-password']}@127.0.0.1:{port}"
        flow = make(f"https://127.0.0.1:{port}", proxy=proxy if through_a_proxy else None)
        error = raised(call, flow)
    assert isinstance(error, (ConnectError, requests.RequestException))
    assert leaks(error) == []
    assert error.__context__ is None


@CALLING
def test_threat_32_nothing_of_a_refused_certificate_is_kept(make, call):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with wire(saying_once(b""), context) as server:
        error = raised(call, make(server.url))
    assert "ertificate" in str(error)
    assert leaks(error) == []


class TimeLimitError(Exception):
    """What a worker raises in the middle of whatever it is doing (Celery's SoftTimeLimit)."""


@CALLING
def test_threat_32_nothing_of_an_interrupted_call_is_kept(make, call):
    def interrupt(number, frame):
        raise TimeLimitError

    def talk(connection):
        connection.request()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        connection.sock.recv(1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with wire(talk) as server:
            error = raised(call, make(server.url, timeout=10))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert isinstance(error, TimeLimitError)
    assert leaks(error) == []


def test_the_lines_of_a_traceback_stay():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        error = raised(finish_oauth2, oauth2(f"http://127.0.0.1:{deaf.getsockname()[1]}"))
    names = [entry.name for entry in traceback.extract_tb(error.__traceback__)]
    assert [name for name in names if name in ("finish", "_redeem", "send")] == [
        *("finish", "_redeem", "send"),
    ]


def test_the_exception_that_a_site_is_handling_stays_whole():
    def handling(flow):
        own = "a variable of the site"
        try:
            raise KeyError(own)
        except KeyError:
            finish_oauth2(flow)

    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        error = raised(handling, oauth2(f"http://127.0.0.1:{deaf.getsockname()[1]}"))
    assert isinstance(error.__context__, KeyError)
    assert error.__context__.__traceback__.tb_frame.f_locals["own"] == "a variable of the site"


def test_the_exception_that_a_site_is_handling_stays_whole_if_it_is_raised_again():
    @hides_locals
    def load(error):
        raise error

    def handling():
        try:
            try:
                raise KeyError("first")
            except KeyError:
                raise ValueError("second")  # noqa: B904  # what is tested is the context
        except ValueError as error:
            load(error)

    assert isinstance(raised(handling).__context__, KeyError)


def test_a_cause_that_was_given_on_purpose_stays():
    @hides_locals
    def load():
        try:
            raise ImportError("no module")
        except ImportError as error:
            raise ConfigurationError("store_token", "cannot be imported.") from error

    assert isinstance(raised(load).__cause__, ImportError)


def test_threat_32_the_exceptions_of_a_group_hold_no_locals_either():
    def fail(code):
        raise ConnectError("no")

    @hides_locals
    def load(code):
        raise ExceptionGroup("of two hosts", [raised(fail, code), raised(fail, code)])

    group = raised(load, SECRETS["code"])
    frames = [frame for error in group.exceptions for frame, _ in walk_tb(error.__traceback__)]
    assert [frame.f_locals for frame in frames if frame.f_code.co_name == "fail"] == [{}, {}]


# Stores


def test_threat_32_nothing_of_a_database_that_is_down_is_kept(tmp_path):
    stored = connection(token=TOKEN)
    down = SQLStore(f"sqlite:///{tmp_path}/{SECRETS['proxy-password']}/none.sqlite3")
    error = raised(down.save, stored)
    assert isinstance(error, StoreUnavailable)
    assert leaks(error) == []


def test_threat_32_nothing_of_a_statement_that_fails_is_kept(tmp_path):
    store = SQLStore(f"sqlite:///{tmp_path}/connections.sqlite3")
    stored = store.save(connection(token=TOKEN))
    for call in (
        lambda: store.save(connection(token=TOKEN)),  # it is stored already
        lambda: store.save(connection("two", user="u" * 256, token=TOKEN)),
        lambda: store.load(SECRETS["code"][:0] + "nothing"),
    ):
        assert leaks(raised(call)) == []
    assert store.load("one") == stored


@pytest.mark.stores  # where the drivers are installed
@pytest.mark.parametrize("database", ["postgresql+psycopg", "mysql+pymysql"])
def test_threat_32_nothing_of_a_server_that_is_down_is_kept(database):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        store = SQLStore(f"{database}://joe:{SECRETS['proxy-password']}@127.0.0.1:{port}/x")
        for call in (store.save, store.delete):
            error = raised(call, connection(token=TOKEN) if call == store.save else "one")
            assert isinstance(error, StoreUnavailable)
            assert leaks(error) == []


def test_threat_32_nothing_of_a_redis_that_is_down_is_kept():
    with wire(lambda connection: None) as server:  # it hangs up before the password was read
        url = f"redis://joe:{SECRETS['proxy-password']}@127.0.0.1:{server.port}/0"
        store = RedisStore(url)
        for call, given in ((store.save, connection(token=TOKEN)), (store.load, "one")):
            error = raised(call, given)
            assert isinstance(error, StoreUnavailable)
            assert leaks(error) == []


# What is wrong with a setting


SECRET = SECRETS["client-secret"]
WRONG: Any = 5
SETTINGS = {
    "OAuth2": lambda: OAuth2("id", SECRET, scope=WRONG),
    "OAuth1": lambda: OAuth1("key", SECRET, rsa_key=SECRET),
    "a provider": lambda: OAuth2Provider(
        "https://a.example/a", "https://a.example/t", headers={"Authorization": SECRET}
    ),
    "a provider of OAuth 1.0a": lambda: OAuth1Provider(
        *["https://a.example/a"] * 3, headers={"Authorization": SECRET}
    ),
    "Transport": lambda: Transport(proxy=f"ftp://joe:{SECRET}@proxy.example"),
    "SCConnect": lambda: SCConnect(
        lambda *_: [], oauth2("https://a.example"), secret_key=SECRET, store_token=print
    ),
    "Encryption": lambda: Encryption([SECRET[:12]]),
    "SQLStore": lambda: SQLStore(f"oracle://joe:{SECRET}@db.example/x"),
    "RedisStore": lambda: RedisStore(f"nothing://joe:{SECRET}@db.example/x"),
    "the environment": lambda: from_env(lambda *_: [], {"SCCONNECT_CLIENT_SECRET": SECRET}),
    "a flow of the environment": lambda: flow_from_env({"SCCONNECT_CLIENT_SECRET": SECRET}),
    "a flow of settings": lambda: flow_from_settings({"scconnect.client_secret": SECRET}),
    "a store of the environment": lambda: from_env(
        lambda *_: [], {"SCCONNECT_STORE": f"mysql+pymysql://joe:{SECRET}@db.example:x/y"}
    ),
    "a store of a worker": lambda: connections_from_env(
        {"SCCONNECT_STORE": f"redis://joe:{SECRET}@db.example:x/0"}
    ),
    "a store whose driver is not there": lambda: connections_from_env(
        {
            "SCCONNECT_STORE": f"mysql+nothing://joe:{SECRET}@db.example/x",
            "SCCONNECT_CLIENT_ID": "id",
            "SCCONNECT_CLIENT_SECRET": SECRET[::-1],
        }
    ),
    "an ini file": lambda: filter_app_factory(lambda *_: [], {}, client_secret=SECRET),
    "an ini file that is nearly right": lambda: filter_app_factory(
        lambda *_: [],
        {},
        client_id="id",
        client_secret=SECRET,
        secret_key=KEY.replace(" ", "-"),
        store_token="HAND_OVER",
        token_type="two words",
    ),
}


@pytest.mark.parametrize("build", SETTINGS.values(), ids=SETTINGS)
def test_threat_32_nothing_of_a_wrong_setting_is_kept(build):
    error = raised(build)
    assert isinstance(error, ConfigurationError)
    assert leaks(error) == []


# The middleware: what a site's callables and log handlers get


class Reporting(logging.Handler):
    """A log handler that reports the exception that is being handled, as some do."""

    def __init__(self):
        super().__init__()
        self.found = []

    def emit(self, record):
        if record.name == "scconnect_wsgi":
            self.found += [record, sys.exc_info()[1]]


@contextmanager
def reporting_logs():
    handler = Reporting()
    log = logging.getLogger("scconnect_wsgi")
    log.addHandler(handler)
    try:
        yield handler.found
    finally:
        log.removeHandler(handler)


def assert_nothing_is_kept(found, secrets):
    for thing in found:
        text = (
            kept(thing) if isinstance(thing, BaseException) else repr(vars(thing)) if thing else ""
        )
        assert [secret for secret in secrets if secret in text] == []


@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
@pytest.mark.parametrize("fault", ["down", "html", "status=500"])
def test_threat_32_on_failure_gets_an_error_without_frames(protocol, fault, browser):
    heard = []

    def on_failure(error, request):
        heard.append(error)
        assert_nothing_is_kept([error], canary.secrets_met())
        raise RuntimeError(f"{request}")

    sandbox = Sandbox()
    with serve(sandbox) as provider:
        flow = flow_for(protocol, provider.url)
        with running_site(flow, on_failure=on_failure) as site, reporting_logs() as found:
            address = browser.decide(browser.click(site))
            sandbox.misbehave(fault)
            browser.get(address, **ARRIVAL)
    assert len(heard) == 1
    assert heard[0].__traceback__ is None
    assert_nothing_is_kept(found, canary.secrets_met())


@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_threat_32_nothing_of_a_storage_that_raises_is_kept(protocol, browser):
    def store_token(token, request):
        canary.met(token.token, token.token_secret, token.refresh_token)
        statement = f"INSERT {token.token} {request}"
        raise RuntimeError(statement)

    def on_failure(error, request):
        assert_nothing_is_kept([error], canary.secrets_met())

    with serve(Sandbox()) as provider:
        flow = flow_for(protocol, provider.url)
        options = {"store_token": store_token, "on_failure": on_failure}
        with running_site(flow, **options) as site, reporting_logs() as found:
            browser.connect(site)
    assert len(found) == 8  # the callback URL, two attempts, and the failure
    assert found[1::2] == [None] * 4  # no exception is being handled when something is logged
    assert_nothing_is_kept(found, canary.secrets_met())
