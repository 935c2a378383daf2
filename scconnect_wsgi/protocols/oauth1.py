"""OAuth 1.0a (RFC 5849): a request token, the user, an access token.

flow = OAuth1(CONSUMER_KEY, CONSUMER_SECRET, provider=DISCOGS)
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from oauthlib.oauth1 import Client
from oauthlib.oauth1.rfc5849 import signature

from scconnect_wsgi.errors import (
    AccessDenied,
    ConfigurationError,
    FlowMismatch,
    InvalidGrant,
    ProviderError,
)
from scconnect_wsgi.flow import AuthorizationResponse, Departure, Pending
from scconnect_wsgi.keys import is_one_of
from scconnect_wsgi.provider import SOUNDCLOUD_2009, OAuth1Provider
from scconnect_wsgi.query import read_form, with_query
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport import (
    HTTPRequest,
    HTTPResponse,
    Transport,
    as_sent,
    shared_transport,
)

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# The words of the OAuth Problem Reporting extension, and the one of RFC 6749 section 4.1.2.1
REFUSALS = frozenset({"user_refused", "permission_denied", "access_denied"})
# A 401 for one of these problems says nothing about the token.
_PROBLEMS = r"(?:timestamp_refused|nonce_used|signature_|consumer_key_|version_rejected|parameter_)"
# Most providers name the problem in the header, in many spellings; the realm is the provider's own.
_IN_THE_HEADER = re.compile(_PROBLEMS)
_REALM = re.compile(r'realm="[^"]*"')
# Some name it in the body, a form or JSON; Twitter's number for a clock that is wrong is 135.
_IN_THE_BODY = re.compile(rf"""oauth_problem["']?\s*[=:]\s*["']?{_PROBLEMS}|"code"\s*:\s*135\b""")
HINTS = {  # the words of that extension, and what is likely wrong on our side
    "timestamp_refused": "this machine's clock differs from the provider's",
    "signature_invalid": "the consumer secret or the signature method is wrong",
    "signature_method_rejected": "the signature method is not the provider's",
    "consumer_key_unknown": "the consumer key is wrong",
    "consumer_key_rejected": "the consumer key is not allowed to do this",
    "parameter_rejected": "the callback URL is not the registered one",
    "token_rejected": "the request token is too old",
    "token_expired": "the request token is too old",
    "verifier_invalid": "the verifier was already used",
}


class OAuth1:
    """The flow of OAuth 1.0a with one provider, for one consumer.

    ``rsa_key`` is the consumer's private key as PEM, for RSA-SHA1 (the extra ``rsa``); the consumer
    secret may then be empty. ``transport`` says how the provider is reached. Raises
    ConfigurationError for values that cannot sign a request.
    """

    name = "OAuth 1.0a"

    def __init__(
        self,
        consumer_key: str,
        consumer_secret: str,
        *,
        provider: OAuth1Provider = SOUNDCLOUD_2009,
        rsa_key: str | None = None,
        transport: Transport | None = None,
    ) -> None:
        if not isinstance(provider, OAuth1Provider):
            raise ConfigurationError(
                "provider", "must be an OAuth1Provider. For SoundCloud today use OAuth2."
            )
        rsa = provider.signature_method.startswith("RSA")
        if not consumer_key:
            raise ConfigurationError(
                "consumer_key", "must be the consumer key of your application."
            )
        if not (consumer_secret or rsa):
            raise ConfigurationError(
                "consumer_secret", "must be the consumer secret of your application."
            )
        if rsa != (rsa_key is not None):
            raise ConfigurationError(
                "rsa_key", "is required with signature_method RSA-SHA1, and not allowed otherwise."
            )
        self.provider = provider
        self.transport: Transport = transport or shared_transport()
        self.audience: str = (
            f"oauth1 {provider.request_token_url} {provider.access_token_url} {consumer_key}"
        )
        self._credentials: dict[str, Any] = {
            "client_key": consumer_key,
            "client_secret": consumer_secret,
            "signature_method": provider.signature_method,
            "rsa_key": _load_rsa_key(rsa_key) if rsa_key is not None else None,
            "realm": provider.realm,
        }
        try:
            for url in (provider.request_token_url, provider.access_token_url):
                self._sign(url, provider.request_token_params, {})
        except ValueError as error:
            raise ConfigurationError(
                "provider", "has addresses or parameters that cannot be signed."
            ) from error

    def is_credential(self, key: bytes) -> bool:
        """Return whether a key is the consumer key or the consumer secret."""
        return is_one_of(key, self._credentials["client_key"], self._credentials["client_secret"])

    def begin(self, callback_url: str) -> Departure:
        """Ask for a request token (RFC 5849 section 2.1), and say where the user goes.

        Raises ProviderError or ProviderUnavailable.
        """
        provider = self.provider
        fields = self._ask(
            provider.request_token_url,
            provider.request_token_params,
            {"callback_uri": callback_url},
        )
        if fields.get("oauth_callback_confirmed", "").lower() != "true":
            raise ProviderError(
                "The provider did not confirm the callback URL (oauth_callback_confirmed), so this "
                "is OAuth 1.0, whose flows can be stolen. Only OAuth 1.0a is supported."
            )
        token = fields["oauth_token"]
        authorize_url = with_query(
            provider.authorize_url, {"oauth_token": token, **provider.authorize_params}
        )
        return Departure(
            authorize_url, token, {"token": token, "secret": fields["oauth_token_secret"]}
        )

    def flow_id(self, response: AuthorizationResponse) -> str:
        """Return the request token.

        A refusal may carry it as ``denied``; one that does not carry it at all is not believed.
        """
        return response.get("oauth_token") or response.get("denied") or ""

    def finish(
        self, callback_url: str, response: AuthorizationResponse, pending: Pending
    ) -> AccessToken:
        """Exchange request token and verifier for an access token (RFC 5849 section 2.3).

        Raises FlowMismatch, AccessDenied, ProviderError or ProviderUnavailable.
        """
        token = pending["token"]
        if not hmac.compare_digest(self.flow_id(response).encode(), token.encode()):
            raise FlowMismatch(
                "The request token that came back is not the one this browser left with. "
                "Start again."
            )
        _check_refusal(response)
        verifier = response.get("oauth_verifier")
        if not verifier:
            raise ProviderError(
                "The provider sent the user back without a verifier: the user may have refused, "
                "or the provider does not support OAuth 1.0a."
            )
        signing = {
            "resource_owner_key": token,
            "resource_owner_secret": pending["secret"],
            "verifier": verifier,
        }
        fields = self._ask(self.provider.access_token_url, {}, signing)
        return AccessToken(
            fields.pop("oauth_token"), fields.pop("oauth_token_secret"), extra=fields
        )

    def refresh(self, token: AccessToken, callback_url: str = "") -> AccessToken:
        """Raise InvalidGrant: tokens of OAuth 1.0a are valid until they are revoked."""
        raise InvalidGrant("OAuth 1.0a has no refresh tokens.")

    def authorization(self, token: AccessToken, method: Any, url: str, form: str = "") -> str:
        """Return the Authorization header of one API call: its signature (RFC 5849 section 3).

        It is good for one request. ``url`` is the address as it is sent, ``form`` a form-encoded
        body; any other body is not signed.
        """
        signer = Signer(
            **self._credentials,
            resource_owner_key=token.token,
            resource_owner_secret=token.token_secret or "",
        )
        _, headers, _ = signer.sign(url, method, form or None, dict(FORM) if form else {})
        return str(headers["Authorization"])

    @property
    def signs_out(self) -> bool:
        """False: OAuth 1.0a has no address for it."""
        return False

    def sign_out(self, token: AccessToken) -> None:
        """Do nothing: OAuth 1.0a has no request that ends a token."""

    def rejects_token(self, response: HTTPResponse) -> bool:
        """Return whether an API response rejects the token: a 401 that names no other problem."""
        if response.status != 401:
            return False
        challenge = _REALM.sub("", response.headers.get("WWW-Authenticate", ""))
        body = response.body.decode("utf-8", "replace")
        return not (_IN_THE_HEADER.search(challenge) or _IN_THE_BODY.search(body))

    def _ask(
        self, url: str, params: Mapping[str, str], signing: Mapping[str, str]
    ) -> dict[str, str]:
        """Send a signed POST and return the fields of the response, a token among them."""
        return _token_fields(self.transport.send(lambda: self._sign(url, params, signing)))

    def _sign(self, url: str, params: Mapping[str, str], signing: Mapping[str, str]) -> HTTPRequest:
        client = Signer(**self._credentials, **signing)
        headers = {**self.provider.headers, **(FORM if params else {})}
        url, headers, body = client.sign(as_sent(url), "POST", urlencode(params) or None, headers)
        return HTTPRequest("POST", url, headers, body or "")


class Signer(Client):
    """oauthlib's client without its DEBUG log of tokens, verifiers and signature base strings."""

    def get_oauth_signature(self, request: Any) -> str:
        """Return the signature of a request (RFC 5849 section 3.4)."""
        parameters = signature.collect_parameters(
            uri_query=urlsplit(request.uri).query, body=request.body or []
        )
        base_string = signature.signature_base_string(
            request.http_method,
            signature.base_string_uri(request.uri),
            signature.normalize_parameters([*parameters, *request.oauth_params]),  # type: ignore[arg-type]  # takes pairs
        )
        return str(self.SIGNATURE_METHODS[self.signature_method](base_string, self))


def _load_rsa_key(pem: str) -> object:
    """Return the key as an object: parsing the PEM for each signature would cost 40 ms."""
    try:
        import jwt  # noqa: F401  # oauthlib signs through it
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise ConfigurationError(
            "signature_method", "RSA-SHA1 needs an extra: pip install 'scconnect-wsgi[rsa]'."
        ) from None
    try:
        key = load_pem_private_key(pem.encode() if isinstance(pem, str) else pem, password=None)
    except (ValueError, TypeError):  # TypeError: the key is encrypted
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError("rsa_key", "is not an unencrypted RSA private key in PEM.")
    return key


def _check_refusal(response: AuthorizationResponse) -> None:
    """Raise the error that an authorization response reports.

    It may be in ``denied``, in ``oauth_problem``, or in ``error`` as in OAuth 2.
    """
    problems = {response.get("oauth_problem", ""), response.get("error", "")}
    if response.get("denied") or problems & REFUSALS:
        raise AccessDenied("The user did not allow the connection.")
    problem = response.get("oauth_problem") or response.get("error")
    if problem:
        raise ProviderError(f"The provider aborted the flow{_hint(problem)}.")


def _hint(problem: str) -> str:
    return f": {HINTS[problem]} ({problem})" if problem in HINTS else ""


def _token_fields(response: HTTPResponse) -> dict[str, str]:
    """Return the fields of a token response: form-encoded, whatever its Content-Type says."""
    try:
        fields = read_form(response.body.decode("utf-8").strip())
    except ValueError:
        fields = {}
    if response.status >= 400:
        hint = (
            _hint(fields.get("oauth_problem", ""))
            or ": consumer key, secret, callback URL or clock may be wrong"
        )
        raise ProviderError(f"The provider refused the request (status {response.status}){hint}.")
    token = fields.get("oauth_token")
    secret = fields.get("oauth_token_secret")
    if not token or secret is None or not (token + secret).isprintable():
        raise ProviderError(
            "The provider's answer holds no token and secret: it is an error text, or cut short."
        )
    return fields
