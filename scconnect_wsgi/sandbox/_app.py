"""The sandbox as a WSGI application: its endpoints, who handles each, and its faults."""

from __future__ import annotations

import os
import re
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
from scconnect_wsgi.sandbox._api import Api, Endpoint
from scconnect_wsgi.sandbox._api_errors import api_error
from scconnect_wsgi.sandbox._clients import Client
from scconnect_wsgi.sandbox._consent import Consent
from scconnect_wsgi.sandbox._network_faults import unreliable, unreliable_api
from scconnect_wsgi.sandbox._oauth1 import OAuth1Server
from scconnect_wsgi.sandbox._oauth2 import OAuth2Server
from scconnect_wsgi.sandbox._sessions import Sessions
from scconnect_wsgi.sandbox._state import Counts, State
from scconnect_wsgi.sandbox._state_file import StateFile, StateNotKeptError
from scconnect_wsgi.sandbox._templates import message
from scconnect_wsgi.sandbox._uploads import LARGEST_REST, LARGEST_UPLOAD
from scconnect_wsgi.sandbox.faults import Faults, Handler, Wrapper

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LARGEST_BODY = 65_536  # bytes of a request, but for an upload
# What begins like this is for programs, and is answered with JSON whatever goes wrong.
API = re.compile(r"/(me|tracks|users|playlists|resolve)(/|$)")
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
    largest_body: int = LARGEST_BODY


class Sandbox:
    """SoundCloud on your own machine, as a WSGI application.

    One application is registered: ``client_id`` and ``client_secret`` are its consumer key and
    consumer secret in OAuth 1.0a as well. ``redirect_uris`` are its callbacks; None stands for
    every address on a loopback host. ``misbehave`` names faults of
    ``scconnect_wsgi.sandbox.faults``, each ``NAME`` or ``NAME=VALUE``. ``access_token_lifetime`` is
    in seconds. ``token_endpoint_auth`` is how the application is registered to authenticate in
    OAuth 2.1, in the words of OAuth2Provider; it may do so in no other way. ``rsa_public_key`` is a
    PEM text, needed for RSA-SHA1. ``clock`` returns the time in seconds since the epoch.
    ``state_file`` is a path: users, sessions, uploads, permissions and tokens are kept there and
    survive a restart. Raises ValueError for an unknown fault or ``token_endpoint_auth``, and
    StateFileError, which is one, for a file that cannot be used.

    ``counts`` says how often each endpoint was reached, and as ``redeemed`` how many refresh tokens
    were used up.
    """

    def __init__(  # noqa: PLR0913  # the options of a sandbox, by name
        self,
        *,
        client_id: str = "sandbox-client",
        client_secret: str = "sandbox-secret",  # noqa: S107  # it opens nothing but the sandbox
        redirect_uris: Collection[str] | None = None,
        misbehave: Iterable[str] = (),
        access_token_lifetime: int = 3600,
        token_endpoint_auth: str = "client_secret_post",  # noqa: S107  # the name of a method
        rsa_public_key: str | None = None,
        clock: Callable[[], float] = time.time,
        state_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self._faults = faults.parse(misbehave)
        self._state = State(clock)
        self._file = None if state_file is None else StateFile(state_file, self._state)
        self.counts: Counts = self._state.counts
        client = Client(client_id, client_secret, redirect_uris, token_endpoint_auth)
        self._token_endpoint_auth = token_endpoint_auth
        oauth1 = OAuth1Server(self._state, client, rsa_public_key)
        oauth2 = OAuth2Server(self._state, client, access_token_lifetime)
        routes = {
            **self._pages(oauth1, oauth2),
            **self._token_endpoints(oauth1, oauth2),
            **self._api(oauth1, oauth2),
            **self._controls(),
        }
        self._routes = [(_pattern(path), route) for path, route in routes.items()]

    def _pages(self, oauth1: OAuth1Server, oauth2: OAuth2Server) -> dict[str, Route]:
        sessions = Sessions(self._state)
        accounts = pages.Accounts(self._state, sessions)
        consent = Consent(accounts, sessions, oauth1, oauth2)
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
        refused_upload = protocol_faults.refused_upload
        refused_sign_out = protocol_faults.refused_sign_out
        odd = protocol_faults.odd_profile

        def read(endpoint: Endpoint, count: str) -> Route:
            return Route(api.authorized(endpoint), GET, count, (refused, unreliable_api))

        return {
            "/me": Route(api.authorized(api.me), GET, "me", (refused, odd, unreliable_api)),
            "/me/tracks": read(api.tracks, "tracks"),
            "/me/playlists": read(api.playlists, "playlists"),
            "/me/likes/tracks": read(api.likes, "likes"),
            "/tracks": Route(
                api.authorized(api.upload),
                POST,
                "upload",
                (refused_upload, refused, unreliable_api),
                LARGEST_UPLOAD + LARGEST_REST,
            ),
            "/tracks/{urn}": read(api.track, "track"),
            "/tracks/{urn}/streams": read(api.streams, "streams"),
            "/playlists/{urn}": read(api.playlist, "playlist"),
            "/users/{urn}": read(api.user, "user"),
            "/resolve": read(api.resolve, "resolve"),
            "/avatar.svg": Route(api.avatar, GET),
            "/sign-out": Route(api.sign_out, POST, "sign_out", (refused_sign_out, unreliable_api)),
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
            "token_endpoint_auth": self._token_endpoint_auth,
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
        self._save()

    def expire(self, username: str | None = None) -> None:
        """End the OAuth 2.1 access tokens of ``username`` (None: everybody).

        Refresh tokens still work.
        """
        self._state.expire(username)
        self._save()

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
        route = self._find(request)
        if route is None:
            return _problem(request, 404, "The sandbox has nothing at this address.")
        if request.method not in route.methods:
            refused = _problem(request, 405, "This address does not answer that method.")
            refused.allow = route.methods
            return refused
        if (request.content_length or 0) > route.largest_body:
            return _problem(request, 413, "The request is too large.")
        try:
            return self._handle(route, request, active)
        except StateNotKeptError:
            return _problem(request, 503, "The sandbox cannot write its state file.")
        except UnicodeDecodeError:
            return _problem(request, 400, "The request is not UTF-8.")

    def _find(self, request: webob.Request) -> Route | None:
        """Return the route of a request, which gets the names in its path as ``urlvars``."""
        for pattern, route in self._routes:
            match = pattern.fullmatch(request.path_info or "/")
            if match is not None:
                request.urlvars = match.groupdict()
                return route
        return None

    def _handle(self, route: Route, request: webob.Request, active: Faults) -> webob.Response:
        self._count(route, request)
        handler = route.handler
        for wrapper in route.wrappers:
            handler = partial(wrapper, handler, active)
        try:
            return handler(request)
        finally:
            self._save()

    def close(self) -> None:
        """Let another sandbox use the state file."""
        if self._file is not None:
            self._file.close()

    def _save(self) -> None:
        if self._file is not None:
            self._file.save()

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


def _pattern(path: str) -> re.Pattern[str]:
    """Return the pattern of a path, in which ``{urn}`` stands for one segment."""
    return re.compile(re.escape(path).replace(r"\{urn\}", "(?P<urn>[^/]+)"))


def _problem(request: webob.Request, status: int, text: str) -> webob.Response:
    """Return an error for a program or a page for a person, depending on the address."""
    if API.match(request.path_info):
        return api_error(status, text)
    titles = {
        400: "Unreadable",
        404: "Nothing here",
        405: "Method not allowed",
        413: "Too much",
        503: "Not now",
    }
    return message(request, status, titles[status], text)


def _elsewhere(request: webob.Request) -> webob.Response:
    return webob.Response("elsewhere")
