"""Find out whose token it is: from the API's answer, and from what came with the token.

SoundCloud and many others say it at ``/me``. Others have another address for it (the provider's
``account_path``), other names for the fields, or they say it beside the token only. For those a
site gives Connections a callable, which makes an Account of all that is known.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from scconnect_wsgi.account import Account
from scconnect_wsgi.connections._naming import account_key, is_soundcloud, usable_key
from scconnect_wsgi.connections._waiting import after_hiccups, sleep
from scconnect_wsgi.errors import ConnectError, ProviderError, ProviderUnavailable
from scconnect_wsgi.redaction import safe_traceback
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport import HTTPRequest, HTTPResponse, as_sent, deadline

if TYPE_CHECKING:
    from scconnect_wsgi.flow import ApiFlow
    from scconnect_wsgi.provider import OAuth1Provider, OAuth2Provider

log: logging.Logger = logging.getLogger("scconnect_wsgi")

AccountOf = Callable[[Mapping[str, Any]], Account]
# What APIs answer at an address that they do not have, or that the token has no right to. None of
# these says that the token is bad.
NO_SUCH_ADDRESS = (400, 403, 404, 405, 410)


def fetch_account(
    flow: ApiFlow,
    api_url: str,
    token: AccessToken,
    account: AccountOf | None = None,
    *,
    sleep: Callable[[float], object] = sleep,
) -> Account:
    """Return the account that a token is for, or an empty one if nothing says it.

    ``account`` is the site's own callable. After a hiccup the API is asked again, within the
    transport's timeout for all of it: the token is new, and would be lost. Raises
    ProviderUnavailable, and ProviderError if an API that should say it does not.
    """
    answer: Mapping[str, Any] = {}
    if flow.provider.account_path:
        try:
            response = _ask(flow, api_url, token, sleep)
        except ProviderError:  # a redirect to a login page, for example
            if account is None:
                raise
        else:
            answer = _answer(response, api_url, is_needed=account is None)
    return read_account(answer, token, api_url, account)


def account_url(api_url: str, provider: OAuth1Provider | OAuth2Provider) -> str:
    """Return the address below ``api_url`` that says whose token it is."""
    return f"{api_url.rstrip('/')}{provider.account_path}"


def request_of_account(flow: ApiFlow, api_url: str, token: AccessToken) -> HTTPRequest:
    """Return the request that asks an API whose token it is."""
    url = as_sent(account_url(api_url, flow.provider))  # that must be signed
    authorization = flow.authorization(token, "GET", url)
    return HTTPRequest("GET", url, {**flow.provider.headers, "Authorization": authorization})


def read_account(
    answer: Mapping[str, Any], token: AccessToken, api_url: str, account: AccountOf | None
) -> Account:
    """Return the account that an API's answer is about, by the site's own callable if it has one.

    Raises ProviderError if that raises or returns anything but an Account, or the ConnectError that
    it chose to raise.
    """
    if account is None:
        return account_from(answer, api_url)
    try:
        found: object = account({**token.extra, **answer})
    except ConnectError:
        raise
    except Exception as error:
        reason = type(error).__name__
        shown = safe_traceback({}, token)
    else:
        return _checked(found, api_url)
    failure = ProviderError(
        f"It is not known whose account this is: the account callable of this site raised {reason}."
        " The site's log has more."
    )
    log.error("The account callable raised (error_id %s):\n%s", failure.error_id, shown)
    raise failure


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


def _ask(
    flow: ApiFlow, api_url: str, token: AccessToken, sleep: Callable[[float], object]
) -> HTTPResponse:
    """Ask an API whose token it is. Raises ProviderError and ProviderUnavailable."""

    def request() -> HTTPRequest:
        return request_of_account(flow, api_url, token)

    def ask() -> HTTPResponse | ProviderUnavailable:
        try:
            return flow.transport.send(request)
        except ProviderUnavailable as error:
            return error

    seconds = flow.transport.timeout
    with deadline(seconds) as limit:
        answered = after_hiccups(ask, limit, patience=seconds, sleep=sleep)
    if isinstance(answered, ProviderUnavailable):
        raise answered
    return answered


def _answer(response: HTTPResponse, api_url: str, *, is_needed: bool) -> Mapping[str, Any]:
    """Return what the API says about a token; {} if it has no address for that.

    If ``is_needed``, an answer that is no account is an error. Otherwise it is {} as well.
    """
    found = _parsed(response.body) if response.status == 200 else None
    if isinstance(found, dict):
        return found
    is_missing = response.status in NO_SUCH_ADDRESS and not is_soundcloud(api_url)
    if is_needed and not is_missing:
        raise ProviderError(
            f"The API does not say whose account was connected (status {response.status}). If this "
            "provider has another address for it, set account_path; if it names the account beside "
            "the token, give Connections a callable, account."
        )
    return {}


def _checked(found: object, api_url: str) -> Account:
    """Return the account that the site's own callable returned, if it can be used."""
    if not isinstance(found, Account) or not all(isinstance(text, str) for text in astuple(found)):
        raise ProviderError(
            "It is not known whose account this is: the account callable of this site must return "
            "an Account whose fields are strings."
        )
    return Account(
        urn=usable_key(found.urn, api_url),
        username=_text(found.username),
        name=_text(found.name),
        avatar_url=_web_address(found.avatar_url),
        permalink_url=_web_address(found.permalink_url),
    )


def _parsed(body: bytes) -> object:
    """Return what JSON says, also if a name in it is not UTF-8 or holds a line break.

    Bytes that are not UTF-8 are lone surrogates, so that no key of an account can hold them.
    """
    try:
        text = body.decode(json.detect_encoding(body), "surrogateescape")
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _text(value: object) -> str:
    """Return a text that a page can show: half of an emoji, cut in two, is a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _web_address(value: object) -> str:
    """Return an http(s) address, or nothing: a site puts it into ``src`` and ``href``, where
    ``javascript:`` would run.
    """
    text = _text(value)
    return text if text.lower().startswith(("https://", "http://")) else ""
