"""The server side of OAuth 2.1: authorization codes with PKCE S256, and refresh tokens."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any, cast

import webob
from oauthlib import oauth2
from oauthlib.common import Request

from scconnect_wsgi.sandbox._clients import Client
from scconnect_wsgi.sandbox._oauth2_validator import Validator
from scconnect_wsgi.sandbox._protocol_faults import long_token, wants_long_tokens
from scconnect_wsgi.sandbox._records import Grant
from scconnect_wsgi.sandbox._state import State

FORM = "application/x-www-form-urlencoded"


class RefusedError(Exception):
    """An authorization request is refused.

    ``location`` is where to send the user; None if the user must not be sent back.
    """

    def __init__(self, reason: str, location: str | None = None) -> None:
        super().__init__(reason)
        self.location = location


class OAuth2Server:
    """The steps of OAuth 2.1, and the check of an access token."""

    def __init__(self, state: State, client: Client, access_token_lifetime: int) -> None:
        self._server = oauth2.WebApplicationServer(
            Validator(state, client),
            token_generator=_access_token,
            token_expires_in=access_token_lifetime,
            refresh_token_generator=lambda request: secrets.token_urlsafe(48),
        )
        # oauthlib also accepts the method "plain", and assumes it if none is named.
        grant: Any = self._server.auth_grant
        grant.custom_validators.pre_auth.append(_require_s256)

    def check_request(self, url: str) -> str:
        """Verify an authorization request and return its redirect URI. Raises RefusedError."""
        try:
            _, asked = self._server.validate_authorization_request(url)
        except oauth2.FatalClientError as error:
            raise RefusedError(error.description or str(error.error)) from None
        except oauth2.OAuth2Error as error:
            raise RefusedError(str(error.error), error.in_uri(error.redirect_uri or "")) from None
        except ValueError:
            raise RefusedError("The address cannot be read.") from None
        return str(asked["redirect_uri"])

    def allow(self, url: str, username: str) -> str:
        """Allow the request, and return where to send the user, with a code."""
        headers, _, _ = self._server.create_authorization_response(
            url, credentials={"user": username}
        )
        return str(headers["Location"])

    def deny(self, url: str) -> str:
        """Deny the request, and return where to send the user (RFC 6749 section 4.1.2.1)."""
        redirect_uri = self.check_request(url)
        error = oauth2.AccessDeniedError("The user denied the request.", state=Request(url).state)
        return str(error.in_uri(redirect_uri))

    def token(self, request: webob.Request) -> webob.Response:
        """Exchange a code or a refresh token for tokens (RFC 6749 sections 4.1.3 and 6)."""
        if request.content_type != FORM:
            return _answer({"error": "invalid_request"}, 400)
        try:
            _, body, status = self._server.create_token_response(
                request.url,
                request.method,
                request.text,
                dict(request.headers),
                _chosen_fields(request),
            )
        except oauth2.OAuth2Error as error:  # oauthlib raises it for a query or another method
            return _answer({"error": error.error}, error.status_code)
        except ValueError:
            return _answer({"error": "invalid_request"}, 400)
        fields = json.loads(body)
        if "error" in fields:  # SoundCloud sends no description with it
            fields = {"error": fields["error"]}
        return _answer(fields, status)

    def grant_of(self, token: str) -> Grant | None:
        """Return the grant of an access token, or None if the token is not accepted."""
        headers = {"Authorization": f"Bearer {token}"}
        valid, verified = self._server.verify_request("https://sandbox.invalid/", headers=headers)
        return cast("Grant", verified.user) if valid else None


def _require_s256(request: Request) -> dict[str, Any]:
    if request.code_challenge is None:
        raise oauth2.InvalidRequestError("Code challenge required.", request=request)
    if request.code_challenge_method != "S256" or len(str(request.code_challenge)) != 43:
        raise oauth2.InvalidRequestError(
            "The code challenge must be made with S256.", request=request
        )
    return {}


def _access_token(request: Request) -> str:
    """Return a token in the form of SoundCloud's: long, in three parts, with nothing to rely on."""
    claims = {"jti": secrets.token_urlsafe(24), "pad": "sandbox" * 20}
    parts = [
        json.dumps({"alg": "ES256", "typ": "at+jwt"}).encode(),
        json.dumps(claims).encode(),
        secrets.token_bytes(256),
    ]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def _chosen_fields(request: webob.Request) -> dict[str, Any]:
    """Return the fields that oauthlib is to answer with instead of its own."""
    fields = {"scope": ""}
    if wants_long_tokens(request):
        fields["access_token"] = long_token()
        fields["refresh_token"] = long_token()
    return fields


def _answer(fields: dict[str, Any], status: int) -> webob.Response:
    return webob.Response(json_body=fields, status=status, cache_control="no-store")
