"""Faults of a provider that answers in time, but not what the protocol says.

Each function wraps the handler of an endpoint and changes the request before it, or the response
after it.
"""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import quote

import webob

from scconnect_wsgi.sandbox._api_errors import api_error
from scconnect_wsgi.sandbox.faults import LONG, Faults, Handler

_LONG_TOKENS = "scconnect_sandbox.long_tokens"  # in the environ
_NO_QUOTA = "scconnect_sandbox.no_quota"  # in the environ


def isolated(handler: Handler, faults: Faults, request: webob.Request) -> webob.Response:
    """Give a page a Cross-Origin-Opener-Policy."""
    response = handler(request)
    if "coop" in faults and response.status_code != 303:
        response.headers["Cross-Origin-Opener-Policy"] = faults["coop"]
    return response


def odd_authorization1(handler: Handler, faults: Faults, request: webob.Request) -> webob.Response:
    """Change the OAuth 1.0a callback that the user is sent back to."""
    response = handler(request)
    if response.status_code == 303:
        base, pairs = _split(response.headers["Location"])
        pairs = _respell_refusal(pairs, faults)
        if "wrong-token" in faults:
            pairs = _replace(pairs, "oauth_token")
        response.headers["Location"] = _join(base, pairs)
    return response


def odd_authorization2(handler: Handler, faults: Faults, request: webob.Request) -> webob.Response:
    """Change the authorization response of OAuth 2.1."""
    response = handler(request)
    if response.status_code == 303:
        base, pairs = _split(response.headers["Location"])
        if "no-state" in faults:
            pairs = [pair for pair in pairs if not pair.startswith("state=")]
        if "wrong-state" in faults:
            pairs = _replace(pairs, "state")
        if "iss" in faults:
            pairs.append(f"iss={quote(faults['iss'], safe='')}")
        response.headers["Location"] = _join(base, pairs)
    return response


def odd_request_token(handler: Handler, faults: Faults, request: webob.Request) -> webob.Response:
    """Leave out or respell oauth_callback_confirmed in the answer of OAuth 1.0a."""
    response = handler(request)
    confirmed = "&oauth_callback_confirmed=true"
    if "Confirmed" in faults:
        response.text = response.text.replace(confirmed, "&oauth_callback_confirmed=True")
    if "unconfirmed" in faults:
        response.text = response.text.replace(confirmed, "")
    return response


def odd_token(handler: Handler, faults: Faults, request: webob.Request) -> webob.Response:
    """Refuse or lose a refresh of OAuth 2.1, or change the answer with the tokens."""
    refreshing = request.POST.get("grant_type") == "refresh_token"
    if refreshing and "revoked" in faults:
        refusal = {"error": "invalid_grant"}
        return webob.Response(json_body=refusal, status=400, cache_control="no-store")
    response = handler(request)
    if refreshing and "refresh-lost" in faults:
        # wsgiref closes the connection without an answer.
        raise ConnectionAbortedError("misbehave: refresh-lost")
    if response.status_code == 200:
        fields = response.json_body
        if "no-expiry" in faults:
            del fields["expires_in"]
        if "scope-changed" in faults:
            fields["scope"] = faults["scope-changed"]
        response.json_body = fields
    return response


def long_tokens(handler: Handler, faults: Faults, request: webob.Request) -> webob.Response:
    """Have the endpoint hand out long tokens, which it must know again later."""
    if "long-tokens" in faults:
        request.environ[_LONG_TOKENS] = True
    return handler(request)


def wants_long_tokens(request: webob.Request) -> bool:
    """Return whether the endpoint is to hand out tokens made by ``long_token``."""
    return _LONG_TOKENS in request.environ


def long_token() -> str:
    """Return a token that is longer than most clients expect."""
    return secrets.token_hex(LONG // 2)


def refused_token(handler: Handler, faults: Faults, request: webob.Request) -> webob.Response:
    """Have the API, or one path of it, refuse every access token."""
    is_locked = faults.get("unauthorized-at") == request.path_info
    if is_locked or "revoked" in faults or "unauthorized" in faults:
        request.headers.pop("Authorization", None)
    return handler(request)


def refused_sign_out(handler: Handler, faults: Faults, request: webob.Request) -> webob.Response:
    """Have the sign-out refuse every access token, also one in the body."""
    if "revoked" in faults:
        request.headers.pop("Authorization", None)
        request.body = b""
    return handler(request)


def refused_upload(handler: Handler, faults: Faults, request: webob.Request) -> webob.Response:
    """Have the API refuse uploads, though it accepts the token."""
    if "unverified" in faults:
        return api_error(401)
    if "quota" in faults:
        request.environ[_NO_QUOTA] = True
    return handler(request)


def has_no_quota(request: webob.Request) -> bool:
    """Return whether the account is to have no upload quota left."""
    return _NO_QUOTA in request.environ


def odd_profile(handler: Handler, faults: Faults, request: webob.Request) -> webob.Response:
    """Change what identifies an account, or what it may do."""
    response = handler(request)
    if response.status_code == 200:
        profile: dict[str, Any] = response.json_body
        if "unverified" in faults:
            profile["primary_email_confirmed"] = False
        if "quota" in faults:
            profile["quota"] |= {"unlimited_upload_quota": False, "upload_seconds_left": 0}
            profile["upload_seconds_left"] = 0
        if "username" in faults:
            profile["username"] = faults["username"]
        if "urn" in faults:
            profile["urn"] = faults["urn"]
            del profile["id"]
        response.json_body = profile
    return response


def _split(location: str) -> tuple[str, list[str]]:
    base, _, query = location.partition("?")
    return base, [pair for pair in query.split("&") if pair]


def _join(base: str, pairs: list[str]) -> str:
    return f"{base}?{'&'.join(pairs)}"


def _replace(pairs: list[str], name: str) -> list[str]:
    other = f"{name}={secrets.token_urlsafe(32)}"
    return [other if pair.startswith(f"{name}=") else pair for pair in pairs]


def _respell_refusal(pairs: list[str], faults: Faults) -> list[str]:
    """Return the pairs with a refusal, which is the last one, in another spelling in use."""
    name, _, token = pairs[-1].partition("=")
    if name != "denied":
        return pairs
    if "denied-problem" in faults:
        return [*pairs[:-1], "oauth_problem=user_refused", f"oauth_token={token}"]
    if "denied-error" in faults:
        return [*pairs[:-1], f"oauth_token={token}", "error=access_denied"]
    return pairs
