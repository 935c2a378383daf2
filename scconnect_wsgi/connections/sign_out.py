"""Until the flows have ``sign_out`` themselves: goes away with the merge of the protocols."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scconnect_wsgi.errors import ProviderError
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport.client import Call

if TYPE_CHECKING:
    from scconnect_wsgi.flow import ApiFlow


def signs_out(flow: ApiFlow) -> bool:
    """Return whether the provider has an address that ends the session of a token."""
    return getattr(flow.provider, "sign_out_url", None) is not None


def sign_out(flow: ApiFlow, token: AccessToken) -> None:
    """Tell the provider to end the session of a token. Raises ConnectError."""
    url = getattr(flow.provider, "sign_out_url", None)
    if url is None:
        return

    def request() -> Call:
        headers = {
            **flow.provider.headers,
            "Authorization": flow.authorization(token, "POST", url),
            "Content-Type": "application/json",
        }
        return Call("POST", url, headers, json.dumps({"access_token": token.token}))

    response = flow.transport.send(request)
    if response.status >= 400:
        raise ProviderError(
            f"The provider refused to end the session of the token (status {response.status})."
        )
