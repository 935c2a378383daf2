"""OAuth 1.0a (RFC 5849): a request token, the user, an access token.

flow = OAuth1(CONSUMER_KEY, CONSUMER_SECRET, provider=DISCOGS)
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Mapping
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
from scconnect_wsgi.flow import (
    AuthorizationResponse,
    ClientProbe,
    ClientVerdict,
    Departure,
    Pending,
)
from scconnect_wsgi.keys import checked_credential, is_one_of, is_placeholder
from scconnect_wsgi.protocols._fields import read_form, storable
from scconnect_wsgi.provider import SOUNDCLOUD_2009, OAuth1Provider
from scconnect_wsgi.query import with_query
from scconnect_wsgi.redaction import hides_all_locals
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport import (
    HTTPRequest,
    HTTPResponse,
    Transport,
    as_sent,
    checked_transport,
)

RELAY_TAG = "scconnect_relay"  # the field of the callback's query that holds a tag
NONCE_BYTES = 16  # of a tag, so that no two flows have the same callback URL
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# The words of the OAuth Problem Reporting extension, that of RFC 6749 section 4.1.2.1, and that of
# its first draft
REFUSALS = frozenset({"user_refused", "permission_denied", "access_denied", "user_denied"})
REFUSING_VERIFIER = "denied"  # of Jira, if the user refuses; a real one is random
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
VERDICTS = {  # what they say about the client that asks for a request token
    "timestamp_refused": ClientVerdict.CLOCK_REFUSED,
    "signature_invalid": ClientVerdict.REFUSED,
    "signature_method_rejected": ClientVerdict.REFUSED,
    "consumer_key_unknown": ClientVerdict.REFUSED,
    "consumer_key_rejected": ClientVerdict.REFUSED,
    "consumer_key_refused": ClientVerdict.REFUSED,
    "parameter_rejected": ClientVerdict.CALLBACK_REFUSED,
}


@hides_all_locals
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
        checked_credential(consumer_key, "consumer_key", "consumer key")
        if consumer_secret or not rsa:
            checked_credential(consumer_secret, "consumer_secret", "consumer secret")
        _check_rsa_key(rsa_key, provider.signature_method)
        self.provider = provider
        self.transport: Transport = checked_transport(transport)
        self.client_id: str = consumer_key  # RFC 5849 section 1.1 has both words for it
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
        except ValueError:  # its text may show the secret
            raise ConfigurationError(
                "provider", "has addresses or parameters that cannot be signed."
            ) from None

    def is_credential(self, key: bytes) -> bool:
        """Return whether a key is the consumer key or the consumer secret."""
        return is_one_of(key, self._credentials["client_key"], self._credentials["client_secret"])

    def placeholders(self) -> list[str]:
        """Return the names of the credentials that are still those of a manual."""
        given = {
            "consumer_key": self._credentials["client_key"],
            "consumer_secret": self._credentials["client_secret"],
        }
        return [name for name, text in given.items() if text and is_placeholder(text)]

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
        if str(fields.get("oauth_callback_confirmed")).lower() != "true":
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

    def begin_relayed(self, callback_url: str, tag: Callable[[str], str]) -> Departure:
        """Start a flow as ``begin`` does, with a tag in the callback URL's query.

        The provider must keep that query (RFC 5849 section 2.2), and accept it with the callback
        URL that is registered. Raises ProviderError or ProviderUnavailable.
        """
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        return self.begin(with_query(callback_url, {RELAY_TAG: tag(nonce)}))

    def relay_tag(self, response: AuthorizationResponse) -> str:
        """Return the tag that the callback URL's query brought back."""
        return response.get(RELAY_TAG, "")

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

    def probe_client(self, callback_url: str) -> ClientProbe:
        """Ask for a request token, which shows whether key, secret and clock are accepted.

        Raises ProviderError or ProviderUnavailable.
        """
        provider = self.provider
        signing = {"callback_uri": callback_url}
        response = self.transport.send(
            lambda: self._sign(provider.request_token_url, provider.request_token_params, signing)
        )
        fields = read_form(response.body)
        problem = fields.get("oauth_problem") or ""
        challenge = response.headers.get("WWW-Authenticate", "")
        words = [word for word in VERDICTS if word == problem or word in challenge]
        word = words[0] if words else ""
        verdict = VERDICTS[word] if words else _verdict_without_a_word(response.status, fields)
        return ClientProbe(verdict, response.status, word, response.headers.get("Date", ""))

    def _ask(
        self, url: str, params: Mapping[str, str], signing: Mapping[str, str]
    ) -> dict[str, Any]:
        """Send a signed POST and return the fields of the response, a token among them."""
        return _token_fields(self.transport.send(lambda: self._sign(url, params, signing)))

    def _sign(self, url: str, params: Mapping[str, str], signing: Mapping[str, str]) -> HTTPRequest:
        client = Signer(**self._credentials, **signing)
        headers = {**self.provider.headers, **(FORM if params else {})}
        url, headers, body = client.sign(as_sent(url), "POST", urlencode(params) or None, headers)
        return HTTPRequest("POST", url, headers, body or "")


class Signer(Client):
    """oauthlib's client without its DEBUG log of tokens, verifiers and signature base strings."""

    def __repr__(self) -> str:
        """Show nothing: oauthlib's shows the token and the verifier."""
        return "Signer()"

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


def _verdict_without_a_word(status: int, fields: Mapping[str, str]) -> ClientVerdict:
    """Return what an answer says to which VERDICTS has no key."""
    if status < 400:
        return ClientVerdict.ACCEPTED if fields.get("oauth_token") else ClientVerdict.FOREIGN
    if status == 401:
        return ClientVerdict.REFUSED
    return ClientVerdict.UNEXPLAINED if status in (400, 403) else ClientVerdict.FOREIGN


def _check_rsa_key(rsa_key: object, signature_method: str) -> None:
    """Raise ConfigurationError unless there is a key for RSA-SHA1, and none otherwise."""
    if not signature_method.startswith("RSA"):
        if rsa_key is not None:
            raise ConfigurationError(
                "rsa_key",
                f"is only for RSA-SHA1: the provider's signature_method is {signature_method}.",
            )
    elif rsa_key is None:
        raise ConfigurationError(
            "rsa_key",
            "is required with signature_method RSA-SHA1: the consumer's private key, the text of "
            "a PEM file.",
        )
    elif not isinstance(rsa_key, (str, bytes)):
        raise ConfigurationError(
            "rsa_key", f"must be the text of a PEM file, not {type(rsa_key).__name__}."
        )


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

    It may be in ``denied``, in ``oauth_problem``, in ``error`` as in OAuth 2, or in the verifier.
    """
    problems = {response.get("oauth_problem", ""), response.get("error", "")}
    refused = response.get("denied") or response.get("oauth_verifier") == REFUSING_VERIFIER
    if refused or problems & REFUSALS:
        raise AccessDenied("The user did not allow the connection.")
    problem = response.get("oauth_problem") or response.get("error")
    if problem:
        raise ProviderError(f"The provider aborted the flow{_hint(problem)}.")


def _hint(problem: str) -> str:
    return f": {HINTS[problem]} ({problem})" if problem in HINTS else ""


def _token_fields(response: HTTPResponse) -> dict[str, Any]:
    """Return the fields of a token response: form-encoded, whatever its Content-Type says.

    ``oauth_token`` and ``oauth_token_secret`` are strings that can be used. Nothing else in the
    response is a reason to lose them.
    """
    fields = read_form(response.body)
    if response.status >= 400:
        hint = (
            _hint(fields.get("oauth_problem") or "")
            or ": consumer key, secret, callback URL or clock may be wrong"
        )
        raise ProviderError(f"The provider refused the request (status {response.status}){hint}.")
    token = fields.pop("oauth_token", None)
    secret = fields.pop("oauth_token_secret", None)
    if not token or secret is None or not (token + secret).isprintable():
        raise ProviderError(
            "The provider's answer holds no token and secret: it is an error text, or cut short."
        )
    return {"oauth_token": token, "oauth_token_secret": secret, **storable(fields)}
