"""Ask ``/me``, or the address that a provider has in its place, whether a token is accepted."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from scconnect_wsgi.connections._accounts import request_of_account
from scconnect_wsgi.stores import Connection
from scconnect_wsgi.transport import HTTPRequest, paused

if TYPE_CHECKING:
    from scconnect_wsgi.flow import ApiFlow


class TokenVerdict(Enum):
    """What ``/me`` says about a token."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # there is no such address, or it says something else


def ask_me(flow: ApiFlow, connection: Connection) -> TokenVerdict:
    """Ask ``/me`` about the token of a connection.

    The body of the answer is read, because some providers of OAuth 1.0a name the problem there,
    such as a clock that is wrong. Raises ProviderError or ProviderUnavailable if there is no
    answer.
    """
    if not flow.provider.account_path:
        return TokenVerdict.UNKNOWN

    def request() -> HTTPRequest:
        return request_of_account(flow, connection.api_url, connection.token)

    with paused():
        response = flow.transport.send(request)
    if response.status == 200:
        return TokenVerdict.ACCEPTED
    return TokenVerdict.REFUSED if flow.rejects_token(response) else TokenVerdict.UNKNOWN
