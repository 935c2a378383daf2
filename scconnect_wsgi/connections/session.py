"""Calling the API with a stored connection: requests as usual, with the token taken care of.

session = connections.session(oauth_token_id, user=user)
session.get("/me/tracks?limit=10").json()
for track in session.collection("/me/tracks"):
    ...
"""

from __future__ import annotations

from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.cookies import RequestsCookieJar

from scconnect_wsgi.account import Account
from scconnect_wsgi.connections.adapter import Calls, OnLost, below
from scconnect_wsgi.errors import ProviderError, ProviderUnavailable, RateLimited
from scconnect_wsgi.protocols.oauth1 import OAuth1
from scconnect_wsgi.protocols.oauth2 import OAuth2
from scconnect_wsgi.stores import Connection, Store
from scconnect_wsgi.transport.client import retry_seconds


class ApiSession(requests.Session):
    """A requests.Session for one connection. ``Connections.session`` makes them, one for each
    request or job.

    Addresses are relative to the API; an absolute one of another host is refused. The token, or the
    signature in OAuth 1.0a, goes to the API alone, also over redirects. It is refreshed shortly
    before it ends, and on a 401 that ``/me`` does not put down to the resource; then a GET, HEAD or
    OPTIONS is sent again, and another request only with ``resend``. Any other 401 is returned like
    every answer. A GET waits where the API says Retry-After, in all at most ``patience`` seconds.
    Nothing is taken from the environment, no cookie is kept, and a call without ``timeout`` has
    that of the flow's transport. ``verify`` may be the path of another CA bundle; False is refused.

    Beside requests' own errors a call may raise NotConnected (ConnectionRevoked or RefreshLost:
    only the user can mend it), ProviderUnavailable or ProviderError (of a refresh), and
    StoreUnavailable.
    """

    def __init__(
        self,
        connection: Connection,
        store: Store,
        flow: OAuth1 | OAuth2,
        on_lost: OnLost = lambda *_: None,
    ) -> None:
        super().__init__()
        self._calls = Calls(connection, store, flow, on_lost)
        self._timeout = flow.transport.timeout
        self._root = connection.api_url.rstrip("/")
        self.trust_env = False
        self.verify: bool | str | None = flow.transport.authorities
        self.proxies: Any = (
            dict.fromkeys(("http", "https"), flow.transport.proxy) if flow.transport.proxy else {}
        )
        self.cookies: RequestsCookieJar = RequestsCookieJar(
            policy=DefaultCookiePolicy(allowed_domains=[])
        )
        self.mount("https://", self._calls)
        self.mount("http://", self._calls)

    @property
    def connection(self) -> Connection:
        """The connection as it was last stored."""
        return self._calls.connection

    @property
    def patience(self) -> float:
        """Seconds that one GET may wait in all because the API said Retry-After; 10 unless set."""
        return self._calls.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self._calls.patience = seconds

    @property
    def resend(self) -> bool:
        """Whether a POST, PUT, PATCH or DELETE may be sent again once its token was refreshed; no
        unless set.

        Set it where being done twice is no harm. A body that is read as it is sent (an open file)
        never is.
        """
        return self._calls.resend

    @resend.setter
    def resend(self, allowed: bool) -> None:
        self._calls.resend = allowed

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        """As of requests, with an address of the API."""
        options.setdefault("timeout", self._timeout)
        return super().request(method, self._address(url), *args, **options)

    def me(self) -> Account:
        """Whose account it is. Raises ConnectError."""
        return Account.of(self._json("/me"), self._root)

    def collection(self, url: str, **params: Any) -> Iterator[Any]:
        """Every item of a collection, page after page as they are needed. Raises ConnectError.

        ``params`` are those of the first page, ``limit`` for one.
        """
        seen: set[str] = set()
        page = self._json(url, params={"linked_partitioning": "true", **params}, kinds=(dict, list))
        while isinstance(page, dict):
            yield from _items(page.get("collection"))
            following = page.get("next_href")
            if not following:
                return
            if (
                not isinstance(following, str)
                or following in seen
                or not below(self._root, following)
            ):
                raise ProviderError(
                    "A page of this collection leads to itself, or off the API (next_href)."
                )
            seen.add(following)
            page = self._json(following, kinds=(dict,))
        yield from _items(page)  # a bare array, as an API that does not know pages answers

    def _address(self, url: str | bytes) -> str:
        text = url.decode() if isinstance(url, bytes) else url
        if "://" not in text.partition("?")[0]:
            return f"{self._root}/{text.lstrip('/')}"
        if not below(self._root, text):
            raise requests.exceptions.InvalidURL(
                "This address is not below the API of the connection."
            )
        return text

    def _json(self, url: str, kinds: tuple[type, ...] = (dict,), **options: Any) -> Any:
        try:
            response = self.get(url, **options)
            parsed = response.json() if response.status_code == 200 else None
        except requests.exceptions.JSONDecodeError:
            parsed = None
        except (requests.RequestException, RecursionError):
            raise ProviderUnavailable(
                "The API did not answer in time, or broke the connection."
            ) from None
        status = response.status_code
        if status == 429 or status >= 500:
            kind = RateLimited if status == 429 else ProviderUnavailable
            wait = retry_seconds(response.headers.get("Retry-After", ""))
            raise kind(
                f"The API is overloaded or out of order (status {status}).", retry_after=wait
            )
        if not isinstance(parsed, kinds):
            raise ProviderError(f"The API answered something else than expected (status {status}).")
        return parsed


def _items(found: object) -> list[Any]:
    if not isinstance(found, list):
        raise ProviderError("A page of this collection holds no list.")
    return found
