"""OAuth 2.1: the questions oauthlib's server side asks, answered from the state."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from oauthlib import oauth2
from oauthlib.common import Request

from scconnect_wsgi.sandbox.clients import Client
from scconnect_wsgi.sandbox.state import CODE_LIFETIME, Access, Code, Grant, State


class Validator(oauth2.RequestValidator):
    """Answers oauthlib's questions from the state.

    Codes and refresh tokens are used up by the look at them.
    """

    def __init__(self, state: State, client: Client) -> None:
        super().__init__()
        self._state = state
        self._client = client

    # The application.
    def validate_client_id(
        self, client_id: str, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Whether we know the application."""
        return client_id == self._client.id

    def client_authentication_required(self, request: Request, *args: Any, **kwargs: Any) -> bool:
        """Always: SoundCloud has confidential clients alone."""
        return True

    def authenticate_client(self, request: Request, *args: Any, **kwargs: Any) -> bool:
        """Client id and secret, both in the body."""
        if request.client_id != self._client.id or not self._client.has_secret(
            request.client_secret or ""
        ):
            return False
        request.client = self._client
        return True

    def authenticate_client_id(
        self, client_id: str, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Never without the secret."""
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
        """Codes alone."""
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
        """The two that SoundCloud gives a user's application."""
        return grant_type in ("authorization_code", "refresh_token")

    # The way back.
    def validate_redirect_uri(
        self, client_id: str, redirect_uri: str, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Whether it is registered, to the byte."""
        return self._client.may_return_to(redirect_uri)

    def get_default_redirect_uri(
        self, client_id: str, request: Request, *args: Any, **kwargs: Any
    ) -> str:
        """None: it must be said in both legs."""
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
        """Compared in validate_code already, where the answer to a wrong one is invalid_grant as on
        SoundCloud.
        """
        return True

    # The code and its challenge.
    def is_pkce_required(self, client_id: str, request: Request) -> bool:
        """Always (OAuth 2.1 section 4.1.1)."""
        return True

    def save_authorization_code(
        self, client_id: str, code: Any, request: Request, *args: Any, **kwargs: Any
    ) -> None:
        """A new code, bound to user, redirect URI and challenge."""
        held = Code(
            Grant(str(request.user)), str(request.redirect_uri), str(request.code_challenge)
        )
        self._state.remember(self._state.codes, code["code"], held)
        self._state.on_secret(code["code"])

    def validate_code(
        self, client_id: str, code: str, client: Any, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Good once, for a minute, with the redirect URI of the first leg.

        A second use takes back what the first one gave (RFC 6749 section 4.1.2).
        """
        with self._state.lock:
            held = self._state.codes.get(code)
            if held is None:
                return False
            if held.used:
                held.grant.revoked = True
            usable = (
                not held.used
                and not held.grant.revoked
                and time.time() - held.born <= CODE_LIFETIME
            )
            held.used = True
        request.user, request.scopes = held.grant, []
        return usable and request.redirect_uri == held.redirect_uri

    def get_code_challenge(self, code: str, request: Request) -> str:
        """What the verifier must hash to."""
        return self._state.codes[code].challenge

    def get_code_challenge_method(self, code: str, request: Request) -> str:
        """S256: nothing else was accepted in the first leg."""
        return "S256"

    def invalidate_authorization_code(
        self, client_id: str, code: str, request: Request, *args: Any, **kwargs: Any
    ) -> None:
        """Done by validate_code, so that two at once cannot both pass."""

    # Tokens.
    def save_token(
        self, token: Mapping[str, object], request: Request, *args: Any, **kwargs: Any
    ) -> None:
        """A new pair."""
        grant: Any = request.user
        access = Access(grant, expires_at=time.time() + float(str(request.expires_in)))
        self._state.remember(self._state.access, str(token["access_token"]), access)
        self._state.remember(self._state.refresh, str(token["refresh_token"]), grant)
        self._state.on_secret(str(token["access_token"]))
        self._state.on_secret(str(token["refresh_token"]))

    def validate_refresh_token(
        self, refresh_token: str, client: Any, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Used up by its first use, as on SoundCloud."""
        with self._state.lock:
            request.user = self._state.refresh.pop(refresh_token, None)
        if request.user is None or request.user.revoked:
            return False
        self._state.counts.hit("redeemed")
        return True

    def get_original_scopes(
        self, refresh_token: str, request: Request, *args: Any, **kwargs: Any
    ) -> list[str]:
        """None, as on SoundCloud."""
        return []

    def validate_bearer_token(self, token: str, scopes: list[str], request: Request) -> bool:
        """Whether an access token of this protocol works now."""
        found = self._state.access.get(token or "")
        if found is None or found.secret is not None or not found.alive():
            return False
        request.user = found.grant
        return True

    # Scopes: SoundCloud has none to choose from.
    def get_default_scopes(
        self, client_id: str, request: Request, *args: Any, **kwargs: Any
    ) -> list[str]:
        """None."""
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
        """Whatever is asked for; it changes nothing."""
        return True
