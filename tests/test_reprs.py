"""No repr of what carries a secret shows it, nor does a container that a reporter looks into."""

import pytest
import webob
from support.reporter import shown
from support.stores import connection

from scconnect_wsgi import OAuth1, OAuth1Provider, OAuth2, OAuth2Provider, SCConnect, Transport
from scconnect_wsgi.config import from_environ
from scconnect_wsgi.connections import ApiSession, Connections
from scconnect_wsgi.connections._refresh import Refresher
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.events import Events, FlowEvents
from scconnect_wsgi.flow import Departure
from scconnect_wsgi.login import Session, SessionCookie
from scconnect_wsgi.login._sessions import Visitor
from scconnect_wsgi.middleware._cookies import FlowCookies
from scconnect_wsgi.middleware._ending import Ending
from scconnect_wsgi.middleware._flow_state import FlowState, StateCodec
from scconnect_wsgi.middleware._responses import redirect
from scconnect_wsgi.protocols.oauth1 import Signer
from scconnect_wsgi.stores.redis import RedisStore
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport import HTTPRequest, HTTPResponse

SECRET = "a-secret-of-somebody-Zk3q9sVd7RwB1xTf"
KEY = SECRET.encode()
CALLBACK = webob.Request.blank(f"/oauth/access_token?code={SECRET}&state={SECRET}")
ADDRESSES = [f"https://a.example/{name}" for name in ("request", "authorize", "access")]
HEADERS = {"X-Api-Key": SECRET}
TOKEN = AccessToken(SECRET, SECRET, SECRET, extra={"id_token": SECRET, "list": [SECRET]})
TRANSPORT = Transport(proxy=f"http://joe:{SECRET}@proxy.example")
OAUTH1_PROVIDER = OAuth1Provider(
    *ADDRESSES, api_url="https://a.example", request_token_params={"key": SECRET}, headers=HEADERS
)
OAUTH2_PROVIDER = OAuth2Provider(*ADDRESSES[1:], api_url="https://a.example", headers=HEADERS)
OAUTH1 = OAuth1("key", SECRET, provider=OAUTH1_PROVIDER, transport=TRANSPORT)
OAUTH2 = OAuth2("id", SECRET, provider=OAUTH2_PROVIDER, transport=TRANSPORT)
STORE = SQLStore("sqlite://", encryption=Encryption(SECRET[::-1]))
CONNECTION = connection(token=TOKEN, api_url="https://a.example")
SESSION = ApiSession(CONNECTION, STORE, OAUTH2)
LOGIN = Session("id", "joe", SECRET, None, nonce=SECRET)
CARRIERS = [
    OAUTH1,
    OAUTH2,
    OAUTH1_PROVIDER,
    OAUTH2_PROVIDER,
    TRANSPORT,
    OAUTH2.begin("https://app.example"),
    Departure(f"https://a.example/authorize?state={SECRET}", SECRET, {"verifier": SECRET}),
    Signer("key", SECRET, SECRET, SECRET, verifier=SECRET),
    TOKEN,
    CONNECTION,
    STORE,
    RedisStore(f"redis://joe:{SECRET}@db.example/0"),
    Connections(OAUTH2, STORE),
    SESSION,
    SESSION.get_adapter("https://a.example"),
    Refresher(STORE, OAUTH2),
    Encryption(KEY),
    Encryption(KEY).sealer("a purpose"),
    FlowCookies(KEY, "an audience", 600),
    StateCodec([KEY], "an audience"),
    SCConnect(lambda *_: [], OAUTH2, secret_key=SECRET[::-1], store_token=print),
    from_environ({"SCCONNECT_CLIENT_SECRET": SECRET, "SCCONNECT_SECRET_KEY": SECRET}),
    from_environ({"SCCONNECT_STORE": f"redis://joe:{SECRET}@db.example/0"}),
    HTTPRequest("POST", f"https://a.example/t?c={SECRET}", {"Authorization": SECRET}, SECRET),
    HTTPResponse(200, {"X-Token": SECRET}, SECRET.encode()),
    FlowState(1, "https://app.example", "", {"verifier": SECRET}),
    Ending(CALLBACK, "/close.html", FlowEvents(Events()), cookies=[f"a={SECRET}"]),
    redirect(f"https://a.example/authorize?state={SECRET}", [f"a={SECRET}"]),
    LOGIN,
    Visitor(LOGIN, f"a={SECRET}"),
    SessionCookie([KEY], "an audience", 600, Encryption(KEY)),
    Connections(OAUTH2, STORE).login(lambda *_: [], secret_key=SECRET[::-1]),
]


@pytest.mark.threat(32)
@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: type(carrier).__name__)
def test_threat_32_no_repr_shows_a_secret(carrier):
    assert_shows_no_secret(carrier)


@pytest.mark.stores  # where the driver is installed
@pytest.mark.threat(32)
def test_threat_32_no_repr_shows_the_password_of_a_database():
    assert_shows_no_secret(SQLStore(f"postgresql+psycopg://joe:{SECRET}@db.example/x"))


def assert_shows_no_secret(carrier):
    found = " ".join(shown(carrier))
    assert SECRET not in found
    assert SECRET[::-1] not in found
    assert SECRET not in f"{carrier} {[carrier]} {vars(type(carrier)).get('__doc__')}"


@pytest.mark.threat(32)
def test_threat_32_a_departure_shows_no_state():
    departure = OAUTH2.begin("https://app.example")
    assert departure.flow_id not in repr(departure)
    assert departure.pending["verifier"] not in repr(departure)
    assert repr(departure) == "Departure('https://a.example/authorize')"
