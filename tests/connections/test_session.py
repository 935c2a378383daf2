"""ApiSession over real sockets: where the token goes, and where it never goes."""

import io
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import pytest
import requests
from support.api import Once, Recorded
from support.flows import CLIENT, dance, flow_for, quick_transport
from support.stores import connection
from support.wire import answer, wire

from scconnect_wsgi import OAuth1, OAuth1Provider, OAuth2, OAuth2Provider
from scconnect_wsgi.account import Account
from scconnect_wsgi.connections._session import ApiSession
from scconnect_wsgi.errors import ConnectionRevoked, ProviderError, ProviderUnavailable, RateLimited
from scconnect_wsgi.sandbox import serve
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken

SECRET = "a token that only the API may see"


@pytest.fixture
def api():
    recorded = Recorded()
    with serve(recorded) as server:
        recorded.url = server.url
        yield recorded


@pytest.fixture
def elsewhere():
    recorded = Recorded()
    with serve(recorded) as server:
        recorded.url = server.url
        yield recorded


def provider_at(root, **fields):
    return OAuth2Provider(f"{root}/authorize", f"{root}/oauth/token", api_url=root, **fields)


def session_for(flow, *, on_lost=lambda *_: None, store=None, sleep=time.sleep, **fields):
    store = store or SQLStore("sqlite://")
    given = {"token": AccessToken(SECRET), "api_url": flow.provider.api_url, **fields}
    return ApiSession(store.save(connection(**given)), store, flow, on_lost, sleep=sleep)


@pytest.fixture
def slept():
    """The seconds of each wait of the session."""
    return []


@pytest.fixture
def session(api, slept):
    flow = OAuth2(*CLIENT, provider=provider_at(api.url), transport=quick_transport())
    with session_for(flow, sleep=slept.append) as session:
        yield session


@pytest.mark.parametrize("address", ["/me?a=b%20c", "me?a=b%20c", "{root}/me?a=b%20c"])
def test_a_call_goes_below_the_api_with_the_token(api, session, address):
    assert session.get(address.format(root=api.url)).status_code == 200
    (asked,) = api.asked
    assert (asked.method, asked.path, asked.headers["AUTHORIZATION"]) == (
        "GET",
        "/me?a=b%20c",
        f"OAuth {SECRET}",
    )


def test_the_answer_and_its_request_do_not_hold_the_token(session):
    answer = session.get("/me")
    assert "Authorization" not in answer.request.headers


def test_neither_does_an_error(session, api):
    api.say("/me", ("200 OK", {"Content-Length": "7"}, ""))
    with pytest.raises(requests.RequestException) as caught:
        session.get("/me", timeout=0.2)
    assert SECRET not in str(caught.value.request.headers if caught.value.request else "")


FORKING = """
    import os, sys
    from scconnect_wsgi import AccessToken, OAuth2, OAuth2Provider
    from scconnect_wsgi.connections import ApiSession
    from scconnect_wsgi.stores import Connection
    from scconnect_wsgi.stores.sql import SQLStore

    url = sys.argv[1]
    provider = OAuth2Provider(url + "/a", url + "/t", api_url=url)
    stored = Connection("one", "joe", url, AccessToken("a token"))
    session = ApiSession(stored, SQLStore("sqlite://"), OAuth2("id", "secret", provider=provider))

    def say(who):
        assert session.get("/" + who).text == who

    say("before")
    child = os.fork()
    if not child:
        code = 1
        try:
            say("child")
            say("again")
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    say("after")
"""


@pytest.mark.slow
@pytest.mark.threat(39)
def test_threat_39_no_connection_to_the_api_is_carried_over_a_fork():
    heard = []

    def echo(connection):
        number = connection.wire.accepted
        while request := connection.request():
            who = request.line.split()[1].strip("/")
            heard.append((number, who))
            connection.send(answer(who.encode()))

    with wire(echo) as server:
        command = [sys.executable, "-c", textwrap.dedent(FORKING), server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [who for _, who in heard] == ["before", "child", "again", "after"]
    numbers = {who: number for number, who in heard}
    assert numbers["child"] != numbers["before"]
    assert numbers["after"] != numbers["child"]


@pytest.mark.threat(36)
def test_threat_36_a_call_without_a_timeout_has_that_of_the_transport():
    with wire(lambda connection: connection.request() and connection.stream.read()) as silent:
        flow = OAuth2(
            *CLIENT, provider=provider_at(silent.url), transport=quick_transport(timeout=0.3)
        )
        with session_for(flow) as session, pytest.raises(requests.Timeout):
            session.get("/me")


@pytest.mark.parametrize("token_type", ["OAuth", "Bearer"])
def test_the_provider_says_which_word_goes_before_the_token(api, token_type):
    flow = OAuth2(
        *CLIENT,
        provider=provider_at(api.url, token_type=token_type, headers={"User-Agent": "Mine/1"}),
    )
    with session_for(flow) as session:
        session.get("/me")
    assert api.asked[0].headers["AUTHORIZATION"] == f"{token_type} {SECRET}"
    assert api.asked[0].headers["USER_AGENT"] == "Mine/1"


@pytest.mark.parametrize(
    "address",
    [
        "{elsewhere}/me",
        "http://localhost:{port}/me",  # another name of the same machine is another origin
        "https://127.0.0.1:{port}/me",
        "http://127.0.0.1:{port}@{host}/me",
        "http://127.0.0.1:{port}\\@{host}/me",
    ],
)
def test_an_absolute_address_of_another_origin_is_refused(api, elsewhere, session, address):
    host = elsewhere.url.removeprefix("http://")
    port = api.url.rpartition(":")[2]
    with pytest.raises(requests.exceptions.InvalidURL):
        session.get(address.format(elsewhere=elsewhere.url, host=host, port=port))
    assert (api.asked, elsewhere.asked) == ([], [])


@pytest.mark.parametrize(
    "address", ["//{host}/me", "\\\\{host}/me", "/\\{host}/me", "@{host}/me", ".{host}/me"]
)
def test_a_relative_address_cannot_name_another_host(api, elsewhere, session, address):
    session.get(address.format(host=elsewhere.url.removeprefix("http://")))
    assert (len(api.asked), elsewhere.asked) == (1, [])


def test_an_api_with_a_path_keeps_its_token_below_it(api):
    flow = OAuth2(*CLIENT, provider=replace(provider_at(api.url), api_url=f"{api.url}/v1"))
    with session_for(flow) as session:
        session.get("/me")
        for address in ("/../admin", f"{api.url}/v10/me", f"{api.url}/admin"):
            with pytest.raises(requests.exceptions.InvalidURL):
                session.get(address)
    assert [asked.path for asked in api.asked if "AUTHORIZATION" in asked.headers] == ["/v1/me"]


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
def test_a_redirect_to_another_host_is_followed_without_the_token(api, elsewhere, session, status):
    """As SoundCloud's streams do."""
    session.headers["X-Own"] = "kept"
    api.say("/tracks/1/stream", (status, {"Location": f"{elsewhere.url}/file?x=1"}, ""))
    assert session.get("/tracks/1/stream").status_code == 200
    (asked,) = elsewhere.asked
    assert asked.path == "/file?x=1"
    assert SECRET not in str(asked)
    assert "AUTHORIZATION" not in asked.headers


def test_headers_of_the_provider_do_not_leave_it_either(api, elsewhere):
    flow = OAuth2(*CLIENT, provider=provider_at(api.url, headers={"X-Api-Key": SECRET}))
    api.say("/a", ("302 Found", {"Location": f"{elsewhere.url}/file"}, ""))
    with session_for(flow) as session:
        session.get("/a")
    assert api.asked[0].headers["X_API_KEY"] == SECRET
    assert SECRET not in str(elsewhere.asked)


def test_a_redirect_within_the_api_keeps_the_token(api, session):
    api.say("/a", ("302 Found", {"Location": "/b"}, ""))
    session.get("/a")
    assert [asked.headers["AUTHORIZATION"] for asked in api.asked] == [f"OAuth {SECRET}"] * 2


@pytest.mark.parametrize("status", ["307 Temporary", "308 Permanent"])
def test_what_is_posted_is_not_carried_to_another_host(api, elsewhere, session, status):
    api.say("/tracks", (status, {"Location": f"{elsewhere.url}/tracks"}, ""))
    assert session.post("/tracks", data={"title": "private"}).status_code == int(status[:3])
    session.resend = True
    with pytest.raises(requests.exceptions.InvalidURL, match="may leave the API"):
        session.post("/tracks", data={"title": "private"})
    assert elsewhere.asked == []


def test_a_redirect_to_plain_http_is_refused(api, session):
    api.say("/a", ("302 Found", {"Location": "http://cdn.example/file"}, ""))
    with pytest.raises(requests.exceptions.InvalidURL, match="https"):
        session.get("/a")


def test_nothing_comes_from_the_environment(api, session, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    session.get("/me")
    assert api.asked[0].headers["AUTHORIZATION"] == f"OAuth {SECRET}"


def test_no_cookie_is_kept(api, session):
    api.say("/a", ("200 OK", {"Set-Cookie": "who=joe; Path=/"}, "{}"))
    session.get("/a")
    session.get("/b")
    assert "COOKIE" not in api.asked[1].headers


def test_a_call_has_a_time_limit_though_nobody_gave_one(root, monkeypatch):
    flow = flow_for("oauth2", f"{root}/misbehave/slow=3", transport=quick_transport(timeout=0.3))
    with session_for(flow) as session, pytest.raises(requests.Timeout):
        session.get("/me")


# OAuth 1.0a


def test_every_call_of_oauth1_is_signed(root):
    flow = flow_for("oauth1", root)
    with session_for(flow, token=dance(flow)) as session:
        assert session.me().username == "joe"
        assert session.get("/me/tracks", params={"limit": "2", "q": "ä b&c=d"}).status_code == 200
        assert [track["title"] for track in session.collection("/me/tracks", limit=2)][
            -1
        ] == "Loops 1 to 9"


def test_a_form_is_part_of_the_signature_and_json_is_not(api):
    provider = OAuth1Provider(f"{api.url}/r", f"{api.url}/a", f"{api.url}/t", api_url=api.url)
    flow = OAuth1(*CLIENT, provider=provider)
    with session_for(flow, token=AccessToken("t", token_secret=SECRET)) as session:
        session.post("/tracks", data={"title": "a b"})
        session.post("/tracks", json={"title": "a b"})
        session.post("/tracks", files={"file": io.BytesIO(b"RIFF")})
    assert [asked.body[:9] for asked in api.asked][:2] == [b"title=a+b", b'{"title":']
    for asked in api.asked:
        assert asked.headers["AUTHORIZATION"].startswith("OAuth oauth_nonce=")


def test_a_signature_does_not_leave_the_api_either(api, elsewhere):
    provider = OAuth1Provider(f"{api.url}/r", f"{api.url}/a", f"{api.url}/t", api_url=api.url)
    api.say("/a", ("302 Found", {"Location": f"{elsewhere.url}/file"}, ""))
    with session_for(
        OAuth1(*CLIENT, provider=provider), token=AccessToken("t", token_secret=SECRET)
    ) as session:
        session.get("/a")
    assert [
        list(asked.headers) for asked in elsewhere.asked if "AUTHORIZATION" in asked.headers
    ] == []


@pytest.mark.parametrize(
    "problem", ["timestamp_refused", "nonce_used", "signature_invalid", "consumer_key_unknown"]
)
def test_a_401_that_is_not_about_the_token_ends_nothing(api, problem):
    provider = OAuth1Provider(f"{api.url}/r", f"{api.url}/a", f"{api.url}/t", api_url=api.url)
    api.say("/me", ("401 Unauthorized", {"WWW-Authenticate": f"OAuth oauth_problem={problem}"}, ""))
    with session_for(
        OAuth1(*CLIENT, provider=provider), token=AccessToken("t", token_secret=SECRET)
    ) as session:
        assert session.get("/me").status_code == 401
        assert session.connection.ended == ""


def test_a_401_of_oauth1_is_the_end(sandbox, root):
    flow = flow_for("oauth1", root)
    lost = []
    token = dance(flow)
    sandbox.revoke("joe")
    with session_for(flow, token=token, on_lost=lambda *heard: lost.append(heard)) as session:
        for _ in range(2):
            with pytest.raises(ConnectionRevoked, match="connect again"):
                session.get("/me")
    assert [(found.ended, type(error)) for found, error in lost] == [
        ("connection_revoked", ConnectionRevoked)
    ]


# A 401 of one resource. Threats 52 and 56

UNVERIFIED = (
    "401 Unauthorized",
    {},
    '{"code": 401, "message": "Unauthorized", "errors": [], "error": null}',
)
CREATED = ("201 Created", {}, "{}")
WELCOME = ("200 OK", {}, '{"urn": "soundcloud:users:1"}')
RENEWED = (
    "200 OK",
    {},
    '{"access_token": "the renewed one", "refresh_token": "the next one", "expires_in": 3600}',
)
RENEWABLE = AccessToken(SECRET, refresh_token="a refresh token of this API")
GONE = ("404 Not Found", {}, "{}")


def oauth1_at(root):
    provider = OAuth1Provider(f"{root}/r", f"{root}/a", f"{root}/t", api_url=root)
    return OAuth1(*CLIENT, provider=provider, transport=quick_transport())


@pytest.fixture
def lost():
    return []


@pytest.fixture
def renewable(api, lost):
    """A session whose token can be refreshed."""
    flow = OAuth2(*CLIENT, provider=provider_at(api.url), transport=quick_transport())
    api.say("/oauth/token", RENEWED)
    with session_for(flow, token=RENEWABLE, on_lost=lambda *heard: lost.append(heard)) as session:
        yield session


def asked(api):
    return [f"{one.method} {one.path}" for one in api.asked]


@pytest.mark.threat(52)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_52_a_401_of_one_resource_is_the_callers(api, renewable, lost, method):
    api.say("/tracks", UNVERIFIED)
    api.say("/me", WELCOME)
    for _ in range(3):
        assert renewable.request(method, "/tracks", data=b"RIFF").status_code == 401
    assert (
        asked(api) == [f"{method} /tracks", "GET /me"] * 3
    )  # nothing is refreshed, nothing is sent twice
    assert (renewable.connection.ended, lost) == ("", [])
    assert renewable.me().urn == "soundcloud:users:1"


@pytest.mark.threat(52)
@pytest.mark.parametrize("me", [WELCOME, GONE, ("500 Error", {}, ""), ("403 Forbidden", {}, "{}")])
def test_52_of_oauth1_likewise(api, lost, me):
    api.say("/tracks", UNVERIFIED)
    api.say("/me", me)
    token = AccessToken("t", token_secret=SECRET)
    with session_for(
        oauth1_at(api.url), token=token, on_lost=lambda *heard: lost.append(heard)
    ) as session:
        assert session.post("/tracks", data=b"RIFF").status_code == 401
        assert (session.connection.ended, lost) == ("", [])
    assert asked(api) == ["POST /tracks", "GET /me"]


@pytest.mark.threat(52)
def test_52_a_me_that_does_not_like_the_signature_ends_nothing(api):
    api.say("/tracks", UNVERIFIED)
    api.say("/me", ("401 Unauthorized", {"WWW-Authenticate": "OAuth oauth_problem=nonce_used"}, ""))
    with session_for(oauth1_at(api.url), token=AccessToken("t", token_secret=SECRET)) as session:
        assert session.get("/tracks").status_code == 401
        assert session.connection.ended == ""


@pytest.mark.threat(52)
@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_52_a_me_that_refuses_a_token_that_nothing_refreshes_ends_it(api, lost, protocol):
    api.say("/tracks", UNVERIFIED)
    api.say("/me", UNVERIFIED)
    flow = (
        oauth1_at(api.url)
        if protocol == "oauth1"
        else OAuth2(*CLIENT, provider=provider_at(api.url))
    )
    with session_for(
        flow, token=AccessToken(SECRET), on_lost=lambda *heard: lost.append(heard)
    ) as session:
        with pytest.raises(ConnectionRevoked):
            session.post("/tracks", data=b"RIFF")
        assert session.connection.ended == "connection_revoked"
    assert len(lost) == 1
    assert asked(api) == ["POST /tracks", "GET /me"]


@pytest.mark.threat(52)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_52_a_me_that_refuses_the_fresh_token_ends_it(api, renewable, lost, method):
    api.say("/tracks", UNVERIFIED)
    api.say("/me", UNVERIFIED)
    for _ in range(2):
        with pytest.raises(ConnectionRevoked, match="connect again"):
            renewable.request(method, "/tracks")
    assert len(lost) == 1
    assert asked(api).count("POST /oauth/token") == 1
    assert asked(api).count("POST /tracks") == (2 if method == "POST" else 0)  # each call once


@pytest.mark.threat(52)
def test_52_a_refresh_that_is_refused_ends_it(api, renewable, lost):
    api.say("/tracks", UNVERIFIED)
    api.say("/me", UNVERIFIED)
    api.say("/oauth/token", ("400 Bad Request", {}, '{"error": "invalid_grant"}'))
    with pytest.raises(ConnectionRevoked):
        renewable.post("/tracks", data=b"RIFF")
    assert asked(api) == ["POST /tracks", "GET /me", "POST /oauth/token"]
    assert len(lost) == 1


@pytest.mark.threat(52)
@pytest.mark.parametrize(
    "me", [GONE, ("503 Unavailable", {}, ""), ("200 OK", {"Content-Length": "9"}, "{}")]
)
def test_52_a_me_that_does_not_tell_costs_one_refresh_and_no_more(api, renewable, me):
    api.say("/tracks", UNVERIFIED)
    api.say("/me", me)
    for _ in range(3):
        assert renewable.get("/tracks", timeout=1).status_code == 401
    assert asked(api).count("POST /oauth/token") == 1
    assert renewable.connection.ended == ""


def test_a_provider_without_me_has_its_tokens_refreshed_on_a_401(api, renewable):
    api.say("/tracks", UNVERIFIED, WELCOME)
    api.say("/me", GONE)
    assert renewable.get("/tracks").status_code == 200
    assert asked(api) == ["GET /tracks", "GET /me", "POST /oauth/token", "GET /tracks"]


@pytest.mark.threat(52)
@pytest.mark.parametrize("path", ["/me?fields=mail", "/me/tracks", "/ME"])
def test_52_a_401_of_what_is_almost_me_is_the_callers(api, renewable, lost, path):
    api.say(path, UNVERIFIED)
    api.say("/me", WELCOME)
    assert renewable.get(path).status_code == 401
    assert asked(api) == [f"GET {path}", "GET /me"]
    assert lost == []


@pytest.mark.threat(52)
@pytest.mark.parametrize("path", ["/me", "/tracks"])
@pytest.mark.parametrize(
    "body",
    [
        "oauth_problem=timestamp_refused&oauth_acceptable_timestamps=1-2",
        '{"oauth_problem": "nonce_used"}',
        '{"errors": [{"code": 135, "message": "Timestamp out of bounds."}]}',
    ],
)
def test_52_a_problem_that_is_named_in_the_body_ends_nothing(api, lost, path, body):
    """A host whose clock is wrong would end every connection that it uses."""
    api.say("/tracks", UNVERIFIED)
    api.say("/me", ("401 Unauthorized", {}, body))
    token = AccessToken("t", token_secret=SECRET)
    with session_for(
        oauth1_at(api.url), token=token, on_lost=lambda *heard: lost.append(heard)
    ) as session:
        assert session.get(path).status_code == 401
        assert (session.connection.ended, lost) == ("", [])


@pytest.mark.threat(52)
@pytest.mark.parametrize(
    "challenge",
    [
        'OAuth error="timestamp_refused"',
        'OAuth realm="x", problem="nonce_used"',
        "OAuth oauth_problem%3Dtimestamp_refused",
    ],
)
def test_52_a_problem_has_many_spellings_in_the_header(api, challenge):
    api.say("/me", ("401 Unauthorized", {"WWW-Authenticate": challenge}, "{}"))
    token = AccessToken("t", token_secret=SECRET)
    with session_for(oauth1_at(api.url), token=token) as session:
        assert session.get("/me").status_code == 401
        assert session.connection.ended == ""


def test_52_a_realm_that_sounds_like_a_problem_is_none(api, lost):
    refused = ("401 Unauthorized", {"WWW-Authenticate": 'OAuth realm="signature_service"'}, "{}")
    api.say("/tracks", refused)
    api.say("/me", refused)
    token = AccessToken("t", token_secret=SECRET)
    with session_for(oauth1_at(api.url), token=token) as session, pytest.raises(ConnectionRevoked):
        session.get("/tracks")


@pytest.mark.threat(52)
def test_52_a_token_without_the_scope_is_not_refused(api, renewable, lost):
    challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
    api.say("/tracks", ("401 Unauthorized", challenge, "{}"))
    assert renewable.get("/tracks").status_code == 401
    assert asked(api) == ["GET /tracks"]
    assert lost == []


@pytest.mark.threat(55)
@pytest.mark.parametrize(
    "trouble",
    [
        ("503 Unavailable", {}, ""),
        ("429 Too Many Requests", {"Retry-After": "60"}, ""),
        ("400 Bad Request", {}, '{"error": "invalid_client"}'),
    ],
)
def test_55_the_token_endpoints_trouble_does_not_hide_the_401_in_hand(api, renewable, trouble):
    api.say("/tracks", UNVERIFIED)
    api.say("/me", ("503 Unavailable", {}, ""))
    api.say("/oauth/token", trouble)
    response = renewable.post("/tracks", data=b"RIFF")
    assert (response.status_code, response.json()["message"]) == (401, "Unauthorized")
    assert asked(api) == ["POST /tracks", "GET /me", "POST /oauth/token"]


@pytest.mark.threat(55)
def test_55_but_it_is_told_if_the_token_was_refused(api, renewable):
    api.say("/tracks", UNVERIFIED)
    api.say("/me", UNVERIFIED)
    api.say("/oauth/token", ("503 Unavailable", {}, ""))
    with pytest.raises(ProviderUnavailable):
        renewable.get("/tracks")


REPEATING = [
    *[("307 Temporary", method) for method in ("POST", "PUT", "PATCH", "DELETE")],
    *[("308 Permanent", method) for method in ("POST", "PUT", "PATCH", "DELETE")],
    *[("301 Moved", method) for method in ("PUT", "PATCH", "DELETE")],
]


@pytest.mark.threat(56)
@pytest.mark.parametrize(("status", "method"), REPEATING)
def test_56_a_redirect_does_not_send_it_again_either(api, session, status, method):
    api.say("/a", (status, {"Location": "/b"}, ""))
    response = session.request(method, "/a", data=b"RIFF")
    assert (response.status_code, response.headers["Location"]) == (int(status[:3]), "/b")
    assert asked(api) == [f"{method} /a"]


@pytest.mark.threat(56)
@pytest.mark.parametrize("status", ["307 Temporary", "308 Permanent"])
def test_56_unless_the_caller_said_that_a_redirect_may(api, session, status):
    session.resend = True
    api.say("/a", (status, {"Location": "/b"}, ""))
    assert session.post("/a", data=b"RIFF").status_code == 200
    assert [(one.method, one.path, one.body) for one in api.asked] == [
        ("POST", "/a", b"RIFF"),
        ("POST", "/b", b"RIFF"),
    ]


@pytest.mark.parametrize("status", ["307 Temporary", "308 Permanent"])
def test_56_a_body_that_was_read_follows_no_redirect(api, session, status):
    session.resend = True
    api.say("/a", (status, {"Location": "/b"}, ""))
    assert session.post("/a", data=Once(b"RIFF")).status_code == int(status[:3])
    assert session.get("/a", data=Once(b"a query")).status_code == int(status[:3])
    assert asked(api) == ["POST /a", "GET /a"]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other"])
def test_a_redirect_that_turns_a_post_into_a_get_is_followed(api, session, status):
    """SoundCloud's /resolve and its like; the body stays behind."""
    api.say("/a", (status, {"Location": "/b"}, ""))
    assert session.post("/a", data=b"RIFF").status_code == 200
    assert [(one.method, one.path, one.body) for one in api.asked][1:] == [("GET", "/b", b"")]


@pytest.mark.threat(56)
def test_56_a_get_whose_body_was_read_is_not_sent_again(api, session, slept):
    api.say("/a", ("503 Unavailable", {"Retry-After": "1"}, ""))
    assert session.get("/a", data=Once(b"a query")).status_code == 503
    assert (len(api.asked), slept) == (1, [])


@pytest.mark.threat(46)
def test_46_the_body_of_a_401_is_the_callers_to_read(api, renewable):
    api.say("/tracks", ("401 Unauthorized", {}, "x" * 1_000_000))
    api.say("/me", WELCOME)
    with renewable.get("/tracks", stream=True) as response:
        assert response.status_code == 401
        assert not response._content_consumed
        assert len(response.raw.read(10)) == 10


@pytest.mark.threat(56)
def test_56_what_changes_something_is_not_sent_again_by_itself(api, renewable):
    api.say("/tracks", UNVERIFIED, CREATED)
    api.say("/me", UNVERIFIED, WELCOME)
    assert renewable.post("/tracks", data=b"RIFF").status_code == 401
    assert asked(api) == ["POST /tracks", "GET /me", "POST /oauth/token", "GET /me"]
    assert renewable.connection.token.token == "the renewed one"
    assert renewable.post("/tracks", data=b"RIFF").status_code == 201
    assert asked(api)[4:] == ["POST /tracks"]


@pytest.mark.threat(56)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_56_unless_the_caller_said_that_it_may_be(api, renewable, method):
    api.say("/tracks", UNVERIFIED, CREATED)
    api.say("/me", UNVERIFIED)
    assert renewable.resend is False
    renewable.resend = True
    assert renewable.request(method, "/tracks", data=b"RIFF").status_code == 201
    assert asked(api) == [f"{method} /tracks", "GET /me", "POST /oauth/token", f"{method} /tracks"]
    assert [one.body for one in api.asked if one.path == "/tracks"] == [b"RIFF"] * 2


@pytest.mark.threat(56)
def test_56_a_stream_never_is(api, renewable):
    api.say("/tracks", UNVERIFIED, CREATED)
    api.say("/me", UNVERIFIED, WELCOME)
    renewable.resend = True
    assert renewable.post("/tracks", data=Once(b"RIFF")).status_code == 401
    assert asked(api).count("POST /tracks") == 1


@pytest.mark.threat(56)
def test_56_nor_is_it_sent_again_with_a_token_that_somebody_else_got(api):
    api.say("/tracks", UNVERIFIED, CREATED)
    store = SQLStore("sqlite://")
    flow = OAuth2(*CLIENT, provider=provider_at(api.url), transport=quick_transport())
    with session_for(flow, store=store, token=RENEWABLE) as session:
        store.save(replace(session.connection, token=AccessToken("the renewed one")))
        assert session.post("/tracks", data=b"RIFF").status_code == 401
        assert session.post("/tracks", data=b"RIFF").status_code == 201
    assert asked(api) == ["POST /tracks"] * 2


# Who it is


def test_me_says_who_it_is(root):
    flow = flow_for("oauth2", root)
    with session_for(flow, token=dance(flow)) as session:
        assert session.me() == Account(
            "soundcloud:users:743372812",
            "joe",
            "Joe Sample",
            f"{root}/avatar.svg",
            "https://soundcloud.com/joe",
        )


@pytest.mark.parametrize(
    ("habit", "error"),
    [
        ("down", ProviderUnavailable),
        ("html", ProviderError),
        ("html403", ProviderError),
        ("garbage", ProviderError),
        ("status=503", ProviderUnavailable),
        ("429=60", RateLimited),
        ("short", ProviderUnavailable),
    ],
)
def test_me_on_a_bad_day_is_one_typed_error(root, habit, error):
    flow = flow_for("oauth2", f"{root}/misbehave/{habit}")
    token = dance(flow_for("oauth2", root))
    with session_for(flow, token=token) as session, pytest.raises(error) as caught:
        session.me()
    assert type(caught.value) is error
    assert caught.value.retry_after == (60 if error is RateLimited else None)


# Pages


def test_a_collection_goes_on_over_its_pages(sandbox, root):
    flow = flow_for("oauth2", root)
    with session_for(flow, token=dance(flow)) as session:
        tracks = session.collection("/me/tracks", limit=2)
        next(tracks)
        assert sandbox.counts["tracks"] == 1  # as they are needed
        assert len([*tracks]) == 4
        assert sandbox.counts["tracks"] == 3


def test_a_bare_array_is_a_collection_too(api, session):
    api.say("/me/tracks?linked_partitioning=true", ("200 OK", {}, "[1, 2]"))
    assert [*session.collection("/me/tracks")] == [1, 2]


@pytest.mark.parametrize(
    "page",
    [
        '{"collection": [1], "next_href": "%(elsewhere)s/me/tracks"}',
        # Itself, for ever
        '{"collection": [1], "next_href": "%(api)s/me/tracks?linked_partitioning=true"}',
        '{"collection": [1], "next_href": "/me/tracks?page=2"}',
        '{"collection": [1], "next_href": 2}',
        '{"collection": {"1": 2}}',
        "{}",
        "1",
        "null",
    ],
)
def test_a_page_that_leads_nowhere_good_is_one_typed_error(api, elsewhere, session, page):
    api.say(
        "/me/tracks?linked_partitioning=true",
        ("200 OK", {}, page % {"api": api.url, "elsewhere": elsewhere.url}),
    )
    with pytest.raises(ProviderError):
        for _ in session.collection("/me/tracks"):
            pass
    assert elsewhere.asked == []
    assert len(api.asked) <= 2


# Retry-After


@pytest.mark.parametrize("status", ["429 Too Many", "503 Unavailable"])
def test_a_get_waits_as_long_as_it_is_told(api, session, slept, status):
    api.say("/me", (status, {"Retry-After": "7"}, ""), ("200 OK", {}, "{}"))
    assert session.get("/me").status_code == 200
    assert slept == [7]


def test_but_not_longer_than_its_patience(api, session, slept):
    api.say("/me", ("429 Too Many", {"Retry-After": "4"}, ""))
    assert session.get("/me").status_code == 429
    assert slept == [4, 4]
    assert len(api.asked) == 3
    api.say("/me", ("429 Too Many", {"Retry-After": "3600"}, ""))
    assert session.get("/me").status_code == 429
    assert slept == [4, 4]


def test_patience_can_be_set(api, session, slept):
    api.say("/me", ("429 Too Many", {"Retry-After": "4"}, ""))
    session.patience = 3
    assert session.get("/me").status_code == 429
    assert slept == []


def test_a_wait_of_no_time_ends_too(api, session, slept):
    api.say("/me", ("429 Too Many", {"Retry-After": "0"}, ""))
    session.patience = 2
    assert session.get("/me").status_code == 429
    assert slept == [1, 1]
    assert len(api.asked) == 3


def test_a_wait_keeps_the_connection_to_the_api():
    busy = answer(b"later", "Retry-After: 1", status="503 Busy")

    def talk(connection):
        for said in (busy, answer(b"{}")):
            connection.request()
            connection.send(said)

    with wire(talk) as server:
        flow = OAuth2(*CLIENT, provider=provider_at(server.url), transport=quick_transport())
        with session_for(flow, sleep=lambda _: None) as patient:
            assert patient.get("/me", stream=True).status_code == 200
        assert server.accepted == 1


def test_a_post_is_not_sent_again(api, session, slept):
    api.say("/tracks", ("503 Unavailable", {"Retry-After": "1"}, ""))
    assert session.post("/tracks", data={"a": "b"}).status_code == 503
    assert slept == []
    assert len(api.asked) == 1
