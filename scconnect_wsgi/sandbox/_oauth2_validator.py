"""Answer the questions that oauthlib asks about OAuth 2.1."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from oauthlib import oauth2
from oauthlib.common import Request

from scconnect_wsgi.sandbox._clients import Client
from scconnect_wsgi.sandbox._records import Access, Code, Grant
from scconnect_wsgi.sandbox._state import CODE_LIFETIME, State


class Validator(oauth2.RequestValidator):
    """Answers oauthlib's questions from the state.

    Validating a code or a refresh token uses it up, so that only one of two exchanges at the same
    time succeeds.
    """

    def __init__(self, state: State, client: Client) -> None:
        super().__init__()
        self._state = state
        self._client = client

    def validate_client_id(
        self, client_id: str, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Return whether the application is registered."""
        return client_id == self._client.id

    def client_authentication_required(self, request: Request, *args: Any, **kwargs: Any) -> bool:
        """Return True: public clients, too, authenticate in the one way that is registered."""
        return True

    def authenticate_client(self, request: Request, *args: Any, **kwargs: Any) -> bool:
        """Return whether the client authenticates in the way that is registered, and in no other.

        RFC 6749 section 2.3: a client must not use more than one.
        """
        method, id, secret = _presented(request)
        if method != self._client.token_endpoint_auth or id != self._client.id:
            return False
        if method != "none" and not self._client.has_secret(secret):
            return False
        request.client = self._client
        return True

    def authenticate_client_id(
        self, client_id: str, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Return False: authenticate_client knows public clients, too."""
        return False

    def validate_response_type(
        self,
        client_id: str,
        response_type: str,
        client: Any,
        request: Request,
        *args: Any,
        **kwargs: Any,
    ) -> bool:
        """Return whether the response type is "code", the only one."""
        return response_type == "code"

    def validate_grant_type(
        self,
        client_id: str,
        grant_type: str,
        client: Any,
        request: Request,
        *args: Any,
        **kwargs: Any,
    ) -> bool:
        """Return whether the grant type is one that SoundCloud gives to an application of users."""
        return grant_type in ("authorization_code", "refresh_token")

    def validate_redirect_uri(
        self, client_id: str, redirect_uri: str, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Return whether a redirect URI is registered, byte for byte."""
        return self._client.may_return_to(redirect_uri)

    def get_default_redirect_uri(
        self, client_id: str, request: Request, *args: Any, **kwargs: Any
    ) -> str:
        """Return none: the client must send the redirect URI in both requests."""
        return ""

    def confirm_redirect_uri(
        self,
        client_id: str,
        code: str,
        redirect_uri: str,
        client: Any,
        request: Request,
        *args: Any,
        **kwargs: Any,
    ) -> bool:
        """Return True: validate_code compares it, so that a wrong one is an invalid_grant."""
        return True

    def is_pkce_required(self, client_id: str, request: Request) -> bool:
        """Return True (OAuth 2.1 section 4.1.1)."""
        return True

    def save_authorization_code(
        self, client_id: str, code: Any, request: Request, *args: Any, **kwargs: Any
    ) -> None:
        """Keep a code that is handed out, bound to user, redirect URI and challenge."""
        record = Code(
            Grant(str(request.user)),
            str(request.redirect_uri),
            str(request.code_challenge),
            created_at=self._state.clock(),
        )
        self._state.issue(self._state.codes, code["code"], record)

    def validate_code(
        self, client_id: str, code: str, client: Any, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Use a code up. Return whether it was new, and sent with its redirect URI.

        A second use revokes the tokens of the first one (RFC 6749 section 4.1.2).
        """
        with self._state.lock:
            found = self._state.codes.get(code)
            if found is None:
                return False
            if found.used:
                found.grant.revoked = True
            expired = self._state.clock() - found.created_at > CODE_LIFETIME
            usable = not (found.grant.revoked or expired)
            found.used = True
        request.user = found.grant
        request.scopes = []
        return usable and request.redirect_uri == found.redirect_uri

    def get_code_challenge(self, code: str, request: Request) -> str:
        """Return the hash of the verifier that must come with a code."""
        return self._state.codes[code].challenge

    def get_code_challenge_method(self, code: str, request: Request) -> str:
        """Return S256: no other method was accepted in the authorization request."""
        return "S256"

    def invalidate_authorization_code(
        self, client_id: str, code: str, request: Request, *args: Any, **kwargs: Any
    ) -> None:
        """Do nothing: validate_code has used the code up."""

    def save_token(
        self, token: Mapping[str, object], request: Request, *args: Any, **kwargs: Any
    ) -> None:
        """Keep an access token and a refresh token that are handed out."""
        grant: Any = request.user
        access = Access(grant, expires_at=self._state.clock() + float(str(request.expires_in)))
        self._state.issue(self._state.access, str(token["access_token"]), access)
        self._state.issue(self._state.refresh, str(token["refresh_token"]), grant)

    def validate_refresh_token(
        self, refresh_token: str, client: Any, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Use a refresh token up, as SoundCloud does. Return whether it was accepted."""
        with self._state.lock:
            request.user = self._state.refresh.pop(refresh_token, None)
        if request.user is None or request.user.revoked:
            return False
        self._state.counts.hit("redeemed")
        return True

    def get_original_scopes(
        self, refresh_token: str, request: Request, *args: Any, **kwargs: Any
    ) -> list[str]:
        """Return no scopes, as SoundCloud does."""
        return []

    def validate_bearer_token(self, token: str, scopes: list[str], request: Request) -> bool:
        """Return whether an access token is one of OAuth 2.1 and still accepted."""
        found = self._state.access.get(token or "")
        if found is None or found.secret is not None:
            return False
        if not found.is_alive(self._state.clock()):
            return False
        request.user = found.grant
        return True

    def get_default_scopes(
        self, client_id: str, request: Request, *args: Any, **kwargs: Any
    ) -> list[str]:
        """Return no scopes: SoundCloud has none to choose from."""
        return []

    def validate_scopes(
        self,
        client_id: str,
        scopes: list[str],
        client: Any,
        request: Request,
        *args: Any,
        **kwargs: Any,
    ) -> bool:
        """Accept every scope; none changes anything."""
        return True


def _presented(request: Request) -> tuple[str, str | None, str]:
    """Return how a token request authenticates, as which client, and with which secret.

    The method is empty if it does so in two ways, or as two clients.
    """
    header = request.headers.get("Authorization")
    if header is None and request.client_secret is None:
        return "none", request.client_id, ""
    if header is None:
        return "client_secret_post", request.client_id, str(request.client_secret)
    id, secret = _basic(header)
    one_way = request.client_secret is None and request.client_id in (None, id)
    return "client_secret_basic" if one_way else "", id, secret


def _basic(header: str) -> tuple[str, str]:
    """Return the client id and the secret in an Authorization header (RFC 6749 section 2.3.1).

    Both are empty if it holds none.
    """
    scheme, _, coded = header.partition(" ")
    try:
        pair = base64.b64decode(coded, validate=True).decode("utf-8")
    except ValueError:
        pair = ""
    if scheme.lower() != "basic":
        return "", ""
    id, _, secret = pair.partition(":")
    return unquote_plus(id), unquote_plus(secret)
