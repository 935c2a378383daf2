"""For the tests of a site: a SoundCloud that runs on this machine, and its users, who need no
browser.

    def test_a_user_connects(soundcloud):  # the fixture: pytest finds it once this package is installed
        application = SCConnect(site, soundcloud.oauth2(), secret_key=KEY, store_token=store_token)
        assert soundcloud.connect(application).fields == {"username": "joe", "oauth_token_id": "43"}

Nothing is replaced by a fake: the site's own application answers requests, the real middleware
talks over a socket to the sandbox, and that verifies everything. docs/testing.md shows each kind of
failure.
"""

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
from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.sandbox.user import Browser, decide

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
    """How the user's browser reaches the site, where that is not the usual way.

    ``headers`` go with every request (``{"Cookie": "session=..."}``), ``environ`` into every WSGI
    environ (``{"REMOTE_USER": "joe"}``). ``start`` is the request-token path, ``mount`` the
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

    ``fields`` is the object that the page's callback gets (with ``error`` where it failed),
    ``location`` the address the user is sent to at last, ``cookies`` what the browser keeps for the
    site, ``response`` the site's last answer.
    """

    fields: dict[str, str]
    location: str
    cookies: dict[str, str]
    response: Response


class SoundCloud:
    """A running sandbox and what its users do. A context manager; the fixture ``soundcloud`` is
    one.

    ``url`` is its address, ``provider`` what OAuth2 takes, ``sandbox`` the Sandbox itself with its
    counts. Every redirect URI is registered. It knows joe and ann; any other user signs up.
    """

    client_id = "sandbox-client"
    client_secret = "sandbox-secret"  # noqa: S105  # no secret: it opens nothing but the sandbox

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
        """The provider for an OAuth2."""
        return self.sandbox.oauth2_provider(self.url)

    @property
    def oauth1_provider(self) -> OAuth1Provider:
        """The provider for an OAuth1."""
        return self.sandbox.oauth1_provider(self.url)

    @property
    def environ(self) -> dict[str, str]:
        """The SCCONNECT_* variables of client and provider, for a site that is configured with
        ``from_env``.
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
        """The flow of SoundCloud today, with this provider; ``options`` are those of OAuth2."""
        return OAuth2(self.client_id, self.client_secret, provider=self.provider, **options)

    def oauth1(self, **options: Any) -> OAuth1:
        """The flow of OAuth 1.0a, with this provider; ``options`` are those of OAuth1."""
        return OAuth1(self.client_id, self.client_secret, provider=self.oauth1_provider, **options)

    def connect(self, app: WSGIApplication, user: str = "joe", **visit: Any) -> Connected:
        """``user`` presses the button, logs in here and allows the connection.

        ``visit`` as in Visit.
        """
        return self._flow(app, user, "allow", Visit(**visit))

    def refuse(self, app: WSGIApplication, user: str = "joe", **visit: Any) -> Connected:
        """``user`` presses the button, logs in and says no: ``access_denied``."""
        return self._flow(app, user, "deny", Visit(**visit))

    def come_late(self, app: WSGIApplication, user: str = "joe", **visit: Any) -> Connected:
        """``user`` takes so long that the browser has dropped the flow's cookie:

        ``flow_expired``.
        """
        return self._flow(app, user, "allow", Visit(**visit), late=True)

    def fail(
        self, app: WSGIApplication, user: str = "joe", how: str = "down", **visit: Any
    ) -> Connected:
        """``user`` allows the connection, and then SoundCloud is ``how``: ``provider_unavailable``
        where it is down.

        ``how`` is a word of scconnect_wsgi.sandbox.misbehave, such as ``429`` or ``garbage``.
        """
        return self._flow(app, user, "allow", Visit(**visit), how=how)

    @contextmanager
    def misbehaving(self, *how: str) -> Iterator[None]:
        """Within, SoundCloud has these bad days:

        words of scconnect_wsgi.sandbox.misbehave, such as ``slow=2``.
        """
        self.sandbox.misbehave(*how)
        try:
            yield
        finally:
            self.sandbox.misbehave()

    def expire(self, user: str | None = None) -> None:
        """The access tokens of ``user`` (None:

        everybody) end now, and refresh tokens work: OAuth 2.1 alone.
        """
        self.sandbox.expire(user)

    def revoke(self, user: str | None = None) -> None:
        """``user`` (None:

        everybody) takes the permission back: every token stops, and so does refresh.
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
        location = urljoin(visit.host, started.headers.get("Location", ""))
        if started.status_code != 303:
            raise AssertionError(
                f"The start of the flow, {visit.start}, answered {started.status} and not with a redirect. Is it the "
                f"request_token_path of an SCConnect? It said: {started.text[:500]}"
            )
        if not location.startswith(self.url + "/"):
            if "error" in _fields(location):
                return _ended(browser, started, visit.host)
            raise AssertionError(
                f"The flow leads to {location.partition('?')[0]}, and not here: build it with soundcloud.oauth2(), or "
                "with provider=soundcloud.provider."
            )
        back = decide(self.sandbox, self.url, location, user, choice)
        if late:
            browser.forget("scconnect-")
        with self.misbehaving(*filter(None, [how])):
            ended = browser.get(urlsplit(back).path, ARRIVAL, urlsplit(back).query)
        return _ended(browser, ended, back)


def _ended(browser: Browser, response: Response, asked: str) -> Connected:
    location = (
        urljoin(asked, response.headers["Location"]) if "Location" in response.headers else ""
    )
    return Connected(_fields(location), location, browser.cookies, response)


def _fields(location: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(location).query, keep_blank_values=True))


class _Every(tuple[str, ...]):
    """Every redirect URI: a site is tested with the settings it has."""

    __slots__ = ()

    def __contains__(self, url: object) -> bool:
        return True
