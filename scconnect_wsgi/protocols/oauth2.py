"""OAuth 2.1, authorization code with PKCE (RFC 7636): the user, then one token request.

flow = OAuth2(CLIENT_ID, CLIENT_SECRET)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NoReturn
from urllib.parse import urlencode

from scconnect_wsgi.errors import (
    AccessDenied,
    ConfigurationError,
    ConnectError,
    FlowMismatch,
    InvalidGrant,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from scconnect_wsgi.flow import AuthorizationResponse, Departure, Pending
from scconnect_wsgi.keys import is_one_of
from scconnect_wsgi.provider import SOUNDCLOUD, OAuth2Provider
from scconnect_wsgi.query import with_query
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport import (
    HTTPRequest,
    HTTPResponse,
    Transport,
    shared_transport,
)

STATE_BYTES = 32  # 256 bits; RFC 6819 section 5.1.4.2.2 asks for 128
VERIFIER_BYTES = 32  # 43 characters, what RFC 7636 section 4.1 recommends
MAX_LIFETIME = 10**10  # seconds; a number above it is not a lifetime
FORM = "application/x-www-form-urlencoded"
MAX_DEPTH = 100  # of JSON; how deep Python reads and writes it depends on its version
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;|$)", re.ASCII | re.IGNORECASE)
_VSCHARS = re.compile(r"[ -~]+")  # what a token may consist of, RFC 6749 appendix A
TOKEN_TYPES = ("bearer", "oauth")  # in lower case; SoundCloud's is the second
MAX_DIGITS = 12  # of a lifetime that comes as a string
HINTS = {  # the error codes of RFC 6749 section 5.2, and what is likely wrong on our side
    "invalid_grant": "the callback URL is not the registered one (host, http against https, "
    "a trailing slash), or the code was too old or used already",
    "invalid_client": "the client id or the client secret is wrong",
    "unauthorized_client": "this client is not allowed to use the authorization code grant",
    "invalid_request": "a parameter is missing or wrong, the callback URL for example",
    "invalid_scope": "the provider does not know this scope",
    "unsupported_response_type": "the provider does not give authorization codes to this client",
    "unsupported_grant_type": "token_url does not take this grant type",
}


class OAuth2:
    """The flow of OAuth 2.1 with one provider, for one client.

    ``scope`` is sent only if it is given (SoundCloud wants none). ``transport`` says how the
    provider is reached. Raises ConfigurationError for values that cannot work.
    """

    name = "OAuth 2.1"

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        *,
        provider: OAuth2Provider = SOUNDCLOUD,
        scope: str | None = None,
        transport: Transport | None = None,
    ) -> None:
        if not isinstance(provider, OAuth2Provider):
            raise ConfigurationError(
                "provider", "must be an OAuth2Provider. For an OAuth1Provider use OAuth1."
            )
        if scope is not None and not isinstance(scope, str):
            raise ConfigurationError("scope", "must be one string, its words separated by spaces.")
        if not client_id:
            raise ConfigurationError("client_id", "must be the client id of your application.")
        if not client_secret:
            raise ConfigurationError(
                "client_secret", "must be the client secret of your application."
            )
        self.provider = provider
        self.transport: Transport = transport or shared_transport()
        self.audience: str = f"oauth2 {provider.authorize_url} {provider.token_url} {client_id}"
        # What is the same for every user is encoded once
        query = {"response_type": "code", "client_id": client_id, "code_challenge_method": "S256"}
        if scope:
            query["scope"] = scope
        query.update(provider.authorize_params)
        self._authorize_url = with_query(provider.authorize_url, query)
        self._client = urlencode({"client_id": client_id, "client_secret": client_secret})
        self._credentials = client_id, client_secret

    def is_credential(self, key: bytes) -> bool:
        """Return whether a key is the client id or the client secret."""
        return is_one_of(key, *self._credentials)

    def begin(self, callback_url: str) -> Departure:
        """Choose state and code verifier, and say where the user goes (OAuth 2.1 section 4.1.1).

        Nothing is sent.
        """
        state = secrets.token_urlsafe(STATE_BYTES)
        verifier = secrets.token_urlsafe(VERIFIER_BYTES)
        query = {
            "redirect_uri": callback_url,
            "code_challenge": code_challenge(verifier),
            "state": state,
        }
        return Departure(
            with_query(self._authorize_url, query), state, {"state": state, "verifier": verifier}
        )

    def flow_id(self, response: AuthorizationResponse) -> str:
        """Return the state."""
        return response.get("state", "")

    def finish(
        self, callback_url: str, response: AuthorizationResponse, pending: Pending
    ) -> AccessToken:
        """Exchange the code for a token (OAuth 2.1 section 4.1.3).

        Raises FlowMismatch, AccessDenied, ProviderError or ProviderUnavailable.
        """
        if not hmac.compare_digest(self.flow_id(response).encode(), pending["state"].encode()):
            raise FlowMismatch(
                "The state that came back is not the one this browser left with. Start again."
            )
        if self.provider.issuer is not None and response.get("iss") != self.provider.issuer:
            raise FlowMismatch(
                "The answer does not come from the provider that was asked (iss, RFC 9207)."
            )
        _check_refusal(response)
        code = response.get("code")
        if not code:
            raise ProviderError("The provider sent the user back without a code.")
        fields = {"redirect_uri": callback_url, "code_verifier": pending["verifier"], "code": code}
        return self._redeem("authorization_code", fields)

    def refresh(self, token: AccessToken, callback_url: str = "") -> AccessToken:
        """Redeem the refresh token (RFC 6749 section 6). Asks the provider at most once.

        ``callback_url`` is that of the flow that gave the token: SoundCloud's reference wants it
        again. What the response leaves out stays as it was. Raises InvalidGrant if the refresh
        token is refused, ProviderError or ProviderUnavailable otherwise; their ``outcome_unknown``
        says whether the refresh token may be used up.
        """
        if token.refresh_token is None:
            raise InvalidGrant("The provider gave no refresh token with this token.")
        fields = {"refresh_token": token.refresh_token}
        if callback_url:
            fields["redirect_uri"] = callback_url
        try:
            fresh = self._redeem("refresh_token", fields)
        except InvalidGrant:  # its hint is about authorization codes
            raise InvalidGrant(
                "The provider refused this refresh token: it was used already, or revoked."
            ) from None
        scope = token.scope if fresh.scope is None else fresh.scope
        return replace(fresh, refresh_token=fresh.refresh_token or token.refresh_token, scope=scope)

    def authorization(self, token: AccessToken, method: str, url: str, form: str = "") -> str:
        """Return the Authorization header of an API call.

        It holds the token, and is the same for every call (RFC 6750 section 2.1).
        """
        return f"{self.provider.token_type} {token.token}"

    @property
    def signs_out(self) -> bool:
        """Whether the provider has a ``sign_out_url``."""
        return self.provider.sign_out_url is not None

    def sign_out(self, token: AccessToken) -> None:
        """End the token's session at the provider, if the provider has a ``sign_out_url``.

        Raises ProviderError or ProviderUnavailable.
        """
        url = self.provider.sign_out_url
        if url is None:
            return
        headers = {
            **self.provider.headers,
            "Authorization": self.authorization(token, "POST", url),
            "Content-Type": "application/json",
        }
        body = json.dumps({"access_token": token.token})  # as SoundCloud documents it
        request = HTTPRequest("POST", url, headers, body)
        response = self.transport.send(lambda: request)
        if response.status >= 400:
            raise ProviderError(
                f"The provider refused to end the session of the token (status {response.status})."
            )

    def rejects_token(self, response: HTTPResponse) -> bool:
        """Return whether an API response rejects the token: a 401, unless it is about the scope.

        RFC 6750 section 3.1 has ``insufficient_scope`` for that, with 403; some send 401.
        """
        challenge = response.headers.get("WWW-Authenticate", "")
        return response.status == 401 and "insufficient_scope" not in challenge

    def _redeem(self, grant_type: str, fields: Mapping[str, str]) -> AccessToken:
        headers = {**self.provider.headers, "Accept": "application/json", "Content-Type": FORM}
        body = f"grant_type={grant_type}&{self._client}&{urlencode(fields)}"
        request = HTTPRequest("POST", self.provider.token_url, headers, body)
        response = self.transport.send(lambda: request)
        try:
            parsed = _parse(response)
            if response.status < 400 and parsed.get("error") is None:
                return _token(parsed)
        except _UnusableError as error:
            problem = error.message
        else:
            raise _refusal(parsed.get("error"), response.status)
        # A response that is no refusal may have held a token
        raise ProviderError(problem, outcome_unknown=response.status < 400)


class _UnusableError(ProviderError):
    """A response that holds no token and is no refusal either."""


def code_challenge(verifier: str) -> str:
    """Return the S256 challenge of a code verifier (RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _check_refusal(response: AuthorizationResponse) -> None:
    """Raise the error that an authorization response reports (OAuth 2.1 section 4.1.2.1)."""
    error = response.get("error")
    if error is None:
        return
    if error == "access_denied":
        raise AccessDenied("The user did not allow the connection.")
    if error in ("server_error", "temporarily_unavailable"):
        raise ProviderUnavailable(
            f"The provider could not finish the flow ({error}). Try again later."
        )
    raise ProviderError(f"The provider aborted the flow{_hint(error)}.")


def _refusal(error: object, status: int) -> ConnectError:
    """Return the error for a token response that is one (RFC 6749 section 5.2)."""
    if error == "rate_limit_exceeded":
        return RateLimited(_overloaded(error))
    if error in ("temporarily_unavailable", "server_error"):
        return ProviderUnavailable(_overloaded(error))
    kind = InvalidGrant if error == "invalid_grant" else ProviderError
    message = f"The provider refused to give a token (status {status}){_hint(error)}."
    return kind(message, outcome_unknown=status < 400)


def _overloaded(error: object) -> str:
    return f"The provider is overloaded or out of order ({error}). Try again later."


def _hint(error: object) -> str:
    return f": {HINTS[error]} ({error})" if isinstance(error, str) and error in HINTS else ""


def _parse(response: HTTPResponse) -> dict[str, Any]:
    """Return the JSON object of a token response.

    Raises _UnusableError for anything else that a server may send.
    """
    content_type = response.headers.get("Content-Type", "")
    if content_type and not _JSON.match(content_type):
        raise _UnusableError(
            f"The provider answered with something other than JSON (status {response.status}): "
            "an error page of its network, or token_url is not its token endpoint."
        )
    try:
        parsed = json.loads(
            response.body.decode("utf-8-sig"),
            parse_constant=_no_constant,
            object_pairs_hook=_unique,
        )
        _check_depth(parsed)
        # A lone surrogate or 1e999 stops here
        json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise _UnusableError(
            f"The provider's answer (status {response.status}) is not one JSON object."
        )
    return parsed


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")  # RFC 8259 section 6


def _check_depth(parsed: Any) -> None:
    """Raise ValueError for JSON that nests values more than MAX_DEPTH deep, the outermost at 1."""
    level = [parsed]
    for _ in range(MAX_DEPTH):
        level = [child for value in level for child in _children(value)]
    if level:
        raise ValueError(f"values are nested more than {MAX_DEPTH} deep")


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name came twice")
    return fields


def _token(fields: dict[str, Any]) -> AccessToken:
    """Return the token of a parsed response (RFC 6749 section 5.1).

    Raises _UnusableError. A scope that is not the one asked for is no reason to lose the token.
    """
    token = _access_token(fields.pop("access_token", None))
    refresh_token = _refresh_token(fields.pop("refresh_token", None))
    _check_token_type(fields.get("token_type"))
    return AccessToken(
        token,
        refresh_token=refresh_token,
        expires_at=_expires_at(fields.pop("expires_in", None)),
        scope=_scope(fields.pop("scope", None)),
        extra=fields,
    )


def _access_token(value: object) -> str:
    if isinstance(value, str) and _VSCHARS.fullmatch(value):
        return value
    raise _UnusableError("The provider's answer holds no access token that could be used.")


def _refresh_token(value: object) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and _VSCHARS.fullmatch(value):
        return value
    raise _UnusableError("The provider's answer holds a refresh token that cannot be used.")


def _check_token_type(value: object) -> None:
    """Accept a known type in any case, and none, which some providers send."""
    if value is None or value == "":
        return
    if isinstance(value, str) and value.lower() in TOKEN_TYPES:
        return
    raise _UnusableError("The provider's answer holds a token of an unknown type (token_type).")


def _expires_at(expires_in: object) -> int | None:
    """Return when the token expires, in seconds since the epoch.

    None if the provider does not say. Some providers write the number as a string.
    """
    if expires_in is None:
        return None
    seconds = _seconds(expires_in)
    if seconds is None or not 0 <= seconds <= MAX_LIFETIME:
        raise _UnusableError(
            "The provider's answer holds a lifetime that is no number of seconds (expires_in)."
        )
    return int(time.time()) + math.floor(seconds)


def _seconds(value: object) -> int | float | None:
    if isinstance(value, str):
        is_number = value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS
        return int(value) if is_number else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value


def _scope(scope: object) -> str | None:
    """Return the scope as RFC 6749 section 3.3 writes it; some providers send a list."""
    if isinstance(scope, list) and all(isinstance(word, str) for word in scope):
        return " ".join(scope)
    if scope is None or isinstance(scope, str):
        return scope
    raise _UnusableError("The provider's answer holds a scope that is not text.")
