"""The sandbox itself: a table of what it answers, and who answers it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import webob

from scconnect_wsgi.provider import OAuth1Provider, OAuth2Provider
from scconnect_wsgi.sandbox import misbehave as bad
from scconnect_wsgi.sandbox.api import Api
from scconnect_wsgi.sandbox.clients import Client
from scconnect_wsgi.sandbox.misbehave import Habits
from scconnect_wsgi.sandbox.oauth1 import OAuth1Server
from scconnect_wsgi.sandbox.oauth2 import OAuth2Server
from scconnect_wsgi.sandbox.pages import Pages
from scconnect_wsgi.sandbox.state import Counts, State
from scconnect_wsgi.sandbox.templates import message

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LARGEST_BODY = 65_536  # bytes of a request
Handler = Callable[[webob.Request, Habits], webob.Response]


@dataclass(frozen=True)
class Route:
    """Who answers a path.

    ``count`` names a machine's endpoint in ``Sandbox.counts``; pages misbehave less.
    """

    handler: Handler
    methods: tuple[str, ...] = ("GET", "HEAD", "POST")
    count: str = ""
    machine: bool = False


class Sandbox:
    """SoundCloud on your own machine, as a WSGI application.

    One application is registered: ``client_id`` and ``client_secret`` are its consumer key and
    secret in OAuth 1.0a as well. ``redirect_uris`` are the addresses it may come back to (None:
    every one on a loopback host). ``misbehave`` holds names of scconnect_wsgi.sandbox.misbehave,
    ``NAME`` or ``NAME=VALUE``; ``access_token_lifetime`` is in seconds; ``rsa_public_key`` is a PEM
    text, needed for RSA-SHA1. ``on_secret`` is called with each code, token and secret as it is made, so
    that a test can look for them in its logs. Raises ValueError for a misbehaviour it does not know.

    ``counts`` says how often each endpoint was reached, and as ``redeemed`` how many refresh tokens
    were used up.
    """

    def __init__(
        self,
        *,
        client_id: str = "sandbox-client",
        client_secret: str = "sandbox-secret",  # noqa: S107  # no secret: it opens nothing but the sandbox
        redirect_uris: Collection[str] | None = None,
        misbehave: Iterable[str] = (),
        access_token_lifetime: int = 3600,
        rsa_public_key: str | None = None,
        on_secret: Callable[[str], object] | None = None,
    ) -> None:
        self._habits = bad.parse(misbehave)
        self._state = State(on_secret)
        self.counts: Counts = self._state.counts
        client = Client(client_id, client_secret, redirect_uris)
        oauth1 = OAuth1Server(self._state, client, rsa_public_key)
        oauth2 = OAuth2Server(self._state, client, access_token_lifetime)
        self._routes = self._table(
            oauth1, oauth2, Api(self._state, oauth1, oauth2), Pages(self._state, oauth1, oauth2)
        )

    def _table(
        self, oauth1: OAuth1Server, oauth2: OAuth2Server, api: Api, pages: Pages
    ) -> dict[str, Route]:
        get, post = ("GET", "HEAD"), ("POST",)
        return {
            "/": Route(pages.home, get),
            "/authorize": Route(pages.authorize2, count="authorize"),
            "/oauth/authorize": Route(pages.authorize1, count="authorize"),
            "/login": Route(pages.login, ("GET", "HEAD", "POST")),
            "/signup": Route(pages.signup, ("GET", "HEAD", "POST")),
            "/logout": Route(pages.logout, post),
            "/sandbox.css": Route(pages.style, get),
            "/oauth/token": Route(oauth2.token, post, "token", machine=True),
            "/oauth/request_token": Route(
                oauth1.request_token, ("GET", "POST"), "request_token", machine=True
            ),
            "/oauth/access_token": Route(
                oauth1.access_token, ("GET", "POST"), "access_token", machine=True
            ),
            "/me": Route(api.me, get, "me", machine=True),
            "/me/tracks": Route(api.tracks, get, "tracks", machine=True),
            "/avatar.svg": Route(api.avatar, get),
            "/sign-out": Route(api.sign_out, post, "sign_out", machine=True),
            "/elsewhere": Route(
                lambda request, habits: webob.Response("elsewhere"), count="elsewhere"
            ),
            "/sandbox/counts": Route(
                lambda request, habits: webob.Response(json_body=dict(self.counts)), get
            ),
            "/sandbox/revoke": Route(partial(self._told, self.revoke), post),
            "/sandbox/expire": Route(partial(self._told, self.expire), post),
            "/sandbox/misbehave": Route(self._misbehave, post),
        }

    def oauth2_provider(self, root: str, **overrides: Any) -> OAuth2Provider:
        """The addresses of OAuth 2.1 below ``root``, the URL this application answers at;

        ``overrides`` as below.
        """
        fields = {
            "authorize_url": f"{root}/authorize",
            "token_url": f"{root}/oauth/token",
            "api_url": root,
            "sign_out_url": f"{root}/sign-out",
        }
        return OAuth2Provider(**{**fields, **overrides})

    def oauth1_provider(self, root: str, **overrides: Any) -> OAuth1Provider:
        """The addresses of OAuth 1.0a below ``root``;

        ``overrides`` are further fields of OAuth1Provider.
        """
        fields = {
            "request_token_url": f"{root}/oauth/request_token",
            "authorize_url": f"{root}/oauth/authorize",
            "access_token_url": f"{root}/oauth/access_token",
            "api_url": root,
        }
        return OAuth1Provider(**{**fields, **overrides})

    def misbehave(self, *words: str) -> None:
        """From now on have these bad days and no others.

        Raises ValueError for one it does not know.
        """
        self._habits = bad.parse(words)

    def revoke(self, username: str | None = None) -> None:
        """``username`` (None:

        everybody) takes the permission back: tokens stop, refresh answers invalid_grant.
        """
        self._state.revoke(username)

    def expire(self, username: str | None = None) -> None:
        """The access tokens of ``username`` (None:

        everybody) end now; refresh gives others. OAuth 2.1 alone.
        """
        self._state.expire(username)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        return self._answer(environ)(environ, start_response)

    def _answer(self, environ: WSGIEnvironment) -> webob.Response:
        try:
            environ["PATH_INFO"].encode("latin-1").decode("utf-8")
            environ.get("QUERY_STRING", "").encode("latin-1").decode("ascii")
            habits = {**self._habits, **bad.take_prefixes(environ)}
        except ValueError as error:  # UnicodeDecodeError is one
            return message(webob.Request.blank("/"), 404, "Nothing here", str(error))
        request = webob.Request(environ)
        route = self._routes.get(environ["PATH_INFO"] or "/")
        if route is None:
            return message(request, 404, "Nothing here", "The sandbox has no page at this address.")
        if request.method not in route.methods:
            refused = message(
                request, 405, "Not like that", "This address does not answer that method."
            )
            refused.allow = route.methods
            return refused
        if (request.content_length or 0) > LARGEST_BODY:
            return message(request, 413, "Too much", "The request is too large.")
        try:
            return self._handle(route, request, habits)
        except UnicodeDecodeError:
            return message(request, 400, "Unreadable", "The request is not UTF-8.")

    def _handle(self, route: Route, request: webob.Request, habits: Habits) -> webob.Response:
        self._count(route, request)
        if not route.machine:
            return route.handler(request, habits)
        return bad.before(habits, request) or bad.after(habits, route.handler(request, habits))

    def _count(self, route: Route, request: webob.Request) -> None:
        refresh = route.count == "token" and request.POST.get("grant_type") == "refresh_token"
        if route.count and (route.count != "authorize" or request.method == "GET"):
            self.counts.hit("refresh" if refresh else route.count)

    def _told(
        self, change: Callable[[str | None], None], request: webob.Request, habits: Habits
    ) -> webob.Response:
        username = request.GET.get("username") or request.POST.get("username")
        change(str(username) if username else None)
        return webob.Response(status=204)

    def _misbehave(self, request: webob.Request, habits: Habits) -> webob.Response:
        try:
            self.misbehave(*filter(None, map(str, request.POST.getall("name"))))
        except ValueError as error:
            return webob.Response(json_body={"error": str(error)}, status=400)
        return webob.Response(status=204)
