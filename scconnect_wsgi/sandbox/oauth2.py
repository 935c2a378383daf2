"""OAuth 2.1 as a server: the user, then codes and refresh tokens for tokens, with PKCE S256."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any, cast

import webob
from oauthlib import oauth2
from oauthlib.common import Request

from scconnect_wsgi.sandbox.clients import Client
from scconnect_wsgi.sandbox.misbehave import Habits, long_token
from scconnect_wsgi.sandbox.oauth2_validator import Validator
from scconnect_wsgi.sandbox.state import Grant, State

FORM = "application/x-www-form-urlencoded"


class RefusedError(Exception):
    """An authorization request that cannot go on:

    ``location`` sends the user back, None shows a page.
    """

    def __init__(self, reason: str, location: str | None = None) -> None:
        super().__init__(reason)
        self.location = location


class OAuth2Server:
    """The authorization endpoint, the token endpoint and the check of a call."""

    def __init__(self, state: State, client: Client, access_token_lifetime: int) -> None:
        self._server = oauth2.WebApplicationServer(
            Validator(state, client),
            token_generator=_access_token,
            token_expires_in=access_token_lifetime,
            refresh_token_generator=lambda request: secrets.token_urlsafe(48),
        )
        # oauthlib takes the plain method too, and takes it where none is named
        grant: Any = self._server.auth_grant
        grant.custom_validators.pre_auth.append(_require_s256)

    def ask(self, url: str) -> str:
        """Verify an authorization request;

        the redirect URI the user will go back to. Raises RefusedError.
        """
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
        """The user said yes: where to send them, with a code."""
        headers, _, _ = self._server.create_authorization_response(
            url, credentials={"user": username}
        )
        return str(headers["Location"])

    def deny(self, url: str) -> str:
        """The user said no: where to send them (RFC 6749 section 4.1.2.1). Raises RefusedError."""
        redirect_uri = self.ask(url)
        error = oauth2.AccessDeniedError("The user denied the request.", state=Request(url).state)
        return str(error.in_uri(redirect_uri))

    def token(self, request: webob.Request, habits: Habits) -> webob.Response:
        """A code or a refresh token for a pair of tokens (RFC 6749 sections 4.1.3 and 6)."""
        refreshing = request.POST.get("grant_type") == "refresh_token"
        if "revoked" in habits and refreshing:
            return _answer({"error": "invalid_grant"}, 400)
        if request.content_type != FORM:
            return _answer({"error": "invalid_request"}, 400)
        try:
            _, body, status = self._server.create_token_response(
                request.url, request.method, request.text, dict(request.headers), _wishes(habits)
            )
        except oauth2.OAuth2Error as error:  # a query, or another method: raised, not answered
            return _answer({"error": error.error}, error.status_code)
        except ValueError:
            return _answer({"error": "invalid_request"}, 400)
        if "refresh-lost" in habits and refreshing:
            raise ConnectionAbortedError("misbehave: refresh-lost")  # as "down"
        fields = json.loads(body)
        if "error" in fields:  # SoundCloud says the word and nothing else
            fields = {"error": fields["error"]}
        elif "no-expiry" in habits:
            del fields["expires_in"]
        return _answer(fields, status)

    def grant_of(self, token: str) -> Grant | None:
        """What an access token stands for, or None where it opens nothing."""
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
    """Long, and in three parts like SoundCloud's;

    whoever takes it apart finds nothing to rely on.
    """
    claims = {"jti": secrets.token_urlsafe(24), "pad": "sandbox" * 20}
    parts = [
        json.dumps({"alg": "ES256", "typ": "at+jwt"}).encode(),
        json.dumps(claims).encode(),
        secrets.token_bytes(256),
    ]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def _wishes(habits: Habits) -> dict[str, Any]:
    """Fields that oauthlib is to answer with in place of its own."""
    wishes: dict[str, Any] = {"scope": habits.get("scope-changed", "")}
    if "long-tokens" in habits:
        wishes |= {"access_token": long_token(), "refresh_token": long_token()}
    return wishes


def _answer(fields: dict[str, Any], status: int) -> webob.Response:
    return webob.Response(json_body=fields, status=status, cache_control="no-store")
