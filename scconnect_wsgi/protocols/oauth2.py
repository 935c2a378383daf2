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
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote_plus, urlencode

from scconnect_wsgi.errors import (
    AccessDenied,
    ConfigurationError,
    ConnectError,
    FlowMismatch,
    InvalidGrant,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    UnclearRefusal,
)
from scconnect_wsgi.flow import (
    AuthorizationResponse,
    ClientProbe,
    ClientVerdict,
    Departure,
    Pending,
)
from scconnect_wsgi.keys import checked_credential, is_one_of, is_placeholder
from scconnect_wsgi.numeric import is_number
from scconnect_wsgi.protocols._fields import looks_like_a_form, read_form, read_json, storable
from scconnect_wsgi.provider import SOUNDCLOUD, OAuth2Provider
from scconnect_wsgi.query import with_query
from scconnect_wsgi.redaction import hides_all_locals
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport import (
    HTTPRequest,
    HTTPResponse,
    Transport,
    checked_transport,
)

Value = TypeVar("Value")

STATE_BYTES = 32  # 256 bits; RFC 6819 section 5.1.4.2.2 asks for 128
VERIFIER_BYTES = 32  # 43 characters, what RFC 7636 section 4.1 recommends
MAX_LIFETIME = 10**10  # seconds; a number above it is not a lifetime
FORM = "application/x-www-form-urlencoded"
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;|$)", re.ASCII | re.IGNORECASE)
_VSCHARS = re.compile(r"[ -~]+")  # what a token may consist of, RFC 6749 appendix A
_NUMBER = re.compile(r"([0-9]{1,12})(?:\.[0-9]*)?")  # a lifetime that comes as text
# RFC 6749 section 4.1.2.1 has the first, its first draft had the second, and LinkedIn and Apple
# have the others.
REFUSALS = frozenset(
    {"access_denied", "user_denied", "user_cancelled_login", "user_cancelled_authorize"}
)
# Error codes that are about the client or the request as such, and never about one refresh token.
NOT_ABOUT_THE_GRANT = (
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
)
# Of a refusal that does not name the token but may mean it. A 403 or a 404 comes from a network in
# front of the provider, or from a wrong token_url.
UNCLEAR_STATUSES = (400, 401)
NOT_FOUND = (404, 405, 410)  # there is no token endpoint, whatever the answer says
HINTS = {  # the error codes of RFC 6749 section 5.2, and what is likely wrong on our side
    "invalid_grant": "the callback URL is not the registered one (host, http against https, "
    "a trailing slash), or the code was too old or used already",
    "invalid_client": "the provider wants another token_endpoint_auth, or the client id or the "
    "client secret is wrong",
    "unauthorized_client": "this client is not allowed to use the authorization code grant",
    "invalid_request": "a parameter is missing or wrong, the callback URL for example",
    "invalid_scope": "the provider does not know this scope",
    "unsupported_response_type": "the provider does not give authorization codes to this client",
    "unsupported_grant_type": "token_url does not take this grant type",
}
# What an error says about the client that asked for a token with a code that cannot exist. The
# first of each kind are those of RFC 6749 section 5.2, the others those of GitHub and Slack.
VERDICTS = {
    "invalid_grant": ClientVerdict.ACCEPTED,
    "bad_verification_code": ClientVerdict.ACCEPTED,
    "invalid_code": ClientVerdict.ACCEPTED,
    "invalid_client": ClientVerdict.REFUSED,
    "incorrect_client_credentials": ClientVerdict.REFUSED,
    "invalid_client_id": ClientVerdict.REFUSED,
    "bad_client_secret": ClientVerdict.REFUSED,
    "unauthorized_client": ClientVerdict.NOT_ALLOWED,
    "unsupported_grant_type": ClientVerdict.NOT_ALLOWED,
    "redirect_uri_mismatch": ClientVerdict.CALLBACK_REFUSED,
    "bad_redirect_uri": ClientVerdict.CALLBACK_REFUSED,
    "invalid_redirect_uri": ClientVerdict.CALLBACK_REFUSED,
}


@hides_all_locals
class OAuth2:
    """The flow of OAuth 2.1 with one provider, for one client.

    A public client has no secret: leave ``client_secret`` out, and give the provider
    ``token_endpoint_auth="none"``. ``scope`` is sent only if it is given (SoundCloud wants none).
    ``transport`` says how the provider is reached. Raises ConfigurationError for values that cannot
    work.
    """

    name = "OAuth 2.1"

    def __init__(
        self,
        client_id: str,
        client_secret: str = "",
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
        checked_credential(client_id, "client_id", "client id")
        _check_secret(client_secret, provider.token_endpoint_auth)
        self.provider = provider
        self.transport: Transport = checked_transport(transport)
        self.client_id: str = client_id
        self.audience: str = f"oauth2 {provider.authorize_url} {provider.token_url} {client_id}"
        # What is the same for every user is encoded once
        query = {"response_type": "code", "client_id": client_id, "code_challenge_method": "S256"}
        if scope:
            query["scope"] = scope
        query.update(provider.authorize_params)
        self._authorize_url = with_query(provider.authorize_url, query)
        self._client = ClientAuthentication(
            provider.token_endpoint_auth, client_id, client_secret or ""
        )

    def is_credential(self, key: bytes) -> bool:
        """Return whether a key is the client id or the client secret."""
        return is_one_of(key, self._client.id, self._client.secret)

    def placeholders(self) -> list[str]:
        """Return the names of the credentials that are still those of a manual."""
        given = {"client_id": self._client.id, "client_secret": self._client.secret}
        return [name for name, text in given.items() if text and is_placeholder(text)]

    def begin(self, callback_url: str) -> Departure:
        """Choose state and code verifier, and say where the user goes (OAuth 2.1 section 4.1.1).

        Nothing is sent.
        """
        return self._departure(callback_url, secrets.token_urlsafe(STATE_BYTES))

    def begin_relayed(self, callback_url: str, tag: Callable[[str], str]) -> Departure:
        """Start a flow as ``begin`` does, whose state is a tag."""
        return self._departure(callback_url, tag(secrets.token_urlsafe(STATE_BYTES)))

    def relay_tag(self, response: AuthorizationResponse) -> str:
        """Return the state if it is a tag: only tags have dots."""
        state = self.flow_id(response)
        return state if "." in state else ""

    def _departure(self, callback_url: str, state: str) -> Departure:
        """Return where the user goes with this state, and a new code verifier."""
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
        token is refused, UnclearRefusal if it may be the refresh token that is refused,
        ProviderError or ProviderUnavailable otherwise; ``outcome_unknown`` says whether the refresh
        token may be used up.
        """
        if token.refresh_token is None:
            raise InvalidGrant("The provider gave no refresh token with this token.")
        fields = {"refresh_token": token.refresh_token}
        if callback_url:
            fields["redirect_uri"] = callback_url
        try:
            fresh = self._redeem("refresh_token", fields, unclear=UnclearRefusal)
        except InvalidGrant:  # its hint is about authorization codes
            raise InvalidGrant(
                "The provider refused this refresh token: it was used already, or revoked."
            ) from None
        return replace(
            fresh,
            refresh_token=fresh.refresh_token or token.refresh_token,
            scope=token.scope if fresh.scope is None else fresh.scope,
            # Some providers say only with the first token whose it is
            extra={**token.extra, **fresh.extra},
        )

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

    def _redeem(
        self,
        grant_type: str,
        fields: Mapping[str, str],
        unclear: type[ProviderError] = ProviderError,
    ) -> AccessToken:
        """Send a token request, and return its token.

        A refusal that does not say what was refused is an ``unclear`` error.
        """
        response = self._ask(self._client, grant_type, fields)
        try:
            answered = _fields(response)
            error = answered.get("error")
            # Some providers write an empty error, null or 0 beside a token
            is_refusal = isinstance(error, str) and error.strip() != ""
            if response.status < 400 and not is_refusal:
                return _token(answered)
        except _UnusableError as unusable:
            problem = unusable.message
        else:
            raise _refusal(error, response.status, unclear)
        kind = unclear if response.status in UNCLEAR_STATUSES else ProviderError
        # A response that is no refusal may have held a token
        raise kind(problem, outcome_unknown=response.status < 400)

    def _ask(
        self, client: ClientAuthentication, grant_type: str, fields: Mapping[str, str]
    ) -> HTTPResponse:
        """Send a token request of a client, and return the response."""
        headers = {**self.provider.headers, "Accept": "application/json", "Content-Type": FORM}
        headers.update(client.headers)
        # A token of a site's database may hold anything
        body = urlencode({"grant_type": grant_type, **client.fields, **fields}, errors="replace")
        request = HTTPRequest("POST", self.provider.token_url, headers, body)
        return self.transport.send(lambda: request)

    def probe_client(self, callback_url: str) -> ClientProbe:
        """Ask for a token with a code that cannot exist.

        A provider that accepts the client refuses the code. Some providers look at the code first,
        so one that refuses the code is asked again, with a secret that cannot be right either.
        Raises ProviderError or ProviderUnavailable.
        """
        probe = self._probe(self._client, callback_url)
        method = self.provider.token_endpoint_auth
        if probe.verdict is not ClientVerdict.ACCEPTED or method == "none":
            return probe
        stranger = ClientAuthentication(method, self._client.id, secrets.token_urlsafe(16))
        if self._probe(stranger, callback_url).verdict is ClientVerdict.ACCEPTED:
            return replace(probe, verdict=ClientVerdict.NOT_VERIFIED)
        return probe

    def _probe(self, client: ClientAuthentication, callback_url: str) -> ClientProbe:
        fields = {
            "redirect_uri": callback_url,
            "code_verifier": secrets.token_urlsafe(VERIFIER_BYTES),
            "code": f"scconnect-check-{secrets.token_hex(8)}",
        }
        response = self._ask(client, "authorization_code", fields)
        try:
            error = _fields(response).get("error")
        except _UnusableError:
            error = None
        word = error if isinstance(error, str) and error in VERDICTS else ""
        verdict = VERDICTS[word] if word else _verdict_without_a_word(response.status, error)
        return ClientProbe(verdict, response.status, word, response.headers.get("Date", ""))


class ClientAuthentication:
    """What a token request says about the client: header fields, and fields of its body.

    ``method`` is one of ``provider.TOKEN_ENDPOINT_AUTH``. The secret is an empty string for
    ``none``.
    """

    def __init__(self, method: str, id: str, secret: str) -> None:
        self.id = id
        self.secret = secret
        self.headers: dict[str, str] = {}
        self.fields: dict[str, str] = {}
        if method == "client_secret_basic":
            # Both are form-encoded first, so that either may hold a colon
            pair = f"{quote_plus(id)}:{quote_plus(secret)}".encode("ascii")
            self.headers["Authorization"] = f"Basic {base64.b64encode(pair).decode('ascii')}"
            return
        self.fields["client_id"] = id
        if method == "client_secret_post":
            self.fields["client_secret"] = secret


def _check_secret(secret: str, method: str) -> None:
    """Raise ConfigurationError unless there is a client secret, and none for a public client."""
    if method != "none":
        checked_credential(secret, "client_secret", "client secret")
    elif secret:
        raise ConfigurationError(
            "client_secret",
            "is not for a public client: the provider's token_endpoint_auth is none. Leave it out, "
            "or set token_endpoint_auth to client_secret_post or client_secret_basic.",
        )


class _UnusableError(ProviderError):
    """A response that holds no token and is no refusal either."""


def code_challenge(verifier: str) -> str:
    """Return the S256 challenge of a code verifier (RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _verdict_without_a_word(status: int, error: object) -> ClientVerdict:
    """Return what a token response says whose error is none of VERDICTS."""
    if not isinstance(error, str) or not error.strip() or status in NOT_FOUND:
        return ClientVerdict.FOREIGN
    # RFC 6749 section 5.2 has 401 for a client that could not be authenticated
    return ClientVerdict.REFUSED if status == 401 else ClientVerdict.SILENT


def _check_refusal(response: AuthorizationResponse) -> None:
    """Raise the error that an authorization response reports (OAuth 2.1 section 4.1.2.1)."""
    error = response.get("error")
    if error is None:
        return
    if error in REFUSALS:
        raise AccessDenied("The user did not allow the connection.")
    if error in ("server_error", "temporarily_unavailable"):
        raise ProviderUnavailable(
            f"The provider could not finish the flow ({error}). Try again later."
        )
    raise ProviderError(f"The provider aborted the flow{_hint(error)}.")


def _refusal(error: object, status: int, unclear: type[ProviderError]) -> ConnectError:
    """Return the error for a token response that is one (RFC 6749 section 5.2)."""
    if error == "rate_limit_exceeded":
        return RateLimited(_overloaded(error))
    if error in ("temporarily_unavailable", "server_error"):
        return ProviderUnavailable(_overloaded(error))
    kind = ProviderError
    if error == "invalid_grant":
        kind = InvalidGrant
    # GitHub refuses a refresh token with status 200, and a word of its own
    elif error not in NOT_ABOUT_THE_GRANT and status in (200, *UNCLEAR_STATUSES):
        kind = unclear
    message = f"The provider refused to give a token (status {status}){_hint(error)}."
    return kind(message, outcome_unknown=status < 400)


def _overloaded(error: object) -> str:
    return f"The provider is overloaded or out of order ({error}). Try again later."


def _hint(error: object) -> str:
    return f": {HINTS[error]} ({error})" if isinstance(error, str) and error in HINTS else ""


def _fields(response: HTTPResponse) -> dict[str, Any]:
    """Return the fields of a token response: JSON, or a form, which some providers send.

    Raises _UnusableError for anything else that a server may send.
    """
    fields = read_json(response.body)
    if fields is None and looks_like_a_form(response.body):
        form = read_form(response.body)
        fields = form if "access_token" in form or "error" in form else None
    if fields is not None:
        return fields
    if _JSON.match(response.headers.get("Content-Type", "application/json")):
        raise _UnusableError(
            f"The provider's answer (status {response.status}) is not one JSON object."
        )
    raise _UnusableError(
        f"The provider answered with something other than JSON (status {response.status}): "
        "an error page of its network, or token_url is not its token endpoint."
    )


def _token(fields: dict[str, Any]) -> AccessToken:
    """Return the token of a parsed response (RFC 6749 section 5.1).

    The access token must be usable; nothing else in the response is a reason to lose it. Raises
    _UnusableError.
    """
    token = _take(fields, "access_token", _usable)
    if token is None:
        raise _UnusableError("The provider's answer holds no access token that could be used.")
    refresh_token = _take(fields, "refresh_token", _usable)
    extra = storable(fields)
    expires_at = _take(extra, "expires_in", _expires_at)
    scope = _take(extra, "scope", _scope)
    return AccessToken(
        token, refresh_token=refresh_token, expires_at=expires_at, scope=scope, extra=extra
    )


def _take(fields: dict[str, Any], name: str, read: Callable[[Any], Value | None]) -> Value | None:
    """Return what ``read`` makes of a field, and take the field out.

    A field that says something that cannot be read stays where it is.
    """
    written = fields.get(name)
    value = read(written)
    if value is not None or written is None or written == "":
        fields.pop(name, None)
    return value


def _usable(token: object) -> str | None:
    """Return a token that can be sent."""
    return token if isinstance(token, str) and _VSCHARS.fullmatch(token) else None


def _expires_at(expires_in: object) -> int | None:
    """Return when the token expires, in seconds since the epoch.

    None if the provider does not say, or writes something that is no lifetime, such as -1.
    """
    seconds = _seconds(expires_in)
    if seconds is None or not 0 <= seconds <= MAX_LIFETIME:
        return None
    return int(time.time()) + math.floor(seconds)


def _seconds(value: object) -> int | float | None:
    """Return a number of seconds, which some providers write as text."""
    if isinstance(value, str):
        number = _NUMBER.fullmatch(value.strip())
        return int(number[1]) if number else None
    return value if is_number(value) else None


def _scope(scope: object) -> str | None:
    """Return the scope as RFC 6749 section 3.3 writes it; some providers send a list."""
    if isinstance(scope, list) and all(isinstance(word, str) for word in scope):
        return " ".join(scope)
    return scope if isinstance(scope, str) else None
