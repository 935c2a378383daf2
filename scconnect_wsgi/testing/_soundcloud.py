"""A running sandbox, and users who need no browser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from webob import Response

from scconnect_wsgi.protocols.oauth1 import OAuth1
from scconnect_wsgi.protocols.oauth2 import OAuth2
from scconnect_wsgi.provider import OAuth1Provider, OAuth2Provider
from scconnect_wsgi.sandbox import Browser, Sandbox, decide, serve

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

CLICK = {
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
ARRIVAL = {**CLICK, "Sec-Fetch-Site": "cross-site"}


@dataclass(frozen=True)
class Visit:
    """How the user's browser reaches the site.

    ``headers`` go with every request (``{"Cookie": "session=..."}``), ``environ`` into every WSGI
    environ (``{"REMOTE_USER": "joe"}``). ``start`` is the ``request_token_path``, ``mount`` the
    SCRIPT_NAME, ``host`` the scheme and host that the browser sees.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, Any] = field(default_factory=dict)
    start: str = "/oauth/request_token"
    mount: str = ""
    host: str = "http://localhost"


@dataclass(frozen=True)
class Connected:
    """How a flow ended.

    ``fields`` is the object that the page's callback receives, with ``error`` if the flow failed.
    ``location`` is the address that the user is sent to at the end, ``cookies`` are the site's
    cookies in the browser, and ``response`` is the site's last response.
    """

    fields: dict[str, str]
    location: str
    cookies: dict[str, str]
    response: Response


class SoundCloud:
    """A running sandbox, and what its users do. The fixture ``soundcloud`` is one.

    ``url`` is its address, ``sandbox`` the Sandbox itself with its counts. Every redirect URI is
    registered. It knows joe and ann; any other user signs up. As a context manager it stops at
    the end.
    """

    client_id = "sandbox-client"
    client_secret = "sandbox-secret"  # noqa: S105  # it opens nothing but the sandbox

    def __init__(self) -> None:
        self.sandbox: Sandbox = Sandbox(
            client_id=self.client_id, client_secret=self.client_secret, redirect_uris=_Every()
        )
        self._server = serve(self.sandbox)
        self.url: str = self._server.url

    def __enter__(self) -> SoundCloud:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop()

    @property
    def provider(self) -> OAuth2Provider:
        """Return the provider to build an OAuth2 with."""
        return self.sandbox.oauth2_provider(self.url)

    @property
    def oauth1_provider(self) -> OAuth1Provider:
        """Return the provider to build an OAuth1 with."""
        return self.sandbox.oauth1_provider(self.url)

    @property
    def environ(self) -> dict[str, str]:
        """Return SCCONNECT_* variables for a site that is configured with ``from_env``.

        They name the client and the provider; the site adds its own, such as the secret key.
        """
        provider = self.provider
        return {
            "SCCONNECT_CLIENT_ID": self.client_id,
            "SCCONNECT_CLIENT_SECRET": self.client_secret,
            "SCCONNECT_AUTHORIZE_URL": provider.authorize_url,
            "SCCONNECT_TOKEN_URL": provider.token_url,
            "SCCONNECT_API_URL": self.url,
            "SCCONNECT_SIGN_OUT_URL": f"{self.url}/sign-out",
        }

    def oauth2(self, **options: Any) -> OAuth2:
        """Return the OAuth 2.1 flow for this provider; ``options`` are those of OAuth2.

        ``provider`` is one of them, for a copy of this provider that differs in something.
        """
        options = {"provider": self.provider, **options}
        return OAuth2(self.client_id, self.client_secret, **options)

    def oauth1(self, **options: Any) -> OAuth1:
        """Return the OAuth 1.0a flow for this provider; ``options`` are those of OAuth1."""
        options = {"provider": self.oauth1_provider, **options}
        return OAuth1(self.client_id, self.client_secret, **options)

    def connect(self, app: WSGIApplication, user: str = "joe", **visit: Any) -> Connected:
        """Have ``user`` press the button, log in here and allow the connection.

        ``visit`` are fields of Visit. Raises AssertionError if the site does not begin a flow that
        leads here, as do the methods below.
        """
        return self._flow(app, user, "allow", Visit(**visit))

    def refuse(self, app: WSGIApplication, user: str = "joe", **visit: Any) -> Connected:
        """Have ``user`` press the button, log in and deny the connection: ``access_denied``."""
        return self._flow(app, user, "deny", Visit(**visit))

    def come_late(self, app: WSGIApplication, user: str = "joe", **visit: Any) -> Connected:
        """Have ``user`` allow the connection after the flow's cookie has expired.

        The flow ends with ``flow_expired``.
        """
        return self._flow(app, user, "allow", Visit(**visit), late=True)

    def fail(
        self, app: WSGIApplication, user: str = "joe", how: str = "down", **visit: Any
    ) -> Connected:
        """Have ``user`` allow the connection, and SoundCloud fail at the request for the token.

        ``how`` is a fault of ``scconnect_wsgi.sandbox.faults``, such as ``429=7`` or ``garbage``.
        With ``down`` the flow ends with ``provider_unavailable``. Raises ValueError for an unknown
        fault.
        """
        return self._flow(app, user, "allow", Visit(**visit), how=how)

    @contextmanager
    def misbehaving(self, *how: str) -> Iterator[None]:
        """Return a context manager in which SoundCloud has these faults, and no others.

        Each is one of ``scconnect_wsgi.sandbox.faults``, such as ``slow=2``. Raises ValueError for
        an unknown fault.
        """
        self.sandbox.misbehave(*how)
        try:
            yield
        finally:
            self.sandbox.misbehave()

    def expire(self, user: str | None = None) -> None:
        """End the OAuth 2.1 access tokens of ``user`` (None: everybody).

        Their refresh tokens still work.
        """
        self.sandbox.expire(user)

    def revoke(self, user: str | None = None) -> None:
        """Revoke every permission that ``user`` (None: everybody) has given.

        SoundCloud no longer accepts their access tokens and refresh tokens.
        """
        self.sandbox.revoke(user)

    def _flow(
        self,
        app: WSGIApplication,
        user: str,
        choice: str,
        visit: Visit,
        *,
        late: bool = False,
        how: str = "",
    ) -> Connected:
        browser = Browser(app, visit.host, visit.mount, visit.headers, visit.environ)
        started = browser.get(visit.mount + visit.start, CLICK)
        if started.status_code != 303:
            raise AssertionError(
                f"The start of the flow, {visit.start}, answered {started.status} and not with a "
                "redirect. Is it the request_token_path of an SCConnect? It said: "
                f"{started.text[:500]}"
            )
        location = urljoin(visit.host, started.headers["Location"])
        if not location.startswith(f"{self.url}/"):
            if "error" in _fields(location):
                return _ended(browser, started, visit.host)
            raise AssertionError(
                f"The flow leads to {location.partition('?')[0]}, and not here: build it with "
                "soundcloud.oauth2(), or with provider=soundcloud.provider."
            )
        callback = decide(self.sandbox, self.url, location, user, choice)
        if late:
            browser.forget("scconnect-")
        faults = [how] if how else []
        with self.misbehaving(*faults):
            parts = urlsplit(callback)
            ended = browser.get(parts.path, ARRIVAL, parts.query)
        return _ended(browser, ended, callback)


def _ended(browser: Browser, response: Response, url: str) -> Connected:
    """Return how a flow ended with the response to a request for ``url``."""
    location = ""
    if "Location" in response.headers:
        location = urljoin(url, response.headers["Location"])
    return Connected(_fields(location), location, browser.cookies, response)


def _fields(location: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(location).query, keep_blank_values=True))


class _Every(tuple[str, ...]):
    """A collection that holds every redirect URI, so that a site keeps its own settings."""

    __slots__ = ()

    def __contains__(self, url: object) -> bool:
        return True
