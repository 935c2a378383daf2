"""Call the API with a stored connection, as with requests; the token is handled for you.

session = connections.session(oauth_token_id, user=user)
session.get("/me/tracks?limit=10").json()
for track in session.collection("/me/tracks"):
    ...
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.cookies import RequestsCookieJar

from scconnect_wsgi.account import Account
from scconnect_wsgi.connections._accounts import AccountOf, read_account
from scconnect_wsgi.connections._adapter import OnLost, TokenAdapter, can_be_read_again
from scconnect_wsgi.connections._addresses import is_within
from scconnect_wsgi.connections._pages import MAX_EMPTY, first_page, items_of, next_page
from scconnect_wsgi.connections._uploads import Fields, Files, multipart
from scconnect_wsgi.connections._waiting import SAFE_METHODS, after_hiccups, discard, sleep
from scconnect_wsgi.errors import ConnectError, ProviderError
from scconnect_wsgi.events import Events
from scconnect_wsgi.redaction import hides_locals
from scconnect_wsgi.stores import Connection, Store
from scconnect_wsgi.transport import (
    MAX_PAGE,
    NETWORK_ERRORS,
    Failure,
    Interrupted,
    Multipart,
    Progress,
    capped,
    deadline,
    error_for,
    error_for_status,
)

if TYPE_CHECKING:
    from scconnect_wsgi.flow import ApiFlow

LONGEST_TIMEOUT = 86_400.0  # seconds; a socket takes no number of any size
ANSWER_TIMEOUT = 600.0  # seconds; a server looks at a file of gigabytes before it answers


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
        account: AccountOf | None = None,
        events: Events | None = None,
        sleep: Callable[[float], object] = sleep,
    ) -> None:
        super().__init__()
        self._adapter = TokenAdapter(connection, store, flow, on_lost, events=events, sleep=sleep)
        self._flow = flow
        self._account = account
        self._sleep = sleep
        self._transport = flow.transport
        self._root = connection.api_url.rstrip("/")
        self.trust_env = False
        self.verify: bool | str | None = flow.transport.authorities
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

        False unless set. Set it if it does no harm when such a request is carried out twice. An
        open file is wound back to where it was; a body that cannot be (a generator, a pipe) is
        never sent again.
        """
        return self._adapter.resend

    @resend.setter
    def resend(self, allowed: bool) -> None:
        self._adapter.resend = allowed

    @hides_locals
    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        """Send a request like requests' ``request``, for an API address."""
        options.setdefault("timeout", self._transport.timeout)
        return super().request(method, self._address(url), *args, **options)

    @hides_locals
    def send(self, request: Any, **options: Any) -> requests.Response:
        """Send a prepared request, as requests does."""
        return super().send(request, **options)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where a redirect leads, or None if following it would send a request twice.

        requests repeats a method other than GET for 307 and 308, and PUT, PATCH and DELETE for 301.
        Such a redirect is returned to the caller, unless ``resend`` is set. A body that was read
        while it was sent and cannot be wound back is gone, so that request is never repeated.
        """
        may_repeat = self.resend or resp.request.method in SAFE_METHODS
        may_repeat = may_repeat and can_be_read_again(resp.request)
        if _repeats_request(resp) and not may_repeat:
            return None
        target: str | None = super().get_redirect_target(resp)
        try:
            urlsplit(target or "")
        except ValueError:  # requests would let it out as it is
            raise requests.exceptions.InvalidURL(
                "The API redirects to an address that cannot be read.", response=resp
            ) from None
        return target

    def me(self) -> Account:
        """Return the account of this connection, as ``connect`` does.

        The answer must arrive within the transport's timeout, and have at most 8 MB. After a hiccup
        of the API it is asked again within that time. Raises ConnectError.
        """
        return read_account(self._me(), self.connection.token, self._root, self._account)

    def collection(self, url: str, **params: Any) -> Iterator[Any]:
        """Yield every item of a collection, and ask for the next page when it is needed.

        ``params`` are those of the first page, such as ``limit``. Each page must arrive within
        the transport's timeout, and have at most 8 MB. After a hiccup of the API it is asked for
        again within that time. Raises ConnectError. Its ``next_href`` is then the address of the
        first page that is missing: ``collection(error.next_href)`` goes on with that page.
        """
        address = self._joined(first_page(url, params))
        kinds: tuple[type, ...] = (dict, list)  # a bare array, from an API without paging
        seen = {address}
        empty = 0
        while True:
            try:
                page = self._json(address, kinds)
                items = items_of(page)
            except ConnectError as error:
                error.next_href = address
                raise
            yield from items
            following = next_page(self._root, address, page)
            if following is None:
                return
            if following in seen:
                raise ProviderError("A page of this collection leads to itself (next_href).")
            empty = 0 if items else empty + 1
            address = following
            kinds = (dict,)
            seen.add(address)
            if empty == MAX_EMPTY:
                endless = ProviderError(
                    f"{empty} pages of this collection in a row are empty, and each leads to "
                    "another one. Likely cause: they never end."
                )
                endless.next_href = address
                raise endless

    def _joined(self, url: str) -> str:
        """Return an address as given if it is absolute, and otherwise below the API."""
        if "://" in url.partition("?")[0]:
            return url
        return f"{self._root}/{url.lstrip('/')}"

    def upload(
        self,
        url: str,
        fields: Fields,
        files: Files,
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
        answer_timeout: float = ANSWER_TIMEOUT,
    ) -> requests.Response:
        """POST fields and files as multipart/form-data, and return the response of any status.

        ``files`` maps the name of a field to a path, to a file that is open for reading bytes, or
        to a tuple ``(filename, file)`` or ``(filename, file, content type)``. Files are read while
        they are sent, and need no memory. A path is opened and closed; a file of yours is read from
        where it is to its end, and stays open. ``progress(sent, total)`` is called after each piece
        of 16 KB with numbers of bytes; an exception that it raises ends the upload and reaches you.

        ``timeout`` is in seconds, for connecting and for each piece; None is the transport's.
        ``answer_timeout`` is the time that the server has for its answer after the last byte. The
        token is refreshed first if half of its life is over. Nothing is sent a second time, unless
        ``resend`` is set; then the files are wound back.

        Raises UnusableFile for a file that cannot be read or has changed its length, ConnectError
        of other kinds as every call does, and ProviderUnavailable or ProviderError if the network
        fails: ``outcome_unknown`` is true if everything had been sent by then.
        """
        address = self._address(url)
        limits = (self._transport.timeout if timeout is None else timeout, answer_timeout)
        if not all(0 < seconds <= LONGEST_TIMEOUT for seconds in limits):
            raise ValueError("timeout and answer_timeout must be above 0 and at most a day.")
        with multipart(fields, files, progress) as body:
            outcome = self._send_upload(address, body, limits)
        if isinstance(outcome, requests.Response):
            return outcome
        raise outcome

    @hides_locals
    def _send_upload(
        self, url: str, body: Multipart, limits: tuple[float, float]
    ) -> requests.Response | Exception:
        """Return the response, or the error: what the caller's own code raised is left alone."""
        handled = sys.exception()
        headers = {"Content-Type": body.content_type}
        try:
            with capped(MAX_PAGE):
                return self.request("POST", url, data=body, headers=headers, timeout=limits)
        except Interrupted as interruption:
            return interruption.error
        except (*NETWORK_ERRORS, RecursionError, ValueError) as error:
            proxy = self._transport.proxy
            failure = error_for(error, self._root, sent=body.sent > 0, proxy=proxy, handled=handled)
        if body.is_sent:
            after = (
                "Everything had been sent: find out whether it was accepted before trying again."
            )
        else:
            after = "Not everything had been sent, so nothing was uploaded."
        return type(failure)(f"{failure.message} {after}", outcome_unknown=body.is_sent)

    def _me(self) -> dict[str, Any]:
        """Return the answer at the provider's ``account_path``, or {} if it has none."""
        path = self._flow.provider.account_path
        if not path:
            return {}
        try:
            answer: dict[str, Any] = self._json(f"{self._root}{path}")
        except ProviderError:
            if self._account is None:
                raise
            return {}  # the site's own callable may know the account without it
        return answer

    def _address(self, url: str | bytes) -> str:
        text = self._joined(url.decode() if isinstance(url, bytes) else url)
        if not is_within(self._root, text):
            raise requests.exceptions.InvalidURL(
                "This address does not belong to the API of the connection, or not to every "
                "reader: '..', a user name or a control character may lead elsewhere."
            )
        return text

    @hides_locals
    def _json(self, url: str, kinds: tuple[type, ...] = (dict,)) -> Any:
        """Return the JSON of a page: a value of one of ``kinds``."""
        with deadline(self._transport.timeout) as limit, capped(MAX_PAGE):
            # Where the API says Retry-After, the adapter has waited already
            answered = after_hiccups(
                partial(self._asked, url), limit, patience=0, sleep=self._sleep
            )
        if isinstance(answered, ConnectError):
            raise answered
        status, found = answered
        if not isinstance(found, kinds):
            raise ProviderError(
                f"The API answered with something other than expected (status {status})."
            )
        return found

    def _asked(self, url: str) -> tuple[int, Any] | Failure:
        """Return the status and the JSON of the answer to a GET, or why there is none."""
        handled = sys.exception()
        try:
            response = self.get(url, stream=True)
            found = _parsed(response)
        # ValueError: the address of a redirect that is none, for example
        except (*NETWORK_ERRORS, RecursionError, ValueError) as error:
            proxy = self._transport.proxy
            return error_for(error, self._root, proxy=proxy, handled=handled)
        status = response.status_code
        failure = error_for_status("The API", status, response.headers.get("Retry-After"))
        return failure or (status, found)


def _repeats_request(redirect: requests.Response) -> bool:
    """Return whether requests would follow with the same body, or with a method that writes."""
    method = redirect.request.method
    if redirect.status_code == 301:
        return method not in (*SAFE_METHODS, "POST")
    return redirect.status_code in (307, 308)


def _parsed(response: requests.Response) -> Any:
    """Return the JSON of a response, or None if it is not JSON or the status is not 200."""
    if response.status_code != 200:
        discard(response)
        return None
    with response:
        try:
            return response.json()
        except (ValueError, RecursionError):  # not JSON, too deep, or too long a number
            return None
