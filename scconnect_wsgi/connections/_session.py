"""Call the API with a stored connection, as with requests; the token is handled for you.

session = connections.session(oauth_token_id, user=user)
session.get("/me/tracks?limit=10").json()
for track in session.collection("/me/tracks"):
    ...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests
from requests.cookies import RequestsCookieJar

from scconnect_wsgi.account import Account
from scconnect_wsgi.connections._accounts import account_from
from scconnect_wsgi.connections._adapter import OnLost, TokenAdapter, can_be_read_again
from scconnect_wsgi.connections._addresses import is_within
from scconnect_wsgi.connections._waiting import SAFE_METHODS, discard
from scconnect_wsgi.errors import ProviderError, ProviderUnavailable
from scconnect_wsgi.stores import Connection, Store
from scconnect_wsgi.transport import (
    MAX_PAGE,
    NETWORK_ERRORS,
    capped,
    deadline,
    error_for_status,
)

if TYPE_CHECKING:
    from scconnect_wsgi.flow import ApiFlow


class ApiSession(requests.Session):
    """A requests.Session for one connection.

    ``Connections.session`` makes them, one for each request or job.

    Addresses are relative to the API; an absolute one of another host is refused. The token, or the
    signature in OAuth 1.0a, goes only to the API, also over redirects. It is refreshed shortly
    before it expires, and on a 401 that ``/me`` confirms; then a GET, HEAD or OPTIONS is sent
    again, and another request only with ``resend``. Any other 401 is returned like every response.
    A GET waits if the API says Retry-After, in all at most ``patience`` seconds. Nothing is taken
    from the environment and no cookie is kept. A call without ``timeout`` has that of the flow's
    transport, for connecting and for each read. ``verify`` may be the path of another CA bundle;
    False is refused.

    Besides requests' own errors a call may raise NotConnected (ConnectionRevoked or RefreshLost:
    only the user can mend it), ProviderUnavailable or ProviderError (of a refresh), and
    StoreUnavailable.
    """

    def __init__(
        self,
        connection: Connection,
        store: Store,
        flow: ApiFlow,
        on_lost: OnLost = lambda *_: None,
        *,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__()
        self._adapter = TokenAdapter(connection, store, flow, on_lost, sleep=sleep)
        self._timeout = flow.transport.timeout
        self._root = connection.api_url.rstrip("/")
        self.trust_env = False
        self.verify: bool | str | None = flow.transport.authorities
        self.proxies: Any = {}
        if flow.transport.proxy:
            self.proxies = {"http": flow.transport.proxy, "https": flow.transport.proxy}
        self.cookies: RequestsCookieJar = RequestsCookieJar(
            policy=DefaultCookiePolicy(allowed_domains=[])
        )
        self.mount("https://", self._adapter)
        self.mount("http://", self._adapter)

    @property
    def connection(self) -> Connection:
        """The connection as it was last stored."""
        return self._adapter.connection

    @property
    def patience(self) -> float:
        """Seconds that one GET may wait in all because the API said Retry-After; 10 unless set."""
        return self._adapter.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self._adapter.patience = seconds

    @property
    def resend(self) -> bool:
        """Whether a POST, PUT, PATCH or DELETE may be sent again once its token was refreshed.

        False unless set. Set it if it does no harm when such a request is carried out twice. A body
        that is read while it is sent (an open file) is never sent again.
        """
        return self._adapter.resend

    @resend.setter
    def resend(self, allowed: bool) -> None:
        self._adapter.resend = allowed

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        """Send a request like requests' ``request``, for an API address."""
        options.setdefault("timeout", self._timeout)
        return super().request(method, self._address(url), *args, **options)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where a redirect leads, or None if following it would send a request twice.

        requests repeats a method other than GET for 307 and 308, and PUT, PATCH and DELETE for 301.
        Such a redirect is returned to the caller, unless ``resend`` is set. A body that was read
        while it was sent is gone, so that request is never repeated.
        """
        may_repeat = self.resend and can_be_read_again(resp.request.body)
        if _repeats_request(resp) and not may_repeat:
            return None
        target: str | None = super().get_redirect_target(resp)
        return target

    def me(self) -> Account:
        """Return the account of this connection.

        The answer must arrive within the transport's timeout, and have at most 8 MB. Raises
        ConnectError.
        """
        return account_from(self._json("/me"), self._root)

    def collection(self, url: str, **params: Any) -> Iterator[Any]:
        """Yield every item of a collection, and ask for the next page when it is needed.

        ``params`` are those of the first page, such as ``limit``. Each page must arrive within
        the transport's timeout, and have at most 8 MB. Raises ConnectError.
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
                or not is_within(self._root, following)
            ):
                raise ProviderError(
                    "A page of this collection leads to itself, or off the API (next_href)."
                )
            seen.add(following)
            page = self._json(following, kinds=(dict,))
        yield from _items(page)  # a bare array, from an API without paging

    def _address(self, url: str | bytes) -> str:
        text = url.decode() if isinstance(url, bytes) else url
        if "://" not in text.partition("?")[0]:
            return f"{self._root}/{text.lstrip('/')}"
        if not is_within(self._root, text):
            raise requests.exceptions.InvalidURL(
                "This address does not belong to the API of the connection."
            )
        return text

    def _json(self, url: str, kinds: tuple[type, ...] = (dict,), **options: Any) -> Any:
        """Return the JSON of a page: a value of one of ``kinds``."""
        try:
            with deadline(self._timeout), capped(MAX_PAGE):
                response = self.get(url, stream=True, **options)
                found = _parsed(response)
        except (*NETWORK_ERRORS, RecursionError):
            raise ProviderUnavailable(
                "The API did not answer in time, or broke the connection."
            ) from None
        except ValueError:  # the address of a redirect that is none, for example
            raise ProviderError("The API's answer cannot be understood.") from None
        status = response.status_code
        failure = error_for_status("The API", status, response.headers.get("Retry-After"))
        if failure is not None:
            raise failure
        if not isinstance(found, kinds):
            raise ProviderError(
                f"The API answered with something other than expected (status {status})."
            )
        return found


def _repeats_request(redirect: requests.Response) -> bool:
    """Return whether requests would follow with the same method, which is not a safe one."""
    method = redirect.request.method
    if method in SAFE_METHODS:
        return False
    if redirect.status_code == 301:
        return method != "POST"
    return redirect.status_code in (307, 308)


def _parsed(response: requests.Response) -> Any:
    """Return the JSON of a response, or None if it is not JSON or the status is not 200."""
    if response.status_code != 200:
        discard(response)
        return None
    with response:
        try:
            return response.json()
        except ValueError:  # not JSON, or a number longer than Python reads
            return None


def _items(found: object) -> list[Any]:
    if not isinstance(found, list):
        raise ProviderError("A page of this collection holds no list.")
    return found
