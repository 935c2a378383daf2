"""Calls of the API through an ApiSession, beside requests' own Session, in CPU time of the site's
process.

Each call is a GET of /me that is read to its end. Kept alive, both use one session for all calls. A
session per call is what a web request or a job has; ours is then looked up in a SQLite file, too.
Cold means that each call makes a new TLS connection.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import requests
from measure import ROUNDS, Row, interleaved, main
from peer_site import CLIENT_ID, CLIENT_SECRET
from provider import provider
from user import User
from wsgi import ROOT

from scconnect_wsgi import OAuth2, OAuth2Provider, Transport
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken

CALLBACK = f"{ROOT}/oauth/access_token"
COLD = {"Connection": "close"}
PEER = "requests.Session"
BUDGETS = {
    "kept alive, plain http": 0.6,
    "kept alive, over TLS": 0.6,
    "a session per call, plain http": 1.0,
    "cold, over TLS": 0.1,
}
Call = Callable[[], requests.Response]


class Site:
    """A site whose user has connected: ours, and the same with a bare requests.Session."""

    def __init__(self, root: str, transport: Transport, user: User, folder: str) -> None:
        self.me = f"{root}/me"
        self.verify = transport.authorities
        known = OAuth2Provider(f"{root}/authorize", f"{root}/oauth/token", api_url=root)
        flow = OAuth2(CLIENT_ID, CLIENT_SECRET, provider=known, transport=transport)
        self.token = _token(flow, user)
        store = SQLStore(f"sqlite:///{folder}/{urlsplit(root).scheme}.sqlite3")
        self.connections = Connections(flow, store)
        self.id = self.connections.connect(self.token, user="joe", callback_url=CALLBACK).id

    def peer(self, **headers: str) -> requests.Session:
        session = requests.Session()
        session.headers.update({"Authorization": f"OAuth {self.token.token}", **headers})
        return session

    def asked(self, session: requests.Session) -> requests.Response:
        """The peer's call; a bundle that the environment names would win over session.verify."""
        return session.get(self.me, timeout=10, verify=self.verify)

    @contextmanager
    def kept(self, **headers: str) -> Iterator[tuple[Call, Call]]:
        """Yield our call and the peer's, each over one session."""
        with self.connections.session(self.id, user="joe") as ours, self.peer(**headers) as theirs:
            ours.headers.update(headers)
            yield lambda: ours.get("/me"), lambda: self.asked(theirs)

    def ours_per_call(self) -> requests.Response:
        with self.connections.session(self.id, user="joe") as session:
            return session.get("/me")

    def theirs_per_call(self, **headers: str) -> requests.Response:
        with self.peer(**headers) as session:
            return self.asked(session)


def _token(flow: OAuth2, user: User) -> AccessToken:
    departure = flow.begin(CALLBACK)
    back = dict(parse_qsl(urlsplit(user.allow(departure.authorize_url)).query))
    return flow.finish(CALLBACK, back, departure.pending)


def calling(call: Call, count: int) -> Callable[[], float]:
    """A variant: microseconds of this process's CPU that one call takes."""

    def run() -> float:
        call()  # not counted, as the connection may be stale by now
        began = time.process_time()
        for _ in range(count):
            response = call()
            assert response.status_code == 200, response.status_code
        return (time.process_time() - began) / count * 1_000_000

    return run


def calls(plain: Site, secure: Site) -> Iterator[tuple[str, Call, Call]]:
    """Yield what is compared, our call, and the peer's."""
    with plain.kept() as kept, secure.kept() as over_tls, secure.kept(**COLD) as cold:
        yield "kept alive, plain http", *kept
        yield "kept alive, over TLS", *over_tls
        yield "a session per call, plain http", plain.ours_per_call, plain.theirs_per_call
        yield "cold, over TLS", cold[0], lambda: secure.theirs_per_call(**COLD)


def rows(quick: bool) -> list[Row]:
    count, rounds = (1, 1) if quick else (20, ROUNDS)
    table = []
    with tempfile.TemporaryDirectory() as folder, provider(Path(folder)) as at:
        user = User(at.http)
        plain = Site(at.http, Transport(), user, folder)
        secure = Site(at.https, Transport(ca_bundle=at.ca_bundle), user, folder)
        for how, ours, theirs in calls(plain, secure):
            variants = {"ours": calling(ours, count), "theirs": calling(theirs, count)}
            found = interleaved(variants, rounds)
            what = f"an API call, {how}"
            table.append(Row(what, found["ours"], PEER, found["theirs"], BUDGETS[how], "us"))
    return table


if __name__ == "__main__":
    main(rows)
