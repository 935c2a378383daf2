"""The same site with nothing but the standard library: one http.client connection, kept alive, and
signing by hand.

The floor: it keeps no deadline, survives no closed connection, serves one thread, and takes
whatever the provider answers on trust.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import secrets
import ssl
import time
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from peer_site import CALLBACK, CLIENT_ID, CLIENT_SECRET
from wsgi import KEY

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class FloorSite:
    """A WSGI application with the two endpoints; a subclass is a protocol."""

    def __init__(self, provider: str, ca_bundle: str) -> None:
        self.provider = provider
        tls = ssl.create_default_context(cafile=ca_bundle)
        self.connection = http.client.HTTPSConnection(
            urlsplit(provider).netloc, timeout=30, context=tls
        )
        self.tokens: list = []

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/oauth/request_token":
            location, pending = self.start()
            cookie = (
                f"pending={sealed(pending)}; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=600"
            )
        else:
            answer = dict(parse_qsl(environ["QUERY_STRING"]))
            self.tokens[:] = [self.finish(answer, opened(environ["HTTP_COOKIE"].partition("=")[2]))]
            location, cookie = "/close.html?oauth_token_id=1", "pending=; Path=/; Max-Age=0"
        start_response(
            "303 See Other",
            [("Location", location), ("Content-Length", "0"), ("Set-Cookie", cookie)],
        )
        return [b""]

    def post(self, path: str, body: str, headers: dict[str, str]) -> bytes:
        self.connection.request("POST", path, body, headers)
        answer = self.connection.getresponse()
        data = answer.read()
        assert answer.status == 200, data
        return data


class FloorOAuth1(FloorSite):
    def start(self):
        fields = self.ask("/oauth/request_token", "", {"oauth_callback": CALLBACK})
        return f"{self.provider}/oauth/authorize?" + urlencode(
            {"oauth_token": fields["oauth_token"]}
        ), fields

    def finish(self, answer, pending):
        assert answer["oauth_token"] == pending["oauth_token"]
        known = {"oauth_token": answer["oauth_token"], "oauth_verifier": answer["oauth_verifier"]}
        return self.ask("/oauth/access_token", pending["oauth_token_secret"], known)

    def ask(self, path, secret, more):
        fields = {
            "oauth_consumer_key": CLIENT_ID,
            "oauth_nonce": secrets.token_hex(16),
            "oauth_signature_method": "HMAC-SHA1",
            "oauth_timestamp": str(int(time.time())),
            "oauth_version": "1.0",
            **more,
        }
        pairs = "&".join(f"{name}={quote(fields[name], safe='~')}" for name in sorted(fields))
        base = f"POST&{quote(self.provider + path, safe='~')}&{quote(pairs, safe='~')}"
        key = f"{CLIENT_SECRET}&{secret}"
        digest = hmac.digest(key.encode(), base.encode(), "sha1")
        fields["oauth_signature"] = base64.b64encode(digest).decode()
        header = "OAuth " + ", ".join(
            f'{name}="{quote(value, safe="~")}"' for name, value in fields.items()
        )
        return dict(parse_qsl(self.post(path, "", {"Authorization": header}).decode()))


class FloorOAuth2(FloorSite):
    def start(self):
        state = secrets.token_urlsafe(32)
        verifier = secrets.token_urlsafe(32)
        query = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": CALLBACK,
            "code_challenge": _base64(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
            "state": state,
        }
        return f"{self.provider}/authorize?{urlencode(query)}", {
            "state": state,
            "verifier": verifier,
        }

    def finish(self, answer, pending):
        assert answer["state"] == pending["state"]
        fields = {
            "grant_type": "authorization_code",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uri": CALLBACK,
            "code_verifier": pending["verifier"],
            "code": answer["code"],
        }
        return json.loads(self.post("/oauth/token", urlencode(fields), FORM))


def sealed(pending: dict[str, str]) -> str:
    data = _base64(json.dumps(pending).encode())
    return f"{data}.{_mac(data)}"


def opened(value: str) -> dict[str, str]:
    data, _, mac = value.partition(".")
    assert hmac.compare_digest(mac, _mac(data))
    return json.loads(base64.urlsafe_b64decode(data + "=="))


def _mac(data: str) -> str:
    return hmac.digest(KEY.encode(), data.encode(), "sha256").hex()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
