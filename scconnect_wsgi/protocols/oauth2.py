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
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn
from urllib.parse import urlencode

from scconnect_wsgi.errors import (
    AccessDenied,
    ConfigurationError,
    FlowMismatch,
    InvalidGrant,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from scconnect_wsgi.flow import Answer, Departure, Pending
from scconnect_wsgi.keys import is_one_of
from scconnect_wsgi.provider import SOUNDCLOUD, OAuth2Provider
from scconnect_wsgi.query import with_query
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport import client as http

STATE_BYTES = 32  # 256 bits; RFC 6819 section 5.1.4.2.2 asks for 128
VERIFIER_BYTES = 32  # 43 characters, what RFC 7636 section 4.1 recommends
MAX_LIFETIME = 10**10  # seconds; a number above it is not a lifetime
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;|$)", re.ASCII | re.IGNORECASE)
_VSCHARS = re.compile(r"[ -~]+")  # what a token may consist of, RFC 6749 appendix A
HINTS = {  # the words of RFC 6749 section 5.2, and what is likely wrong on our side
    "invalid_grant": "the callback URL is not the registered one (host, http against https, a trailing slash), "
    "or the code was too old or used already",
    "invalid_client": "the client id or the client secret is wrong",
    "unauthorized_client": "this client is not allowed to use the authorization code",
    "invalid_request": "a parameter is missing or wrong, the callback URL for one",
    "invalid_scope": "the scope is not known to the provider",
    "unsupported_response_type": "the provider does not give codes to this client",
    "unsupported_grant_type": "the provider does not take codes at this address",
}


class OAuth2:
    """The flow of OAuth 2.1 with one provider, for one client.

    ``scope`` is sent only where it is given (SoundCloud wants none). ``transport`` says how the
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
        transport: http.Transport | None = None,
    ) -> None:
        if not isinstance(provider, OAuth2Provider):
            raise ConfigurationError(
                "provider", "must be an OAuth2Provider; one for OAuth1 speaks another protocol."
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
        self.transport: http.Transport = transport or http.shared_transport()
        self.audience: str = f"oauth2 {provider.authorize_url} {provider.token_url} {client_id}"
        # What is the same for every user is encoded once.
        asked = {"response_type": "code", "client_id": client_id, "code_challenge_method": "S256"}
        asked |= {**({"scope": scope} if scope else {}), **provider.authorize_params}
        self._authorize_url = with_query(provider.authorize_url, asked)
        self._client = urlencode({"client_id": client_id, "client_secret": client_secret})
        self._credentials = client_id, client_secret

    def is_credential(self, key: bytes) -> bool:
        """Return whether a key is the client id or the client secret."""
        return is_one_of(key, *self._credentials)

    def begin(self, callback_url: str) -> Departure:
        """Choose state and verifier and say where the user goes (OAuth 2.1 section 4.1.1).

        Asks nobody.
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

    def flow_id(self, answer: Answer) -> str:
        """The state."""
        return answer.get("state", "")

    def finish(self, callback_url: str, answer: Answer, pending: Pending) -> AccessToken:
        """Exchange the code for a token (OAuth 2.1 section 4.1.3).

        Raises FlowMismatch, AccessDenied, ProviderError, ProviderUnavailable.
        """
        if not hmac.compare_digest(self.flow_id(answer).encode(), pending["state"].encode()):
            raise FlowMismatch(
                "The state that came back is not the one this browser left with. Start again."
            )
        if self.provider.issuer is not None and answer.get("iss") != self.provider.issuer:
            raise FlowMismatch(
                "The answer does not come from the provider that was asked (iss, RFC 9207)."
            )
        _check_refusal(answer)
        code = answer.get("code")
        if not code:
            raise ProviderError("The provider sent the user back without a code.")
        fields = {"redirect_uri": callback_url, "code_verifier": pending["verifier"], "code": code}
        return self._redeem("authorization_code", fields)

    def refresh(self, token: AccessToken, callback_url: str = "") -> AccessToken:
        """Redeem a refresh token (RFC 6749 section 6), which SoundCloud's is used up by; asks at
        most once.

        ``callback_url`` is the one of the flow that gave the token: SoundCloud's reference wants it
        again. What the answer leaves out stays as it was. Raises InvalidGrant where the refresh
        token is not taken, ProviderError or ProviderUnavailable otherwise; their ``outcome_unknown`` says
        whether the refresh token may be used up.
        """
        if token.refresh_token is None:
            raise InvalidGrant("The provider gave no refresh token with this token.")
        fields = {
            "refresh_token": token.refresh_token,
            **({"redirect_uri": callback_url} if callback_url else {}),
        }
        try:
            fresh = self._redeem("refresh_token", fields)
        except InvalidGrant:  # its words are about codes
            raise InvalidGrant(
                "The provider does not take this refresh token: it was used, or taken back."
            ) from None
        scope = token.scope if fresh.scope is None else fresh.scope
        return replace(fresh, refresh_token=fresh.refresh_token or token.refresh_token, scope=scope)

    def authorization(self, token: AccessToken, method: str, url: str, form: str = "") -> str:
        """The Authorization header of a call of the API:

        the token alone, whatever is called (RFC 6750 section 2.1).
        """
        return f"{self.provider.token_type} {token.token}"

    def _redeem(self, grant_type: str, fields: Mapping[str, str]) -> AccessToken:
        headers = {
            **self.provider.headers,
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        body = f"grant_type={grant_type}&{self._client}&{urlencode(fields)}"
        call = http.Call("POST", self.provider.token_url, headers, body)
        answer = self.transport.send(lambda: call)
        try:
            parsed = _parse(answer)
            if answer.status >= 400 or parsed.get("error") is not None:
                _refuse(parsed.get("error"), answer.status)
            return _token(parsed)
        except ProviderError as error:
            error.outcome_unknown = answer.status < 400  # there was a token in it, perhaps
            raise


def code_challenge(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _check_refusal(answer: Answer) -> None:
    error = answer.get("error")
    if error is None:
        return
    if error == "access_denied":
        raise AccessDenied("The user did not allow the connection.")
    if error in ("server_error", "temporarily_unavailable"):
        raise ProviderUnavailable(
            f"The provider could not finish the flow ({error}). Try again later."
        )
    raise ProviderError(f"The provider broke the flow off{_hint(error)}.")


def _refuse(error: object, status: int) -> NoReturn:
    if error in ("rate_limit_exceeded", "temporarily_unavailable", "server_error"):
        kind = RateLimited if error == "rate_limit_exceeded" else ProviderUnavailable
        raise kind(f"The provider is overloaded or out of order ({error}). Try again later.")
    refused = InvalidGrant if error == "invalid_grant" else ProviderError
    raise refused(f"The provider refused to give a token (status {status}){_hint(error)}.")


def _hint(error: object) -> str:
    return f": {HINTS[error]} ({error})" if isinstance(error, str) and error in HINTS else ""


def _parse(answer: http.Answer) -> dict[str, Any]:
    """The JSON object of an answer, or an error;

    nothing that a server may send gets further than here.
    """
    if answer.content_type and not _JSON.match(answer.content_type):
        raise ProviderError(
            f"The provider answered with something else than JSON (status {answer.status}): "
            "an error page of its network, or token_url is not its token endpoint."
        )
    try:
        parsed = json.loads(
            answer.body.decode("utf-8-sig"), parse_constant=_no_constant, object_pairs_hook=_unique
        )
        json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode(
            "utf-8"
        )  # a lone surrogate or 1e999 stops here
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise ProviderError(
            f"The provider's answer (status {answer.status}) is not one JSON object."
        )
    return parsed


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")  # RFC 8259 section 6


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name came twice")
    return fields


def _token(fields: dict[str, Any]) -> AccessToken:
    """The token of a parsed answer (RFC 6749 section 5.1);

    a scope that changed is no reason to lose it.
    """
    token, refresh_token, kind = (
        fields.pop("access_token", None),
        fields.pop("refresh_token", None),
        fields.get("token_type"),
    )
    if not isinstance(token, str) or not _VSCHARS.fullmatch(token):
        raise ProviderError("The provider's answer holds no access token that could be used.")
    if refresh_token not in (None, "") and not (
        isinstance(refresh_token, str) and _VSCHARS.fullmatch(refresh_token)
    ):
        raise ProviderError("The provider's answer holds a refresh token that cannot be used.")
    if kind not in (None, "") and not (
        isinstance(kind, str) and kind.lower() in ("bearer", "oauth")
    ):
        raise ProviderError(
            "The provider's answer holds a token of a type that is not known here (token_type)."
        )
    return AccessToken(
        token,
        refresh_token=refresh_token or None,
        expires_at=_expires_at(fields.pop("expires_in", None)),
        scope=_scope(fields.pop("scope", None)),
        extra=fields,
    )


def _expires_at(expires_in: object) -> int | None:
    """When the token ends, in seconds since the epoch.

    Some providers write the number as a string.
    """
    if expires_in is None:
        return None
    if (
        isinstance(expires_in, str)
        and expires_in.isascii()
        and expires_in.isdigit()
        and len(expires_in) <= 12
    ):
        expires_in = int(expires_in)
    if (
        isinstance(expires_in, bool)
        or not isinstance(expires_in, (int, float))
        or not 0 <= expires_in <= MAX_LIFETIME
    ):
        raise ProviderError(
            "The provider's answer holds a lifetime that is no number of seconds (expires_in)."
        )
    return int(time.time()) + math.floor(expires_in)


def _scope(scope: object) -> str | None:
    """The scope as RFC 6749 section 3.3 writes it; some providers send a list."""
    if isinstance(scope, list) and all(isinstance(word, str) for word in scope):
        scope = " ".join(scope)
    if scope is not None and not isinstance(scope, str):
        raise ProviderError("The provider's answer holds a scope that is no text.")
    return scope
