"""Ask the provider whose token it is: ``/me``, and the account in its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from scconnect_wsgi.account import Account
from scconnect_wsgi.connections._naming import account_key
from scconnect_wsgi.errors import ProviderError
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport import HTTPRequest

if TYPE_CHECKING:
    from scconnect_wsgi.flow import ApiFlow


def fetch_account(flow: ApiFlow, api_url: str, token: AccessToken) -> Account:
    """Return the account that a token is for, or an empty one if the API has no ``/me``.

    Raises ProviderUnavailable, and ProviderError if the answer does not say.
    """
    url = f"{api_url.rstrip('/')}/me"

    def request() -> HTTPRequest:
        authorization = flow.authorization(token, "GET", url)
        return HTTPRequest("GET", url, {**flow.provider.headers, "Authorization": authorization})

    response = flow.transport.send(request)
    if response.status == 404:
        return Account()
    me = _parsed(response.body)
    if response.status != 200 or not isinstance(me, dict):
        raise ProviderError(
            f"The API does not say whose account was connected (status {response.status})."
        )
    return account_from(me, api_url)


def account_from(me: Mapping[str, object], api_url: str) -> Account:
    """Return the account in an answer to ``/me`` of the API at ``api_url``.

    A field that is not a string is left out. ``_naming.account_key`` says what ``urn`` will be.
    """
    return Account(
        urn=account_key(me, api_url),
        username=_text(me.get("username")),
        name=_text(me.get("full_name")),
        avatar_url=_web_address(me.get("avatar_url")),
        permalink_url=_web_address(me.get("permalink_url")),
    )


def _parsed(body: str | bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _web_address(value: object) -> str:
    """Return an http(s) address, or nothing: a site puts it into ``src`` and ``href``, where
    ``javascript:`` would run.
    """
    text = _text(value)
    return text if text.lower().startswith(("https://", "http://")) else ""
