"""The same site as its author writes it with requests-oauthlib: a session object per step, as its
documentation shows.

Between the steps it keeps what it must in a signed cookie, the cheapest session there is. PKCE is
made with two lines of the standard library: requests-oauthlib's own would take longer, and cannot
be carried from one request to the next.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlencode

from itsdangerous import URLSafeTimedSerializer
from requests_oauthlib import OAuth1Session, OAuth2Session
from wsgi import KEY, ROOT

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"
CALLBACK = f"{ROOT}/oauth/access_token"


class PeerSite:
    """A WSGI application with the two endpoints; a subclass is a protocol."""

    def __init__(self, provider: str, ca_bundle: str) -> None:
        self.provider = provider
        self.verify = ca_bundle
        self.tokens: list = []
        self.cookies = URLSafeTimedSerializer(KEY)

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/oauth/request_token":
            location, pending = self.start()
            attributes = "Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=600"
            cookie = f"pending={self.cookies.dumps(pending)}; {attributes}"
        else:
            answer = parse_qs(environ["QUERY_STRING"])
            held = SimpleCookie(environ["HTTP_COOKIE"])["pending"].value
            self.tokens[:] = [self.finish(environ, answer, self.cookies.loads(held, max_age=600))]
            location = "/close.html?" + urlencode({"oauth_token_id": "1"})
            cookie = "pending=; Path=/; Max-Age=0"
        start_response(
            "303 See Other",
            [("Location", location), ("Content-Length", "0"), ("Set-Cookie", cookie)],
        )
        return [b""]


class PeerOAuth1(PeerSite):
    def start(self):
        session = OAuth1Session(CLIENT_ID, client_secret=CLIENT_SECRET, callback_uri=CALLBACK)
        fetched = session.fetch_request_token(
            f"{self.provider}/oauth/request_token", verify=self.verify
        )
        return session.authorization_url(f"{self.provider}/oauth/authorize"), fetched

    def finish(self, environ, answer, pending):
        assert answer["oauth_token"] == [pending["oauth_token"]]
        session = OAuth1Session(
            CLIENT_ID,
            client_secret=CLIENT_SECRET,
            resource_owner_key=pending["oauth_token"],
            resource_owner_secret=pending["oauth_token_secret"],
            verifier=answer["oauth_verifier"][0],
        )
        return session.fetch_access_token(f"{self.provider}/oauth/access_token", verify=self.verify)


class PeerOAuth2(PeerSite):
    def start(self):
        verifier = secrets.token_urlsafe(32)
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
            .rstrip(b"=")
            .decode()
        )
        session = OAuth2Session(CLIENT_ID, redirect_uri=CALLBACK)
        pkce = {"code_challenge": challenge, "code_challenge_method": "S256"}
        url, state = session.authorization_url(f"{self.provider}/authorize", **pkce)
        return url, {"state": state, "verifier": verifier}

    def finish(self, environ, answer, pending):
        session = OAuth2Session(CLIENT_ID, redirect_uri=CALLBACK, state=pending["state"])
        return session.fetch_token(
            f"{self.provider}/oauth/token",
            authorization_response=f"{CALLBACK}?{environ['QUERY_STRING']}",
            client_secret=CLIENT_SECRET,
            include_client_id=True,
            code_verifier=pending["verifier"],
            verify=self.verify,
        )
