"""Which addresses get a token: compared with what requests asks over real sockets.

The API is below the path ``/api`` of one server. Another server, which is none of its business, is
the internal one.
"""

import json
import re
import ssl
import unicodedata
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
import requests
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from support.flows import CLIENT, quick_transport
from support.stores import connection
from support.wire import answer, wire

from scconnect_wsgi import OAuth2, OAuth2Provider
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.connections._addresses import check_redirect, is_within
from scconnect_wsgi.connections._session import ApiSession
from scconnect_wsgi.errors import ConfigurationError, ProviderError
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken

SECRET = "a-token-that-only-the-API-may-see"
OUTSIDE = [  # addresses that can be read as one outside of the API, by somebody
    pytest.param(address, id=re.sub(r"[^ -~]", "~", address).replace("\\", "~"))
    for address in (
        # Two hosts
        "http://{internal}\\@{api}/api/me",
        "http://{internal}\\\\@{api}/api/me",
        "http://{internal}#@{api}/api/me",
        "http://{internal}?@{api}/api/me",
        "http://{internal};@{api}/api/me",
        "http://{internal}@{api}/api/me",
        "http://{internal}:x@{api}/api/me",
        "http://{api}@{internal}/api/me",
        "http://{api}\\@{internal}/api/me",
        "http://{api}%40{internal}/api/me",
        "http://{api}%2f@{internal}/api/me",
        "http://{api}%5c@{internal}/api/me",
        "http://:@{api}/api/me",
        "http://@{api}/api/me",
        # Characters that one parser drops
        "ht\ttp://{internal}/api/me",
        "http://{internal}\t@{api}/api/me",
        "http://{internal}\n@{api}/api/me",
        "http:/\n/{internal}/api/me",
        "http://{api}\r\n/api/me",
        "\x00http://{api}/api/me",
        " http://{internal}/api/me",
        "http://{api} /api/me",
        "http://{api}\x7f/api/me",
        "http://{api}\x85/api/me",
        # Hosts that are written in another way, or none
        "http://{api}./api/me",
        "http://local\N{FULLWIDTH LATIN SMALL LETTER H}ost:{port}/api/me",
        "http://\N{FULLWIDTH LATIN SMALL LETTER L}ocalhost:{port}/api/me",
        "http://{api}\N{FULLWIDTH SOLIDUS}@{internal}/api/me",
        "http://{api}\N{CARE OF}/api/me",
        "http://l%6fcalhost:{port}/api/me",
        "http://127\N{IDEOGRAPHIC FULL STOP}0.0.1:{port}/api/me",
        "http://[::1%25lo]:{port}/api/me",
        "http://[::1]:{port}/api/me",
        "http://[::ffff:127.0.0.1]:{port}/api/me",
        "http://[]:{port}/api/me",
        "http://[:::::]/api/me",
        "http:///{api}/api/me",
        "http:////{api}/api/me",
        "http://:{port}/api/me",
        "http://127.1:{port}/api/me",
        "http://2130706433:{port}/api/me",
        "http://{internal}/api/me",
        # Other ports, other schemes
        "http://localhost/api/me",
        "http://localhost:/api/me",
        "http://localhost:0{port}0/api/me",
        "http://localhost:{port}x/api/me",
        "http://localhost:-{port}/api/me",
        "http://localhost:\N{FULLWIDTH DIGIT ONE}/api/me",
        "https://{api}/api/me",
        "ftp://{api}/api/me",
        "file://{api}/api/me",
        "javascript://{api}/api/me",
        # Paths that leave the API
        "http://{api}/admin",
        "http://{api}/apis/me",
        "http://{api}/api;x/me",
        "http://{api}//api/me",
        "http://{api}/API/me",
        "http://{api}/api/../admin",
        "http://{api}/api/%2e%2e/admin",
        "/%2e%2e/admin",
        "/%2E./admin",
        "/../admin",
        "/./me",
        "/me/..",
        "/..",
        "..",
        "/x/../../admin",
        "/..;/admin",
        "/..;a=b/admin",
        "/..%3b/admin",
        "/%2f..%2fadmin",
        "/x%2f..%2f..%2fadmin",
        "/..%2fadmin",
        "/..%5cadmin",
        "/..\\admin",
        "\\..\\admin",
        "/%252e%252e/admin",
        "/%25252e%25252e/admin",
        "/..%252fadmin",
        "/..%25252fadmin",
        "/%2525252525252e%2e/admin",
        "/\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}/admin",
        "/\N{TWO DOT LEADER}/admin",
        "/..\N{FULLWIDTH SOLIDUS}admin",
        "/..%ef%bc%8fadmin",
        "/%ef%bc%8e%ef%bc%8e/admin",
        "/%c0%ae%c0%ae/admin",
        "/..%c0%afadmin",
        "/..%00/admin",
        "/..%0d%0a/admin",
        "/.%09./admin",
        "/..%20/admin",
        "/me%0d%0aX-Injected:%20yes",
        "/me\r\nX-Injected: yes",
        "/me?a=\r\nX-Injected: yes",
    )
]
INSIDE = [
    "http://{api}/api/me",
    "HTTP://LOCALHOST:{port}/api/me",
    "http://{api}/api",
    "http://{api}/api?x=1",
    "/me",
    "me",
    "/tracks/soundcloud:tracks:1",
    "/resolve?url=https://user@soundcloud.com/../a\\b",
    "/search?q=../../admin%2e%2e%00",
    "/a%20b/c d",
    "/100%25",
    "/a%2fb",
    "/users/jo\N{LATIN SMALL LETTER E WITH DIAERESIS}",
    "/users/jo%C3%AB",
    "/a..b/..c/d../...",
    "//{internal}/me",
    "/@{internal}/me",
]


class Recorder:
    """A server that remembers each request line, and whether the token came along."""

    def __init__(self):
        self.location = ""
        self.body = b"{}"
        self.seen = []

    def __call__(self, talk):
        while request := talk.request():
            token = SECRET in str(request)
            self.seen.append(SimpleNamespace(target=request.line.split(" ")[1], token=token))
            if self.location and request.line.startswith("GET /api/go "):
                location = self.location.encode("utf-8").decode("latin-1")
                talk.send(answer(b"", f"Location: {location}", status="302 Found"))
            else:
                talk.send(answer(self.body, content_type="application/json"))


@contextmanager
def session_at(root, **options):
    provider = OAuth2Provider(f"{root}/authorize", f"{root}/token", api_url=root)
    flow = OAuth2(*CLIENT, provider=provider, transport=quick_transport(**options))
    store = SQLStore("sqlite://")
    stored = store.save(connection(api_url=root, token=AccessToken(SECRET)))
    with ApiSession(stored, store, flow) as session:
        yield session


@pytest.fixture(scope="module")
def world():
    api = Recorder()
    internal = Recorder()
    with (
        wire(api) as public,
        wire(internal) as private,
        session_at(f"{public.url}/api") as session,
    ):
        names = {
            "api": public.host,
            "port": public.port,
            "internal": private.host.replace("localhost", "127.0.0.1"),
        }
        yield SimpleNamespace(
            api=api, internal=internal, session=session, root=f"{public.url}/api", names=names
        )


@pytest.fixture
def fresh(world):
    """The world, when nothing was asked yet."""
    for server in (world.api, world.internal):
        server.location = ""
        server.body = b"{}"
        server.seen.clear()
    return world


def leaves_the_api(target):
    """Return whether some server would take this request target for one outside of ``/api``.

    It decodes whatever can be decoded and then walks along the path.
    """
    path = target.partition("?")[0]
    for _ in range(9):
        path = unquote(path, "latin-1").replace("\xc0\xae", ".").replace("\xc0\xaf", "/")
    with suppress(UnicodeError):
        path = path.encode("latin-1").decode("utf-8")
    walked = []
    for segment in re.split(r"[/\\]", unicodedata.normalize("NFKC", path).lstrip("/")):
        name = re.sub(r"[\x00-\x20]|;.*", "", segment)
        if name == ".." and walked:
            walked.pop()
        elif name != ".":
            walked.append(name)
    return walked[:1] != ["api"]


def check_who_saw_the_token(world):
    assert not any(seen.token for seen in world.internal.seen)
    assert not [seen for seen in world.api.seen if seen.token and leaves_the_api(seen.target)]


@pytest.mark.parametrize("address", OUTSIDE)
def test_no_call_leaves_the_api(fresh, address):
    with pytest.raises(requests.exceptions.InvalidURL):
        fresh.session.get(address.format(**fresh.names))
    with pytest.raises(requests.exceptions.InvalidURL):
        fresh.session.post(address.format(**fresh.names).encode(), data={"a": "b"})
    assert (fresh.api.seen, fresh.internal.seen) == ([], [])


@pytest.mark.parametrize("address", INSIDE)
def test_calls_of_the_api_still_go_there(fresh, address):
    fresh.session.get(address.format(**fresh.names))
    (seen,) = fresh.api.seen
    assert seen.token
    assert not leaves_the_api(seen.target)
    assert fresh.internal.seen == []


@pytest.mark.parametrize("address", OUTSIDE)
def test_no_redirect_takes_the_token_out_of_the_api(fresh, address):
    given = address.format(**fresh.names)
    fresh.api.location = re.sub(r"[\r\n]", "\v", given)  # which would end the header
    with suppress(requests.RequestException):
        fresh.session.get("/go")
    assert fresh.api.seen[0].target == "/api/go"
    check_who_saw_the_token(fresh)


@pytest.mark.parametrize(
    "address",
    [
        "http://{internal}\\@{api}/api/me",
        "http://{internal}@{api}/api/me",
        "http://{internal}%5c@{api}/api/me",
        "http://{internal}%09/api/me",
        "http://[::1%25lo]:{port}/me",
        "http://{api}/api/%2e%2e/admin",
        "http://{api}/api/..;/admin",
        "http://{api}/api/..%2fadmin",
        "/api/..%2fadmin",
        "..%5cadmin",
        "..;/admin",
        "/api/%252e%252e/admin",
    ],
)
def test_a_redirect_to_an_address_with_two_readings_is_refused(fresh, address):
    fresh.api.location = address.format(**fresh.names)
    with pytest.raises(requests.exceptions.InvalidURL):
        fresh.session.get("/go")
    assert [seen.target for seen in fresh.api.seen] == ["/api/go"]
    assert fresh.internal.seen == []


@pytest.mark.parametrize("address", OUTSIDE)
def test_no_next_page_takes_the_token_out_of_the_api(fresh, address):
    given = address.format(**fresh.names)
    fresh.api.body = json.dumps({"collection": [], "next_href": given}).encode()
    with pytest.raises(ProviderError):
        list(fresh.session.collection("/tracks"))
    check_who_saw_the_token(fresh)
    assert [seen.target.partition("?")[0] for seen in fresh.api.seen] == ["/api/tracks"]
    assert fresh.internal.seen == []


PIECES = st.lists(
    st.sampled_from(
        [
            *("http://", "https://", "//", "{api}", "{internal}", "127.0.0.1", "localhost"),
            *("/", "\\", "@", ":", ";", "?", "#", ".", "..", "[", "]", "[::1]"),
            *("%2e", "%2E%2e", "%252e", "%2f", "%5c", "%00", "%c0%ae", "\t", "\n", "\x00", " "),
            *("/api", "/api/", "api", "me", "admin"),
            *("\N{FULLWIDTH FULL STOP}", "\N{FULLWIDTH SOLIDUS}", "\N{IDEOGRAPHIC FULL STOP}"),
        ]
    ),
    max_size=9,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(pieces=PIECES, is_absolute=st.booleans())
def test_whatever_is_asked_the_token_reaches_the_api_only(world, pieces, is_absolute):
    for server in (world.api, world.internal):
        server.seen.clear()
    address = pieces.replace("{api}", world.names["api"])
    address = address.replace("{internal}", world.names["internal"])
    if is_absolute:
        address = f"http://{world.names['api']}/api{address}"
    # RecursionError and the like would be mistakes; ValueError is also UnicodeError
    with suppress(requests.RequestException, ValueError):
        world.session.get(address, allow_redirects=False)
    assert world.internal.seen == []
    check_who_saw_the_token(world)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_an_api_on_https_does_not_redirect_to_http(host, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    api = Recorder()
    internal = Recorder()
    with (
        wire(internal) as private,
        wire(api, tls) as public,
        session_at(f"{public.url}/api", ca_bundle=str(tmp_path / "authority.pem")) as session,
    ):
        api.location = f"http://{host}:{private.port}/"
        with pytest.raises(requests.exceptions.InvalidURL, match="from https to http"):
            session.get("/go")
        api.location = "/api/me"
        assert session.get("/go").status_code == 200
    assert internal.seen == []


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "site.localhost",
        "127.0.0.1",
        "127.0.0.2",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
    ],
)
def test_an_api_elsewhere_does_not_redirect_to_this_machine(host):
    request = requests.Request("GET", f"https://{host}:8443/admin").prepare()
    with pytest.raises(requests.exceptions.InvalidURL, match="this machine"):
        check_redirect("https://api.example", request)
    check_redirect("https://localhost:8001", request)


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.example/a.mp3?Policy=x%2F..%2Fy&Signature=a~b",
        "https://cdn.example:8443/%C3%AB",
        "https://8.8.8.8/x",
        "https://[2001:db8::1]/x",
        "https://localhost.example/",
        "https://127.0.0.1.example/",
    ],
)
def test_an_api_may_redirect_to_a_file_elsewhere(url):
    check_redirect("https://api.example", requests.Request("GET", url).prepare())


def test_the_spelling_of_a_root_is_no_matter():
    assert is_within("https://API.example:443/v1/", "https://api.example/v1/me")
    assert is_within("https://api.example/%7Ejoe", "https://api.example/~joe/me")
    assert not is_within("https://api.example/v1", "https://api.example:444/v1/me")


@pytest.mark.parametrize(
    "api_url", ["https://api.example/v1/../v2", "https://api.example/%2e%2e", "https://a%2eb/v1"]
)
def test_an_api_whose_own_address_can_be_read_in_two_ways_is_refused(api_url):
    provider = OAuth2Provider(f"{api_url}/authorize", f"{api_url}/token", api_url=api_url)
    with pytest.raises(ConfigurationError, match="api_url"):
        Connections(OAuth2(*CLIENT, provider=provider), SQLStore("sqlite://"))


@pytest.mark.parametrize("path", ["/../admin", "/%2e%2e/me", "/..;/me", "/me/.."])
def test_an_account_path_that_leaves_the_api_is_refused(path):
    root = "https://api.example/v1"
    provider = OAuth2Provider(f"{root}/authorize", f"{root}/token", api_url=root, account_path=path)
    with pytest.raises(ConfigurationError, match="account_path"):
        Connections(OAuth2(*CLIENT, provider=provider), SQLStore("sqlite://"))
