"""Section 3: one whole connection (start, provider, callback, store), in CPU time of the site's
process.

The provider runs in another process and verifies everything; what the user does there is not
counted. Cold means that no connection is left from the step before: ours is told to close it after
each. requests-oauthlib opens one per step anyway.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from floor_site import FloorOAuth1, FloorOAuth2
from measure import ROUNDS, Row, interleaved, main
from peer_site import CLIENT_ID, CLIENT_SECRET, PeerOAuth1, PeerOAuth2
from provider import Provider, provider
from user import User
from wsgi import CLICK, KEY, ROOT, answer, bare, request

from scconnect_wsgi import OAuth1, OAuth1Provider, OAuth2, OAuth2Provider, SCConnect, Transport

COLD = {"Connection": "close"}
# what, ours, peer, budget for OAuth 1.0a, for OAuth 2.1
BUDGETS = (
    ("over TLS, kept alive", "ours", "peer", 0.05, 0.05),
    ("over TLS, cold", "ours, cold", "peer", 0.12, 0.12),
    ("over plain http", "ours, http", "peer, http", 0.65, 0.85),
    ("over TLS, kept alive", "ours", "floor", 3.0, 2.0),
)
PEERS = {
    "peer": "requests-oauthlib",
    "peer, http": "requests-oauthlib",
    "floor": "http.client by hand",
}


def our_site(protocol: str, root: str, transport: Transport, headers: dict[str, str]) -> SCConnect:
    flow: OAuth1 | OAuth2
    if protocol == "OAuth 1.0a":
        paths = (
            f"{root}/oauth/request_token",
            f"{root}/oauth/authorize",
            f"{root}/oauth/access_token",
        )
        flow = OAuth1(
            CLIENT_ID,
            CLIENT_SECRET,
            provider=OAuth1Provider(*paths, headers=headers),
            transport=transport,
        )
    else:
        known = OAuth2Provider(f"{root}/authorize", f"{root}/oauth/token", headers=headers)
        flow = OAuth2(CLIENT_ID, CLIENT_SECRET, provider=known, transport=transport)
    tokens: list = []

    def store_token(token, request):
        tokens[:] = [token]
        return {"oauth_token_id": len(tokens)}

    return SCConnect(bare, flow, secret_key=KEY, store_token=store_token, base_url=ROOT)


def sites(protocol: str, at: Provider) -> dict[str, Callable]:
    """Every site that is compared, each with a way of its own to the provider."""
    peer, floor = (
        (PeerOAuth1, FloorOAuth1) if protocol == "OAuth 1.0a" else (PeerOAuth2, FloorOAuth2)
    )
    return {
        "ours": our_site(protocol, at.https, Transport(ca_bundle=at.ca_bundle), {}),
        "ours, cold": our_site(protocol, at.https, Transport(ca_bundle=at.ca_bundle), COLD),
        "ours, http": our_site(protocol, at.http, Transport(), {}),
        "peer": peer(at.https, at.ca_bundle),
        "peer, http": peer(at.http, at.ca_bundle),
        "floor": floor(at.https, at.ca_bundle),
    }


def connecting(site: Callable, user: User, count: int) -> Callable[[], float]:
    """A variant: milliseconds of this process's CPU that one connection takes."""

    def run() -> float:
        # Not counted, as the connection to the provider may be stale by now
        connect(site, user)
        return sum(connect(site, user) for _ in range(count)) / count * 1000

    return run


def connect(site: Callable, user: User) -> float:
    """One connection; the seconds of CPU that the site's two steps took."""
    start = request("/oauth/request_token", **CLICK)
    began = time.process_time()
    status, headers, _ = answer(site, start)
    spent = time.process_time() - began
    assert status.startswith("303"), status
    fields = dict(headers)
    back = urlsplit(user.allow(fields["Location"]))
    cookies = [value.partition(";")[0] for name, value in headers if name == "Set-Cookie"]
    callback = request(back.path, back.query, HTTP_COOKIE="; ".join(cookies))
    began = time.process_time()
    status, headers, _ = answer(site, callback)
    spent += time.process_time() - began
    assert "oauth_token_id=" in dict(headers)["Location"], headers
    return spent


def rows(quick: bool) -> list[Row]:
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = (
        "1"  # requests-oauthlib needs it over plain http, also on loopback
    )
    count, rounds = (1, 1) if quick else (8, ROUNDS + 5)
    table = []
    with tempfile.TemporaryDirectory() as folder, provider(Path(folder)) as at:
        user = User(at.http)
        for column, protocol in enumerate(("OAuth 1.0a", "OAuth 2.1")):
            variants = {
                name: connecting(site, user, count) for name, site in sites(protocol, at).items()
            }
            found = interleaved(variants, rounds)
            for how, mine, theirs, *budgets in BUDGETS:
                what = f"a connection, {protocol}, {how}"
                table.append(
                    Row(what, found[mine], PEERS[theirs], found[theirs], budgets[column], "ms")
                )
    return table


if __name__ == "__main__":
    main(rows)
