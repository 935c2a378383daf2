"""The sandbox as a WSGI application: its endpoints, who handles each, and its faults."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import webob

from scconnect_wsgi.provider import OAuth1Provider, OAuth2Provider
from scconnect_wsgi.sandbox import _pages as pages
from scconnect_wsgi.sandbox import _protocol_faults as protocol_faults
from scconnect_wsgi.sandbox import faults
from scconnect_wsgi.sandbox._api import Api
from scconnect_wsgi.sandbox._clients import Client
from scconnect_wsgi.sandbox._consent import Consent
from scconnect_wsgi.sandbox._network_faults import unreliable
from scconnect_wsgi.sandbox._oauth1 import OAuth1Server
from scconnect_wsgi.sandbox._oauth2 import OAuth2Server
from scconnect_wsgi.sandbox._sessions import Sessions
from scconnect_wsgi.sandbox._state import Counts, State
from scconnect_wsgi.sandbox._templates import message
from scconnect_wsgi.sandbox.faults import Faults, Handler, Wrapper

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LARGEST_BODY = 65_536  # bytes of a request
GET = ("GET", "HEAD")
POST = ("POST",)
GET_OR_POST = ("GET", "HEAD", "POST")
SIGNED = ("GET", "POST")  # methods of the requests for tokens in OAuth 1.0a


@dataclass(frozen=True)
class Route:
    """The handler of a path, and the faults that wrap it, innermost first.

    ``count`` is the name of the endpoint in ``Sandbox.counts``.
    """

    handler: Handler
    methods: tuple[str, ...]
    count: str = ""
    wrappers: tuple[Wrapper, ...] = ()


class Sandbox:
    """SoundCloud on your own machine, as a WSGI application.

    One application is registered: ``client_id`` and ``client_secret`` are its consumer key and
    consumer secret in OAuth 1.0a as well. ``redirect_uris`` are its callbacks; None stands for
    every address on a loopback host. ``misbehave`` names faults of
    ``scconnect_wsgi.sandbox.faults``, each ``NAME`` or ``NAME=VALUE``. ``access_token_lifetime`` is
    in seconds. ``rsa_public_key`` is a PEM text, needed for RSA-SHA1. ``clock`` returns the time in
    seconds since the epoch. Raises ValueError for an unknown fault.

    ``counts`` says how often each endpoint was reached, and as ``redeemed`` how many refresh tokens
    were used up.
    """

    def __init__(
        self,
        *,
        client_id: str = "sandbox-client",
        client_secret: str = "sandbox-secret",  # noqa: S107  # it opens nothing but the sandbox
        redirect_uris: Collection[str] | None = None,
        misbehave: Iterable[str] = (),
        access_token_lifetime: int = 3600,
        rsa_public_key: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._faults = faults.parse(misbehave)
        self._state = State(clock)
        self.counts: Counts = self._state.counts
        client = Client(client_id, client_secret, redirect_uris)
        oauth1 = OAuth1Server(self._state, client, rsa_public_key)
        oauth2 = OAuth2Server(self._state, client, access_token_lifetime)
        self._routes = {
            **self._pages(oauth1, oauth2),
            **self._token_endpoints(oauth1, oauth2),
            **self._api(oauth1, oauth2),
            **self._controls(),
        }

    def _pages(self, oauth1: OAuth1Server, oauth2: OAuth2Server) -> dict[str, Route]:
        sessions = Sessions(self._state)
        accounts = pages.Accounts(self._state, sessions)
        consent = Consent(sessions, oauth1, oauth2)
        isolated = protocol_faults.isolated
        odd1 = protocol_faults.odd_authorization1
        odd2 = protocol_faults.odd_authorization2
        return {
            "/": Route(pages.home, GET, "", (isolated,)),
            "/sandbox.css": Route(pages.style, GET),
            "/authorize": Route(consent.authorize2, GET_OR_POST, "authorize", (odd2, isolated)),
            "/oauth/authorize": Route(
                consent.authorize1, GET_OR_POST, "authorize", (odd1, isolated)
            ),
            "/login": Route(accounts.login, GET_OR_POST, "", (isolated,)),
            "/signup": Route(accounts.signup, GET_OR_POST, "", (isolated,)),
            "/logout": Route(accounts.logout, POST),
            "/elsewhere": Route(_elsewhere, GET_OR_POST, "elsewhere"),
        }

    def _token_endpoints(self, oauth1: OAuth1Server, oauth2: OAuth2Server) -> dict[str, Route]:
        long = protocol_faults.long_tokens
        odd1 = protocol_faults.odd_request_token
        odd2 = protocol_faults.odd_token
        return {
            "/oauth/request_token": Route(
                oauth1.request_token, SIGNED, "request_token", (long, odd1, unreliable)
            ),
            "/oauth/access_token": Route(
                oauth1.access_token, SIGNED, "access_token", (long, unreliable)
            ),
            "/oauth/token": Route(oauth2.token, POST, "token", (long, odd2, unreliable)),
        }

    def _api(self, oauth1: OAuth1Server, oauth2: OAuth2Server) -> dict[str, Route]:
        api = Api(self._state, oauth1, oauth2)
        refused = protocol_faults.refused_token
        refused_sign_out = protocol_faults.refused_sign_out
        odd = protocol_faults.odd_profile
        return {
            "/me": Route(api.me, GET, "me", (refused, odd, unreliable)),
            "/me/tracks": Route(api.tracks, GET, "tracks", (refused, unreliable)),
            "/avatar.svg": Route(api.avatar, GET),
            "/sign-out": Route(api.sign_out, POST, "sign_out", (refused_sign_out, unreliable)),
        }

    def _controls(self) -> dict[str, Route]:
        """Return the endpoints by which tests in another process control the sandbox."""
        return {
            "/sandbox/counts": Route(self._show_counts, GET),
            "/sandbox/revoke": Route(partial(self._for_user, self.revoke), POST),
            "/sandbox/expire": Route(partial(self._for_user, self.expire), POST),
            "/sandbox/misbehave": Route(self._set_faults, POST),
        }

    def oauth2_provider(self, root: str, **overrides: Any) -> OAuth2Provider:
        """Return the provider of OAuth 2.1 at ``root``, the URL that this application answers at.

        ``overrides`` are fields of OAuth2Provider.
        """
        fields = {
            "authorize_url": f"{root}/authorize",
            "token_url": f"{root}/oauth/token",
            "api_url": root,
            "sign_out_url": f"{root}/sign-out",
        }
        return OAuth2Provider(**{**fields, **overrides})

    def oauth1_provider(self, root: str, **overrides: Any) -> OAuth1Provider:
        """Return the provider of OAuth 1.0a at ``root``, the URL that this application answers at.

        ``overrides`` are fields of OAuth1Provider.
        """
        fields = {
            "request_token_url": f"{root}/oauth/request_token",
            "authorize_url": f"{root}/oauth/authorize",
            "access_token_url": f"{root}/oauth/access_token",
            "api_url": root,
        }
        return OAuth1Provider(**{**fields, **overrides})

    def misbehave(self, *words: str) -> None:
        """Replace the faults; without arguments, remove all.

        Raises ValueError for an unknown one.
        """
        self._faults = faults.parse(words)

    def revoke(self, username: str | None = None) -> None:
        """Revoke every permission that ``username`` (None: everybody) has given.

        Access tokens are no longer accepted, and a refresh is answered with invalid_grant.
        """
        self._state.revoke(username)

    def expire(self, username: str | None = None) -> None:
        """End the OAuth 2.1 access tokens of ``username`` (None: everybody).

        Refresh tokens still work.
        """
        self._state.expire(username)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        return self._answer(environ)(environ, start_response)

    def _answer(self, environ: WSGIEnvironment) -> webob.Response:
        try:
            environ["PATH_INFO"].encode("latin-1").decode("utf-8")
            environ.get("QUERY_STRING", "").encode("latin-1").decode("ascii")
            active = {**self._faults, **faults.take_prefixes(environ)}
        except ValueError as error:  # UnicodeDecodeError is one
            return message(webob.Request.blank("/"), 404, "Nothing here", str(error))
        request = webob.Request(environ)
        route = self._routes.get(environ["PATH_INFO"] or "/")
        if route is None:
            return message(request, 404, "Nothing here", "The sandbox has no page at this address.")
        if request.method not in route.methods:
            text = "This address does not answer that method."
            refused = message(request, 405, "Method not allowed", text)
            refused.allow = route.methods
            return refused
        if (request.content_length or 0) > LARGEST_BODY:
            return message(request, 413, "Too much", "The request is too large.")
        try:
            return self._handle(route, request, active)
        except UnicodeDecodeError:
            return message(request, 400, "Unreadable", "The request is not UTF-8.")

    def _handle(self, route: Route, request: webob.Request, active: Faults) -> webob.Response:
        self._count(route, request)
        handler = route.handler
        for wrapper in route.wrappers:
            handler = partial(wrapper, handler, active)
        return handler(request)

    def _count(self, route: Route, request: webob.Request) -> None:
        name = route.count
        if name == "token" and request.POST.get("grant_type") == "refresh_token":
            name = "refresh"
        if name == "authorize" and request.method != "GET":
            return  # the form of a page that was counted already
        if name:
            self.counts.hit(name)

    def _show_counts(self, request: webob.Request) -> webob.Response:
        return webob.Response(json_body=dict(self.counts))

    def _for_user(
        self, change: Callable[[str | None], None], request: webob.Request
    ) -> webob.Response:
        username = request.GET.get("username") or request.POST.get("username")
        change(str(username) if username else None)
        return webob.Response(status=204)

    def _set_faults(self, request: webob.Request) -> webob.Response:
        if set(request.POST) - {"name"}:
            return webob.Response(json_body={"error": "The only field is name."}, status=400)
        words = [str(word) for word in request.POST.getall("name")]
        try:
            self.misbehave(*[word for word in words if word])
        except ValueError as error:
            return webob.Response(json_body={"error": str(error)}, status=400)
        return webob.Response(status=204)


def _elsewhere(request: webob.Request) -> webob.Response:
    return webob.Response("elsewhere")
