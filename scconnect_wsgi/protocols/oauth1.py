"""OAuth 1.0a (RFC 5849): a request token, the user, an access token.

flow = OAuth1(CONSUMER_KEY, CONSUMER_SECRET, provider=DISCOGS)
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from oauthlib.oauth1 import Client
from oauthlib.oauth1.rfc5849 import signature

from scconnect_wsgi.errors import (
    AccessDenied,
    ConfigurationError,
    FlowMismatch,
    InvalidGrant,
    ProviderError,
)
from scconnect_wsgi.flow import Answer, Departure, Pending
from scconnect_wsgi.keys import is_one_of
from scconnect_wsgi.provider import SOUNDCLOUD_2009, OAuth1Provider
from scconnect_wsgi.query import read_form, with_query
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport import client as http

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# The words of the OAuth Problem Reporting extension, and that of RFC 6749 section 4.1.2.1.
REFUSALS = frozenset({"user_refused", "permission_denied", "access_denied"})
HINTS = {  # the words of that extension, and what is wrong on our side
    "timestamp_refused": "this machine's clock differs from the provider's",
    "signature_invalid": "the consumer secret or the signature method is wrong",
    "signature_method_rejected": "the signature method is not the provider's",
    "consumer_key_unknown": "the consumer key is wrong",
    "consumer_key_rejected": "the consumer key is not allowed to do this",
    "parameter_rejected": "the callback URL is not the registered one",
    "token_rejected": "the request token is too old",
    "token_expired": "the request token is too old",
    "verifier_invalid": "the verifier was used already",
}


class OAuth1:
    """The flow of OAuth 1.0a with one provider, for one consumer.

    ``rsa_key`` is the consumer's private key as PEM, for RSA-SHA1 (the extra ``rsa``), where the
    consumer secret may be empty. ``transport`` says how the provider is reached. Raises
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
        transport: http.Transport | None = None,
    ) -> None:
        if not isinstance(provider, OAuth1Provider):
            raise ConfigurationError(
                "provider", "must be an OAuth1Provider; SoundCloud of today is one for OAuth2."
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
                "rsa_key", "belongs to a provider with signature_method RSA-SHA1, and to no other."
            )
        self.provider = provider
        self.transport: http.Transport = transport or http.shared_transport()
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
        """Ask for a request token (RFC 5849 section 2.1).

        Raises ProviderError, ProviderUnavailable.
        """
        provider = self.provider
        fields = self._ask(
            provider.request_token_url,
            provider.request_token_params,
            {"callback_uri": callback_url},
        )
        if fields.get("oauth_callback_confirmed", "").lower() != "true":
            raise ProviderError(
                "The provider did not confirm the callback URL (oauth_callback_confirmed), so this is OAuth 1.0, "
                "whose flows can be stolen. Only OAuth 1.0a is spoken here."
            )
        token = fields["oauth_token"]
        authorize_url = with_query(
            provider.authorize_url, {"oauth_token": token, **provider.authorize_params}
        )
        return Departure(
            authorize_url, token, {"token": token, "secret": fields["oauth_token_secret"]}
        )

    def flow_id(self, answer: Answer) -> str:
        """The request token;

        a refusal may carry it as ``denied``, and none that is without it is believed.
        """
        return answer.get("oauth_token") or answer.get("denied") or ""

    def finish(self, callback_url: str, answer: Answer, pending: Pending) -> AccessToken:
        """Exchange request token and verifier (RFC 5849 section 2.3).

        Raises FlowMismatch, AccessDenied, ProviderError, ProviderUnavailable.
        """
        token = pending["token"]
        if not hmac.compare_digest(self.flow_id(answer).encode(), token.encode()):
            raise FlowMismatch(
                "The request token that came back is not the one this browser left with. Start again."
            )
        _check_refusal(answer)
        verifier = answer.get("oauth_verifier")
        if not verifier:
            raise ProviderError(
                "The provider sent the user back without a verifier: the user may have refused, "
                "or the provider does not speak OAuth 1.0a."
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
        """Raise InvalidGrant:

        tokens of OAuth 1.0a live until they are taken back, and are never refreshed.
        """
        raise InvalidGrant("OAuth 1.0a has no refresh tokens.")

    def authorization(self, token: AccessToken, method: Any, url: str, form: str = "") -> str:
        """The Authorization header of one call of the API: its signature (RFC 5849 section 3), good
        once.

        ``url`` is the address as it is sent, ``form`` a form-encoded body; another body is not
        signed.
        """
        signer = Signer(
            **self._credentials,
            resource_owner_key=token.token,
            resource_owner_secret=token.token_secret or "",
        )
        _, headers, _ = signer.sign(url, method, form or None, dict(FORM) if form else {})
        return str(headers["Authorization"])

    def _ask(
        self, url: str, params: Mapping[str, str], signing: Mapping[str, str]
    ) -> dict[str, str]:
        """Send a signed POST and read the token in its answer."""
        return _token_fields(self.transport.send(lambda: self._sign(url, params, signing)))

    def _sign(self, url: str, params: Mapping[str, str], signing: Mapping[str, str]) -> http.Call:
        client = Signer(**self._credentials, **signing)
        headers = {**self.provider.headers, **(FORM if params else {})}
        url, headers, body = client.sign(http.as_sent(url), "POST", dict(params) or None, headers)
        return http.Call("POST", url, headers, body or "")


class Signer(Client):
    """oauthlib's client, less its DEBUG log of tokens, verifiers and signature base strings."""

    def get_oauth_signature(self, request: Any) -> str:
        """The signature of a request (RFC 5849 section 3.4)."""
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
    """The key as an object: parsing the PEM for each signature would cost 40 ms."""
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


def _check_refusal(answer: Answer) -> None:
    """Raise what an answer says to have gone wrong:

    as ``denied``, as ``oauth_problem``, or as OAuth 2 says it.
    """
    problems = {answer.get("oauth_problem", ""), answer.get("error", "")}
    if answer.get("denied") or problems & REFUSALS:
        raise AccessDenied("The user did not allow the connection.")
    problem = answer.get("oauth_problem") or answer.get("error")
    if problem:
        raise ProviderError(f"The provider broke the flow off{_hint(problem)}.")


def _hint(problem: str) -> str:
    return f": {HINTS[problem]} ({problem})" if problem in HINTS else ""


def _token_fields(answer: http.Answer) -> dict[str, str]:
    """The fields of a token answer: form-encoded, whatever its Content-Type says."""
    try:
        fields = read_form(answer.body.decode("utf-8").strip())
    except ValueError:
        fields = {}
    if answer.status >= 400:
        hint = (
            _hint(fields.get("oauth_problem", ""))
            or ": consumer key, secret, callback URL or clock may be wrong"
        )
        raise ProviderError(f"The provider refused the request (status {answer.status}){hint}.")
    token, secret = fields.get("oauth_token"), fields.get("oauth_token_secret")
    if not token or secret is None or not (token + secret).isprintable():
        raise ProviderError(
            "The provider's answer holds no token and secret: it is an error text, or cut short."
        )
    return fields
