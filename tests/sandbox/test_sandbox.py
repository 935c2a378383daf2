"""The sandbox, over real sockets, with clients that share no code with it."""

import base64
import gzip
import hashlib
import html
import logging
import re
import socket
import sys
import threading
import time
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests
from oauthlib import oauth1
from requests_oauthlib import OAuth1Session

from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.sandbox._state import ISSUED

pytestmark = pytest.mark.slow

CALLBACK = "http://127.0.0.1:9/oauth/access_token"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
CLIENT = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}


class Clock:
    """The time of a sandbox, which passes only when told."""

    def __init__(self):
        self.now = time.time()

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sandbox(clock):
    return Sandbox(clock=clock)


@pytest.fixture
def server(sandbox):
    with serve(sandbox) as server:
        yield server


@pytest.fixture
def root(server):
    return server.url


@pytest.fixture
def browser():
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def started():
    """Further sandboxes, each made with its own arguments and stopped afterwards."""
    servers = []

    def start(**arguments):
        servers.append(serve(Sandbox(**arguments)))
        return servers[-1].url

    yield start
    for server in servers:
        server.stop()


def fields(page):
    """The hidden fields of the first form of a page."""
    form = page.text.partition("</form>")[0]
    return {
        name: html.unescape(value)
        for name, value in re.findall(r'name="(csrf|next)" value="([^"]*)"', form)
    }


def question(**changes):
    asked = {
        "response_type": "code",
        "client_id": CLIENT["client_id"],
        "redirect_uri": CALLBACK,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "a state & more",
        "display": "popup",
    }
    return {name: value for name, value in {**asked, **changes}.items() if value is not None}


def decide(browser, url, params=None, decision="allow", username="joe"):
    """Log in where asked to, decide, and say where that leads."""
    page = browser.get(url, params=params)
    if 'id="login"' in page.text:
        login = (
            urlsplit(url)
            ._replace(path=re.search(r'action="([^"]*/login)"', page.text)[1], query="")
            .geturl()
        )
        page = browser.post(
            login, data={**fields(page), "username": username, "password": username}
        )
    assert 'id="allow"' in page.text
    assert 'id="deny"' in page.text
    left = browser.post(
        page.url, data={**fields(page), "decision": decision}, allow_redirects=False
    )
    assert left.status_code == 303
    return left.headers["Location"]


def query(url):
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True))


def code_for(browser, root, **changes):
    return query(decide(browser, f"{root}/authorize", question(**changes)))["code"]


def exchange(root, good_code, **changes):
    body = {
        **CLIENT,
        "grant_type": "authorization_code",
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    body = {
        name: value
        for name, value in {**body, "code": good_code, **changes}.items()
        if value is not None
    }
    return requests.post(f"{root}/oauth/token", data=body, timeout=10)


def refresh(root, token, **changes):
    body = {**CLIENT, "grant_type": "refresh_token", "refresh_token": token, **changes}
    return requests.post(f"{root}/oauth/token", data=body, timeout=10)


def call(root, token, path="/me", scheme="OAuth"):
    return requests.get(f"{root}{path}", headers={"Authorization": f"{scheme} {token}"}, timeout=10)


def tokens(browser, root):
    answer = exchange(root, code_for(browser, root))
    assert answer.status_code == 200
    return answer.json()


# OAuth 2.1


def test_oauth2_the_whole_dance(sandbox, root, browser):
    back = decide(browser, f"{root}/authorize", question())
    assert back.startswith(f"{CALLBACK}?")
    assert query(back) == {"code": query(back)["code"], "state": "a state & more"}
    answer = exchange(root, query(back)["code"])
    token = answer.json()
    assert set(token) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert (token["token_type"], token["expires_in"], token["scope"]) == ("Bearer", 3600, "")
    assert len(token["access_token"]) > 500
    assert answer.headers["Cache-Control"] == "no-store"
    for scheme in ("OAuth", "Bearer"):
        me = call(root, token["access_token"], scheme=scheme).json()
        assert (me["urn"], me["username"], me["full_name"]) == (
            "soundcloud:users:743372812",
            "joe",
            "Joe Sample",
        )
        assert "email" not in me
    assert sandbox.counts["token"] == 1
    assert sandbox.counts["me"] == 2
    assert sandbox.counts.copy() == sandbox.counts
    assert requests.get(f"{root}/sandbox/counts", timeout=10).json() == dict(sandbox.counts)


@pytest.mark.parametrize("space", ["\xa0", "\x85", "\x1c", "\t"], ids=ascii)
def test_only_spaces_stand_between_scheme_and_token(root, browser, space):
    token = tokens(browser, root)["access_token"]
    assert call(root, token, scheme="Bearer ").status_code == 200
    answer = requests.get(
        f"{root}/me", headers={"Authorization": f"Bearer{space}{token}"}, timeout=10
    )
    assert answer.status_code == 401


def test_oauth2_deny(root, browser):
    back = query(decide(browser, f"{root}/authorize", question(), decision="deny"))
    assert back.pop("error_description")
    assert back == {"error": "access_denied", "state": "a state & more"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"code_challenge": None, "code_challenge_method": None}, id="no challenge"),
        pytest.param({"code_challenge_method": "plain"}, id="plain"),
        pytest.param({"code_challenge_method": None}, id="no method, which means plain"),
        pytest.param({"code_challenge": "short"}, id="a challenge that is no SHA-256"),
    ],
)
def test_oauth2_pkce_is_mandatory(root, browser, changes):
    answer = browser.get(f"{root}/authorize", params=question(**changes), allow_redirects=False)
    assert answer.status_code == 303
    assert query(answer.headers["Location"])["error"] == "invalid_request"
    assert query(answer.headers["Location"])["state"] == "a state & more"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"redirect_uri": "http://evil.example/"}, id="another host"),
        pytest.param(
            {"redirect_uri": "http://127.0.0.1.evil.example/"}, id="a host that begins like ours"
        ),
        pytest.param(
            {"redirect_uri": "http://127.0.0.1@evil.example/"}, id="a user name like ours"
        ),
        pytest.param({"redirect_uri": "javascript:alert(1)"}, id="javascript"),
        pytest.param({"redirect_uri": None}, id="none"),
        pytest.param({"client_id": "somebody"}, id="another client"),
        pytest.param({"client_id": None}, id="no client"),
        pytest.param({"state": ["a", "b"]}, id="a parameter twice"),
    ],
)
def test_oauth2_an_unregistered_way_back_shows_a_page(root, browser, changes):
    answer = browser.get(f"{root}/authorize", params=question(**changes), allow_redirects=False)
    assert answer.status_code == 400
    assert "registered" in answer.text
    assert "Location" not in answer.headers


def test_registered_redirect_uris_are_compared_to_the_byte(started, browser):
    root = started(redirect_uris=["https://app.example/cb"])
    for url, status in (
        ("https://app.example/cb", 200),
        ("https://app.example/cb/", 400),
        (CALLBACK, 400),
    ):
        page = browser.get(
            f"{root}/authorize", params=question(redirect_uri=url), allow_redirects=False
        )
        assert page.status_code == status


@pytest.mark.parametrize("host", ["localhost:8000", "[::1]:8000", "[::1]", "127.0.0.1"])
def test_every_loopback_address_is_registered_unless_told_otherwise(root, browser, host):
    page = browser.get(
        f"{root}/authorize",
        params=question(redirect_uri=f"http://{host}/cb"),
        allow_redirects=False,
    )
    assert page.status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        pytest.param({"code_verifier": "x" * 43}, 400, "invalid_grant", id="wrong verifier"),
        pytest.param({"code_verifier": None}, 400, "invalid_request", id="no verifier"),
        pytest.param({"code": "nonsense"}, 400, "invalid_grant", id="unknown code"),
        pytest.param({"code": None}, 400, "invalid_request", id="no code"),
        pytest.param(
            {"redirect_uri": CALLBACK + "/"}, 400, "invalid_grant", id="another redirect URI"
        ),
        pytest.param({"redirect_uri": None}, 400, "invalid_grant", id="no redirect URI"),
        pytest.param({"client_secret": "wrong"}, 401, "invalid_client", id="wrong secret"),
        pytest.param({"client_secret": None}, 401, "invalid_client", id="no secret"),
        pytest.param({"client_id": "somebody"}, 401, "invalid_client", id="another client"),
        pytest.param(
            {"grant_type": "password"}, 400, "unsupported_grant_type", id="another grant type"
        ),
    ],
)
def test_oauth2_an_exchange_that_is_wrong_is_refused(root, browser, changes, status, error):
    answer = exchange(root, code_for(browser, root), **changes)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


def test_oauth2_a_secret_in_the_query_or_the_header_does_not_count(root, browser):
    code = code_for(browser, root)
    body = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    url = f"{root}/oauth/token"
    asked = requests.post(url, data=body, params=CLIENT, timeout=10)
    assert (asked.status_code, asked.json()) == (400, {"error": "invalid_request"})
    asked = requests.post(
        url, data=body, auth=(CLIENT["client_id"], CLIENT["client_secret"]), timeout=10
    )
    assert (asked.status_code, asked.json()) == (401, {"error": "invalid_client"})
    assert requests.post(url, json={**body, **CLIENT}, timeout=10).json() == {
        "error": "invalid_request"
    }
    assert requests.get(url, timeout=10).status_code == 405
    assert exchange(root, code).status_code == 200  # none of that used the code up


def test_oauth2_a_code_is_good_once_and_takes_its_tokens_along(root, browser):
    code = code_for(browser, root)
    token = exchange(root, code).json()
    assert call(root, token["access_token"]).status_code == 200
    assert exchange(root, code).json() == {"error": "invalid_grant"}
    assert call(root, token["access_token"]).status_code == 401
    assert refresh(root, token["refresh_token"]).json() == {"error": "invalid_grant"}


@pytest.mark.parametrize(("age", "status"), [(59, 200), (61, 400)])
def test_oauth2_a_code_is_old_after_a_minute(clock, root, browser, age, status):
    code = code_for(browser, root)
    clock.wait(age)
    assert exchange(root, code).status_code == status


def test_oauth2_one_of_many_at_once_gets_the_token(root, browser):
    code = code_for(browser, root)
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(exchange(root, code).status_code))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [400] * 7


def test_oauth2_a_refresh_token_is_used_up_by_its_first_use(sandbox, root, browser):
    first = tokens(browser, root)
    second = refresh(root, first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert call(root, second["access_token"]).status_code == 200
    again = refresh(root, first["refresh_token"])
    assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})
    third = refresh(root, second["refresh_token"], redirect_uri=CALLBACK)
    assert third.status_code == 200
    assert refresh(root, third.json()["refresh_token"], client_secret="wrong").json() == {
        "error": "invalid_client"
    }
    assert sandbox.counts["refresh"] == 4
    assert sandbox.counts["token"] == 1


def test_oauth2_an_access_token_lives_as_long_as_it_says(clock, started, browser):
    root = started(access_token_lifetime=60, clock=clock)
    token = tokens(browser, root)
    assert token["expires_in"] == 60
    clock.wait(59)
    assert call(root, token["access_token"]).status_code == 200
    clock.wait(2)
    assert call(root, token["access_token"]).status_code == 401
    assert refresh(root, token["refresh_token"]).status_code == 200


@pytest.mark.parametrize("username", ["joe", None])
def test_revoking_ends_everything_of_that_user(sandbox, root, browser, username):
    token = tokens(browser, root)
    sandbox.revoke("ann")
    assert call(root, token["access_token"]).status_code == 200
    sandbox.revoke(username)
    assert call(root, token["access_token"]).status_code == 401
    assert refresh(root, token["refresh_token"]).json() == {"error": "invalid_grant"}


def test_revoking_from_another_process(root, browser):
    token = tokens(browser, root)
    requests.post(f"{root}/sandbox/revoke", data={"username": "ann"}, timeout=10)
    assert call(root, token["access_token"]).status_code == 200
    assert (
        requests.post(f"{root}/sandbox/revoke", data={"username": "joe"}, timeout=10).status_code
        == 204
    )
    assert call(root, token["access_token"]).status_code == 401


def test_accounts_may_share_a_display_name_or_have_no_urn(sandbox, root, browser):
    token = tokens(browser, root)["access_token"]
    before = call(root, token).json()
    sandbox.misbehave("username=ann")
    assert call(root, token).json() == {**before, "username": "ann"}
    sandbox.misbehave("urn")
    without = {name: value for name, value in before.items() if name != "id"}
    assert call(root, token).json() == {**without, "urn": ""}


def test_misbehaving_at_the_word_of_another_process(root, browser):
    token = tokens(browser, root)["access_token"]

    def misbehave(*names):
        return requests.post(f"{root}/sandbox/misbehave", data={"name": names}, timeout=10)

    assert misbehave("username=ann", "urn=None").status_code == 204
    me = call(root, token).json()
    assert (me["username"], me["urn"], "id" in me) == ("ann", "None", False)
    unknown = misbehave("nonsense")
    assert unknown.status_code == 400
    assert "nonsense" in unknown.json()["error"]
    assert call(root, token).json()["username"] == "ann"
    assert misbehave("").status_code == 204
    assert call(root, token).json()["username"] == "joe"


# OAuth 1.0a


def signed_session(root, key="sandbox-client", secret="sandbox-secret", **changes):
    return OAuth1Session(key, secret, callback_uri=CALLBACK, **changes)


def dance(session, root, browser):
    token = session.fetch_request_token(f"{root}/oauth/request_token")
    back = decide(browser, session.authorization_url(f"{root}/oauth/authorize", display="popup"))
    session.parse_authorization_response(back)
    return token, query(back), session.fetch_access_token(f"{root}/oauth/access_token")


@pytest.fixture(scope="module")
def rsa_pair():
    from cryptography.hazmat.primitives import serialization as as_text
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        as_text.Encoding.PEM, as_text.PrivateFormat.PKCS8, as_text.NoEncryption()
    )
    public = key.public_key().public_bytes(
        as_text.Encoding.PEM, as_text.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


@pytest.mark.parametrize("method", ["HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "PLAINTEXT"])
@pytest.mark.parametrize("prefix", ["", "/misbehave/slow=0/misbehave/wrong-state"])
def test_oauth1_the_whole_dance(started, browser, rsa_pair, method, prefix):
    root = started(rsa_public_key=rsa_pair[1]) + prefix
    with signed_session(root, signature_method=method, rsa_key=rsa_pair[0]) as session:
        first, back, last = dance(session, root, browser)
        assert first["oauth_callback_confirmed"] == "true"
        assert set(back) == {"oauth_token", "oauth_verifier"}
        assert back["oauth_token"] == first["oauth_token"]
        assert last["oauth_token"] not in (None, first["oauth_token"])
        assert session.get(f"{root}/me").json()["username"] == "joe"
        assert (
            len(
                session.get(f"{root}/me/tracks?linked_partitioning=true&limit=3").json()[
                    "collection"
                ]
            )
            == 3
        )


def test_oauth1_realm_and_further_parameters_are_welcome(root, browser):
    with OAuth1Session("sandbox-client", "sandbox-secret", callback_uri=CALLBACK) as session:
        url = f"{root}/oauth/request_token?title=Special%3AOAuth&x_auth_access_type=write"
        assert session.fetch_request_token(url, realm=["Photos", "Music"])["oauth_token"]


def sign(root, path, *, timestamp=None, nonce=None, callback=CALLBACK, **changes):
    arguments = {"client_secret": "sandbox-secret", "callback_uri": callback, **changes}
    client = oauth1.Client(
        arguments.pop("key", "sandbox-client"), timestamp=timestamp, nonce=nonce, **arguments
    )
    url, headers, _ = client.sign(f"{root}{path}", http_method="POST")
    return url, headers


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"client_secret": "wrong"}, 401, id="wrong secret"),
        pytest.param(
            {"client_secret": "wrong", "signature_method": "PLAINTEXT"},
            401,
            id="wrong secret in the clear",
        ),
        pytest.param({"key": "somebody"}, 401, id="unknown key"),
        pytest.param({"callback": "http://evil.example/"}, 401, id="callback not registered"),
        pytest.param({"callback": None}, 400, id="no callback"),
        pytest.param({"timestamp": str(int(time.time()) - 4000)}, 400, id="old timestamp"),
        pytest.param(
            {"timestamp": str(int(time.time()) + 86_400)}, 400, id="timestamp of tomorrow"
        ),
        pytest.param({"timestamp": "yesterday!"}, 400, id="no timestamp"),
        pytest.param(
            {"signature_method": "HMAC-SHA512"}, 400, id="a method that was not agreed on"
        ),
    ],
)
def test_oauth1_a_request_that_is_wrong_is_refused(root, changes, status):
    url, headers = sign(root, "/oauth/request_token", **changes)
    answer = requests.post(url, headers=headers, timeout=10)
    assert answer.status_code == status
    assert "oauth_token=" not in answer.text
    assert "error" in parse_qs(answer.text)


def test_oauth1_the_signature_is_over_url_and_method(root):
    url, headers = sign(root, "/oauth/request_token")
    assert requests.post(f"{url}?more=1", headers=headers, timeout=10).status_code == 401
    url, headers = sign(root, "/oauth/request_token")
    assert requests.get(url, headers=headers, timeout=10).status_code == 401
    url, headers = sign(root, "/oauth/request_token")
    assert requests.post(url, headers=headers, timeout=10).status_code == 200


def test_oauth1_a_nonce_is_good_once(root):
    url, headers = sign(root, "/oauth/request_token", nonce="short")
    assert requests.post(url, headers=headers, timeout=10).status_code == 200
    assert requests.post(url, headers=headers, timeout=10).status_code == 401


@pytest.mark.parametrize(
    "header", ["OAuth nonsense", 'OAuth oauth_consumer_key="', "OAuth ,,=,", "Basic eDp5"]
)
def test_oauth1_a_malformed_header_is_refused(root, header):
    for path in ("request_token", "access_token"):
        answer = requests.post(
            f"{root}/oauth/{path}", headers={"Authorization": header}, timeout=10
        )
        assert answer.status_code == 400
    assert (
        requests.get(f"{root}/me", headers={"Authorization": header}, timeout=10).status_code == 401
    )


def test_oauth1_a_request_token_is_good_once(root, browser):
    with signed_session(root) as session:
        _, back, _ = dance(session, root, browser)
    with signed_session(
        root, resource_owner_key=back["oauth_token"], verifier=back["oauth_verifier"]
    ) as session:
        assert session.post(f"{root}/oauth/access_token").status_code == 401
    assert (
        browser.get(
            f"{root}/oauth/authorize", params={"oauth_token": back["oauth_token"]}
        ).status_code
        == 400
    )


@pytest.mark.parametrize("verifier", ["wrong", None])
def test_oauth1_the_verifier_counts(root, browser, verifier):
    with signed_session(root) as session:
        token = session.fetch_request_token(f"{root}/oauth/request_token")
        decide(browser, session.authorization_url(f"{root}/oauth/authorize"))
    names = {
        "resource_owner_key": token["oauth_token"],
        "resource_owner_secret": token["oauth_token_secret"],
    }
    with OAuth1Session("sandbox-client", "sandbox-secret", verifier=verifier, **names) as session:
        assert session.post(f"{root}/oauth/access_token").status_code in (400, 401)


def test_oauth1_no_token_before_the_user_said_yes(root):
    with signed_session(root) as session:
        token = session.fetch_request_token(f"{root}/oauth/request_token")
    names = {
        "resource_owner_key": token["oauth_token"],
        "resource_owner_secret": token["oauth_token_secret"],
    }
    for guess in ("None", "x"):
        with OAuth1Session("sandbox-client", "sandbox-secret", verifier=guess, **names) as session:
            assert session.post(f"{root}/oauth/access_token").status_code == 401


@pytest.mark.parametrize(("age", "status"), [(599, 200), (601, 400)])
def test_oauth1_a_request_token_is_old_after_ten_minutes(clock, root, browser, age, status):
    with signed_session(root) as session:
        session.fetch_request_token(f"{root}/oauth/request_token")
        clock.wait(age)
        page = browser.get(session.authorization_url(f"{root}/oauth/authorize"))
    assert page.status_code == status


def test_oauth1_a_second_user_cannot_answer_for_the_first(root, browser):
    with signed_session(root) as session, requests.Session() as other:
        session.fetch_request_token(f"{root}/oauth/request_token")
        url = session.authorization_url(f"{root}/oauth/authorize")
        decide(browser, url)
        page = other.get(url)
        page = other.post(
            f"{root}/login", data={**fields(page), "username": "ann", "password": "ann"}
        )
        late = other.post(
            page.url, data={**fields(page), "decision": "allow"}, allow_redirects=False
        )
        assert late.status_code == 400


def test_oauth1_deny_in_both_spellings(root, browser):
    for prefix, name in (("", "denied"), ("/misbehave/denied-problem", "oauth_token")):
        with signed_session(root) as session:
            token = session.fetch_request_token(f"{root}/oauth/request_token")["oauth_token"]
            url = session.authorization_url(f"{root}{prefix}/oauth/authorize")
            back = query(decide(browser, url, decision="deny"))
        assert back.pop(name) == token
        assert back == ({"oauth_problem": "user_refused"} if prefix else {})
        assert browser.get(url).status_code == 400


def test_oauth1_revoked_tokens_stop_working(sandbox, root, browser):
    with signed_session(root) as session:
        dance(session, root, browser)
        sandbox.revoke("joe")
        assert session.get(f"{root}/me").status_code == 401


# The API


def test_tracks_come_in_pages_private_ones_included(root, browser):
    token = tokens(browser, root)["access_token"]
    found = []
    path = "/me/tracks?linked_partitioning=true&limit=2"
    while path:
        answer = call(root, token, path).json()
        found += answer["collection"]
        path = answer["next_href"] and answer["next_href"].removeprefix(root)
    assert [track["sharing"] for track in found].count("private") == 2
    assert len({track["urn"] for track in found}) == 5
    assert call(root, token, "/me/tracks").json() == found


@pytest.mark.parametrize("path", ["/me", "/me/tracks"])
def test_a_token_in_the_query_is_refused(root, browser, path):
    token = tokens(browser, root)["access_token"]
    for name in ("access_token", "oauth_token"):
        answer = requests.get(f"{root}{path}", params={name: token}, timeout=10)
        assert answer.status_code == 401
        assert {"code", "message", "link"} <= set(answer.json())


def test_tokens_of_one_protocol_open_nothing_in_the_other(root, browser):
    with signed_session(root) as session:
        last = dance(session, root, browser)[2]
    assert call(root, last["oauth_token"]).status_code == 401


@pytest.mark.parametrize("way", ["header", "body"])
def test_sign_out_ends_the_session_of_the_token(root, browser, way):
    token = tokens(browser, root)
    headers = {"Authorization": f"OAuth {token['access_token']}"}
    body = None
    if way == "body":
        headers = {}
        body = {"access_token": token["access_token"]}
    assert (
        requests.post(f"{root}/sign-out", headers=headers, json=body, timeout=10).status_code == 200
    )
    assert (
        requests.post(f"{root}/sign-out", headers=headers, json=body, timeout=10).status_code == 401
    )
    assert call(root, token["access_token"]).status_code == 401


# Pages


def test_pages_carry_a_strict_policy_and_a_careful_cookie(root, browser):
    page = browser.get(f"{root}/authorize", params=question())
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "<script" not in page.text
    assert "style=" not in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert "sandbox_session=" in page.headers["Set-Cookie"]
    assert "HttpOnly" in page.headers["Set-Cookie"]
    assert "SameSite=Lax" in page.headers["Set-Cookie"]
    assert browser.get(f"{root}/sandbox.css").headers["Content-Type"].startswith("text/css")


def test_a_wrong_password_and_a_missing_csrf_token_are_refused(root, browser):
    page = browser.get(f"{root}/login")
    data = {**fields(page), "username": "joe"}
    assert browser.post(f"{root}/login", data={**data, "password": "ann"}).status_code == 400
    assert (
        browser.post(f"{root}/login", data={**data, "password": "joe", "csrf": ""}).status_code
        == 400
    )
    assert 'id="login"' in browser.get(f"{root}/authorize", params=question()).text


def test_a_decision_without_the_csrf_token_is_none(root, browser):
    decide(browser, f"{root}/authorize", question())
    url = browser.get(f"{root}/authorize", params=question()).url
    for csrf in ("", "wrong", "ä"):
        answer = browser.post(url, data={"decision": "allow", "csrf": csrf}, allow_redirects=False)
        assert answer.status_code == 400
        assert "Location" not in answer.headers


def test_logging_in_changes_the_session(root, browser):
    page = browser.get(f"{root}/login")
    before = browser.cookies["sandbox_session"]
    browser.post(f"{root}/login", data={**fields(page), "username": "joe", "password": "joe"})
    assert browser.cookies["sandbox_session"] != before


@pytest.mark.parametrize(
    "after", ["//evil.example/", "https://evil.example/", "/\\evil.example", "/\t/evil.example", ""]
)
def test_login_leads_nowhere_else(root, browser, after):
    data = {
        **fields(browser.get(f"{root}/login")),
        "username": "joe",
        "password": "joe",
        "next": after,
    }
    answer = browser.post(f"{root}/login", data=data, allow_redirects=False)
    assert answer.headers["Location"] == f"{root}/"


def test_sign_up_makes_a_user_and_goes_on(root, browser):
    page = browser.get(f"{root}/authorize", params=question())
    page = browser.get(f"{root}/signup", params={"next": fields(page)["next"]})
    data = {**fields(page), "username": '<b id="x">&"zoë', "password": "secret"}
    page = browser.post(f"{root}/signup", data=data)
    assert 'id="allow"' in page.text
    assert "<b id=" not in page.text
    assert "&lt;b id=&quot;x&quot;&gt;&amp;&quot;zoë" in page.text
    page = browser.get(f"{root}/signup")
    taken = browser.post(f"{root}/signup", data={**data, **fields(page)})
    assert "taken" in taken.text
    assert "<b id=" not in taken.text


def test_the_next_address_is_escaped(root, browser):
    page = browser.get(f"{root}/login", params={"next": '/"><script>alert(1)</script>'})
    assert "<script" not in page.text


def test_home_says_what_this_is(root, browser):
    page = browser.get(root)
    for word in ("runs on this machine only", "joe", "ann", "gzip-bomb", "/oauth/request_token"):
        assert word in page.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/%ff", 404),
        ("GET", "/misbehave/nonsense/me", 404),
        ("GET", "/misbehave/slow=abc/me", 404),
        ("GET", "/misbehave/slow=-1/me", 404),
        ("GET", "/misbehave/drip=nan/me", 404),
        ("GET", "/misbehave/coop=a%0d%0ab/", 404),
        ("GET", "/authorize?client_id=%ff%00", 400),
        ("GET", "/authorize?%zz", 400),
        ("GET", "/oauth/authorize?oauth_token=%ff", 400),
        ("DELETE", "/me", 405),
        ("POST", "/me", 405),
        ("HEAD", "/", 200),
    ],
)
def test_whatever_comes_is_answered(root, method, path, status):
    assert requests.request(method, f"{root}{path}", timeout=10).status_code == status


def test_a_form_that_is_not_utf8_is_answered(root):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for path in ("/oauth/token", "/oauth/request_token", "/login"):
        answer = requests.post(
            f"{root}{path}", data=b"\xff=\xfe&username=%ff", headers=headers, timeout=10
        )
        assert answer.status_code == 400


# Misbehaviour


@pytest.fixture(params=["url", "constructor"])
def misbehaving(request, started):
    """A root that misbehaves in the named way, switched on in either of the two ways."""

    def start(name):
        return (
            f"{started()}/misbehave/{name}" if request.param == "url" else started(misbehave=[name])
        )

    return start


def asked(root, **arguments):
    data = {**CLIENT, "grant_type": "refresh_token", "refresh_token": "x"}
    return requests.post(
        f"{root}/oauth/token", data=data, timeout=30, allow_redirects=False, **arguments
    )


@pytest.mark.parametrize(
    ("name", "status", "content_type", "body"),
    [
        ("status", 500, "application/json", '{"error":"server_error"}'),
        ("status=503", 503, "application/json", '{"error":"server_error"}'),
        ("429", 429, "application/json", '{"error":"rate_limit_exceeded"}'),
        ("html", 200, "text/html", "<h1>"),
        ("html403", 403, "text/html", "<h1>"),
        ("garbage", 200, "application/json", "[[["),
        ("error200", 200, "text/plain", "Invalid signature."),
        ("revoked", 400, "application/json", '{"error":"invalid_grant"}'),
    ],
)
def test_an_answer_is_replaced(misbehaving, browser, name, status, content_type, body):
    root = misbehaving(name)
    answer = asked(root)
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith(content_type)
    assert body in answer.text
    assert answer.headers.get("Retry-After") == ("7" if name == "429" else None)
    assert code_for(browser, root)  # people's pages are spared


def test_slow(misbehaving):
    began = time.monotonic()
    assert asked(misbehaving("slow=0.4")).status_code == 400
    assert time.monotonic() - began >= 0.4


def test_drip(misbehaving):
    root = urlsplit(misbehaving("drip=0.002"))
    lines = [f"GET {root.path}/me HTTP/1.1", f"Host: {root.netloc}", "Connection: close", "", ""]
    with socket.create_connection((root.hostname, root.port), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode())
        pieces = list(iter(lambda: connection.recv(65536), b""))
    assert b"".join(pieces).startswith(b"HTTP/1.1 401")
    assert len(pieces) > 50


def test_down(misbehaving):
    with pytest.raises(requests.ConnectionError):
        asked(misbehaving("down"))


def test_huge(misbehaving):
    with asked(misbehaving("huge"), stream=True) as answer:
        assert sum(map(len, answer.iter_content(65536))) > 64 * 1024 * 1024


def test_gzip_bomb(misbehaving):
    with asked(misbehaving("gzip-bomb"), stream=True) as answer:
        raw = answer.raw.read(decode_content=False)
    assert len(raw) < 100_000
    assert len(gzip.decompress(raw)) > 64 * 1024 * 1024


def test_redirect_here_and_elsewhere(sandbox, server, misbehaving):
    answer = asked(misbehaving("redirect"))
    assert answer.status_code == 307
    assert urlsplit(answer.headers["Location"]).path == "/elsewhere"
    answer = asked(misbehaving(f"redirect=127.0.0.1:{server.port}"))
    assert answer.headers["Location"] == f"{server.url}/elsewhere"
    requests.post(answer.headers["Location"], timeout=10)
    assert sandbox.counts["elsewhere"] == 1


def test_short(misbehaving):
    with asked(misbehaving("short"), stream=True) as answer:
        raw = answer.raw.read1() if hasattr(answer.raw, "read1") else b""
        assert len(raw) < int(answer.headers["Content-Length"])


def test_coop_is_for_pages(misbehaving, browser):
    root = misbehaving("coop")
    page = browser.get(f"{root}/authorize", params=question())
    assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "Cross-Origin-Opener-Policy" not in asked(root).headers


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("no-state", {"code"}),
        ("wrong-state", {"code", "state"}),
        ("iss=other.example", {"code", "state", "iss"}),
    ],
)
def test_coming_back_in_odd_ways(misbehaving, browser, name, expected):
    for decision in ("allow", "deny"):
        back = query(
            decide(browser, f"{misbehaving(name)}/authorize", question(), decision=decision)
        )
        wanted = (
            expected
            if decision == "allow"
            else expected - {"code"} | {"error", "error_description"}
        )
        assert set(back) == wanted
        assert (back.get("state") == "a state & more") is name.startswith("iss")


def test_an_issuer_with_slashes_comes_through_a_url(root, browser):
    url = f"{root}/misbehave/iss=https:%252F%252Fother.example/authorize"
    assert query(decide(browser, url, question()))["iss"] == "https://other.example"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("no-expiry", lambda token: "expires_in" not in token),
        ("scope-changed", lambda token: token["scope"] == "changed"),
        (
            "long-tokens",
            lambda token: len(token["access_token"]) == len(token["refresh_token"]) == 1500,
        ),
    ],
)
def test_odd_tokens_work_all_the_same(misbehaving, browser, name, change):
    root = misbehaving(name)
    token = tokens(browser, root)
    assert change(token)
    assert call(root, token["access_token"]).status_code == 200
    assert change(refresh(root, token["refresh_token"]).json())


def test_revoked_closes_the_api(misbehaving, browser):
    root = misbehaving("revoked")
    token = tokens(browser, root)
    assert call(root, token["access_token"]).status_code == 401
    assert refresh(root, token["refresh_token"]).json() == {"error": "invalid_grant"}


@pytest.mark.parametrize(("name", "expected"), [("unconfirmed", None), ("Confirmed", "True")])
def test_the_callback_is_confirmed_in_odd_ways(misbehaving, name, expected):
    url, headers = sign(misbehaving(name), "/oauth/request_token")
    token = query("?" + requests.post(url, headers=headers, timeout=10).text)
    assert token["oauth_token"]
    assert token.get("oauth_callback_confirmed") == expected


def test_long_tokens_dance(misbehaving, browser):
    root = misbehaving("long-tokens")
    with signed_session(root) as session:
        first, _, last = dance(session, root, browser)
        for token in (first, last):
            assert len(token["oauth_token"]) == len(token["oauth_token_secret"]) == 1500
        assert session.get(f"{root}/me").status_code == 200


def test_another_token_comes_back(misbehaving, browser):
    root = misbehaving("wrong-token")
    with signed_session(root) as session:
        token = session.fetch_request_token(f"{root}/oauth/request_token")
        back = query(decide(browser, session.authorization_url(f"{root}/oauth/authorize")))
    assert set(back) == {"oauth_token", "oauth_verifier"}
    assert back["oauth_token"] != token["oauth_token"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("denied-problem", {"oauth_problem": "user_refused"}),
        ("denied-error", {"error": "access_denied"}),
        ("no-state", {}),
    ],
)
def test_a_refusal_is_spelled_in_three_ways(misbehaving, browser, name, expected):
    root = misbehaving(name)
    with signed_session(root) as session:
        token = session.fetch_request_token(f"{root}/oauth/request_token")["oauth_token"]
        url = session.authorization_url(f"{root}/oauth/authorize")
        back = query(decide(browser, url, decision="deny"))
    assert back == ({**expected, "oauth_token": token} if expected else {"denied": token})


@pytest.mark.parametrize("way", ["header", "body"])
def test_revoked_closes_the_sign_out(misbehaving, browser, way):
    root = misbehaving("revoked")
    token = tokens(browser, root)["access_token"]
    headers = {"Authorization": f"OAuth {token}"} if way == "header" else {}
    fields = {"access_token": token} if way == "body" else {}
    answer = requests.post(f"{root}/sign-out", headers=headers, json=fields, timeout=10)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("slow=-1", "slow must not be negative"),
        ("drip=nan", "drip must not be negative"),
        ("status=600", "between 200 and 599"),
        ("slow=x", "slow must be a number"),
        ("429=soon", "429 must be a whole number"),
    ],
)
def test_a_fault_with_a_value_that_it_cannot_have_is_refused(word, problem):
    with pytest.raises(ValueError, match=problem):
        Sandbox(misbehave=[word])


def test_a_fault_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="slow"):
        Sandbox(misbehave=["sloow"])


# Providers, limits, and the server


def test_the_providers_are_this_sandbox(sandbox):
    provider = sandbox.oauth2_provider("http://127.0.0.1:8001/misbehave/html")
    assert provider.token_url == "http://127.0.0.1:8001/misbehave/html/oauth/token"
    assert provider.sign_out_url == "http://127.0.0.1:8001/misbehave/html/sign-out"
    assert (provider.token_type, provider.issuer) == ("OAuth", None)
    provider = sandbox.oauth1_provider(
        "http://127.0.0.1:8001", signature_method="PLAINTEXT", realm="Photos"
    )
    assert (provider.signature_method, provider.realm) == ("PLAINTEXT", "Photos")
    assert provider.api_url == "http://127.0.0.1:8001"
    with pytest.raises(ConfigurationError):
        sandbox.oauth2_provider("http://sandbox.example")


def test_whatever_is_handed_out_is_announced(root, browser):
    """An audit hook hears of all codes and tokens of every sandbox in the process."""
    heard = []

    def hook(event, arguments):
        if event == ISSUED:
            heard.append(arguments)

    sys.addaudithook(hook)  # it stays until the process ends: Python has no way to remove it
    token = tokens(browser, root)
    with signed_session(root) as session:
        first, back, last = dance(session, root, browser)
    secrets = {secret for secret, _ in heard}
    assert {token["access_token"], token["refresh_token"]} < secrets
    assert {first["oauth_token"], last["oauth_token"]} < secrets
    records = [record for _, record in heard]
    kept = {getattr(record, "secret", None) for record in records}
    assert {first["oauth_token_secret"], last["oauth_token_secret"]} <= kept
    assert back["oauth_verifier"] in {getattr(record, "verifier", None) for record in records}


def test_what_is_remembered_is_bounded(sandbox):
    store = {}
    for number in range(10_010):
        sandbox._state.remember(store, str(number), number)
    assert len(store) == 10_000
    assert "0" not in store


def test_a_connection_is_kept(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        reader = connection.makefile("rb")
        for method, status, body in (
            ("GET", 200, b""),
            ("POST", 405, b"unread" * 100),
            ("GET", 200, b""),
        ):
            head = f"{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            assert reader.readline().startswith(f"HTTP/1.1 {status}".encode())
            length = 0
            while (line := reader.readline()) != b"\r\n":
                length = (
                    int(line.split()[1]) if line.lower().startswith(b"content-length") else length
                )
            assert len(reader.read(length)) == length > 0
        reader.close()


@pytest.mark.parametrize(
    "head", ["Transfer-Encoding: chunked", "Content-Length: -1", "Content-Length: x"]
)
def test_a_body_of_unknown_length_ends_the_connection(server, head):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(f"POST /me HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n0\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 411")
    assert answer.count(b"HTTP/1.1") == 1


def test_the_log_holds_no_query_and_stderr_nothing(root, caplog, capfd):
    with caplog.at_level(logging.DEBUG, logger="scconnect_wsgi"):
        requests.get(f"{root}/authorize?state=canary", timeout=10)
        requests.post(f"{root}/oauth/token?code=canary", data={"code": "canary"}, timeout=10)
        time.sleep(0.05)
    lines = [
        record.getMessage() for record in caplog.records if record.name.startswith("scconnect_wsgi")
    ]
    assert "POST /oauth/token 400" in lines
    assert "canary" not in "".join(lines)
    assert capfd.readouterr() == ("", "")


def test_an_application_that_raises_is_logged_and_answered(caplog, capfd):
    def broken(environ, start_response):
        raise RuntimeError("broken on purpose")

    with serve(broken) as server:
        assert requests.get(server.url, timeout=10).status_code == 500
        time.sleep(0.05)
    assert "broken on purpose" in caplog.text
    assert capfd.readouterr() == ("", "")


def test_the_environment_of_the_process_is_not_in_a_request(monkeypatch):
    monkeypatch.setenv("HTTP_AUTHORIZATION", "OAuth canary")
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        start_response("204 No Content", [])
        return []

    with serve(app) as server, requests.Session() as session:
        session.trust_env = False
        assert session.get(server.url, timeout=10).status_code == 204
    assert "HTTP_AUTHORIZATION" not in seen


def test_a_stopped_server_answers_no_more(sandbox):
    server = serve(sandbox)
    with requests.Session() as session:
        assert session.get(server.url, timeout=5).status_code == 200
        server.stop()
        with pytest.raises(requests.ConnectionError):
            session.get(server.url, timeout=5)


def test_the_challenge_of_these_tests_is_the_one_of_the_standard():
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == CHALLENGE


@pytest.mark.parametrize("path", ["/", "/login", "/signup", "/authorize", "/nothing"])
def test_a_page_is_named_in_its_title_and_the_sandbox_once(root, browser, path):
    title = re.search(r"<title>(.*)</title>", browser.get(root + path).text)[1]
    assert re.fullmatch(r"[A-Z](?:(?!sandbox).)+ \S SoundCloud sandbox", title)
