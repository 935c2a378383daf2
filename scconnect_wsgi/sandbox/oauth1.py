"""OAuth 1.0a as a server: request token, the user, access token, signed calls (RFC 5849)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import webob
from oauthlib import oauth1

from scconnect_wsgi.query import with_query
from scconnect_wsgi.sandbox.clients import Client
from scconnect_wsgi.sandbox.misbehave import Habits, long_token
from scconnect_wsgi.sandbox.oauth1_validator import Validator
from scconnect_wsgi.sandbox.state import RequestToken, State

_Endpoint = Callable[..., tuple[dict[str, str], str | None, int]]
FORM = "application/x-www-form-urlencoded"
UNAUTHORIZED = urlencode(
    {
        "error": "unauthorized",
        "error_description": "The key, the token, the verifier, the nonce, the callback or the signature is not valid.",
    }
)


class OAuth1Server:
    """The three endpoints and the check of a signed call."""

    def __init__(self, state: State, client: Client, rsa_public_key: str | None) -> None:
        self._state = state
        self._server = oauth1.WebApplicationServer(Validator(state, client, rsa_public_key))

    def request_token(self, request: webob.Request, habits: Habits) -> webob.Response:
        """Temporary credentials (RFC 5849 section 2.1)."""
        fields = dict(_long(habits))
        if "Confirmed" in habits:
            fields["oauth_callback_confirmed"] = "True"
        answer = self._exchange(self._server.create_request_token_response, request, fields)
        if "unconfirmed" in habits:
            answer.text = answer.text.replace("&oauth_callback_confirmed=true", "")
        return answer

    def access_token(self, request: webob.Request, habits: Habits) -> webob.Response:
        """Token credentials (RFC 5849 section 2.3)."""
        return self._exchange(self._server.create_access_token_response, request, _long(habits))

    def find(self, token: str) -> RequestToken | None:
        """What the user is asked about (RFC 5849 section 2.2);

        None for a token that is unknown, old or used.
        """
        return self._state.request_token(token)

    def allow(self, url: str, token: str, username: str) -> str | None:
        """The user said yes: where to send them, or None where the token is no longer good.

        The same user may say it again (a double click); another one may not.
        """
        with self._state.lock:
            found = self._state.request_token(token)
            if found is None or found.username not in (None, username):
                return None
            headers, _, _ = self._server.create_authorization_response(url)
            found.username = username
            return str(headers["Location"])

    def deny(self, token: str, habits: Habits) -> str | None:
        """The user said no: where to send them, in one of the three spellings in use."""
        with self._state.lock:
            found = self._state.request_tokens.pop(token, None)
        if found is None:
            return None
        if "denied-problem" in habits:
            return with_query(
                found.callback, {"oauth_problem": "user_refused", "oauth_token": token}
            )
        if "denied-error" in habits:
            return with_query(found.callback, {"oauth_token": token, "error": "access_denied"})
        return with_query(found.callback, {"denied": token})

    def user_of(self, request: webob.Request) -> str | None:
        """Whose signed call this is (RFC 5849 section 3.2), or None."""
        try:
            valid, verified = self._server.validate_protected_resource_request(
                request.url, request.method, request.text, dict(request.headers)
            )
        except ValueError:  # oauthlib lets a malformed header or query through as one
            return None
        access = self._state.access.get(verified.resource_owner_key) if valid else None
        return access.grant.username if access else None

    def _exchange(
        self, endpoint: _Endpoint, request: webob.Request, fields: Mapping[str, str]
    ) -> webob.Response:
        try:
            with self._state.lock:  # oauthlib looks a token up first and invalidates it last
                _, body, status = endpoint(
                    request.url, request.method, request.text, dict(request.headers), dict(fields)
                )
        except ValueError:  # oauthlib lets a malformed header or query through as one
            body, status = urlencode({"error": "invalid_request"}), 400
        return webob.Response(
            body or UNAUTHORIZED, status=status, content_type=FORM, charset="utf-8"
        )


def _long(habits: Habits) -> dict[str, str]:
    if "long-tokens" not in habits:
        return {}
    return {"oauth_token": long_token(), "oauth_token_secret": long_token()}
