"""Describe OAuth providers: their addresses, and what else differs between them.

A provider is data. To connect to another one, describe it:

    DISCOGS = OAuth1Provider(
        "https://api.discogs.com/oauth/request_token",
        "https://www.discogs.com/oauth/authorize",
        "https://api.discogs.com/oauth/access_token",
        signature_method="PLAINTEXT",
        headers={"User-Agent": "MySite/1.0 +https://mysite.example"},
    )
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.redaction import hides_all_locals
from scconnect_wsgi.urls import LOOPBACK, checked_url

SIGNATURE_METHODS = ("HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "PLAINTEXT")
# How a client authenticates at the token endpoint, in the words of RFC 7591 section 2
TOKEN_ENDPOINT_AUTH = ("client_secret_post", "client_secret_basic", "none")
_POPUP = {"display": "popup"}
MAX_NAME = 60  # characters
SOUNDCLOUD_NAME = "SoundCloud"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_HEADER_VALUE = re.compile(r"[\t -~]*")
_MADE_FOR_EACH_REQUEST = "it is made for each request."
_OUR_HEADERS = {  # and why a provider cannot set them
    "authorization": "it is made for each request, from the client's credentials and the token.",
    "content-length": _MADE_FOR_EACH_REQUEST,
    "content-type": _MADE_FOR_EACH_REQUEST,
    "host": _MADE_FOR_EACH_REQUEST,
    "transfer-encoding": _MADE_FOR_EACH_REQUEST,
}
_OUR_OAUTH2_PARAMETERS = frozenset(
    {
        "response_type",
        "client_id",
        "redirect_uri",
        "state",
        "scope",
        "code_challenge",
        "code_challenge_method",
    }
)


@hides_all_locals
@dataclass(frozen=True)
class OAuth1Provider:
    """A provider that speaks OAuth 1.0a (RFC 5849).

    ``api_url`` is the root of the API; API calls send the token to no other address. What a GET of
    ``account_path`` below it returns says whose token it is; empty if nothing does.
    ``signature_method`` is HMAC-SHA1, HMAC-SHA256, RSA-SHA1 or PLAINTEXT. ``realm`` goes into the
    Authorization header. ``request_token_params`` are signed and sent with the request for a
    request token, ``authorize_params`` are added to the URL of the authorization page, and
    ``headers`` to every request. ``name`` is what users call the provider. Raises
    ConfigurationError for values that cannot work.
    """

    request_token_url: str
    authorize_url: str
    access_token_url: str
    api_url: str | None = field(default=None, kw_only=True)
    account_path: str = field(default="/me", kw_only=True)
    signature_method: str = field(default="HMAC-SHA1", kw_only=True)
    realm: str | None = field(default=None, kw_only=True)
    request_token_params: Mapping[str, str] = field(
        default_factory=dict, kw_only=True, repr=False, hash=False
    )
    authorize_params: Mapping[str, str] = field(
        default_factory=lambda: dict(_POPUP), kw_only=True, hash=False
    )
    headers: Mapping[str, str] = field(
        default_factory=dict, kw_only=True, repr=False, hash=False
    )  # may hold a key
    name: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        checked_url(self.request_token_url, "request_token_url")
        checked_url(self.authorize_url, "authorize_url")
        checked_url(self.access_token_url, "access_token_url")
        _check_optional_url(self.api_url, "api_url")
        _check_account_path(self.account_path)
        if self.signature_method not in SIGNATURE_METHODS:
            raise ConfigurationError(
                "signature_method", f"must be one of {', '.join(SIGNATURE_METHODS)}."
            )
        _check_realm(self.realm)
        _check_params(self.request_token_params, "request_token_params")
        _check_params(self.authorize_params, "authorize_params")
        _refuse_oauth1_parameters(self.request_token_params, "request_token_params")
        _refuse_oauth1_parameters(self.authorize_params, "authorize_params")
        _check_headers(self.headers)
        _check_name(self.name)


@hides_all_locals
@dataclass(frozen=True)
class OAuth2Provider:
    """A provider that speaks OAuth 2.1: authorization code with PKCE S256.

    ``api_url`` is the root of the API; API calls send the token to no other address. What a GET of
    ``account_path`` below it returns says whose token it is; empty if nothing does.
    ``sign_out_url`` ends the session of a token. If ``issuer`` is set, authorization responses
    must carry it as ``iss`` (RFC 9207). ``authorize_params`` are added to the URL of the
    authorization page, and ``headers`` to every request for a token. ``token_type`` is the word
    before the token in the Authorization header of API calls. ``token_endpoint_auth`` is how the
    client authenticates at ``token_url``: ``client_secret_post`` (id and secret in the body),
    ``client_secret_basic`` (in the header, RFC 6749 section 2.3.1), or ``none`` for a public
    client, which has no secret. ``name`` is what users call the provider. Raises ConfigurationError
    for values that cannot work.
    """

    authorize_url: str
    token_url: str
    api_url: str | None = field(default=None, kw_only=True)
    account_path: str = field(default="/me", kw_only=True)
    sign_out_url: str | None = field(default=None, kw_only=True)
    issuer: str | None = field(default=None, kw_only=True)
    authorize_params: Mapping[str, str] = field(
        default_factory=lambda: dict(_POPUP), kw_only=True, hash=False
    )
    token_type: str = field(default="OAuth", kw_only=True)
    token_endpoint_auth: str = field(default="client_secret_post", kw_only=True)
    headers: Mapping[str, str] = field(
        default_factory=dict, kw_only=True, repr=False, hash=False
    )  # may hold a key
    name: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        checked_url(self.authorize_url, "authorize_url")
        checked_url(self.token_url, "token_url")
        _check_optional_url(self.api_url, "api_url")
        _check_account_path(self.account_path)
        _check_optional_url(self.sign_out_url, "sign_out_url")
        _check_optional_url(self.issuer, "issuer")
        if not isinstance(self.token_type, str) or not _HEADER_NAME.fullmatch(self.token_type):
            raise ConfigurationError("token_type", "must be one word, such as OAuth or Bearer.")
        check_token_endpoint_auth(self.token_endpoint_auth)
        _check_params(self.authorize_params, "authorize_params")
        if _OUR_OAUTH2_PARAMETERS & set(self.authorize_params):
            raise ConfigurationError(
                "authorize_params",
                "must not name a parameter of the protocol itself (state, scope, ...).",
            )
        _check_headers(self.headers)
        _check_name(self.name)


def provider_name(provider: object) -> str:
    """Return what a provider is called on our pages; empty if it has no name.

    SoundCloud's addresses are its name, and the sandbox, on a loopback host, stands for it.
    """
    name = getattr(provider, "name", "")
    if name:
        return str(name)
    host = urlsplit(getattr(provider, "authorize_url", "")).hostname or ""
    is_soundcloud = host in LOOPBACK or f".{host}".endswith(".soundcloud.com")
    return SOUNDCLOUD_NAME if is_soundcloud else ""


def check_token_endpoint_auth(method: str) -> None:
    """Raise ConfigurationError for a way to authenticate that is not in TOKEN_ENDPOINT_AUTH."""
    if method not in TOKEN_ENDPOINT_AUTH:
        raise ConfigurationError(
            "token_endpoint_auth", f"must be one of {', '.join(TOKEN_ENDPOINT_AUTH)}."
        )


def _check_optional_url(url: str | None, option: str) -> None:
    if url is not None:
        checked_url(url, option)


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name.isprintable() or len(name) > MAX_NAME:
        raise ConfigurationError("name", f"must be at most {MAX_NAME} printable characters.")


def _check_account_path(path: str) -> None:
    problem = "must be a path below api_url, such as /me, or empty."
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise ConfigurationError("account_path", problem)
    try:
        checked_url(f"https://api.example{path}", "account_path")
    except ConfigurationError:
        raise ConfigurationError("account_path", problem) from None


def _check_realm(realm: str | None) -> None:
    if realm is None:
        return
    if (
        not isinstance(realm, str)
        or not _HEADER_VALUE.fullmatch(realm)
        or '"' in realm
        or "\\" in realm
    ):
        raise ConfigurationError("realm", "must be printable ASCII without quotes and backslashes.")


def _refuse_oauth1_parameters(params: Mapping[str, str], option: str) -> None:
    if any(name.startswith("oauth_") for name in params):
        raise ConfigurationError(
            option, "must not name a parameter of the protocol itself (oauth_...)."
        )


def _check_params(params: Mapping[str, str], option: str) -> None:
    if not isinstance(params, Mapping) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in params.items()
    ):
        raise ConfigurationError(option, "must map strings to strings.")


def _check_headers(headers: Mapping[str, str]) -> None:
    _check_params(headers, "headers")
    for name, value in headers.items():
        if name.lower() in _OUR_HEADERS:
            raise ConfigurationError(
                "headers", f"must not hold {name}: {_OUR_HEADERS[name.lower()]}"
            )
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError(
                "headers", f"must not hold {name!r}: that is no header's name."
            )
        if not _HEADER_VALUE.fullmatch(value):
            raise ConfigurationError(
                "headers", f"has a value for {name} that is not printable ASCII in one line."
            )


SOUNDCLOUD = OAuth2Provider(
    "https://secure.soundcloud.com/authorize",
    "https://secure.soundcloud.com/oauth/token",
    api_url="https://api.soundcloud.com",
    sign_out_url="https://api.soundcloud.com/sign-out",
)

# The addresses of the specification of 2009, over https. SoundCloud has retired them; they stay as
# a pattern for other providers that still speak OAuth 1.0a.
SOUNDCLOUD_2009 = OAuth1Provider(
    "https://api.soundcloud.com/oauth/request_token",
    "https://soundcloud.com/oauth/authorize",
    "https://api.soundcloud.com/oauth/access_token",
    api_url="https://api.soundcloud.com",
)
