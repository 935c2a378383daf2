"""The server side of OAuth 1.0a (RFC 5849)."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

import webob
from oauthlib import oauth1

from scconnect_wsgi.query import with_query
from scconnect_wsgi.sandbox._clients import Client
from scconnect_wsgi.sandbox._oauth1_validator import Validator
from scconnect_wsgi.sandbox._protocol_faults import long_token, wants_long_tokens
from scconnect_wsgi.sandbox._records import RequestToken
from scconnect_wsgi.sandbox._state import State

_Endpoint = Callable[..., tuple[dict[str, str], str | None, int]]
FORM = "application/x-www-form-urlencoded"
UNAUTHORIZED = urlencode(
    {
        "error": "unauthorized",
        "error_description": "The key, the token, the verifier, the nonce, the callback or the "
        "signature is not valid.",
    }
)


class OAuth1Server:
    """The steps of OAuth 1.0a, and the check of a signed call."""

    def __init__(self, state: State, client: Client, rsa_public_key: str | None) -> None:
        self._state = state
        self._server = oauth1.WebApplicationServer(Validator(state, client, rsa_public_key))

    def request_token(self, request: webob.Request) -> webob.Response:
        """Answer with temporary credentials (RFC 5849 section 2.1)."""
        return self._exchange(self._server.create_request_token_response, request)

    def access_token(self, request: webob.Request) -> webob.Response:
        """Answer with token credentials (RFC 5849 section 2.3)."""
        return self._exchange(self._server.create_access_token_response, request)

    def find(self, token: str) -> RequestToken | None:
        """Return the record of a request token, which the user is to allow or deny.

        Returns None if the token is unknown, too old or used.
        """
        return self._state.request_token(token)

    def allow(self, url: str, token: str, username: str) -> str | None:
        """Allow the request, and return where to send the user.

        Returns None if the token is no longer good, or another user has allowed it. The same user
        may allow it again, as a double click does.
        """
        with self._state.lock:
            found = self._state.request_token(token)
            if found is None or found.username not in (None, username):
                return None
            headers, _, _ = self._server.create_authorization_response(url)
            found.username = username
            return str(headers["Location"])

    def deny(self, token: str) -> str | None:
        """Deny the request, and return where to send the user; None if the token is unknown."""
        with self._state.lock:
            found = self._state.request_tokens.pop(token, None)
        if found is None:
            return None
        return with_query(found.callback, {"denied": token})

    def user_of(self, request: webob.Request) -> str | None:
        """Return who signed a call (RFC 5849 section 3.2); None if the signature is not valid."""
        try:
            valid, verified = self._server.validate_protected_resource_request(
                request.url, request.method, _signed_body(request), dict(request.headers)
            )
        except ValueError:  # a malformed header or query
            return None
        access = self._state.access.get(verified.resource_owner_key) if valid else None
        return access.grant.username if access else None

    def _exchange(self, endpoint: _Endpoint, request: webob.Request) -> webob.Response:
        try:
            with self._state.lock:  # oauthlib looks a token up first and invalidates it last
                _, body, status = endpoint(
                    request.url,
                    request.method,
                    request.text,
                    dict(request.headers),
                    _chosen_tokens(request),
                )
        except ValueError:  # a malformed header or query
            body = urlencode({"error": "invalid_request"})
            status = 400
        return webob.Response(
            body or UNAUTHORIZED, status=status, content_type=FORM, charset="utf-8"
        )


def _signed_body(request: webob.Request) -> str:
    """Return the body if it is part of the signature (RFC 5849 section 3.4.1.3.1: only a form)."""
    return str(request.text) if request.content_type == FORM else ""


def _chosen_tokens(request: webob.Request) -> dict[str, str]:
    """Return the tokens that oauthlib is to hand out instead of making some itself."""
    if not wants_long_tokens(request):
        return {}
    return {"oauth_token": long_token(), "oauth_token_secret": long_token()}
