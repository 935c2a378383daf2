"""Sessions of several users over one pool, and a server whose answers belong to one request each.

What one user gets of another's is seen at once: the answer to an API call is the Authorization
header that it came with.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import parse_qs

import pytest
import requests

from scconnect_wsgi import OAuth2, OAuth2Provider, Transport
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import ProviderError, ProviderUnavailable
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken
from support.flows import CLIENT
from support.stores import connection
from support.wire import answer

TIMEOUT = 10.0  # seconds; most of these calls take a fraction of one


def answer_to(request, number):
    """Return the answer that belongs to this request and to no other."""
    path = request.line.split()[1].partition("?")[0]
    form = {name: values[0] for name, values in parse_qs(request.body).items()}
    if path == "/token":
        token = {
            "access_token": f"for {form.get('code') or form['refresh_token']}",
            "token_type": "OAuth",
        }
        return answer(json.dumps(token).encode(), content_type="application/json")
    if path == "/request_token":
        body = f"oauth_token=number-{number}&oauth_token_secret=s&oauth_callback_confirmed=true"
        return answer(body.encode(), content_type="application/x-www-form-urlencoded")
    return answer(request.headers["authorization"].encode())


def flow_at(url, **options):
    provider = OAuth2Provider(f"{url}/authorize", f"{url}/token", api_url=url)
    return OAuth2(
        *CLIENT, provider=provider, transport=Transport(**{"timeout": TIMEOUT, **options})
    )


@contextmanager
def sessions_of(flow, *users):
    """A session for each of these users, all over the pool of one process."""
    store = SQLStore("sqlite://")
    connections = Connections(flow, store, identify=lambda request: None)
    with closing(store), ExitStack() as stack:
        sessions = []
        for user in users:
            token = AccessToken(f"token of {user}")
            store.save(
                connection(f"of {user}", user=user, api_url=flow.provider.api_url, token=token)
            )
            sessions.append(stack.enter_context(connections.session(f"of {user}", user=user)))
        yield sessions


# One call of each kind, which must end in the error of its kind


def plain_get(url, **options):
    with sessions_of(flow_at(url, **{"timeout": 1, **options}), "joe") as (joe,):
        with pytest.raises(requests.RequestException) as caught:
            joe.get("/me")
        assert "token of joe" not in str(caught.value)


def me(url, **options):
    with (
        sessions_of(flow_at(url, **{"timeout": 1, **options}), "joe") as (joe,),
        pytest.raises((ProviderError, ProviderUnavailable)),
    ):
        joe.me()


def token_request(url, **options):
    with pytest.raises((ProviderError, ProviderUnavailable)):
        flow_at(url, **{"timeout": 1, **options}).refresh(AccessToken("old", refresh_token="bob"))
